package wsfed_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"sallyport/authn/audit"
	"sallyport/federation"
	"sallyport/federation/web"
	"sallyport/federation/wsfed"
)

// parties is a registry with Microsoft 365, SharePoint, OWA and ECP.
func parties(t testing.TB) *wsfed.Registry {
	t.Helper()
	ms, err := wsfed.Microsoft365(wsfed.Microsoft365Config{})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := wsfed.NewRegistry(ms,
		&federation.RelyingParty{Key: "sharepoint", Name: "SharePoint portal", Identifiers: []string{"urn:sharepoint:portal"},
			ReplyURLs: []string{"https://portal.contoso.test/_trust/"}},
		&federation.RelyingParty{Key: "owa", Name: "Outlook", Identifiers: []string{"https://mail.contoso.test/owa/", "https://mail.contoso.test/owa"},
			ReplyURLs: []string{"https://mail.contoso.test/owa/"}},
		&federation.RelyingParty{Key: "ecp", Name: "Exchange", Identifiers: []string{"https://mail.contoso.test/ecp/"},
			ReplyURLs: []string{"https://mail.contoso.test/ecp/"}})
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

// flow notes what the dispatcher made of a request.
type flow struct {
	mu    sync.Mutex
	calls []string
	req   *federation.SignInRequest
	out   *federation.SignOut
	form  string
	err   error
}

func (f *flow) note(call string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
	return f.err
}

func (f *flow) Begin(w http.ResponseWriter, _ *http.Request, req *federation.SignInRequest) error {
	f.req = req
	return f.note("begin")
}

func (f *flow) Continue(_ http.ResponseWriter, r *http.Request) error {
	body, _ := io.ReadAll(r.Body)
	f.form = string(body)
	if r.PostForm != nil {
		f.form = r.PostForm.Encode()
	}
	return f.note("continue")
}

func (f *flow) SignOut(w http.ResponseWriter, _ *http.Request, out *federation.SignOut) error {
	f.out = out
	http.SetCookie(w, &http.Cookie{Name: "__Host-sallyport", MaxAge: -1, Path: "/", Secure: true})
	return f.note("signout")
}

func (f *flow) Start(http.ResponseWriter, *http.Request) error { return f.note("start") }

// trail is an audit recorder.
type trail struct {
	mu     sync.Mutex
	events []audit.Event
	err    error
}

func (a *trail) Record(_ context.Context, e *audit.Event) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, *e)
	return a.err
}

// rig is a handler behind the edge.
type rig struct {
	*web.Edge
	flow  *flow
	trail *trail
}

func newRig(t testing.TB, change func(*wsfed.Config)) *rig {
	t.Helper()
	g := &rig{flow: &flow{}, trail: &trail{}}
	reg := parties(t)
	cfg := wsfed.Config{Parties: func() *wsfed.Registry { return reg }, Flow: g.flow, Audit: g.trail}
	if change != nil {
		change(&cfg)
	}
	h, err := wsfed.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g.Edge, err = web.New(web.Config{Trust: web.Trust{Hosts: []string{"sts.contoso.test"},
		Inside: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}}, h)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *rig) get(query string, headers ...string) *httptest.ResponseRecorder {
	return g.do(httptest.NewRequest("GET", "https://sts.contoso.test/adfs/ls/?"+query, nil), headers...)
}

func (g *rig) post(query, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "https://sts.contoso.test/adfs/ls/"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return g.do(r, headers...)
}

func (g *rig) do(r *http.Request, headers ...string) *httptest.ResponseRecorder {
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

// called returns the calls since the last time, joined.
func (g *rig) called() string {
	g.flow.mu.Lock()
	defer g.flow.mu.Unlock()
	s := strings.Join(g.flow.calls, " ")
	g.flow.calls = nil
	return s
}

// parse reads a query as [wsfed.Parse] gets it.
func parse(t testing.TB, reg *wsfed.Registry, query string) (*federation.SignInRequest, error) {
	t.Helper()
	params, err := web.ParseParams(query)
	if err != nil {
		t.Fatalf("query %.80q: %v", query, err)
	}
	return wsfed.Parse(reg, params)
}

// refusal returns problem and cause of an error of this package.
func refusal(t testing.TB, err error) (federation.Problem, string) {
	t.Helper()
	var fe *federation.Error
	if err != nil && !errors.As(err, &fe) {
		t.Fatalf("%v carries no problem", err)
	}
	if fe == nil {
		return "", ""
	}
	return fe.Problem, fe.Error()
}

const signIn = "wa=wsignin1.0&wtrealm=urn%3afederation%3aMicrosoftOnline"
