package app_test

import (
	"strings"
	"testing"

	"sallyport/cmd/internal/demo"
	"sallyport/cmd/internal/trip"
)

// A party's list lets exactly the page that posts a finished answer be framed, through
// the whole service: the headers of the edge and of the page say the same.
func TestC29_FramesThroughTheWholeService(t *testing.T) {
	t.Parallel()
	h := open(t, demo.Options{Settings: func(s string) string {
		return strings.Replace(withSAML(s), "    saml: {acs", "    frame_origins: [\"https://app.contoso.test\"]\n    saml: {acs", 1)
	}})
	const listed = "https://app.contoso.test"
	framable := func(p *trip.Page) string {
		_, by, _ := strings.Cut(p.Header.Get("Content-Security-Policy"), "frame-ancestors ")
		if (by == "'none'") != (p.Header.Get("X-Frame-Options") == "DENY") {
			t.Errorf("frame-ancestors %s beside X-Frame-Options %q", by, p.Header.Get("X-Frame-Options"))
		}
		return by
	}
	in, out := h.Browser(), h.Browser()
	defer in.Close()
	defer out.Close()
	u := h.User("alice")
	form := h.open(t, in, h.SignInURL()+redirectQuery(authnRequest(wikiEntity, "_a", "")))
	if by := framable(form); by != "'none'" {
		t.Errorf("the form may be framed by %s", by)
	}
	named(t, in, form, u.UPN, u.Password)
	in.Header.Set("Sec-Fetch-Dest", "iframe")
	out.Header.Set("Sec-Fetch-Dest", "iframe")

	p := h.open(t, in, h.SignInURL()+redirectQuery(authnRequest(wikiEntity, "_b", "")))
	if answered(t, p); framable(p) != listed {
		t.Errorf("a token from a session may be framed by %s", framable(p))
	}
	p = h.open(t, out, h.SignInURL()+redirectQuery(authnRequest(wikiEntity, "_c", `IsPassive="true"`)))
	if root, _ := answered(t, p); framable(p) != listed || !strings.Contains(etreeText(t, root), "status:NoPassive") {
		t.Errorf("NoPassive may be framed by %s: %s", framable(p), etreeText(t, root))
	}
	p = h.open(t, out, h.SignInURL()+redirectQuery(authnRequest(wikiEntity, "_d", "")))
	if p.Status != 400 || framable(p) != "'none'" || len(p.Header.Values("Set-Cookie")) != 0 {
		t.Errorf("no session: %d, framed by %s, %v", p.Status, framable(p), p.Header.Values("Set-Cookie"))
	}
	if p = h.open(t, in, h.SignInURL()+"?wa=wsignin1.0&wtrealm=urn:federation:MicrosoftOnline"); p.Status != 400 || framable(p) != "'none'" {
		t.Errorf("a party without a list: %d, framed by %s", p.Status, framable(p))
	}
}
