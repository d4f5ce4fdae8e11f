package m365sim

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Domain is one domain as the tenant holds it.
type Domain struct {
	// Name is the verified domain, lower case.
	Name string
	// Federated domains have the fields below; a managed one has none.
	Federated                bool
	IssuerURI                string
	PassiveSignInURI         string
	SignOutURI               string
	ActiveSignInURI          string
	MetadataExchangeURI      string
	SigningCertificate       *x509.Certificate
	NextSigningCertificate   *x509.Certificate
	PromptLoginBehavior      string // "" = translateToFreshPasswordAuthentication
	RequireMultipleAuthnFrom bool   // federatedIdpMfaBehavior = enforceMfaByFederatedIdp
}

// User is a synchronised user of the tenant.
type User struct {
	UPN         string
	ImmutableID string
	DisplayName string
}

// Config is what the tenant knows. Domains and users may be replaced while the
// stand-in runs ([Sim.SetTenant]).
type Config struct {
	// Host is the host name in the stand-in's own addresses; default localhost.
	Host string
	// Ports are the TCP ports of the three origins; zero picks a free one.
	Ports [3]int
	// Certificate is the server certificate for Host.
	Certificate tls.Certificate
	Domains     []Domain
	Users       []User
	// Banner is printed on every page.
	Banner string
	// Hint is shown under the user name field, plain text lines.
	Hint []string
	Now  func() time.Time
}

// Sim is a running stand-in. Safe for concurrent use.
type Sim struct {
	now     func() time.Time
	host    string
	banner  string
	hint    []string
	origins [3]string // login, hop, portal
	servers []*http.Server

	mu       sync.Mutex
	managed  Managed // nil: there is no managed domain
	domains  []Domain
	users    []User
	pending  map[string]pending // by estsrequest
	codes    map[string]*Verdict
	sessions map[string]*Verdict // by portal cookie
	verdicts []*Verdict
	cleanups int
}

// pending is what the stand-in remembers of one redirect to the domain.
type pending struct {
	domain string
	wctx   string
	fresh  bool
	at     time.Time
}

// maxKept bounds every map and list of the stand-in.
const maxKept = 10000

// Start listens on 127.0.0.1 and serves until Close.
func Start(cfg Config) (*Sim, error) {
	s := &Sim{
		now: cfg.Now, host: cfg.Host, banner: cfg.Banner, hint: cfg.Hint,
		pending: map[string]pending{}, codes: map[string]*Verdict{}, sessions: map[string]*Verdict{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.host == "" {
		s.host = "localhost"
	}
	s.SetTenant(cfg.Domains, cfg.Users)
	handlers := [3]http.Handler{s.loginOrigin(), s.hopOrigin(), s.portalOrigin()}
	for i, h := range handlers {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", cfg.Ports[i]))
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("stand-in of Microsoft 365: %w", err)
		}
		s.origins[i] = fmt.Sprintf("https://%s:%d", s.host, l.Addr().(*net.TCPAddr).Port)
		srv := &http.Server{
			Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 15 * time.Second,
			IdleTimeout: time.Minute, TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cfg.Certificate}},
			ErrorLog: nil,
		}
		srv.ErrorLog = discardLog
		s.servers = append(s.servers, srv)
		go func() { _ = srv.ServeTLS(l, "", "") }()
	}
	return s, nil
}

// Close stops the stand-in.
func (s *Sim) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, srv := range s.servers {
		if err := srv.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
			_ = srv.Close()
		}
	}
}

// SetTenant replaces the domains and users.
func (s *Sim) SetTenant(domains []Domain, users []User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.domains = append([]Domain(nil), domains...)
	s.users = append([]User(nil), users...)
}

// URL is the address of the page that asks for the user name.
func (s *Sim) URL() string { return s.origins[0] + "/" }

// LoginSRF is the reply address that a domain's token is posted to.
func (s *Sim) LoginSRF() string { return s.origins[0] + "/login.srf" }

// Origins are the three origins that a sign-in passes through.
func (s *Sim) Origins() []string { return append([]string(nil), s.origins[:]...) }

// Verdicts returns the judgements so far, oldest first.
func (s *Sim) Verdicts() []*Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Verdict(nil), s.verdicts...)
}

// domainFor finds the domain of a user name: itself or, for a sub-domain
// without settings of its own, the nearest parent.
func (s *Sim) domainFor(upn string) (Domain, bool) {
	_, suffix, ok := strings.Cut(strings.ToLower(upn), "@")
	if !ok {
		return Domain{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return nearestDomain(s.domains, suffix)
}

func nearestDomain(domains []Domain, suffix string) (Domain, bool) {
	for suffix != "" {
		for _, d := range domains {
			if d.Name == suffix {
				return d, true
			}
		}
		_, suffix, _ = strings.Cut(suffix, ".")
	}
	return Domain{}, false
}

// authURL makes the redirect to the domain's passive address as Entra writes
// it: percent-encoding in lower-case hex, wctx with an opaque request.
func (s *Sim) authURL(d Domain, upn string, promptLogin, mfa bool) (string, error) {
	blob := randomText(48)
	wctx := "LoginOptions=3&estsredirect=2&estsrequest=" + blob
	q := []string{
		"client-request-id=" + newGUID(),
		"username=" + lowerHex(upn),
		"wa=wsignin1.0",
		"wtrealm=" + lowerHex(microsoftOnline),
		"wctx=" + lowerHex(wctx),
	}
	fresh := false
	switch {
	case mfa:
		q = append(q, "wauth="+lowerHex(multipleAuthn))
	case promptLogin:
		fresh = true
		switch d.PromptLoginBehavior {
		case "nativeSupport":
			q = append(q, "prompt=login")
		case "disabled":
			q = append(q, "wfresh=0")
		default:
			q = append(q, "wfresh=0", "wauth="+lowerHex("http://schemas.microsoft.com/ws/2008/06/identity/authenticationmethod/password"))
		}
	}
	u, err := url.Parse(d.PassiveSignInURI)
	if err != nil {
		return "", fmt.Errorf("passiveSignInUri of %s: %w", d.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) >= maxKept {
		clear(s.pending)
	}
	s.pending[blob] = pending{domain: d.Name, wctx: wctx, fresh: fresh, at: s.now()}
	return u.Scheme + "://" + u.Host + u.Path + "?" + strings.Join(q, "&"), nil
}

// lowerHex percent-encodes everything but unreserved characters, with
// lower-case digits.
func lowerHex(v string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		c := v[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func newGUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
