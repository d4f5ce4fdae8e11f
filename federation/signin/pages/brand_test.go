package pages_test

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"sallyport/federation/signin/pages"
)

const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><script>alert(1)</script><rect width="9" height="9"/></svg>`

func TestBrandingStaysWithinItsLimits(t *testing.T) {
	png := append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 100)...)
	cases := []struct {
		name   string
		change func(*pages.Config)
		want   string // in the error; empty: accepted
	}{
		{"plain", func(*pages.Config) {}, ""},
		{"60 characters", func(c *pages.Config) { c.Org = strings.Repeat("é", 60) }, ""},
		{"61 characters", func(c *pages.Config) { c.Org = strings.Repeat("é", 61) }, "61 characters"},
		{"no name", func(c *pages.Config) { c.Org = " " }, "is empty"},
		{"control character", func(c *pages.Config) { c.Org = "Con\ttoso" }, "U+0009"},
		{"bidi override", func(c *pages.Config) { c.Org = "Con\u202etoso" }, "U+202E"},
		{"not UTF-8", func(c *pages.Config) { c.Org = "Con\xfftoso" }, "UTF-8"},
		{"markup is text", func(c *pages.Config) { c.Org = "<b>Contoso</b>" }, ""},
		{"no host", func(c *pages.Config) { c.Host = "" }, "host"},
		{"language", func(c *pages.Config) { c.Language = "sv" }, `"sv"`},
		{"help too long", func(c *pages.Config) { c.Help = map[string]string{"en": strings.Repeat("x", 201)} }, "201 characters"},
		{"help in an unknown language", func(c *pages.Config) { c.Help = map[string]string{"xx": "x"} }, `"xx"`},
		{"banner too long", func(c *pages.Config) { c.Banner = strings.Repeat("x", 121) }, "121 characters"},
		{"javascript link", func(c *pages.Config) { c.Links.Help = "javascript:alert(1)" }, "only https:, mailto: and tel:"},
		{"http link", func(c *pages.Config) { c.Links.Privacy = "http://contoso.test/" }, "only https:"},
		{"link with user", func(c *pages.Config) { c.Links.Privacy = "https://a@contoso.test/" }, "only https:"},
		{"mail link", func(c *pages.Config) { c.Links.Help = "mailto:desk@contoso.test" }, ""},
		{"png", func(c *pages.Config) { c.Logo = png }, ""},
		{"webp", func(c *pages.Config) { c.LogoDark = []byte("RIFF\x00\x00\x00\x00WEBPVP8 ....") }, ""},
		{"logo too big", func(c *pages.Config) { c.Logo = append(png, make([]byte, 16<<10)...) }, "at most 16384"},
		{"logo is a web page", func(c *pages.Config) { c.Logo = []byte("<html>") }, "PNG, WebP or SVG"},
		{"not a colour", func(c *pages.Config) { c.Accent = "red" }, "not a colour"},
		{"light accent too light", func(c *pages.Config) { c.Accent = "#7ccbdb" }, "the nearest that passes is #"},
		{"dark accent too dark", func(c *pages.Config) { c.AccentDark = "#0d5b6d" }, "the nearest that passes is #"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg := config()
			c.change(&cfg)
			_, err := pages.New(cfg)
			if (c.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestAllProblemsOfTheSettingsAreReportedAtOnce(t *testing.T) {
	_, err := pages.New(pages.Config{Banner: strings.Repeat("x", 200), Links: pages.Links{Help: "ftp://x"}, Language: "sv"})
	for _, want := range []string{"organisation name", "host", "banner", "link help", "sv"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

// TestProposedColourPasses takes the colour that the error names and sees that it
// is accepted, and that it is near: a step less would not have been.
func TestProposedColourPasses(t *testing.T) {
	nearest := regexp.MustCompile(`passes is (#[0-9a-f]{6})`)
	for _, bad := range []string{"#ffffff", "#7ccbdb", "#ffff00", "#ff8800", "#888888", "#ff0000", "#00ff00"} {
		for _, dark := range []bool{false, true} {
			cfg := config()
			set := func(v string) {
				if dark {
					cfg.AccentDark = v
				} else {
					cfg.Accent = v
				}
			}
			set(bad)
			_, err := pages.New(cfg)
			if err == nil {
				continue
			}
			m := nearest.FindStringSubmatch(err.Error())
			if m == nil {
				t.Fatalf("%s: %v", bad, err)
			}
			set(m[1])
			if _, err := pages.New(cfg); err != nil {
				t.Errorf("%s: proposed %s: %v", bad, m[1], err)
			}
		}
	}
}

func TestContrastIsThatOfTheStandard(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want float64
	}{{"#000000", "#ffffff", 21}, {"#777777", "#ffffff", 4.478}, {"#0d5b6d", "#ffffff", 7.7}, {"#7ccbdb", "#06282f", 8.4}} {
		if got := pages.Contrast(c.a, c.b); got < c.want-0.06 || got > c.want+0.06 {
			t.Errorf("%s on %s: %.3f, want %.3f", c.a, c.b, got, c.want)
		}
	}
}

func TestBrandedPageShowsLogoColoursAndBanner(t *testing.T) {
	cfg := config()
	cfg.Org, cfg.Logo, cfg.LogoDark = "A <i>& B", []byte(svg), []byte(svg+" ")
	cfg.Accent, cfg.AccentDark, cfg.Banner = "#8a1c5b", "#f0a6cf", "Planned work on Sunday"
	s := newSet(t, cfg)
	w := httptest.NewRecorder()
	if err := s.SignIn(w, get("en"), pages.SignIn{Token: "x", Party: "Microsoft 365"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"A &lt;i&gt;&amp; B", "Planned work on Sunday", "/logo.", "/logo-dark.", "/brand.", `href="tel:`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("page lacks %q", want)
		}
	}
	for path, body := range load(t, s, w.Body.String()) {
		if strings.Contains(path, "brand.") && (!strings.Contains(body, "--accent:#8a1c5b") || !strings.Contains(body, "--on-accent:#ffffff")) {
			t.Errorf("brand: %s", body)
		}
	}
}

func TestHelpTextOfAnotherLanguageSaysWhichOne(t *testing.T) {
	cfg := config()
	cfg.Help = map[string]string{"en": "Ask us", "nl": "Vraag het ons"}
	s := newSet(t, cfg)
	for lang, want := range map[string]string{"en": `<p class="hint">Ask us</p>`, "nl": `<p class="hint">Vraag het ons</p>`, "de": `<p class="hint" lang="en">Ask us</p>`} {
		w := httptest.NewRecorder()
		if err := s.SignIn(w, get(lang), pages.SignIn{Token: "x", Party: "p"}); err != nil || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %v, page lacks %s", lang, err, want)
		}
	}
}

func TestDemoSaysSoOnEveryPage(t *testing.T) {
	cfg := config()
	cfg.Demo, cfg.Banner = true, "hidden"
	s := newSet(t, cfg)
	for _, d := range drawings(s) {
		_, doc := draw(t, d, get("en"))
		if !strings.Contains(text(doc), "Demo: not a real sign-in") || strings.Contains(text(doc), "hidden") {
			t.Errorf("%s does not say demo", d.name)
		}
	}
}

var assetPattern = regexp.MustCompile(regexp.QuoteMeta(pages.AssetPath) + `[a-z-]+\.[0-9a-f]{16}\.(css|js|svg|png|webp)`)

// load fetches every asset that a page names.
func load(t *testing.T, s *pages.Set, page string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, path := range assetPattern.FindAllString(page, -1) {
		w := httptest.NewRecorder()
		if err := s.ServeAsset(w, httptest.NewRequest("GET", path, nil)); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[path] = w.Body.String()
	}
	return all
}

func TestAssetsAreCachedForAYearAndInert(t *testing.T) {
	cfg := config()
	cfg.Logo, cfg.Accent = []byte(svg), "#8a1c5b"
	s := newSet(t, cfg)
	w := httptest.NewRecorder()
	if err := s.Start(w, get("en"), nil); err != nil {
		t.Fatal(err)
	}
	types := map[string]string{"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
	paths := assetPattern.FindAllString(w.Body.String(), -1)
	if len(paths) < 4 {
		t.Fatalf("assets: %v", paths)
	}
	for _, path := range paths {
		a := httptest.NewRecorder()
		if err := s.ServeAsset(a, httptest.NewRequest("GET", path, nil)); err != nil {
			t.Fatal(err)
		}
		ext := path[strings.LastIndexByte(path, '.')+1:]
		for key, want := range map[string]string{
			"Content-Type": types[ext], "Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
		} {
			if got := a.Header().Get(key); got != want {
				t.Errorf("%s: %s = %q, want %q", path, key, got, want)
			}
		}
	}
	head := httptest.NewRecorder()
	if err := s.ServeAsset(head, httptest.NewRequest("HEAD", paths[0], nil)); err != nil || head.Body.Len() != 0 {
		t.Errorf("HEAD: %v, %d bytes", err, head.Body.Len())
	}
	for _, name := range []string{"", "style.css", "style.x.css", "other.0123456789abcdef.css", "../style.css", ".0123456789abcdef.", "style.0123456789abcdef.css.gz"} {
		if err := s.ServeAsset(httptest.NewRecorder(), httptest.NewRequest("GET", pages.AssetPath+name, nil)); err == nil {
			t.Errorf("%q was served", name)
		}
	}
	// The page of an instance with other settings finds something, but keeps it not.
	other := httptest.NewRecorder()
	if err := s.ServeAsset(other, httptest.NewRequest("GET", pages.AssetPath+"style.0123456789abcdef.css", nil)); err != nil || other.Header().Get("Cache-Control") != "no-store" || other.Body.Len() == 0 {
		t.Errorf("other hash: %v, %v", err, other.Header())
	}
}

func TestAssetNameFollowsItsContent(t *testing.T) {
	name := func(logo string) string {
		cfg := config()
		cfg.Logo = []byte(logo)
		w := httptest.NewRecorder()
		if err := newSet(t, cfg).Start(w, get("en"), nil); err != nil {
			t.Fatal(err)
		}
		return regexp.MustCompile(`logo\.[0-9a-f]+`).FindString(w.Body.String())
	}
	if a, b := name(svg), name(svg+" "); a == b || a == "" {
		t.Errorf("%q and %q", a, b)
	}
}

func TestSignInStaysWithinItsBudget(t *testing.T) {
	cfg := config()
	cfg.Logo, cfg.LogoDark = []byte(svg+strings.Repeat(" ", 8<<10)), nil
	cfg.Accent, cfg.AccentDark = "#8a1c5b", "#f0a6cf"
	s := newSet(t, cfg)
	for _, lang := range pages.Languages() {
		w := httptest.NewRecorder()
		// 1,400 bytes of wctx are what Entra sends; sealed and encoded they are 2,000.
		p := pages.SignIn{Token: strings.Repeat("x", 2000), Party: "Microsoft 365", User: "alice@contoso.test", Again: true, Trouble: pages.Credentials}
		if err := s.SignIn(w, get(lang), p); err != nil {
			t.Fatal(err)
		}
		assets := load(t, s, w.Body.String())
		sum := w.Body.Len()
		for path, body := range assets {
			limit := 16 << 10
			switch {
			case strings.Contains(path, "style."):
				limit = 12 << 10
			case strings.HasSuffix(path, ".js"):
				limit = 3 << 10
			}
			if len(body) >= limit {
				t.Errorf("%s has %d bytes, limit %d", path, len(body), limit)
			}
			sum += len(body)
		}
		if w.Body.Len() >= 6<<10 || sum >= 50<<10 || len(assets)+1 > 5 {
			t.Errorf("%s: page %d bytes, all %d bytes in %d requests", lang, w.Body.Len(), sum, len(assets)+1)
		}
	}
}

func BenchmarkSignInPage(b *testing.B) {
	s := newSet(b, config())
	p := pages.SignIn{Token: strings.Repeat("x", 2000), Party: "Microsoft 365", User: "alice@contoso.test"}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.SignIn(httptest.NewRecorder(), get("en"), p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHandOverPage(b *testing.B) {
	s := newSet(b, config())
	d := drawings(s)
	var draw drawing
	for _, x := range d {
		if x.name == "handover" {
			draw = x
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := draw.draw(httptest.NewRecorder(), get("en")); err != nil {
			b.Fatal(err)
		}
	}
}
