package pages_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"sallyport/federation"
	"sallyport/federation/signin/pages"
)

var noncePattern = regexp.MustCompile(`script-src 'nonce-([A-Za-z0-9_-]{22})'`)

// policyOf returns the policy with the nonce replaced, and the nonce.
func policyOf(t *testing.T, h http.Header) (string, string) {
	t.Helper()
	csp := h.Values("Content-Security-Policy")
	if len(csp) != 1 {
		t.Fatalf("%d policies", len(csp))
	}
	m := noncePattern.FindStringSubmatch(csp[0])
	if m == nil {
		t.Fatalf("no nonce in %q", csp[0])
	}
	return strings.Replace(csp[0], m[1], "N", 1), m[1]
}

func TestW02_EachPageHasItsStrictPolicy(t *testing.T) {
	const (
		start = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'nonce-N'; connect-src 'none'; form-action "
		end   = "; base-uri 'none'; frame-ancestors 'none'"
	)
	s := newSet(t, config())
	nonces := map[string]bool{}
	for _, d := range drawings(s) {
		w, doc := draw(t, d, get("en"))
		want := start + "'self'" + end
		switch d.name {
		case "handover":
			want = start + "https:" + end
		case "signedout/form":
			want = start + "https://login.example.test; frame-src https://wiki.example.test" + end
		case "signedout/told":
			want = start + "'self'; frame-src https://login.example.test https://wiki.example.test" + end
		}
		got, nonce := policyOf(t, w.Header())
		if got != want {
			t.Errorf("%s: policy\n%s\nwant\n%s", d.name, got, want)
		}
		if nonces[nonce] {
			t.Errorf("%s: nonce used before", d.name)
		}
		nonces[nonce] = true
		for _, n := range named(doc, "script") {
			if got, _ := attr(n, "nonce"); got != nonce {
				t.Errorf("%s: script has nonce %q", d.name, got)
			}
		}
	}
}

func TestC29_W02_HandOverPageNamesExactlyTheOriginsThatMayFrameIt(t *testing.T) {
	s := newSet(t, config())
	for want, origins := range map[string][]string{
		"'none'": nil,
		"https://app.contoso.test https://teams.contoso.test:8443": {"https://app.contoso.test", "https://teams.contoso.test:8443"},
	} {
		w := httptest.NewRecorder()
		w.Header().Set("X-Frame-Options", "DENY")
		if err := s.HandOver(w, get("en"), pages.HandOver{Party: "Wiki", Action: "https://wiki.example.test/acs", FrameOrigins: origins}); err != nil {
			t.Fatal(err)
		}
		if got, _ := policyOf(t, w.Header()); !strings.HasSuffix(got, "; frame-ancestors "+want) {
			t.Errorf("%v: %s", origins, got)
		}
		if got := w.Header().Get("X-Frame-Options"); (got == "DENY") != (want == "'none'") {
			t.Errorf("%v: X-Frame-Options %q", origins, got)
		}
	}
	for _, bad := range []string{"https://*.contoso.test", "http://app.contoso.test", "*", "https:", "https://a.test; script-src *", "https://a.test https://b.test"} {
		w := httptest.NewRecorder()
		w.Header().Set("X-Frame-Options", "DENY")
		if err := s.HandOver(w, get("en"), pages.HandOver{Party: "Wiki", Action: "https://wiki.example.test/acs", FrameOrigins: []string{bad}}); err != nil {
			t.Fatal(err)
		}
		if got, _ := policyOf(t, w.Header()); !strings.HasSuffix(got, "; frame-ancestors 'none'") || w.Header().Get("X-Frame-Options") != "DENY" {
			t.Errorf("%q reached the policy: %s", bad, got)
		}
	}
}

func TestH08_I08_PagesAreNeitherStoredNorSniffedNorReferred(t *testing.T) {
	s := newSet(t, config())
	for _, d := range drawings(s) {
		w, doc := draw(t, d, get("en"))
		referrer := "no-referrer"
		for _, f := range named(doc, "form") {
			if action, _ := attr(f, "action"); action == "/adfs/ls/" {
				referrer = "same-origin"
			}
		}
		for key, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": referrer,
			"Content-Type": "text/html; charset=utf-8", "Cross-Origin-Opener-Policy": "",
		} {
			if got := w.Header().Get(key); got != want {
				t.Errorf("%s: %s = %q, want %q", d.name, key, got, want)
			}
		}
	}
}

func TestHandOverNamesTheOriginsThatThePartyLists(t *testing.T) {
	s := newSet(t, config())
	for _, c := range []struct {
		origins []string
		want    string
	}{
		{nil, "https:"},
		{[]string{"https://a.example.test", "https://b.example.test:8443"}, "https://a.example.test https://b.example.test:8443"},
		{[]string{"https://a.example.test; script-src *"}, "https:"},
		{[]string{"http://a.example.test"}, "https:"},
	} {
		w := httptest.NewRecorder()
		p := pages.HandOver{Party: "x", Action: "https://a.example.test/", FormActions: c.origins}
		if err := s.HandOver(w, get("en"), p); err != nil {
			t.Fatal(err)
		}
		if got := w.Header().Get("Content-Security-Policy"); !strings.Contains(got, "form-action "+c.want+"; base-uri") {
			t.Errorf("%v: %s", c.origins, got)
		}
	}
}

func TestHandOverGoesToHTTPSOnly(t *testing.T) {
	s := newSet(t, config())
	for _, action := range []string{"", "/x", "http://a.example.test/", "javascript:alert(1)", "data:text/html,x", "https:///x", "//a.example.test/"} {
		if err := s.HandOver(httptest.NewRecorder(), get("en"), pages.HandOver{Action: action}); err == nil {
			t.Errorf("%q was accepted", action)
		}
	}
}

func TestHandOverRefusesWhatABrowserWouldChange(t *testing.T) {
	s := newSet(t, config())
	for _, value := range []string{"a\nb", "a\rb", "a\x00b", "a\xffb", "a\r\r\nb", "a\r\n\nb", "a\n\rb"} {
		p := pages.HandOver{Action: "https://a.example.test/", Fields: []federation.Field{{Name: "wctx", Value: value}}}
		if err := s.HandOver(httptest.NewRecorder(), get("en"), p); !errors.Is(err, pages.ErrFieldValue) {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// TestW05_HandOverCarriesLinesAsBrowsersPostThem: what the request was taken with
// must not be refused once the person has typed a password.
func TestW05_HandOverCarriesLinesAsBrowsersPostThem(t *testing.T) {
	s, w := newSet(t, config()), httptest.NewRecorder()
	p := pages.HandOver{Action: "https://a.example.test/", Fields: []federation.Field{{Name: "wctx", Value: "a\r\nb\r\n"}}}
	if err := s.HandOver(w, get("en"), p); err != nil || !strings.Contains(w.Body.String(), "value=\"a\r\nb\r\n\"") {
		t.Errorf("error %v, page %s", err, w.Body)
	}
}

// hostile are values that have become script, markup or another field elsewhere.
var hostile = []string{
	`"><script>alert(1)</script>`, `' onmouseover='alert(1)`, `"autofocus onfocus=alert(1) x="`, `</title><script>alert(1)</script>`,
	`javascript:alert(1)`, `{{.Token}}`, `{party}{n}{host}`, `<!--`, `]]>`, `&lt;script&gt;`, `&#34;&quot;&amp;amp;`, "\u2028\u2029\u202e\ufeff\u00a0 ",
	"\x1b[31m\x07\x08\x0b\x0c\x7f", `\u003cscript\u003e`, `%3Cscript%3E`, "tab\tin", `<svg/onload=alert(1)>`, `"><iframe src=javascript:alert(1)>`,
	"+ADw-script+AD4-", `"><base href=//evil.test>`, `"></form><form action=//evil.test>`, "trailing ", " leading",
}

func hostileValues(t *testing.T) []string {
	t.Helper()
	dir := os.Getenv("SALLYPORT_VECTORS")
	if dir == "" {
		if os.Getenv("CI") == "true" || os.Getenv("SALLYPORT_LAB") == "1" {
			t.Fatal("SALLYPORT_VECTORS is not set")
		}
		t.Log("SALLYPORT_VECTORS is not set: only the values of this file are tried, not the public lists")
		return hostile
	}
	all := append([]string(nil), hostile...)
	b, err := os.ReadFile(filepath.Join(dir, "blns", "blns.json"))
	if err != nil {
		t.Fatal(err)
	}
	var naughty []string
	if err := json.Unmarshal(b, &naughty); err != nil {
		t.Fatal(err)
	}
	all = append(all, naughty...)
	files, err := filepath.Glob(filepath.Join(dir, "payloads-all-the-things", "XSS_*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no script lists: %v", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Split(string(b), "\n")...)
	}
	if len(all) < 400 {
		t.Fatalf("only %d values found below %s", len(all), dir)
	}
	t.Logf("%d values", len(all))
	return all
}

func TestW02_ValuesComeBackByteForByteAndNeverAsMarkup(t *testing.T) {
	s := newSet(t, config())
	_, plain := draw(t, drawing{"", func(w http.ResponseWriter, r *http.Request) error {
		return s.HandOver(w, r, pages.HandOver{Party: "P", Action: "https://a.example.test/", Fields: []federation.Field{{Name: "wctx", Value: "x"}}})
	}}, get("en"))
	_, form := draw(t, drawing{"", func(w http.ResponseWriter, r *http.Request) error {
		return s.SignIn(w, r, pages.SignIn{Token: "x", Party: "P", User: "x"})
	}}, get("en"))
	tried := 0
	for _, value := range hostileValues(t) {
		p := pages.HandOver{Party: value, Action: "https://a.example.test/", Fields: []federation.Field{{Name: "wctx", Value: value}}}
		if p.Validate() != nil {
			continue
		}
		tried++
		_, doc := draw(t, drawing{value, func(w http.ResponseWriter, r *http.Request) error { return s.HandOver(w, r, p) }}, get("en"))
		if got := fieldOf(doc, "wctx"); got != value {
			t.Errorf("posted %q for %q", got, value)
		}
		sameShape(t, value, plain, doc)
		if value == "" || len(value) > 256 {
			continue
		}
		_, doc = draw(t, drawing{value, func(w http.ResponseWriter, r *http.Request) error {
			return s.SignIn(w, r, pages.SignIn{Token: "x", Party: value, User: value})
		}}, get("en"))
		if got := fieldOf(doc, "username"); got != value {
			t.Errorf("prefilled %q for %q", got, value)
		}
		sameShape(t, value, form, doc)
	}
	if tried < len(hostile) {
		t.Errorf("only %d values tried", tried)
	}
}

func TestW02_NamesOfTheSettingsAreTextOnEveryPage(t *testing.T) {
	draws := func(name string) []drawing {
		cfg := config()
		cfg.Org, cfg.Banner, cfg.ExampleUPN, cfg.ExampleDown = name, name, name, name
		cfg.Help = map[string]string{"en": name}
		s := newSet(t, cfg)
		rp := &federation.RelyingParty{Name: name, StartURL: "https://www.example.test/"}
		all := []drawing{
			{"signin", func(w http.ResponseWriter, r *http.Request) error {
				return s.SignIn(w, r, pages.SignIn{Token: "x", Party: name})
			}},
			{"handover", func(w http.ResponseWriter, r *http.Request) error {
				return s.HandOver(w, r, pages.HandOver{Party: name, Action: "https://a.example.test/"})
			}},
			{"signedin", func(w http.ResponseWriter, r *http.Request) error {
				return s.SignedIn(w, r, pages.SignedIn{User: name, Party: rp, Used: true})
			}},
			{"signedout", func(w http.ResponseWriter, r *http.Request) error {
				return s.SignedOut(w, r, pages.SignedOut{Services: []string{name}, Party: rp})
			}},
		}
		for _, p := range pages.Problems() {
			all = append(all, drawing{p, nil}.of(s, &federation.Error{Problem: federation.Problem(p), Party: rp, Retry: "x"}))
		}
		return all
	}
	plain, bad := draws("Contoso"), draws(`<b onclick="x">&'"+</b>`)
	slices.SortFunc(plain, func(a, b drawing) int { return strings.Compare(a.name, b.name) })
	slices.SortFunc(bad, func(a, b drawing) int { return strings.Compare(a.name, b.name) })
	for i := range bad {
		_, want := draw(t, plain[i], get("en"))
		_, got := draw(t, bad[i], get("en"))
		sameShape(t, bad[i].name, want, got)
		if !strings.Contains(text(got), `<b onclick="x">&'"+</b>`) {
			t.Errorf("%s does not show the name as it is", bad[i].name)
		}
	}
}

func fieldOf(doc *html.Node, name string) string {
	for _, n := range named(doc, "input") {
		if got, _ := attr(n, "name"); got == name {
			value, _ := attr(n, "value")
			return value
		}
	}
	return "no field " + name
}

// sameShape checks that a value added no element and no attribute. The place of
// the focus depends on whether a name is given, which both documents have.
func sameShape(t *testing.T, value string, want, got *html.Node) {
	t.Helper()
	shape := func(doc *html.Node) string {
		var b strings.Builder
		for _, n := range elements(doc) {
			b.WriteString("<" + n.Data)
			for _, a := range n.Attr {
				b.WriteString(" " + a.Key)
			}
			b.WriteString(">")
		}
		return b.String()
	}
	if w, g := shape(want), shape(got); w != g {
		t.Errorf("%q changed the document:\n%s\nwant\n%s", value, g, w)
	}
}

func TestErrorPageShowsNothingOfTheRequest(t *testing.T) {
	s := newSet(t, config())
	const canary = "zqcanary"
	for _, p := range pages.Problems() {
		r := httptest.NewRequest(http.MethodGet, "/adfs/ls/"+canary+"?wtrealm="+canary+"&wctx="+url.QueryEscape("<b>"+canary), nil)
		r.Host = canary + ".test"
		r.Header.Set("User-Agent", canary)
		r.Header.Set("Referer", "https://"+canary+".test/")
		info := *facts
		info.CorrelationID = canary
		w := httptest.NewRecorder()
		s.Error(w, r, &info, &federation.Error{Problem: federation.Problem(p), Cause: errors.New(canary)})
		all := w.Body.String()
		for k, v := range w.Header() {
			all += k + strings.Join(v, " ")
		}
		if strings.Contains(all, canary) {
			t.Errorf("%s shows a value of the request or the cause", p)
		}
	}
}
