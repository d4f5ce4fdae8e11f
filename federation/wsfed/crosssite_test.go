package wsfed_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestR04_MessagePostedByAnotherSiteComesBackWithItsCookies: SameSite=Lax cookies
// do not come with such a post, so nothing may be decided on it.
func TestR04_MessagePostedByAnotherSiteComesBackWithItsCookies(t *testing.T) {
	const full = signIn + "&wctx=a%26b%3D%2B+c&username=alice%40contoso.test"
	for _, body := range []string{full, "wa=wsignout1.0", "wa=wsignoutcleanup1.0", "WA=wsignin1.0&wtrealm=urn%3aevil"} {
		g := newRig(t, nil)
		w := g.post("", body, "Sec-Fetch-Site: cross-site")
		at := w.Header().Get("Location")
		query, ours := strings.CutPrefix(at, "/adfs/ls/?")
		if w.Code != http.StatusSeeOther || !ours || g.called() != "" || len(w.Result().Cookies()) > 0 {
			t.Errorf("%q: %d to %q, called %q", body, w.Code, at, g.called())
			continue
		}
		w = g.get(query, "Sec-Fetch-Site: cross-site")
		if body == full && (w.Code != 200 || g.called() != "begin" || g.flow.req.State != "a&b=+ c" || g.flow.req.LoginHint != "alice@contoso.test") {
			t.Errorf("%q as a GET: %d, %+v", query, w.Code, g.flow.req)
		}
	}
	for name, c := range map[string]struct{ site, body, called string }{
		"our own site":                {"same-origin", signIn, "begin"},
		"no browser":                  {"", signIn, "begin"},
		"a token is no part of a URL": {"cross-site", signIn + "&wresult=x", "begin"},
		"too long for a URL":          {"cross-site", signIn + "&wctx=" + strings.Repeat("%2f", 8<<10), "begin"},
		"the flow's own form":         {"cross-site", "t=abc&password=x", "continue"},
		"no message":                  {"cross-site", "a=b", ""},
	} {
		g := newRig(t, nil)
		w := g.post("", c.body, "Sec-Fetch-Site: "+c.site)
		if called := g.called(); called != c.called || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d, called %q", name, w.Code, called)
		}
	}
}
