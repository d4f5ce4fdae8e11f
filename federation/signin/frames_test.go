package signin_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sallyport/authn/audit"
	"sallyport/federation"
)

func TestC29_W02_FramedRequestIsRefusedAndLeavesNothing(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.signIn("alice")
	b.header.Set("Sec-Fetch-Dest", "iframe")
	p := b.get(signInQuery)
	p.wants(400, "not valid")
	if len(p.header.Values("Set-Cookie")) != 0 || strings.Contains(p.body, `name="t"`) || p.header.Get("WWW-Authenticate") != "" {
		t.Errorf("something was left behind: %v", p.header)
	}
	if !strings.Contains(p.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Error("the page may be framed")
	}
	if l.responder.issued() != 1 {
		t.Error("a frame got a token")
	}
	if e := l.trail.find(audit.RequestRefused); len(e) != 1 || e[0].Reason != "framed" || e[0].Party != federation.MicrosoftOnline {
		t.Errorf("audit: %+v", e)
	}
	b.header.Set("Sec-Fetch-Dest", "document")
	if !b.get(signInQuery).isHandOver() {
		t.Error("a top-level request was refused")
	}
}

// Only what posts a finished answer can be framed, and only by the origins that the
// party lists: no page with a control.
func TestC29_W02_ListedOriginsFrameTheAnswerAndNothingElse(t *testing.T) {
	const listed = "frame-ancestors https://app.contoso.test https://teams.contoso.test:8443"
	passive := false
	l := newLab(t, nil)
	l.parties["wiki"].FrameOrigins = []string{"https://app.contoso.test", "https://teams.contoso.test:8443"}
	l.request = func(req *federation.SignInRequest) { req.Passive = passive }
	ancestors := func(p *page) string {
		csp := p.header.Get("Content-Security-Policy")
		return strings.TrimSuffix(csp[strings.Index(csp, "frame-ancestors"):], ";")
	}
	const query = "?wa=wsignin1.0&wtrealm=urn:wiki"
	in, out := l.browser(), l.browser()
	in.signIn("alice")
	in.header.Set("Sec-Fetch-Dest", "iframe")
	out.header.Set("Sec-Fetch-Dest", "iframe")

	if p := in.get(query); !p.isHandOver() || ancestors(p) != listed {
		t.Errorf("session in a frame: %d, %s", p.status, ancestors(p))
	}
	for name, p := range map[string]*page{"no session": out.get(query), "fresh credentials": in.get(query + "&wfresh=0"),
		"a session too old": func() *page { l.advance(time.Hour); return in.get(query + "&wfresh=5") }(),
		"another party":     in.get(signInQuery)} {
		if p.wants(400, "not valid"); ancestors(p) != "frame-ancestors 'none'" || strings.Contains(p.body, `name="t"`) || len(p.header.Values("Set-Cookie")) != 0 {
			t.Errorf("%s: %s, %v", name, ancestors(p), p.header.Values("Set-Cookie"))
		}
	}
	passive = true
	if p := out.get(query); !errors.Is(l.lasts, federation.ErrPassive) || strings.Contains(p.body, `name="t"`) {
		t.Errorf("a passive request without a session ended in %v", l.lasts)
	}
	passive = false
	out.header.Set("Sec-Fetch-Dest", "document")
	form := out.get(query)
	if ancestors(form) != "frame-ancestors 'none'" {
		t.Errorf("the form: %s", ancestors(form))
	}
	out.header.Set("Sec-Fetch-Dest", "iframe")
	if p := out.post("t", form.token(), "action", "other"); strings.Contains(p.body, `name="password"`) || ancestors(p) != "frame-ancestors 'none'" {
		t.Errorf("another account in a frame: %s", ancestors(p))
	}
}

func TestC29_W02_OnlyAnAnswerThatIsHandedOverCanBeFramed(t *testing.T) {
	l := newLab(t, nil)
	rp := &federation.RelyingParty{Name: "Wiki", FrameOrigins: []string{"https://app.contoso.test"}}
	for want, refusal := range map[string]error{"'none'": nil, "https://app.contoso.test": errors.New("no session")} {
		w := httptest.NewRecorder()
		ans := &federation.Answer{Action: "https://wiki.example.test/acs", Fields: []federation.Field{{Name: "SAMLResponse", Value: "x"}}, Refusal: refusal}
		if err := l.flow.Hand(w, httptest.NewRequest(http.MethodGet, "/adfs/ls/", nil), rp, ans); err != nil {
			t.Fatal(err)
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.HasSuffix(csp, "frame-ancestors "+want) {
			t.Errorf("refusal %v: %s, want %s", refusal, csp, want)
		}
	}
}
