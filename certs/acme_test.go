package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"sallyport/certs"
)

const acmeHost = "sts.contoso.test"

// authority is a real ACME server in this process that reaches the listener at the
// ports given.
func authority(t *testing.T, httpPort, tlsPort int) *httptest.Server {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	authority := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "the default"}})
	checker := va.New(quiet, httpPort, tlsPort, false, resolver(t), store)
	front := wfe.New(quiet, store, checker, authority, []string{"pebble.test"}, false, false, 1, 1)
	s := httptest.NewTLSServer(front.Handler())
	t.Cleanup(s.Close)
	return s
}

// resolver answers by TCP, as the authority asks, that every name is at 127.0.0.1. It
// listens before it returns.
func resolver(t *testing.T) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	answer := func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		if q := r.Question[0]; q.Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(m)
	}
	s := &dns.Server{Listener: ln, Handler: dns.HandlerFunc(answer)}
	done := make(chan error, 1)
	go func() { done <- s.ActivateAndServe() }()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// acmeListener serves TLS, and plain HTTP where it is wanted, with a certificate that
// the authority gives.
func acmeListener(t *testing.T, challenge string) (l *certs.Listener, address string) {
	t.Helper()
	tlsLn, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	httpLn, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	a := authority(t, httpLn.Addr().(*net.TCPAddr).Port, tlsLn.Addr().(*net.TCPAddr).Port)
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	l, err = certs.NewListener(certs.ListenerConfig{Hosts: []string{acmeHost}, ACME: &certs.ACMEConfig{
		Directory: a.URL + wfe.DirectoryPath, Cache: filepath.Join(t.TempDir(), "acme"), Roots: roots,
	}})
	must(t, err)
	protocols := []string{"http/1.1"}
	if challenge == "tls-alpn-01" {
		protocols = append(protocols, certs.ACMEProtocol)
	}
	serve := func(ln net.Listener, h http.Handler) {
		s := &http.Server{Handler: h, ReadHeaderTimeout: time.Second, ErrorLog: log.New(io.Discard, "", 0)}
		go func() { _ = s.Serve(ln) }()
		t.Cleanup(func() { _ = s.Close() })
	}
	serve(tls.NewListener(tlsLn, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: l.GetCertificate, NextProtos: protocols}), http.NotFoundHandler())
	if challenge == "http-01" {
		serve(httpLn, l.HTTPChallenge())
	} else {
		must(t, httpLn.Close())
	}
	return l, tlsLn.Addr().String()
}

func TestACMEGetsACertificateByEitherChallenge(t *testing.T) {
	for _, challenge := range []string{"tls-alpn-01", "http-01"} {
		t.Run(challenge, func(t *testing.T) {
			l, address := acmeListener(t, challenge)
			before := l.Thumbprint()
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			told := make(chan error, 16)
			done := make(chan struct{})
			go func() {
				defer close(done)
				l.Watch(ctx, time.Second, func(err error) { told <- err })
			}()
			select {
			case err := <-told:
				must(t, err)
			case <-ctx.Done():
				t.Fatal("no certificate within a minute")
			}
			if l.Thumbprint() == before {
				t.Error("the one that stood in is still there")
			}
			conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: acmeHost, InsecureSkipVerify: true}) //nolint:gosec // the authority's root is made for this test
			must(t, err)
			leaf := conn.ConnectionState().PeerCertificates[0]
			must(t, conn.Close())
			if err := leaf.VerifyHostname(acmeHost); err != nil || leaf.Issuer.String() == leaf.Subject.String() || certs.Thumbprint(leaf) != l.Thumbprint() {
				t.Errorf("served: %s by %s: %v", leaf.Subject, leaf.Issuer, err)
			}
			cancel()
			<-done
		})
	}
}

// TestH02_PlainHTTPLeadsToThisServiceAlone: the redirect to HTTPS repeats no name and
// no address that a client made up.
func TestH02_PlainHTTPLeadsToThisServiceAlone(t *testing.T) {
	l, err := certs.NewListener(certs.ListenerConfig{Hosts: []string{acmeHost}, ACME: &certs.ACMEConfig{
		Directory: "https://127.0.0.1:1/directory", Cache: filepath.Join(t.TempDir(), "acme"),
	}})
	must(t, err)
	for _, c := range []struct {
		method, host, target string
		status               int
		location             string
	}{
		{"GET", acmeHost, "/adfs/ls/?wa=x", 302, "https://" + acmeHost + "/adfs/ls/?wa=x"},
		{"GET", strings.ToUpper(acmeHost) + ":80", "/", 302, "https://" + acmeHost + "/"},
		{"GET", "evil.test", "/", 421, ""},
		{"GET", acmeHost + ".evil.test", "/", 421, ""},
		{"GET", "", "/", 421, ""},
		{"GET", acmeHost + "@evil.test", "/", 421, ""},
		{"GET", acmeHost, "//evil.test/", 302, "https://" + acmeHost + "//evil.test/"},
		{"GET", "evil.test", "http://" + acmeHost + "/", 421, ""},
		{"GET", acmeHost, "x:.evil.test/", 400, ""},
		{"GET", "evil.test", "/.well-known/acme-challenge/x", 403, ""},
		{"POST", acmeHost, "/adfs/ls/", 400, ""},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(c.method, c.target, nil)
		r.Host = c.host
		l.HTTPChallenge().ServeHTTP(w, r)
		if w.Code != c.status || w.Header().Get("Location") != c.location {
			t.Errorf("%s %s at %q: %d to %q", c.method, c.target, c.host, w.Code, w.Header().Get("Location"))
		}
	}
}
