package wsfed_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport/federation"
	"sallyport/federation/wsfed"
)

// foreign are spellings with which an open redirect is tried.
var foreign = []string{
	"http://login.microsoftonline.com/login.srf", "//login.microsoftonline.com/login.srf", "/login.srf", "login.srf", "https:/login.microsoftonline.com/login.srf",
	"https:login.microsoftonline.com/login.srf", "https:///login.microsoftonline.com/login.srf", "https://login.microsoftonline.com.evil.test/login.srf",
	"https://evil.test/https://login.microsoftonline.com/login.srf", "https://login.microsoftonline.com@evil.test/login.srf",
	"https://login.microsoftonline.com:443@evil.test/login.srf", "https://user@login.microsoftonline.com/login.srf",
	"https://evil.test#@login.microsoftonline.com/login.srf", "https://evil.test?@login.microsoftonline.com/login.srf",
	`https://evil.test\@login.microsoftonline.com/login.srf`, `https://login.microsoftonline.com\.evil.test/login.srf`, `https:\\login.microsoftonline.com\login.srf`,
	"https://login.microsoftonline.com./login.srf", "https://login.microsoftonline.com:8443/login.srf", "https://login.microsoftonline.com:/login.srf",
	"https://login.microsoftonline.com/login.srf/", "https://login.microsoftonline.com/LOGIN.srf", "https://login.microsoftonline.com/login.srf?x=1",
	"https://login.microsoftonline.com/login.srf?", "https://login.microsoftonline.com/login.srf#x", "https://login.microsoftonline.com/login.srf/../evil",
	"https://login.microsoftonline.com/./login.srf", "https://login.microsoftonline.com//login.srf", "https://login.microsoftonline.com/%6cogin.srf",
	"https://login.microsoftonline.com/login.srf%00", "https://login.microsoftonline.com/login.srf;x", "https://login.microsoftonline.com/",
	"https://login.microsoftonline.com", "https://login%2emicrosoftonline.com/login.srf", "https://login.microsoftonline.com%00.evil.test/login.srf",
	"https://login.microsoftonline.com%2f@evil.test/login.srf", " https://login.microsoftonline.com/login.srf", "https://login.microsoftonline.com/login.srf ",
	"https://login.microsoftonline.com/login.srf\r\nX: y", "\thttps://login.microsoftonline.com/login.srf", "https://login.microsoftonlin\u212A.com/login.srf",
	"https://login\u3002microsoftonline.com/login.srf", "https://\u217Cogin.microsoftonline.com/login.srf", "javascript:alert(1)//https://login.microsoftonline.com/login.srf",
	"data:text/html,x", "https://[::1]/login.srf", "https://2130706433/login.srf", "ftp://login.microsoftonline.com/login.srf", "https://", "https://:443/login.srf",
	"https://sts.contoso.test/adfs/ls/", "https://portal.contoso.test/_trust/",
}

func TestW01_ForeignReplyAddressesAreRefused(t *testing.T) {
	reg := parties(t)
	ms := reg.ByKey("microsoft365")
	for _, good := range append([]string{"https://login.microsoftonline.com:443/login.srf", "HTTPS://LOGIN.MICROSOFTONLINE.COM/login.srf"}, ms.ReplyURLs...) {
		got, ok := reg.Reply(ms, good)
		if !ok || !contains(ms.ReplyURLs, got) {
			t.Errorf("%q: %q %v", good, got, ok)
		}
	}
	g := newRig(t, nil)
	for _, bad := range foreign {
		if got, ok := reg.Reply(ms, bad); ok {
			t.Errorf("%q is taken as %q", bad, got)
		}
		q := url.Values{"wa": {"wsignin1.0"}, "wtrealm": {federation.MicrosoftOnline}, "wreply": {bad}}
		if w := g.get(q.Encode()); w.Code != 400 || w.Header().Get("Location") != "" || g.called() != "" {
			t.Errorf("sign-in with %q: %d", bad, w.Code)
		}
		q.Set("wa", "wsignout1.0")
		if w := g.get(q.Encode()); w.Code != 200 || g.flow.out.ReplyTo != "" || g.called() != "signout" {
			t.Errorf("sign-out with %q: %d, on to %q", bad, w.Code, g.flow.out.ReplyTo)
		}
		if w := g.get(url.Values{"wa": {"wsignout1.0"}, "wreply": {bad}}.Encode()); w.Code != 200 || g.called() != "signout" ||
			g.flow.out.ReplyTo != "" && g.flow.out.ReplyTo != bad || g.flow.out.ReplyTo == bad && bad != "https://portal.contoso.test/_trust/" {
			t.Errorf("sign-out with %q and no party: %d, on to %q", bad, w.Code, g.flow.out.ReplyTo)
		}
		q.Set("wa", "wsignoutcleanup1.0")
		w := g.get(q.Encode())
		if w.Code != 200 || g.flow.out.ReplyTo != "" || w.Header().Get("Location") != "" || strings.Contains(w.Body.String(), "evil") {
			t.Errorf("clean-up with %q: %d %q", bad, w.Code, w.Body)
		}
		g.called()
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func TestReplyOfAnotherPartyIsForeign(t *testing.T) {
	reg := parties(t)
	if _, ok := reg.Reply(reg.ByKey("owa"), "https://mail.contoso.test/ecp/"); ok {
		t.Error("OWA's token may go to ECP")
	}
	for _, c := range []struct{ reply, want string }{
		{"https://mail.contoso.test/ecp/", "https://mail.contoso.test/ecp/"}, {"https://evil.test/", ""}, {"", ""},
	} {
		if got, ok := reg.AnyReply(c.reply); got != c.want || ok != (c.want != "") {
			t.Errorf("%q: %q %v", c.reply, got, ok)
		}
	}
}

func TestRegistryRefuses(t *testing.T) {
	party := func(f func(*federation.RelyingParty)) *federation.RelyingParty {
		p := &federation.RelyingParty{Key: "a", Identifiers: []string{"urn:a"}, ReplyURLs: []string{"https://a.test/"}}
		if f != nil {
			f(p)
		}
		return p
	}
	if _, err := wsfed.NewRegistry(party(nil)); err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string][]*federation.RelyingParty{
		"no key":                 {party(func(p *federation.RelyingParty) { p.Key = "" })},
		"key with a blank":       {party(func(p *federation.RelyingParty) { p.Key = "a b" })},
		"no identifier":          {party(func(p *federation.RelyingParty) { p.Identifiers = nil })},
		"empty identifier":       {party(func(p *federation.RelyingParty) { p.Identifiers = []string{""} })},
		"padded identifier":      {party(func(p *federation.RelyingParty) { p.Identifiers = []string{" urn:a"} })},
		"no reply":               {party(func(p *federation.RelyingParty) { p.ReplyURLs = nil })},
		"http reply":             {party(func(p *federation.RelyingParty) { p.ReplyURLs = []string{"http://a.test/"} })},
		"reply with fragment":    {party(func(p *federation.RelyingParty) { p.ReplyURLs = []string{"https://a.test/#x"} })},
		"long life":              {party(func(p *federation.RelyingParty) { p.TokenLifetime = time.Hour + 1 })},
		"negative life":          {party(func(p *federation.RelyingParty) { p.TokenLifetime = -1 })},
		"token type":             {party(func(p *federation.RelyingParty) { p.TokenType = 7 })},
		"key twice":              {party(nil), party(func(p *federation.RelyingParty) { p.Identifiers = []string{"urn:b"} })},
		"identifier twice (C10)": {party(nil), party(func(p *federation.RelyingParty) { p.Key = "b" })},
	} {
		if _, err := wsfed.NewRegistry(list...); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestMicrosoft365Clouds(t *testing.T) {
	for cloud, reply := range map[string]string{
		"": loginSRF, "global": loginSRF, "usgov": "https://login.microsoftonline.us/login.srf", "china": "https://login.partner.microsoftonline.cn/login.srf",
	} {
		rp, err := wsfed.Microsoft365(wsfed.Microsoft365Config{Cloud: cloud})
		if err != nil {
			t.Fatal(err)
		}
		reg, err := wsfed.NewRegistry(rp)
		if err != nil {
			t.Fatal(err)
		}
		got := reg.ByIdentifier(federation.MicrosoftOnline)
		if got.ReplyURLs[0] != reply || !got.Microsoft365 || got.TokenLifetime != time.Hour || got.TokenType != federation.SAML11 {
			t.Errorf("%q: %+v", cloud, got)
		}
	}
	if _, err := wsfed.Microsoft365(wsfed.Microsoft365Config{Cloud: "moon"}); err == nil {
		t.Error("an unknown cloud is taken")
	}
	rp, _ := wsfed.Microsoft365(wsfed.Microsoft365Config{ReplyURLs: []string{"https://localhost:8444/login.srf"}})
	if len(rp.ReplyURLs) != 1 {
		t.Errorf("the list is not replaced: %v", rp.ReplyURLs)
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range foreign {
		f.Add(s)
	}
	f.Add("https://login.microsoftonline.com:443/login.srf")
	reg := parties(f)
	ms := reg.ByKey("microsoft365")
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := reg.Reply(ms, s)
		if !ok || s == "" {
			return
		}
		// The only spellings that pass differ in the case of scheme and host and in
		// the default port.
		i := strings.Index(s, "://")
		j := i + 3 + strings.IndexByte(s[i+3:], '/')
		host := strings.TrimSuffix(strings.ToLower(s[i+3:j]), ":443")
		if strings.ToLower(s[:i])+"://"+host+s[j:] != got || !contains(ms.ReplyURLs, got) {
			t.Fatalf("%q is taken as %q", s, got)
		}
	})
}

// TestNearestIsALikelyMisspelling: with bounds on the work it finds what it found
// without them.
func TestNearestIsALikelyMisspelling(t *testing.T) {
	party := func(key string, ids ...string) *federation.RelyingParty {
		return &federation.RelyingParty{Key: key, Name: key, Identifiers: ids, ReplyURLs: []string{"https://" + key + ".test/"}}
	}
	reg, err := wsfed.NewRegistry(party("a", "urn:contoso:wiki", "https://wiki.contoso.test/"), party("b", "https://wiki.contoso.test/owa/", strings.Repeat("x", 250)))
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{
		"urn:contoso:wikI":                "urn:contoso:wiki",
		"urn:contos:wiki":                 "urn:contoso:wiki",
		"http://wiki.contoso.test":        "https://wiki.contoso.test/",
		"https://wiki.contoso.test/owa":   "https://wiki.contoso.test/owa/",
		"https://wiki.contoso.test/owa/x": "https://wiki.contoso.test/owa/",
		"urn:fabrikam:helpdesk":           "",
		"x":                               "",
		strings.Repeat("x", 200):          strings.Repeat("x", 250),
		strings.Repeat("z", 250):          "",
		strings.Repeat("x", 257):          "",
	} {
		if got := reg.Nearest(id); got != want {
			t.Errorf("%.40q: %.40q, want %.40q", id, got, want)
		}
	}
}
