package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"sallyport/certs/internal/disk"
)

// ACMEProtocol is the TLS protocol name by which a certificate authority tries
// whether this listener holds a name (RFC 8737, TLS-ALPN-01); the listener has to
// offer it.
const ACMEProtocol = acme.ALPNProto

// ACMEConfig says where the listener's certificate is got by ACME (RFC 8555).
// autocert of golang.org/x/crypto does it: it has no dependency, both challenges that
// need no DNS account, and a cache that several instances may share.
type ACMEConfig struct {
	// Directory is the authority's address. Default: Let's Encrypt.
	Directory string
	// Email is where the authority writes when something is wrong. May be empty.
	Email string
	// Cache is a directory for account and certificates, shared by all instances, so
	// that a challenge may reach any of them. Required.
	Cache string
	// Roots judge the authority's own certificate. Nil: the system's.
	Roots *x509.CertPool
}

// newACME returns autocert's manager for the names of cfg.
func newACME(cfg *ListenerConfig) (*autocert.Manager, error) {
	a := cfg.ACME
	if a.Cache == "" || len(cfg.Hosts) == 0 {
		return nil, errors.New("listener certificate: ACME needs a cache and a name")
	}
	if err := disk.MakeDirectory(a.Cache); err != nil {
		return nil, fmt.Errorf("listener certificate: cache of ACME: %w", err)
	}
	client := &acme.Client{DirectoryURL: a.Directory, UserAgent: "sallyport"}
	if a.Roots != nil {
		client.HTTPClient = &http.Client{
			Timeout:   30 * time.Second,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: a.Roots}, ForceAttemptHTTP2: true},
		}
	}
	return &autocert.Manager{
		Prompt: autocert.AcceptTOS, // the settings say that the admin agrees
		Cache:  autocert.DirCache(a.Cache), HostPolicy: autocert.HostWhitelist(cfg.Hosts...), Email: a.Email, Client: client,
	}, nil
}

// HTTPChallenge answers the authority's questions over plain HTTP (HTTP-01) and sends
// everybody else to HTTPS, under the names of this service alone. Nil without ACME.
func (l *Listener) HTTPChallenge() http.Handler {
	if l.acme == nil {
		return nil
	}
	next := l.acme.HTTPHandler(http.HandlerFunc(l.toHTTPS))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// An authority may write its port, or the default one, behind the name (RFC 9110
		// section 7.2); autocert compares the whole.
		if name, _, err := net.SplitHostPort(r.Host); err == nil {
			own := *r
			own.Host, r = name, &own
		}
		next.ServeHTTP(w, r)
	})
}

// toHTTPS redirects to the same page by HTTPS. A name that is not ours is refused:
// what a client writes there must not become an address in our answer.
func (l *Listener) toHTTPS(w http.ResponseWriter, r *http.Request) {
	own := slices.IndexFunc(l.cfg.Hosts, func(h string) bool { return strings.EqualFold(h, r.Host) })
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "Use HTTPS", http.StatusBadRequest)
	case own < 0:
		http.Error(w, "Not a name of this service", http.StatusMisdirectedRequest)
	case r.URL.Opaque != "": // "x:.evil.test" would become a part of the name
		http.Error(w, "Not an address", http.StatusBadRequest)
	default:
		http.Redirect(w, r, "https://"+l.cfg.Hosts[own]+r.URL.RequestURI(), http.StatusFound)
	}
}

// fromACME serves a handshake. Who names no host, as a health probe does, gets the
// certificate of the first one.
func (l *Listener) fromACME(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !slices.Contains(hello.SupportedProtos, ACMEProtocol) && hello.ServerName != l.cfg.Hosts[0] {
		return l.current.Load(), nil
	}
	c, err := l.acme.GetCertificate(hello)
	if err != nil {
		if slices.Contains(hello.SupportedProtos, ACMEProtocol) {
			return nil, err
		}
		return l.current.Load(), nil // of before, or the one that stands in for it
	}
	return c, nil
}

// obtain gets or renews the certificate when that is due, as a browser's handshake
// would.
func (l *Listener) obtain(context.Context) (changed bool, err error) {
	c, err := l.acme.GetCertificate(&tls.ClientHelloInfo{
		ServerName: l.cfg.Hosts[0], SupportedVersions: []uint16{tls.VersionTLS13}, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, SupportedCurves: []tls.CurveID{tls.CurveP256},
	})
	if err != nil {
		return false, fmt.Errorf("listener certificate by ACME: %w", err)
	}
	if c.Leaf == nil {
		if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return false, err
		}
	}
	if old := l.current.Load(); old.Leaf.Equal(c.Leaf) {
		return false, nil
	}
	l.current.Store(c)
	return true, nil
}
