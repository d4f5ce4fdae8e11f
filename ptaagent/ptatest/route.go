package ptatest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/beevik/etree"
)

// route picks the part by the host name, which must be that of the TLS hello.
func (c *Cloud) route(w http.ResponseWriter, r *http.Request) {
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if host = strings.ToLower(host); port != "" && port != "443" || !strings.EqualFold(host, r.TLS.ServerName) {
		_ = c.diary.refuse("http", "Host %q on a connection to %q", clip(r.Host), r.TLS.ServerName)
		w.WriteHeader(http.StatusMisdirectedRequest)
		return
	}
	path := strings.ToLower(r.URL.Path)
	mine := func(label string) bool { return host == c.Tenant+label+suffix }
	post := r.Method == http.MethodPost
	switch {
	case host == loginHost:
		c.login(w, r)
	case mine(".registration") && post && path == "/register/registerconnector":
		c.register(w, r)
	case mine(".registration") && post && path == "/register/enablepassthroughauthentication":
		c.enable(w, r)
	case mine(".admin") && r.Method == http.MethodGet && r.URL.Path == "/onPremisesPublishingProfiles('authentication')/agents":
		c.inventory(w, r, true)
	case host == graphHost && r.Method == http.MethodGet && r.URL.Path == "/beta/onPremisesPublishingProfiles/authentication/agents":
		c.inventory(w, r, false)
	case host == renewHost && post && r.URL.Path == "/renewTrust/RenewTrustCertificate":
		c.renew(w, r)
	case (mine(".bootstrap") || mine(".pta.bootstrap.his")) && post && r.URL.Path == "/ConnectorBootstrap":
		c.bootstrap(w, r)
	case strings.HasSuffix(host, "."+domain) && r.URL.Path == "/$servicebus/websocket":
		c.relay(w, r, host)
	case host == frontHost && r.URL.Path == "/subscriber/websocketconnect":
		c.frontSocket(w, r)
	case host == frontHost && r.URL.Path == "/subscriber/connection":
		c.frontResult(w, r)
	default:
		_ = c.diary.refuse("http", "%s %s at %s", r.Method, clip(r.URL.Path), host)
		http.NotFound(w, r)
	}
}

// judged is the root of a request's body.
type judged struct{ *etree.Element }

// as judges name and children of the root.
func (j judged) as(space, name string, list ...child) error {
	if j.Tag != name || j.NamespaceURI() != space {
		return fmt.Errorf("root %s in %q", clip(j.Tag), clip(j.NamespaceURI()))
	}
	if err := bare(j.Element); err != nil {
		return err
	}
	return expect(j.Element, list...)
}

// readBody reads the XML of a request; when it cannot, the answer is written.
func (c *Cloud) readBody(part string, w http.ResponseWriter, r *http.Request) (judged, error) {
	fail := func(status int, format string, args ...any) (judged, error) {
		err := c.diary.refuse(part, format, args...)
		http.Error(w, err.Error(), status)
		return judged{}, err
	}
	if got := strings.ToLower(r.Header.Get("Content-Type")); got != "application/xml; charset=utf-8" {
		return fail(http.StatusUnsupportedMediaType, "Content-Type %q (3.3)", clip(got))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return fail(http.StatusRequestEntityTooLarge, "body over 64 KiB")
	}
	if err != nil {
		return fail(http.StatusBadRequest, "body: %v", err)
	}
	root, err := readXML(body)
	if err != nil {
		return fail(http.StatusBadRequest, "body: %v", err)
	}
	return judged{root}, nil
}

// fresh reports whether id was not used before, and remembers it, within the
// last 16384.
func (c *Cloud) fresh(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[id] {
		return false
	}
	if len(c.order) < 16384 {
		c.order = append(c.order, id)
	} else {
		delete(c.seen, c.order[c.next])
		c.order[c.next] = id
		c.next = (c.next + 1) % len(c.order)
	}
	c.seen[id] = true
	return true
}
