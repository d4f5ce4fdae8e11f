package saml_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/authn/seal"
	"sallyport/authn/session"
	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/saml"
	"sallyport/federation/token"
	"sallyport/federation/web"
)

const (
	address  = "https://sts.contoso.test/adfs/ls/"
	issuer   = "http://sts.contoso.test/adfs/services/trust"
	wiki     = "https://wiki.fabrikam.test/sp"
	wikiACS  = "https://wiki.fabrikam.test/saml/acs"
	signer   = "https://sp.fabrikam.test"
	cookie   = "__Host-sallyport"
	protocol = "urn:oasis:names:tc:SAML:2.0:protocol"
	names    = "urn:oasis:names:tc:SAML:2.0:assertion"
)

// noon is the clock of the tests: the instant of the case collection.
var noon = time.Date(2026, 12, 1, 9, 0, 30, 0, time.UTC)

// pair is a key with its certificate.
type pair struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

var pairs sync.Map // name → *pair

// keyOf returns the key of that name, the same for all tests of a run.
func keyOf(t testing.TB, name string, bits int) *pair {
	t.Helper()
	if p, ok := pairs.Load(name); ok {
		return p.(*pair)
	}
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := pairs.LoadOrStore(name, &pair{key, cert})
	return p.(*pair)
}

func alice() *authn.Account {
	return &authn.Account{
		Domain: "corp.contoso.test", NetBIOS: "CONTOSO", ID: authn.GUID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		SID: "S-1-5-21-1-2-3-1104", DN: "CN=Alice,DC=corp,DC=contoso,DC=test", UPN: "alice@contoso.test", SAMAccountName: "alice",
		DisplayName: "Alice", Attributes: map[string][]string{"mail": {"alice.green@contoso.test"}},
	}
}

// rig is a handler with everything behind it; the flow is a stand-in that knows
// whether the browser is signed in.
type rig struct {
	t         testing.TB
	now       time.Time
	handler   *saml.Handler
	responder *saml.Responder
	registry  *saml.Registry
	signer    *token.Signer
	once      *session.Memory

	mu       sync.Mutex
	account  *authn.Account // nil: nobody is signed in
	method   authn.Method
	begun    []*federation.SignInRequest
	answers  []*federation.Answer // by Respond
	handed   []*federation.Answer // by Hand
	handedTo []*federation.RelyingParty
	events   []audit.Event
	others   []string // parties of the session
	farewell string   // where the signed-out page leads on to
	told     []string // parties that the page tells
	// signedOut is what the page after a sign-out says.
	signedOut *federation.SignOut
}

// parties are the registered ones: one that signs nothing, one that signs, and
// Microsoft 365.
func parties(t testing.TB) []*saml.Party {
	return []*saml.Party{
		{
			RelyingParty: federation.RelyingParty{Key: "wiki", Name: "Wiki", Identifiers: []string{wiki}},
			Consumers: []saml.Endpoint{
				{URL: "https://wiki.fabrikam.test/saml/mobile/acs", Index: 3},
				{URL: wikiACS, Index: 7, Default: true},
				{URL: "https://wiki.fabrikam.test/saml/artifact", Index: 8, Binding: saml.BindingArtifact},
				{URL: "https://wiki.fabrikam.test/saml/paos", Index: 9, Binding: saml.BindingPAOS},
			},
		},
		{
			RelyingParty: federation.RelyingParty{Key: "signer", Name: "Signer", Identifiers: []string{signer}},
			Consumers:    []saml.Endpoint{{URL: "https://sp.fabrikam.test/acs"}},
			Certificates: []*x509.Certificate{keyOf(t, "other", 2048).cert, keyOf(t, "party", 2048).cert},
			WantSigned:   true,
		},
		saml.Microsoft365(&federation.RelyingParty{Key: "microsoft365", Name: "Microsoft 365", Microsoft365: true,
			Identifiers: []string{federation.MicrosoftOnline}, ReplyURLs: []string{"https://login.microsoftonline.com/login.srf"}}),
	}
}

func newRig(t testing.TB, change ...func([]*saml.Party)) *rig {
	t.Helper()
	list := parties(t)
	for _, f := range change {
		f(list)
	}
	registry, err := saml.NewRegistry(list...)
	if err != nil {
		t.Fatal(err)
	}
	own := keyOf(t, "own", 2048)
	g := &rig{t: t, now: noon, registry: registry, account: alice(), method: authn.MethodPassword}
	if g.signer, err = token.NewSigner(own.key, own.cert); err != nil {
		t.Fatal(err)
	}
	engine, err := claims.New(claims.Config{Issuer: issuer, Now: g.clock,
		Domains: []claims.Domain{{Name: "contoso.test", Issuer: "http://contoso.test/adfs/services/trust/"}}})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := saml.NewIdentifiers([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	g.once = session.NewMemory(session.Config{Now: g.clock})
	t.Cleanup(g.once.Close)
	g.responder = &saml.Responder{
		Parties: func() *saml.Registry { return g.registry }, Claims: func() saml.Claims { return engine },
		Signer: func() *token.Signer { return g.signer }, Issuer: func() string { return issuer },
		Identifiers: ids, Used: g.once, Fallback: g.once, Now: g.clock,
	}
	g.handler, err = saml.New(saml.Config{URL: address, Issuers: func() []string { return []string{issuer} }, Responder: g.responder,
		Flow: g, Seal: sealer(t), Party: func(key string) *federation.RelyingParty { return g.registry.RelyingParty(key) }, SessionCookie: cookie, Audit: g, Now: g.clock})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func sealer(t testing.TB) saml.Sealer {
	t.Helper()
	box, err := seal.New("test of sign-outs", []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func (g *rig) clock() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

// Begin answers from the session, or notes that the page would be shown.
func (g *rig) Begin(w http.ResponseWriter, r *http.Request, req *federation.SignInRequest) error {
	g.mu.Lock()
	g.begun = append(g.begun, req)
	account, method, at := g.account, g.method, g.now.Add(-time.Minute)
	g.mu.Unlock()
	if account == nil || req.ForceLogin || req.Passwords && method != authn.MethodPassword {
		if req.Passive {
			return federation.ErrPassive
		}
		w.WriteHeader(http.StatusOK)
		return nil
	}
	return g.respond(req, account, method, at)
}

func (g *rig) respond(req *federation.SignInRequest, account *authn.Account, method authn.Method, at time.Time) error {
	ans, err := g.responder.Respond(context.Background(), req, &federation.Subject{Account: account, Method: method,
		AuthenticatedAt: at, SessionStarted: at, SessionIndex: "0123456789abcdef0123456789abcdef"})
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answers = append(g.answers, ans)
	return nil
}

// Hand notes an answer without a token.
func (g *rig) Hand(_ http.ResponseWriter, _ *http.Request, rp *federation.RelyingParty, ans *federation.Answer) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.handed, g.handedTo = append(g.handed, ans), append(g.handedTo, rp)
	return nil
}

// Record notes audit events.
func (g *rig) Record(_ context.Context, e *audit.Event) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, *e)
	return nil
}

// get sends a query by the Redirect binding.
func (g *rig) get(query string) error {
	r := httptest.NewRequest(http.MethodGet, address+"?"+query, nil)
	return g.handler.Serve(httptest.NewRecorder(), r)
}

// post sends a form; edit may change the request.
func (g *rig) post(form url.Values, edit ...func(*http.Request)) error {
	r := httptest.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, f := range edit {
		f(r)
	}
	if _, err := web.Form(r); err != nil {
		return err
	}
	return g.handler.Serve(httptest.NewRecorder(), r)
}

var serial struct {
	sync.Mutex
	n int
}

// tokens returns how many tokens left.
func (g *rig) tokens() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, a := range g.answers {
		if a.Refusal == nil {
			n++
		}
	}
	return n
}

// answer is the one answer with a token, as a tree.
func (g *rig) answer() *etree.Element {
	g.t.Helper()
	if len(g.answers) == 0 {
		g.t.Fatal("no answer")
	}
	return tree(g.t, message(g.t, g.answers[len(g.answers)-1]))
}

// status returns the codes of the last answer that was handed without a token.
func (g *rig) status() (top, second string) {
	g.t.Helper()
	var last *federation.Answer
	if len(g.handed) > 0 {
		last = g.handed[len(g.handed)-1]
	} else if len(g.answers) > 0 {
		last = g.answers[len(g.answers)-1]
	} else {
		g.t.Fatal("nothing was handed over")
	}
	root := tree(g.t, message(g.t, last))
	if len(root.FindElements("//Assertion")) != 0 || len(root.FindElements("//EncryptedAssertion")) != 0 {
		g.t.Error("a refusal carries an assertion")
	}
	codes := root.FindElements("./Status//StatusCode")
	if len(codes) == 0 {
		g.t.Fatal("no status")
	}
	short := func(e *etree.Element) string {
		return strings.TrimPrefix(e.SelectAttrValue("Value", ""), "urn:oasis:names:tc:SAML:2.0:status:")
	}
	top = short(codes[0])
	if len(codes) > 1 {
		second = short(codes[1])
	}
	return top, second
}

// local reports whether err is a page of ours with that problem.
func local(err error, problem federation.Problem) bool {
	var fe *federation.Error
	return errors.As(err, &fe) && fe.Problem == problem
}

// nothing fails the test when anything went to a party.
func (g *rig) nothing(t testing.TB) {
	t.Helper()
	if len(g.answers)+len(g.handed)+len(g.begun) != 0 {
		t.Errorf("%d answers, %d handed, %d begun; want nothing", len(g.answers), len(g.handed), len(g.begun))
	}
}

// raw sends a query that need not be one.
func (g *rig) raw(query string) {
	r := httptest.NewRequest(http.MethodGet, address, nil)
	r.URL.RawQuery = query
	_ = g.handler.Serve(httptest.NewRecorder(), r)
}

// errorPage notes the error that would be shown.
type errorPage func(*federation.Error)

func (f errorPage) Error(_ http.ResponseWriter, _ *http.Request, _ *web.Info, e *federation.Error) {
	f(e)
}

// SignedOn is the person of the session.
func (g *rig) SignedOn(http.ResponseWriter, *http.Request) (*federation.Subject, error) {
	if g.account == nil {
		return nil, nil
	}
	at := g.now.Add(-time.Minute)
	return &federation.Subject{Account: g.account, Method: g.method, AuthenticatedAt: at, SessionStarted: at, SessionIndex: "0123456789abcdef0123456789abcdef"}, nil
}

// End ends the session.
func (g *rig) End(http.ResponseWriter, *http.Request, *federation.SignOut) []string {
	g.account = nil
	return g.others
}

// Farewell notes where the page leads on to.
func (g *rig) Farewell(_ http.ResponseWriter, _ *http.Request, out *federation.SignOut, parties []string) error {
	g.farewell, g.told, g.signedOut = out.ReplyTo, parties, out
	return nil
}

// getTo is get, and returns where the answer leads.
func (g *rig) getTo(query string) (string, error) {
	r := httptest.NewRequest(http.MethodGet, address+"?"+query, nil)
	w := httptest.NewRecorder()
	err := g.handler.Serve(w, r)
	return w.Header().Get("Location"), err
}
