package wsfed_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn/audit"
	"sallyport/federation"
	"sallyport/federation/signin"
	"sallyport/federation/wsfed"
)

func TestDispatchByContent(t *testing.T) {
	for _, c := range []struct {
		name, method, query, body string
		want                      string // the flow's method
		status                    int
	}{
		{"sign-in", "GET", signIn, "", "begin", 200},
		{"sign-in by POST", "POST", "", signIn, "begin", 200},
		{"sign-out", "GET", "wa=wsignout1.0", "", "signout", 200},
		{"sign-out by POST", "POST", "", "wa=wsignout1.0", "signout", 200},
		{"clean-up", "GET", "wa=wsignoutcleanup1.0", "", "signout", 200},
		{"own form", "POST", "", "t=abc&username=alice&password=x", "continue", 200},
		{"own form with a correlation id", "POST", "?client-request-id=x&pullStatus=0", "t=abc", "continue", 200},
		{"start", "GET", "", "", "start", 200},
		{"start with unknown parameters", "GET", "lang=nl&client-request-id=x", "", "start", 200},
		{"SAML request", "GET", "SAMLRequest=x&RelayState=y", "", "", 400},
		{"SAML response", "POST", "", "SAMLResponse=x", "", 400},
		{"SAML and WS-Federation", "GET", signIn + "&SAMLRequest=x", "", "", 400},
		{"realm without wa", "GET", "wtrealm=urn%3afederation%3aMicrosoftOnline", "", "", 400},
		{"token posted here", "POST", "", "wresult=x", "", 400},
		{"unknown wa", "GET", "wa=wattr1.0", "", "", 400},
		{"empty wa", "GET", "wa=", "", "", 400},
		{"strange form", "POST", "", "UserName=alice&Password=x", "", 400},
		{"empty form", "POST", "", "", "", 400},
		{"malformed query", "GET", "wa=%zz", "", "", 400},
		{"malformed form", "POST", "", "wa=%zz", "", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, nil)
			w := g.get(c.query)
			if c.method == "POST" {
				g.called()
				w = g.post(c.query, c.body)
			}
			if got := g.called(); got != c.want || w.Code != c.status {
				t.Errorf("called %q with status %d, want %q and %d", got, w.Code, c.want, c.status)
			}
		})
	}
}

func TestW03_QueryAndFormAreNeverMerged(t *testing.T) {
	g := newRig(t, nil)
	if w := g.post("", "t=abc"); w.Code != 200 || g.called() != "continue" {
		t.Fatalf("own form: %d", w.Code)
	}
	for _, query := range []string{signIn, "wtrealm=urn:sharepoint:portal", "wreply=https%3a%2f%2fevil.test", "wctx=x", "WCTX=x", "wfresh=0", "wauth=x", "whr=x",
		"wct=x", "username=bob", "login_hint=bob", "SAMLRequest=x", "RelayState=x"} {
		for _, body := range []string{"t=abc&username=alice&password=x", signIn, "wa=wsignout1.0"} {
			w := g.post("?"+query, body)
			if got := g.called(); w.Code != 400 || got != "" {
				t.Errorf("query %q and form %q: %d, called %q", query, body, w.Code, got)
			}
		}
	}
	// A query never completes a form.
	if w := g.post("?x=1", "wa=wsignin1.0"); w.Code != 400 || g.called() != "" {
		t.Errorf("form without a realm: %d", w.Code)
	}
}

func TestRequestKeepsItsQueryForLinks(t *testing.T) {
	g := newRig(t, nil)
	const query = signIn + "&wctx=a%26b&username=alice%40contoso.test"
	g.get(query)
	if g.flow.req.Query != query {
		t.Errorf("query %q", g.flow.req.Query)
	}
	g.post("", query)
	got, err := parse(t, parties(t), g.flow.req.Query)
	if err != nil || got.State != "a&b" || got.LoginHint != "alice@contoso.test" {
		t.Errorf("posted request %q: %+v %v", g.flow.req.Query, got, err)
	}
}

func TestOwnFormKeepsItsBody(t *testing.T) {
	g := newRig(t, func(c *wsfed.Config) {
		c.OwnForm = func(r *http.Request) (bool, error) {
			raw, err := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(raw))
			return bytes.HasPrefix(raw, []byte("t=")), err
		}
	})
	if w := g.post("", "t=abc&password=p%26q"); w.Code != 200 || g.flow.form != "t=abc&password=p%26q" {
		t.Errorf("%d %q", w.Code, g.flow.form)
	}
	g.called()
	if w := g.post("", signIn); w.Code != 200 || g.called() != "begin" {
		t.Errorf("a posted message after the form was looked at: %d", w.Code)
	}
	big := newRig(t, func(c *wsfed.Config) {
		c.OwnForm = func(r *http.Request) (bool, error) { _, err := io.ReadAll(r.Body); return false, err }
	})
	if w := big.post("", "t="+strings.Repeat("a", 70<<10)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("huge form: %d", w.Code)
	}
}

func TestSignInFlowRecognisesItsOwnForm(t *testing.T) {
	g := newRig(t, func(c *wsfed.Config) { c.OwnForm = signin.Owns })
	for body, want := range map[string]string{
		"t=abc&username=alice&password=x": "continue", "username=alice&t=abc": "continue", signIn: "begin", signIn + "&wctx=%26t=x": "begin", "x=t=": "",
	} {
		w := g.post("", body)
		if got := g.called(); got != want {
			t.Errorf("%q: called %q with status %d, want %q", body, got, w.Code, want)
		}
	}
}

func TestSignOutAddresses(t *testing.T) {
	for _, c := range []struct{ name, query, party, reply, audited string }{
		{"bare", "", "", "", ""},
		{"party", "&wtrealm=urn:sharepoint:portal", "sharepoint", "", ""},
		{"party and its address", "&wtrealm=urn:sharepoint:portal&wreply=https%3a%2f%2fportal.contoso.test%2f_trust%2f", "sharepoint", "https://portal.contoso.test/_trust/", ""},
		{"party and another's address", "&wtrealm=urn:sharepoint:portal&wreply=https%3a%2f%2fmail.contoso.test%2fowa%2f", "sharepoint", "", "signout_reply"},
		{"registered address alone", "&wreply=https%3a%2f%2fmail.contoso.test%2fowa%2f", "", "https://mail.contoso.test/owa/", ""},
		{"unknown party", "&wtrealm=urn:x&wreply=https%3a%2f%2fmail.contoso.test%2fowa%2f", "", "", "signout_reply"},
		{"foreign address", "&wreply=https%3a%2f%2fevil.test", "", "", "signout_reply"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, nil)
			if w := g.get("wa=wsignout1.0" + c.query); w.Code != 200 {
				t.Fatalf("status %d", w.Code)
			}
			out := g.flow.out
			key := ""
			if out.Party != nil {
				key = out.Party.Key
			}
			if key != c.party || out.ReplyTo != c.reply || out.Quiet || out.Protocol != "wsfed" {
				t.Errorf("%+v", out)
			}
			audited := ""
			for _, e := range g.trail.events {
				audited += e.Reason
			}
			if audited != c.audited {
				t.Errorf("audited %q, want %q", audited, c.audited)
			}
		})
	}
	g := newRig(t, nil)
	if w := g.get("wa=wsignout1.0&wreply=a&wreply=b"); w.Code != 400 || g.called() != "" {
		t.Errorf("doubled: %d", w.Code)
	}
}

func TestW02_CleanUpIsTheOneAnswerThatMayBeFramed(t *testing.T) {
	g := newRig(t, nil)
	w := g.get("wa=wsignoutcleanup1.0", "Sec-Fetch-Dest: iframe")
	csp := w.Header().Get("Content-Security-Policy")
	if w.Code != 200 || !g.flow.out.Quiet || w.Header().Get("X-Frame-Options") != "" ||
		!strings.Contains(csp, "frame-ancestors https://ccs-sdf.login.microsoftonline.com https://ccs.login.microsoftonline.com ") ||
		!strings.Contains(csp, " https://portal.contoso.test") || strings.Contains(csp, "*") || !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("%d, %q, X-Frame-Options %q", w.Code, csp, w.Header().Get("X-Frame-Options"))
	}
	if body := w.Body.String(); body != "Signed out.\n" || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("body %q as %q", body, w.Header().Get("Content-Type"))
	}
	if c := w.Result().Cookies(); len(c) != 1 || c[0].MaxAge >= 0 {
		t.Errorf("cookies %v", c)
	}
	for _, query := range []string{"", signIn, "wa=wsignout1.0", signIn + "&wreply=x", "wa=x"} {
		w := g.get(query)
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || w.Header().Get("X-Frame-Options") != "DENY" {
			t.Errorf("%q may be framed: %q", query, csp)
		}
	}
	g.flow.err = errors.New("store")
	if w := g.get("wa=wsignoutcleanup1.0"); w.Code != 500 || w.Header().Get("X-Frame-Options") != "DENY" {
		t.Errorf("clean-up that fails: %d", w.Code)
	}
}

func TestRefusalsAreAudited(t *testing.T) {
	const id = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
	g := newRig(t, nil)
	w := g.get(signIn + "&wreply=https%3a%2f%2fevil.test&client-request-id=" + id)
	if len(g.trail.events) != 1 {
		t.Fatalf("events %+v", g.trail.events)
	}
	e := g.trail.events[0]
	if e.Code != audit.RequestRefused || e.Protocol != "wsfed" || e.Party != federation.MicrosoftOnline || e.Reason != "unknown_party" ||
		e.CorrelationID != id || e.Client != "192.0.2.1" || !e.Inside || !strings.Contains(e.Detail, "evil.test") || e.Time.IsZero() {
		t.Errorf("%+v", e)
	}
	if !strings.Contains(w.Body.String(), e.Reference) || len(e.Reference) != 9 {
		t.Errorf("reference %q is not on the page %q", e.Reference, w.Body)
	}
	if strings.Contains(w.Body.String(), "evil") {
		t.Error("the page repeats the request")
	}
	// A trail that cannot be written changes nothing for the person.
	g.trail.err = errors.New("disk full")
	if w := g.get(signIn + "&wfresh=x"); w.Code != 400 {
		t.Errorf("audit down: %d", w.Code)
	}
}

func TestSAMLHasItsPlace(t *testing.T) {
	called := 0
	g := newRig(t, func(c *wsfed.Config) {
		c.SAML = func(http.ResponseWriter, *http.Request) error { called++; return nil }
	})
	g.get("SAMLRequest=x")
	g.post("", "SAMLRequest=x&RelayState=y")
	if called != 2 {
		t.Errorf("called %d times", called)
	}
}

func TestMessagesAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	g := newRig(t, func(c *wsfed.Config) { c.Registerer = reg })
	g.get(signIn)
	g.get(signIn + "&wauth=x")
	g.get(url.Values{"wa": {"wsignin1.0"}, "wtrealm": {"urn:x"}}.Encode())
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		labels := ""
		for _, l := range m.GetLabel() {
			labels += l.GetValue() + " "
		}
		got[labels] = m.GetCounter().GetValue()
	}
	for _, labels := range []string{"signin passed ", "signin method ", "signin unknown_party "} {
		if got[labels] != 1 {
			t.Errorf("%q: %v in %v", labels, got[labels], got)
		}
	}
}

func TestC19_AnswersDoNotDependOnHostOrScheme(t *testing.T) {
	var first string
	for _, headers := range [][]string{nil, {"X-Forwarded-Proto: https"}, {"X-Forwarded-Host: evil.test", "X-Forwarded-Proto: https,http"}, {"X-MS-Proxy: p"}} {
		g := newRig(t, nil)
		w := g.get(signIn, headers...)
		got := g.flow.req.ReplyTo + g.flow.req.Realm + w.Body.String()
		if first == "" {
			first = got
		}
		if got != first || w.Code != 200 {
			t.Errorf("%v: %d %q", headers, w.Code, got)
		}
	}
}

func TestPathVariantsReachTheDispatcher(t *testing.T) {
	g := newRig(t, nil)
	for _, path := range []string{"/adfs/ls/", "/adfs/ls", "/ADFS/LS/", "//adfs//ls//"} {
		for _, method := range []string{"GET", "POST"} {
			r, err := http.NewRequest(method, "https://sts.contoso.test/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.URL.Path, r.RemoteAddr, r.URL.RawQuery = path, "192.0.2.1:1", signIn
			if method == "POST" {
				r.URL.RawQuery = ""
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(signIn)), int64(len(signIn))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			w := g.do(r)
			if w.Code != 200 || g.called() != "begin" {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
}
