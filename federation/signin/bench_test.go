package signin_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/seal"
	"sallyport/authn/session"
	"sallyport/federation"
	"sallyport/federation/signin"
)

// newBench is a flow with stand-ins that cost next to nothing: what is measured
// is the flow, its pages and the memory store.
func newBench(b *testing.B) (*signin.Flow, *federation.SignInRequest) {
	b.Helper()
	box, err := seal.New(seal.PurposeTransaction, seal.NewMaster())
	if err != nil {
		b.Fatal(err)
	}
	rp := &federation.RelyingParty{Key: "microsoft365", Name: "Microsoft 365", ReplyURLs: []string{"https://login.example.test/login.srf"}}
	f, err := signin.New(signin.Config{
		Passwords:  &passwords{reasons: map[string]authn.Result{}, at: time.Now},
		Sessions:   session.NewMemory(session.Config{}),
		Accounts:   &accounts{all: map[authn.GUID]*authn.Account{aliceID: alice()}},
		Responders: map[string]federation.Responder{"wsfed": &responder{}},
		Parties:    func(string) *federation.RelyingParty { return rp },
		Seal:       box, Audit: discard{}, Pages: newPages(b, nil),
	})
	if err != nil {
		b.Fatal(err)
	}
	return f, &federation.SignInRequest{Protocol: "wsfed", Party: rp, Realm: federation.MicrosoftOnline, ReplyTo: rp.ReplyURLs[0],
		State: strings.Repeat("estsrequest", 130), HasState: true}
}

// BenchmarkPasswordSignIn is a sign-in page and its post.
func BenchmarkPasswordSignIn(b *testing.B) {
	f, req := newBench(b)
	b.ReportAllocs()
	for b.Loop() {
		signInOnce(b, f, req)
	}
}

// BenchmarkSilentSignIn is a request with a session: everything but token,
// signature and edge.
func BenchmarkSilentSignIn(b *testing.B) {
	f, req := newBench(b)
	cookie := signInOnce(b, f, req)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("GET", "/adfs/ls/", nil)
		r.Header.Set("Cookie", cookie)
		w := httptest.NewRecorder()
		if err := f.Begin(w, r, req); err != nil || w.Body.Len() < 1500 {
			b.Fatal(err, w.Body)
		}
	}
}

// signInOnce returns the session's cookie.
func signInOnce(b *testing.B, f *signin.Flow, req *federation.SignInRequest) string {
	w := httptest.NewRecorder()
	if err := f.Begin(w, httptest.NewRequest("GET", "/adfs/ls/", nil), req); err != nil {
		b.Fatal(err)
	}
	p := &page{t: b, body: w.Body.String()}
	form := url.Values{"t": {p.token()}, "username": {"alice"}, "password": {rightPassword}}
	r := httptest.NewRequest("POST", "/adfs/ls/", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	w = httptest.NewRecorder()
	if err := f.Continue(w, r); err != nil {
		b.Fatal(err)
	}
	for _, c := range w.Result().Cookies() {
		if c.Name == signin.SessionCookie {
			return c.Name + "=" + c.Value
		}
	}
	b.Fatal("no session")
	return ""
}
