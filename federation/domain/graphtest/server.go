package graphtest

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"
)

// App is a registered application.
type App struct {
	ClientID string
	// Secret and Certificates are its credentials; either may be missing.
	Secret       string
	Certificates []*x509.Certificate
	// Roles are the application permissions that an admin consented to.
	Roles []string
}

// ReadWrite are the permissions that every call of package domain needs.
func ReadWrite() []string {
	return []string{"Domain.ReadWrite.All", "Domain-InternalFederation.ReadWrite.All", "Policy.Read.All", "RoleManagement.Read.Directory"}
}

// Domain is a domain of the tenant. Settings are nil for a managed one.
type Domain struct {
	Name                       string
	Default, Initial           bool
	Unverified, Sub, Federated bool
	// Settings are the members of internalDomainFederation.
	Settings map[string]any
}

// Request is a request that arrived at Graph.
type Request struct {
	Method, Path, Body string
}

// Fault spoils one request to Graph.
type Fault struct {
	// Method and Path (a part of it) choose the request; empty is any.
	Method, Path string
	// Times is how many requests are spoilt; zero is one.
	Times int
	// After makes the change first.
	After bool
	// Status is the answer's status; zero ends the connection without an answer.
	Status int
	// RetryAfter is a header, Body the answer's body; empty is Graph's error object.
	RetryAfter, Body string
	// Message is the text of Graph's error object.
	Message string
	// Location is a header.
	Location string
}

// Config is the tenant.
type Config struct {
	// Tenant is the only name that the token endpoint knows.
	Tenant string
	Apps   []App
	// Domains in the order of the list.
	Domains []Domain
	// Admins are the user principal names of the Global Administrators.
	Admins []string
	// RootDomains is the token validation policy; default all.
	RootDomains string
	// PolicyDomains are the policy's domainNames.
	PolicyDomains []string
	// PolicyOnlyBeta leaves the policy out of v1.0.
	PolicyOnlyBeta bool
	// PageSize is how many items a page has; default 100.
	PageSize int
	// StaleReads is how many reads after a write still see what was before, every
	// other one of them already the new state.
	StaleReads int
	// TokenLife is expires_in; default one hour.
	TokenLife time.Duration
	// KeepsNext refuses null for nextSigningCertificate.
	KeepsNext bool
	// Now is the clock. Default [time.Now].
	Now func() time.Time
}

// Server is a running stand-in. Safe for concurrent use.
type Server struct {
	cfg          Config
	login, graph *httptest.Server

	mu       sync.Mutex
	domains  []*held
	faults   []*Fault
	requests []Request
	tokens   map[string]*issued
	used     map[string]bool // ids of assertions
	asked    int
	loginBad []Fault
	onWrite  func()
}

// held is a domain with what stale reads see.
type held struct {
	Domain
	before Domain
	// stale counts down the reads of each kind, of the domain and of its settings.
	stale [2]int
}

type issued struct {
	app *App
	end time.Time
}

// Start listens on loopback until Close.
func Start(cfg Config) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.PageSize == 0 {
		cfg.PageSize = 100
	}
	if cfg.TokenLife == 0 {
		cfg.TokenLife = time.Hour
	}
	if cfg.RootDomains == "" {
		cfg.RootDomains = "all"
	}
	s := &Server{cfg: cfg, tokens: map[string]*issued{}, used: map[string]bool{}}
	for _, d := range cfg.Domains {
		s.domains = append(s.domains, &held{Domain: d})
	}
	s.login = start(http.HandlerFunc(s.serveLogin))
	s.graph = start(http.HandlerFunc(s.serveGraph))
	return s
}

func start(h http.Handler) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	return srv
}

// Close ends the stand-in.
func (s *Server) Close() { s.login.Close(); s.graph.Close() }

// Login and Graph are its origins.
func (s *Server) Login() string { return s.login.URL }

// Graph is the origin of Microsoft Graph.
func (s *Server) Graph() string { return s.graph.URL }

// Roots verify both origins.
func (s *Server) Roots() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(s.login.Certificate())
	p.AddCert(s.graph.Certificate())
	return p
}

// Certificates are the servers' own, for a file of roots.
func (s *Server) Certificates() []*x509.Certificate {
	return []*x509.Certificate{s.login.Certificate(), s.graph.Certificate()}
}

// Fail spoils coming requests to Graph, in this order.
func (s *Server) Fail(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		f.Times = max(f.Times, 1)
		s.faults = append(s.faults, &f)
	}
}

// OnWrite calls f once after the next request that would change something, when
// it was answered: for what another does at that moment.
func (s *Server) OnWrite(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onWrite = f
}

// FailLogin spoils the next token requests: status, Retry-After, body and message
// count.
func (s *Server) FailLogin(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loginBad = append(s.loginBad, faults...)
}

// Requests are those that reached Graph, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Writes are the requests that would change something.
func (s *Server) Writes() []Request {
	return slices.DeleteFunc(s.Requests(), func(r Request) bool { return r.Method == http.MethodGet })
}

// TokenRequests is how many token requests came.
func (s *Server) TokenRequests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Revoke ends all tokens.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// Set changes a member of a domain's settings, as another admin would; nil takes
// it out.
func (s *Server) Set(domain, member string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.find(domain)
	d.Settings = copied(d.Settings)
	if value == nil {
		delete(d.Settings, member)
		return
	}
	d.Settings[member] = value
}

// Put replaces a domain, or adds it.
func (s *Server) Put(d Domain) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.find(d.Name); h != nil {
		h.Domain, h.stale = d, [2]int{}
		return
	}
	s.domains = append(s.domains, &held{Domain: d})
}

// Settings are what the tenant truly holds for a domain, whatever stale reads
// show; nil when it has none.
func (s *Server) Settings(domain string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.find(domain)
	if d == nil || d.Settings == nil {
		return nil
	}
	return copied(d.Settings)
}

// Federated tells a domain's true state.
func (s *Server) Federated(domain string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.find(domain)
	return d != nil && d.Domain.Federated
}

func (s *Server) find(name string) *held {
	for _, d := range s.domains {
		if d.Name == name {
			return d
		}
	}
	return nil
}

func copied(m map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}
