package app_test

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"

	"sallyport/cmd/internal/demo"
	"sallyport/cmd/internal/trip"
)

// spellings are the forms in which a secret might turn up.
func spellings(s string) []string {
	var wide []byte
	for _, u := range utf16.Encode([]rune(s)) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	list := []string{s, url.QueryEscape(s), hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s))), string(wide)}
	for offset := range 3 {
		b := base64.StdEncoding.EncodeToString(append(make([]byte, offset), s...))
		// The first and the last group depend on what stands beside the secret.
		list = append(list, b[4:len(b)-4])
	}
	return list
}

// The page of a refused request has a reference that leads to the cause.
func TestARefusedRequestHasAReferenceThatFindsTheCause(t *testing.T) {
	h := open(t, demo.Options{})
	base := h.SignInURL()
	for _, c := range []struct {
		name, query, heading, cause string
		status                      int
	}{
		{"unknown realm", "?wa=wsignin1.0&wtrealm=urn:federation:MicrosoftOnlin", "We don’t know the service that sent you here", "urn:federation:MicrosoftOnline", 400},
		{"foreign reply address", signInQuery + "&wreply=https%3a%2f%2fevil.test%2flogin.srf", "We don’t know the service that sent you here", "evil.test", 400},
		{"no realm", "?wa=wsignin1.0", "This sign-in request is not valid", "wtrealm", 400},
		{"doubled parameter", signInQuery + "&wctx=2", "This sign-in request is not valid", "wctx", 400},
		{"wrong wa", "?wa=wattr1.0&wtrealm=urn:federation:MicrosoftOnline", "This sign-in request is not valid", "wattr1.0", 400},
		{"huge wctx", "?wa=wsignin1.0&wtrealm=urn:federation:MicrosoftOnline&wctx=" + strings.Repeat("x", 9000), "This sign-in request is not valid", "wctx", 400},
		{"huge wtrealm", "?wa=wsignin1.0&wtrealm=" + strings.Repeat("x", 2000), "This sign-in request is not valid", "wtrealm has 2000 bytes", 400},
		{"huge user name", signInQuery + "&username=" + strings.Repeat("x", 2000), "This sign-in request is not valid", "username has 2000 bytes", 400},
		{"huge address", signInQuery + "&x=" + strings.Repeat("x", 40<<10), "This sign-in request is not valid", "request target of", 414},
		{"hundred parameters", signInQuery + strings.Repeat("&x=1", 100), "This sign-in request is not valid", "parameters in the query", 400},
		{"half an escape", signInQuery + "&wfresh=%4", "This sign-in request is not valid", "the value of parameter", 400},
		{"second factor asked", signInQuery + "&wauth=http%3a%2f%2fschemas.microsoft.com%2fclaims%2fmultipleauthn", "Microsoft 365 asks for a sign-in method that is not available here", "multipleauthn", 400},
		{"no such page", "nothing", "There is no page at this address", "no such page", 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := h.Browser()
			defer b.Close()
			p := h.open(t, b, base+c.query)
			if p.Status != c.status || p.Heading() != c.heading {
				t.Fatalf("%d %q", p.Status, p.Heading())
			}
			ref := h.cause(t, p, c.cause)
			// What the edge refuses by its size alone is no sign-in yet.
			if c.status == 400 && c.cause != "parameters in the query" {
				h.event(t, map[string]any{"code": "SP110", "ref": ref})
			}
			if len(p.Frames()) != 0 || p.AsksPassword(trip.English) {
				t.Error("the error page has a form for passwords or a frame")
			}
		})
	}
}

// cause finds the log record of a page's reference, which has to name the cause, and
// returns the reference.
func (h *house) cause(t *testing.T, p *trip.Page, cause string) string {
	t.Helper()
	ref := reference(p)
	if ref == "" {
		t.Fatal("the page shows no reference")
	}
	line := ""
	for l := range strings.Lines(h.log.String()) {
		if strings.Contains(l, ref) {
			line = l
		}
	}
	if !strings.Contains(line, cause) {
		t.Errorf("the log record of %s does not name the cause %q: %s", ref, cause, line)
	}
	return ref
}

// A form that the page did not make is refused the same way, and no password of it
// is tried.
func TestARefusedFormHasAReferenceThatFindsTheCause(t *testing.T) {
	h := open(t, demo.Options{})
	u := h.User("alice")
	const invalid, stale = "This sign-in request is not valid", "This page is no longer valid"
	for _, c := range []struct {
		name           string
		change         func(f *trip.Form)
		heading, cause string
		status         int
	}{
		{"mark changed", func(f *trip.Form) { f.Fields.Set("t", f.Fields.Get("t")+"A") }, stale, "field t", 400},
		{"mark of nothing", func(f *trip.Form) { f.Fields.Set("t", "x") }, stale, "field t", 400},
		{"no mark", func(f *trip.Form) { f.Fields.Del("t") }, invalid, "form", 400},
		{"two marks", func(f *trip.Form) { f.Fields.Add("t", f.Fields.Get("t")) }, invalid, "stands twice", 400},
		{"two passwords", func(f *trip.Form) { f.Fields.Add("password", "x") }, invalid, "stands twice", 400},
		{"two names", func(f *trip.Form) { f.Fields.Add("username", "bob@contoso.test") }, invalid, "stands twice", 400},
		{"request beside the form", func(f *trip.Form) { f.Action += "?wtrealm=urn%3afederation%3aMicrosoftOnline" }, invalid, "wtrealm stands in the query", 400},
		{"huge", func(f *trip.Form) { f.Fields.Set("password", strings.Repeat("x", 400<<10)) }, invalid, "at most", 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := h.Browser()
			f := h.signInPage(t, b, u.UPN).Forms()[0]
			f.Fields.Set("password", u.Password)
			c.change(f)
			p, err := b.Submit(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			if p.Status != c.status || p.Heading() != c.heading {
				t.Fatalf("%d %q", p.Status, p.Heading())
			}
			h.cause(t, p, c.cause)
			if _, ok := p.HandedOver(); ok {
				t.Error("a token was given")
			}
		})
	}
	for _, e := range h.events(t) {
		if e["code"] == "SP100" || e["code"] == "SP101" {
			t.Errorf("a password was tried: %v", e)
		}
	}
}

// reference finds the reference on a page.
func reference(p *trip.Page) string {
	_, rest, ok := strings.Cut(p.Text(), "Reference ")
	if !ok {
		return ""
	}
	ref, _, _ := strings.Cut(rest, " ")
	if len(ref) != 9 || ref[4] != '-' {
		return ""
	}
	return ref
}

func TestAPathInAnotherSpellingIsTheSamePage(t *testing.T) {
	h := open(t, demo.Options{})
	root := strings.TrimSuffix(h.SignInURL(), "/adfs/ls/")
	for _, path := range []string{"/adfs/ls/", "/adfs/ls", "/ADFS/LS/", "/adfs//ls/", "//adfs/ls"} {
		b := h.Browser()
		p := h.open(t, b, root+path+signInQuery)
		if p.URL.Path != path || !p.AsksPassword(trip.English) {
			t.Errorf("%s: %d %q at %s", path, p.Status, p.Heading(), p.URL.Path)
		}
		b.Close()
	}
	for _, path := range []string{"/FederationMetadata/2007-06/FederationMetadata.xml", "/federationmetadata/2007-06/federationmetadata.xml"} {
		if p := h.open(t, h.Browser(), root+path); p.Status != http.StatusOK || !strings.Contains(p.Body, "EntityDescriptor") {
			t.Errorf("%s: %d", path, p.Status)
		}
	}
	if p := h.open(t, h.Browser(), root+"/adfs/probe"); p.Status != http.StatusOK {
		t.Errorf("probe: %d", p.Status)
	}
}

func TestAUsedSignInPageIsNotASecondSignIn(t *testing.T) {
	h := open(t, demo.Options{})
	b := h.Browser()
	defer b.Close()
	u := h.User("alice")
	page := h.signInPage(t, b, u.UPN)
	first := h.password(t, b, page, u.Password)
	if _, ok := first.HandedOver(); !ok {
		t.Fatalf("no token: %q", first.Heading())
	}
	// The back button brings the page again, and it is sent again.
	second := h.password(t, b, page, u.Password)
	if _, ok := second.HandedOver(); ok {
		t.Error("a used page gave a second token")
	}
	if second.Heading() != "You are signed in" {
		t.Errorf("the page says %q", second.Heading())
	}
}

func TestTwoTabsSignInSideBySide(t *testing.T) {
	h := open(t, demo.Options{})
	b := h.Browser()
	defer b.Close()
	u := h.User("alice")
	one, two := h.signInPage(t, b, u.UPN), h.signInPage(t, b, u.UPN)
	for i, p := range []*trip.Page{two, one} {
		p, err := b.HandOver(t.Context(), h.password(t, b, p, u.Password))
		if err != nil || p.ID("upn") != u.UPN {
			t.Errorf("tab %d: %v %s %s", i, err, p.ID("code"), p.ID("why"))
		}
	}
}

func TestL11_APageOfAnotherBrowserIsNotTaken(t *testing.T) {
	h := open(t, demo.Options{})
	u := h.User("alice")
	page := h.signInPage(t, h.Browser(), u.UPN)
	other := h.Browser()
	p := h.password(t, other, page, u.Password)
	if p.Heading() != "Cookies are turned off" {
		t.Errorf("without the cookie: %d %q", p.Status, p.Heading())
	}
	h.signInPage(t, other, u.UPN) // now the other browser has a cookie of its own
	p = h.password(t, other, page, u.Password)
	if _, ok := p.HandedOver(); ok || p.Status != http.StatusBadRequest {
		t.Errorf("with a cookie of another browser: %d %q", p.Status, p.Heading())
	}
	for _, e := range h.events(t) {
		if e["code"] == "SP100" {
			t.Error("the password was checked for a page of another browser")
		}
	}
}

func TestTheStateOfARequestComesBackByteForByte(t *testing.T) {
	h := open(t, demo.Options{})
	u := h.User("alice")
	for _, state := range []string{"", "a=1&b=2", `"><script>alert(1)</script>`, "ü€😀", "a+b%20c", strings.Repeat("w", 8192)} {
		b := h.Browser()
		p := h.open(t, b, h.SignInURL()+"?wa=wsignin1.0&wtrealm=urn%3afederation%3aMicrosoftOnline&username="+url.QueryEscape(u.UPN)+"&wctx="+url.QueryEscape(state))
		f, ok := h.password(t, b, p, u.Password).HandedOver()
		if !ok {
			t.Fatalf("%.40q: no token", state)
		}
		if got, has := f.Fields["wctx"]; !has || got[0] != state {
			t.Errorf("wctx %.40q came back as %.40q (%v)", state, got, has)
		}
		b.Close()
	}
	b := h.Browser()
	p := h.open(t, b, h.SignInURL()+"?wa=wsignin1.0&wtrealm=urn%3afederation%3aMicrosoftOnline&username="+url.QueryEscape(u.UPN))
	f, _ := h.password(t, b, p, u.Password).HandedOver()
	if f == nil || f.Fields.Has("wctx") {
		t.Error("a request without wctx got one back")
	}
}

func TestASessionServesUntilTheAccountChanges(t *testing.T) {
	h := open(t, demo.Options{})
	b := h.Browser()
	defer b.Close()
	h.signIn(t, b, "bob")
	p := h.signInPage(t, b, h.User("bob").UPN)
	if _, ok := p.HandedOver(); !ok {
		t.Fatalf("second visit asks again: %q", p.Heading())
	}
	if n := len(h.Cloud.Verdicts()); n != 1 {
		t.Errorf("%d tokens were judged", n)
	}
	h.event(t, map[string]any{"code": "SP300", "account_name": `CONTOSO\bob`})
}
