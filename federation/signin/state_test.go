package signin_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn/audit"
	"sallyport/federation/signin"
)

func TestOldPageIsStaleAndStartsAgain(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	token := b.get(signInQuery + "&username=alice").token()
	l.advance(time.Hour)
	if p := b.post("t", token, "username", "alice", "password", "wrong"); !p.has("is not right") {
		t.Errorf("a page of exactly an hour: %d", p.status)
	}
	l.advance(time.Second)
	p := b.post("t", token, "username", "alice", "password", rightPassword)
	p.wants(400, "This page is no longer valid", "nothing is lost", "Start again")
	if n := len(l.passwords.calls); n != 1 {
		t.Errorf("%d attempts", n)
	}
	p = b.post("t", p.token(), "action", "again")
	p.wants(200, "Sign in", `value="alice"`)
	if !b.post("t", p.token(), "username", "alice", "password", rightPassword).isHandOver() {
		t.Error("the request was lost")
	}
	// Days later there is nothing to start again from but the party itself.
	l.advance(25 * time.Hour)
	p = b.post("t", token, "action", "again")
	p.wants(400, "no longer valid", `href="https://www.example.test/"`)
}

func TestPageFromTheFutureIsStale(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	token := b.get(signInQuery).token()
	l.advance(-2 * time.Minute)
	b.post("t", token, "username", "alice", "password", rightPassword).wants(400, "no longer valid")
}

func TestCookiesOffIsSaid(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.client.Jar = nil
	p := b.post("t", b.get(signInQuery).token(), "username", "alice", "password", rightPassword)
	p.wants(400, "Cookies are turned off", "sts.contoso.test", "Start again")
	if len(l.passwords.calls) != 0 {
		t.Error("the password was tried")
	}
	b.post("t", p.token(), "action", "again").wants(200, "Sign in")
}

func TestTwoTabsBothFinish(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	one, two := b.get(signInQuery).token(), b.get("?wa=wsignin1.0&wtrealm=urn:wiki&wctx=2").token()
	if !b.post("t", two, "username", "alice", "password", rightPassword).isHandOver() {
		t.Error("second tab")
	}
	p := b.post("t", one, "username", "alice", "password", rightPassword)
	if !p.isHandOver() || p.field("wctx") == "2" {
		t.Error("first tab")
	}
}

func TestOneTransactionGivesOneTokenHoweverOftenItIsSent(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	token := b.get(signInQuery).token()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { b.post("t", token, "username", "alice", "password", rightPassword) })
	}
	wg.Wait()
	if n := l.responder.issued(); n != 1 {
		t.Errorf("%d tokens", n)
	}
}

func TestSignOutEndsTheSessionAndTellsItsParties(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.signIn("alice")
	b.get("?wa=wsignin1.0&wtrealm=urn:wiki")
	// A new password does not make the first session's parties forgotten.
	b.post("t", b.get(signInQuery+"&wfresh=0").token(), "username", "alice", "password", rightPassword)
	id := b.sessionCookie()
	p := b.get("?wa=wsignout1.0")
	p.wants(200, "You are signed out", "<li>Microsoft 365</li>", "<li>Wiki & more</li>",
		`src="https://login.example.test/login.srf?wa=wsignoutcleanup1.0"`, `src="https://wiki.example.test/signin?a=b&wa=wsignoutcleanup1.0"`)
	csp := p.header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "; frame-src https://login.example.test https://wiki.example.test; ") && !strings.Contains(csp, "; frame-src https://wiki.example.test https://login.example.test; ") {
		t.Errorf("policy %s", csp)
	}
	if b.sessionCookie() != "" {
		t.Error("cookie was kept")
	}
	r, _ := http.NewRequest(http.MethodGet, l.server.URL+"/adfs/ls/"+signInQuery, nil)
	r.Header.Set("Cookie", signin.SessionCookie+"="+id)
	if l.browser().do(r).isHandOver() {
		t.Error("the session lives on at the store")
	}
	ended := l.trail.find(audit.SessionEnded)
	if last := ended[len(ended)-1]; last.Reason != "signed_out" || last.Account != aliceID.String() {
		t.Errorf("audit: %+v", ended)
	}
	p = b.get("?wa=wsignout1.0")
	p.wants(200, "Your sign-in on this device has ended.", "Sign in again")
	if strings.Contains(p.body, "iframe") || strings.Contains(p.header.Get("Content-Security-Policy"), "frame-src") {
		t.Error("frames without a session")
	}
}

func TestPartiesOfSomebodyElseAreNotInherited(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.post("t", b.get("?wa=wsignin1.0&wtrealm=urn:wiki").token(), "username", "alice", "password", rightPassword)
	b.post("t", b.get(signInQuery+"&wfresh=0").token(), "username", "bob", "password", rightPassword)
	p := b.get("?wa=wsignout1.0")
	if p.has("Wiki") {
		t.Error("bob's sign-out tells alice's party")
	}
}

func TestSignOutGoesOnToAnAddressOfTheRegistry(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	checked := "?wa=wsignout1.0&checked=https%3a%2f%2fwiki.example.test%2fbye"
	if p := b.get(checked); p.status != http.StatusSeeOther || p.header.Get("Location") != "https://wiki.example.test/bye" {
		t.Errorf("nobody to tell: %d %s", p.status, p.header.Get("Location"))
	}
	b.signIn("alice")
	p := b.get(checked)
	p.wants(200, "You are signed out", `href="https://wiki.example.test/bye" data-next`, "Continue", "iframe")
}

func TestCleanUpIsQuiet(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.signIn("alice")
	if p := b.get("?wa=wsignoutcleanup1.0"); p.status != 200 || p.body != "" {
		t.Errorf("%d %q", p.status, p.body)
	}
	if b.sessionCookie() != "" || b.get(signInQuery).isHandOver() {
		t.Error("the session lives on")
	}
}

func TestSignOutWhileTheStoreIsDownForgetsTheCookie(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.signIn("alice")
	l.store.setDown(true)
	b.get("?wa=wsignout1.0").wants(200, "You are signed out")
	if b.sessionCookie() != "" {
		t.Error("cookie was kept")
	}
}

func TestFormIsReadStrictly(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	token := b.get(signInQuery).token()
	send := func(kind, body string) *page {
		r, err := http.NewRequest(http.MethodPost, l.server.URL+"/adfs/ls/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", kind)
		return b.do(r)
	}
	const form = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		kind, body string
	}{
		"twice":        {form, "t=" + token + "&username=a&username=b&password=x"},
		"twice, token": {form, "t=" + token + "&t=" + token},
		"bad percent":  {form, "t=" + token + "&username=%zz&password=x"},
		"cut percent":  {form, "t=" + token + "&username=a&password=%4"},
		"many fields":  {form, "t=" + token + strings.Repeat("&a=b", 40)},
	} {
		if p := send(c.kind, c.body); p.status != 400 || !p.has("not valid") {
			t.Errorf("%s: status %d", name, p.status)
		}
	}
	if p := send(form, "t="+token+"&username=a&password="+strings.Repeat("x", 70<<10)); p.status < 400 {
		t.Errorf("huge: status %d", p.status)
	}
	if len(l.passwords.calls) != 0 {
		t.Errorf("attempts: %v", l.passwords.calls)
	}
}

func TestParsedFormIsTakenAndItsPasswordForgotten(t *testing.T) {
	l := newLab(t, nil)
	var left []string
	mux := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_ = r.ParseForm()
			defer func() { left = append(r.PostForm["password"], r.Form["password"]...) }()
			if own, err := signin.Owns(r); !own || err != nil {
				t.Errorf("own form not known: %v, %v", own, err)
			}
			_ = l.flow.Continue(w, r)
			return
		}
		l.serve(w, r)
	})
	l.server.Config.Handler = mux
	b := l.browser()
	if !b.signIn("alice").isHandOver() || len(left) != 0 {
		t.Errorf("left behind: %d values", len(left))
	}
}

func TestMetricsCountWhatHappens(t *testing.T) {
	reg := prometheus.NewRegistry()
	l := newLab(t, func(_ *lab, cfg *signin.Config) { cfg.Registerer = reg })
	b := l.browser()
	b.post("t", b.get(signInQuery).token(), "username", "alice", "password", "wrong")
	b.signIn("alice")
	b.get(signInQuery)
	b.get("?wa=wsignout1.0")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			key := f.GetName()
			for _, label := range m.Label {
				key += " " + label.GetValue()
			}
			got[key] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for key, want := range map[string]float64{
		"sallyport_signin_pages_total signin": 2, "sallyport_signin_pages_total refused": 1, "sallyport_signin_pages_total handover": 2,
		"sallyport_signin_pages_total signedout": 1, "sallyport_signin_tokens_total microsoft365 wsfed issued": 2,
		"sallyport_signin_sessions_total started": 1, "sallyport_signin_sessions_total used": 1, "sallyport_signin_sessions_total ended": 1,
		"sallyport_signin_flow_seconds token": 2, "sallyport_signin_flow_seconds audit": 2, "sallyport_signin_flow_seconds password": 2,
		"sallyport_signin_flow_seconds account": 1,
	} {
		if got[key] != want {
			t.Errorf("%s = %v, want %v", key, got[key], want)
		}
	}
	if t.Failed() {
		t.Log(fmt.Sprint(got))
	}
	if _, err := signin.New(signin.Config{}); err == nil {
		t.Error("an empty configuration was accepted")
	}
}

// What a sign-in asks of the shared store: a new session knows its party from the
// start, and one that lives is read and told of the party at once.
func TestSignInTakesFewRoundTrips(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	for _, c := range []struct {
		name string
		run  func() *page
		want []string
	}{
		{"password", func() *page { return b.signIn("alice") }, []string{"Once", "Create"}},
		{"session", func() *page { return b.get("?wa=wsignin1.0&wtrealm=urn:wiki") }, []string{"Use"}},
		{"another party", func() *page { return b.get(signInQuery) }, []string{"Use"}},
	} {
		l.store.took()
		if p := c.run(); !p.isHandOver() {
			t.Fatalf("%s: no token", c.name)
		}
		if got := l.store.took(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	// A password again, in the same browser: both sessions' parties are told.
	if !b.post("t", b.get(signInQuery+"&wfresh=0").token(), "username", "alice", "password", rightPassword).isHandOver() {
		t.Fatal("no token")
	}
	b.get("?wa=wsignout1.0").wants(200, "Microsoft 365", "Wiki & more")
}
