package partner

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Client fetches metadata over https. It is safe for concurrent use.
type Client struct {
	// Roots are what servers' certificates are verified against. Nil: the system's.
	Roots *x509.CertPool
	// AllowPrivate lets names lead to addresses that the internet does not reach:
	// private, loopback, link-local. The proxy of the environment is always allowed,
	// and then decides itself what it reaches.
	AllowPrivate bool
	// Transport is used instead of one made from the fields above, by tests.
	Transport http.RoundTripper
	// Timeout bounds one fetch of a document. Default 30s.
	Timeout time.Duration
}

// Tag is what a server said by which it can tell a later copy from this one (RFC
// 9110 §8.8).
type Tag struct {
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"last_modified,omitempty"`
}

var (
	// ErrUnchanged says that a server has nothing newer than the copy held.
	ErrUnchanged = errors.New("unchanged")
	// ErrNotThere is a server's plain "no such document".
	ErrNotThere = errors.New("the server has no such document")
)

const accept = "application/samlmetadata+xml, application/xml;q=0.9, text/xml;q=0.8"

// Get fetches one document of at most [MaxSize]. With a tag the error may be
// [ErrUnchanged]. Redirects are not followed: who controls the first server would
// choose the next.
func (c *Client) Get(ctx context.Context, address string, have Tag) ([]byte, Tag, error) {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	res, err := c.open(ctx, address, have)
	if err != nil {
		return nil, Tag{}, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, MaxSize+1))
	if err != nil {
		return nil, Tag{}, fmt.Errorf("reading the document: %w", err)
	}
	if len(data) > MaxSize {
		return nil, Tag{}, fmt.Errorf("the document has more than %d bytes; an aggregate is taken apart by: sallyport rp import", MaxSize)
	}
	return data, tagOf(res), nil
}

// Stream opens a document of any size. The caller closes it and bounds the time by
// the context.
func (c *Client) Stream(ctx context.Context, address string) (io.ReadCloser, error) {
	res, err := c.open(ctx, address, Tag{})
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

func tagOf(res *http.Response) Tag {
	t := Tag{res.Header.Get("ETag"), res.Header.Get("Last-Modified")}
	if len(t.ETag) > 256 || len(t.Modified) > 64 {
		return Tag{}
	}
	return t
}

// open sends the request and judges the status. The caller closes the body.
func (c *Client) open(ctx context.Context, address string, have Tag) (*http.Response, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("not an https address")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "Sallyport")
	if have.ETag != "" {
		req.Header.Set("If-None-Match", have.ETag)
	}
	if have.Modified != "" {
		req.Header.Set("If-Modified-Since", have.Modified)
	}
	res, err := c.Messenger().Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) { // its text repeats the address, which may hold a key
			err = ue.Err
		}
		return nil, fmt.Errorf("%s: %w", u.Host, err)
	}
	if err := judge(res, have); err != nil {
		res.Body.Close()
		if errors.Is(err, ErrUnchanged) {
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w", u.Host, err)
	}
	return res, nil
}

func judge(res *http.Response, have Tag) error {
	switch {
	case res.StatusCode == http.StatusNotModified && have != Tag{}:
		return ErrUnchanged
	case res.StatusCode == http.StatusNotFound, res.StatusCode == http.StatusGone:
		return ErrNotThere
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return fmt.Errorf("status %d leads to %.200q, and redirects are not followed: if that is the right place, name it", res.StatusCode, res.Header.Get("Location"))
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d", res.StatusCode)
	}
	if t, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err == nil && strings.HasSuffix(t, "/html") {
		return errors.New("a web page came instead of metadata")
	}
	return nil
}

// Messenger returns a client that reaches what c reaches, for messages to parties: it
// follows no redirect either. The request's context bounds the time.
func (c *Client) Messenger() *http.Client {
	return &http.Client{
		Transport:     messenger{c},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// messenger chooses a transport for each request.
type messenger struct{ *Client }

// RoundTrip implements [http.RoundTripper].
func (m messenger) RoundTrip(req *http.Request) (*http.Response, error) {
	return m.transport(req).RoundTrip(req)
}

// transport makes a transport for one request. Requests are rare, so that no
// connection is kept.
func (c *Client) transport(req *http.Request) http.RoundTripper {
	if c.Transport != nil {
		return c.Transport
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	proxy, err := http.ProxyFromEnvironment(req)
	if !c.AllowPrivate && (proxy == nil || err != nil) {
		dialer.Control = public
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots},
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 20 * time.Second, MaxResponseHeaderBytes: 64 << 10,
	}
}

var errPrivate = errors.New("the name leads to an address that is not of the internet; where that is meant, write metadata_private: true")

// public refuses to connect to what is not reached from the internet. It is asked
// with the address that is dialled, so that a name cannot change behind it.
func public(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	a := at.Addr().Unmap()
	if nat64.Contains(a) { // names of the IPv4 internet lead there where there is IPv6 only
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return errPrivate
	}
	for _, p := range special {
		if p.Contains(a) {
			return errPrivate
		}
	}
	return nil
}

// special are the further networks that are not of the internet (RFC 6890 and its
// registries), and those in which an IPv4 address is written that may not be: NAT64's
// local form, 6to4, Teredo, and the IPv4-compatible addresses.
var special = [...]netip.Prefix{
	prefix("0.0.0.0/8"), prefix("100.64.0.0/10"), prefix("192.0.0.0/24"), prefix("198.18.0.0/15"), prefix("240.0.0.0/4"),
	prefix("::/96"), prefix("64:ff9b:1::/48"), prefix("2001::/32"), prefix("2002::/16"), prefix("fec0::/10"),
}

// nat64 is where an IPv6 network reaches the IPv4 internet (RFC 6052 §2.1).
var nat64 = prefix("64:ff9b::/96")

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
