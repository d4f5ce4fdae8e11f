package signin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/authn/seal"
	"sallyport/authn/session"
	"sallyport/federation"
	"sallyport/federation/signin"
	"sallyport/federation/signin/pages"
	"sallyport/federation/web"
)

const rightPassword = "Right horse 1"

var (
	aliceID = authn.GUID{1, 2, 3, 4}
	bobID   = authn.GUID{5, 6, 7, 8}
	start   = time.Date(2026, 11, 25, 13, 32, 7, 0, time.UTC)
)

func alice() *authn.Account {
	return &authn.Account{Domain: "corp.contoso.test", NetBIOS: "CONTOSO", ID: aliceID, UPN: "alice@contoso.test",
		SAMAccountName: "alice", PwdLastSet: 133_000_000_000_000_000}
}

func bob() *authn.Account {
	return &authn.Account{Domain: "corp.contoso.test", NetBIOS: "CONTOSO", ID: bobID, UPN: "bob@contoso.test",
		SAMAccountName: "bob", PwdLastSet: 133_000_000_000_000_001}
}

// passwords is the pipeline's stand-in: reasons by user name.
type passwords struct {
	mu      sync.Mutex
	reasons map[string]authn.Result
	calls   []string
	seen    [][]byte
	at      func() time.Time
}

func (p *passwords) Verify(_ context.Context, a authn.Attempt, c authn.Credentials) authn.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, c.Name)
	p.seen = append(p.seen, append([]byte(nil), c.Password.Bytes()...))
	ok := string(c.Password.Bytes()) == rightPassword
	c.Password.Wipe()
	if res, found := p.reasons[c.Name]; found {
		return res
	}
	if !ok {
		return authn.Result{Reason: authn.WrongPassword}
	}
	acc := alice()
	if strings.Contains(strings.ToLower(c.Name), "bob") {
		acc = bob()
	}
	return authn.Result{Reason: authn.Accepted, Account: acc, At: p.at()}
}

// accounts is the account reader's stand-in.
type accounts struct {
	mu  sync.Mutex
	all map[authn.GUID]*authn.Account
	err error
}

func (a *accounts) Account(_ context.Context, domain string, id authn.GUID, _ time.Time) (*authn.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return nil, a.err
	}
	if acc, ok := a.all[id]; ok && acc.Domain == domain {
		c := *acc
		return &c, nil
	}
	return nil, &authn.Error{Reason: authn.UnknownUser}
}

func (a *accounts) change(id authn.GUID, f func(*authn.Account)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a.all[id])
}

// responder makes tokens that tell whom they are for.
type responder struct {
	mu    sync.Mutex
	err   error
	count int
	last  *federation.Subject
}

func (p *responder) Respond(_ context.Context, req *federation.SignInRequest, sub *federation.Subject) (*federation.Answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return nil, p.err
	}
	p.count++
	p.last = sub
	fields := []federation.Field{{Name: "wa", Value: "wsignin1.0"}, {Name: "wresult", Value: "<token for=\"" + sub.Account.UPN + "\"/>"}}
	if req.HasState {
		fields = append(fields, federation.Field{Name: "wctx", Value: req.State})
	}
	return &federation.Answer{Action: req.ReplyTo, Fields: fields, TokenID: fmt.Sprintf("_t%d", p.count), NameID: "anchor", Issuer: "http://sts"}, nil
}

func (p *responder) issued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// trail keeps audit events.
type trail struct {
	mu     sync.Mutex
	events []audit.Event
	err    error
}

func (t *trail) Record(ctx context.Context, e *audit.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := errors.Join(t.err, ctx.Err()); err != nil {
		return err
	}
	t.events = append(t.events, *e)
	return nil
}

func (t *trail) find(code audit.Code) []audit.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []audit.Event
	for _, e := range t.events {
		if e.Code == code {
			out = append(out, e)
		}
	}
	return out
}

// discard is an audit trail that keeps nothing.
type discard struct{}

func (discard) Record(context.Context, *audit.Event) error { return nil }

// store wraps the memory store so that it can be taken down.
type store struct {
	session.Store
	mu    sync.Mutex
	down  bool
	calls []string // each is a round trip, in the order of a sign-in
}

func (s *store) called(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, name)
}

// took returns the calls since the last time.
func (s *store) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

func (s *store) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *store) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return fmt.Errorf("%w: no route", session.ErrUnavailable)
	}
	return nil
}

func (s *store) Create(ctx context.Context, x *session.Session, parties ...string) (session.ID, error) {
	s.called("Create")
	if err := s.broken(); err != nil {
		return session.ID{}, err
	}
	return s.Store.Create(ctx, x, parties...)
}

func (s *store) Use(ctx context.Context, id session.ID, party string) (*session.Session, error) {
	s.called("Use")
	if err := s.broken(); err != nil {
		return nil, err
	}
	return s.Store.Use(ctx, id, party)
}

func (s *store) Peek(ctx context.Context, id session.ID) (*session.Session, error) {
	s.called("Peek")
	if err := s.broken(); err != nil {
		return nil, err
	}
	return s.Store.Peek(ctx, id)
}

func (s *store) End(ctx context.Context, id session.ID) ([]string, error) {
	s.called("End")
	if err := errors.Join(s.broken(), ctx.Err()); err != nil {
		return nil, err
	}
	return s.Store.End(ctx, id)
}

func (s *store) Once(ctx context.Context, purpose, key string, ttl time.Duration) (bool, error) {
	s.called("Once")
	if err := s.broken(); err != nil {
		return false, err
	}
	return s.Store.Once(ctx, purpose, key, ttl)
}

func (s *store) Seen(ctx context.Context, purpose, key string) (bool, error) {
	s.called("Seen")
	if err := s.broken(); err != nil {
		return false, err
	}
	return s.Store.Seen(ctx, purpose, key)
}

// lab is a flow behind a TLS server with everything around it.
type lab struct {
	t         *testing.T
	flow      *signin.Flow
	pages     *pages.Set
	server    *httptest.Server
	passwords *passwords
	accounts  *accounts
	responder *responder
	trail     *trail
	store     *store
	parties   map[string]*federation.RelyingParty
	request   func(req *federation.SignInRequest) // changes what Begin gets

	mu    sync.Mutex
	now   time.Time
	lasts error
}

func (l *lab) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (l *lab) advance(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
}

func newPages(t testing.TB, change func(*pages.Config)) *pages.Set {
	t.Helper()
	cfg := pages.Config{
		Org: "Contoso", Host: "sts.contoso.test", ExampleUPN: "name@contoso.test", ExampleDown: `CONTOSO\name`,
		Help:  map[string]string{"en": "Use your work account. The service desk never asks for your password."},
		Links: pages.Links{Help: "https://help.contoso.test/", Privacy: "https://contoso.test/privacy", Forgot: "https://contoso.test/reset"},
	}
	if change != nil {
		change(&cfg)
	}
	set, err := pages.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func newLab(t *testing.T, change func(*lab, *signin.Config)) *lab {
	t.Helper()
	l := &lab{t: t, now: start, parties: map[string]*federation.RelyingParty{
		"microsoft365": {Key: "microsoft365", Name: "Microsoft 365", Identifiers: []string{federation.MicrosoftOnline},
			ReplyURLs: []string{"https://login.example.test/login.srf"}, StartURL: "https://www.example.test/", Microsoft365: true},
		"wiki": {Key: "wiki", Name: "Wiki & more", Identifiers: []string{"urn:wiki"}, ReplyURLs: []string{"https://wiki.example.test/signin?a=b"}},
	}}
	l.passwords = &passwords{reasons: map[string]authn.Result{}, at: l.clock}
	l.accounts = &accounts{all: map[authn.GUID]*authn.Account{aliceID: alice(), bobID: bob()}}
	l.responder, l.trail = &responder{}, &trail{}
	l.store = &store{Store: session.NewMemory(session.Config{Now: l.clock})}
	box, err := seal.New(seal.PurposeTransaction, seal.NewMaster())
	if err != nil {
		t.Fatal(err)
	}
	l.pages = newPages(t, nil)
	cfg := signin.Config{
		Passwords: l.passwords, Sessions: l.store, Accounts: l.accounts, Responders: map[string]federation.Responder{"wsfed": l.responder},
		Parties: func(key string) *federation.RelyingParty { return l.parties[key] },
		Seal:    box, Audit: l.trail, Pages: l.pages, Now: l.clock,
	}
	if change != nil {
		change(l, &cfg)
	}
	l.pages = cfg.Pages
	if l.flow, err = signin.New(cfg); err != nil {
		t.Fatal(err)
	}
	l.server = httptest.NewUnstartedServer(http.HandlerFunc(l.serve))
	l.server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that hang up
	l.server.StartTLS()
	t.Cleanup(l.server.Close)
	return l
}

// serve is a small stand-in of the edge and of a protocol's parser.
func (l *lab) serve(w http.ResponseWriter, r *http.Request) {
	info := &web.Info{Reference: "K7QF-3M9D", Start: l.clock(), CorrelationID: r.URL.Query().Get("client-request-id"),
		Framed: r.Header.Get("Sec-Fetch-Dest") == "iframe"}
	r = r.WithContext(web.With(r.Context(), info))
	err := l.route(w, r)
	l.mu.Lock()
	l.lasts = err
	l.mu.Unlock()
	if err == nil {
		return
	}
	var fe *federation.Error
	if !errors.As(err, &fe) {
		fe = &federation.Error{Problem: federation.ProblemInternal, Cause: err}
	}
	if fe.Problem == federation.ProblemInternal {
		l.t.Logf("internal: %v", err)
	}
	l.pages.Error(w, r, info, fe)
}

func (l *lab) route(w http.ResponseWriter, r *http.Request) error {
	if strings.HasPrefix(r.URL.Path, pages.AssetPath) {
		return l.pages.ServeAsset(w, r)
	}
	if own, err := signin.Owns(r); err != nil || own {
		if err != nil {
			return err
		}
		return l.flow.Continue(w, r)
	}
	q := r.URL.Query()
	party := l.parties["microsoft365"]
	if q.Get("wtrealm") == "urn:wiki" {
		party = l.parties["wiki"]
	}
	switch q.Get("wa") {
	case "wsignin1.0":
		req := &federation.SignInRequest{Protocol: "wsfed", Party: party, Realm: party.Identifiers[0], ReplyTo: party.ReplyURLs[0],
			State: q.Get("wctx"), HasState: q.Has("wctx"), LoginHint: q.Get("username"), ForceLogin: q.Get("wfresh") == "0"}
		if m := q.Get("wfresh"); m != "" && m != "0" {
			d, _ := time.ParseDuration(m + "m")
			req.MaxAge = d
		}
		if l.request != nil {
			l.request(req)
		}
		return l.flow.Begin(w, r, req)
	case "wsignout1.0":
		return l.flow.SignOut(w, r, &federation.SignOut{Protocol: "wsfed", ReplyTo: q.Get("checked")})
	case "wsignoutcleanup1.0":
		return l.flow.SignOut(w, r, &federation.SignOut{Protocol: "wsfed", Quiet: true})
	}
	return l.flow.Start(w, r)
}
