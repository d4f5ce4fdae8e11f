package pages_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/federation/signin/pages"
)

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

func table() (head []string, rows [][]string) {
	for i, line := range strings.Split(strings.TrimSuffix(pages.TextsTSV, "\n"), "\n") {
		cells := strings.Split(line, "\t")
		if i == 0 {
			head = cells
			continue
		}
		rows = append(rows, cells)
	}
	return head, rows
}

func TestTextsHaveTheSamePlaceholdersInAllLanguages(t *testing.T) {
	head, rows := table()
	if len(rows) < 60 || len(head) != 6 {
		t.Fatalf("%d texts in %d columns", len(rows), len(head))
	}
	known := []string{"{party}", "{host}", "{n}", "{upn}", "{down}"}
	for _, row := range rows {
		want := placeholder.FindAllString(row[1], -1)
		slices.Sort(want)
		for _, p := range want {
			if !slices.Contains(known, p) {
				t.Errorf("%s: placeholder %s is not known", row[0], p)
			}
		}
		for j, cell := range row[1:] {
			got := placeholder.FindAllString(cell, -1)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s in %s: placeholders differ from English:\n%s", row[0], head[j+1], diff)
			}
			if strings.TrimSpace(cell) != cell || strings.ContainsAny(cell, "!<>&") {
				t.Errorf("%s in %s: blanks, markup or an exclamation mark: %q", row[0], head[j+1], cell)
			}
		}
	}
}

// TestEachTextIsUsed finds rows that nothing asks for. That each text which is
// asked for exists, shows when all pages are drawn.
func TestEachTextIsUsed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	source := pages.Templates
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source += string(b)
	}
	problems := pages.Problems()
	_, rows := table()
	for _, row := range rows {
		key := row[0]
		stem := strings.TrimSuffix(strings.TrimSuffix(key, ".title"), ".text")
		if !strings.Contains(source, `"`+key+`"`) && !(stem != key && slices.Contains(problems, stem)) {
			t.Errorf("text %s is not used", key)
		}
	}
}

func TestPlaceholdersAreFilledOnEveryPage(t *testing.T) {
	s := newSet(t, config())
	for _, lang := range pages.Languages() {
		for _, d := range drawings(s) {
			_, doc := draw(t, d, get(lang))
			if m := placeholder.FindString(text(doc)); m != "" {
				t.Errorf("%s in %s shows %s", d.name, lang, m)
			}
		}
	}
}

func TestBadTableIsRefused(t *testing.T) {
	head := "key\ten\tnl\tde\tfr\tes\n"
	for name, tsv := range map[string]string{
		"column missing": head + "a\t1\t2\t3\t4\n",
		"empty cell":     head + "a\t1\t2\t\t4\t5\n",
		"twice":          head + "a\t1\t2\t3\t4\t5\na\t1\t2\t3\t4\t5\n",
		"language":       "key\ten\tnl\tde\tfr\txx\na\t1\t2\t3\t4\t5\n",
		"heading":        "en\tnl\tde\tfr\tes\n",
	} {
		if pages.ReadTexts(tsv) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestLanguageIsChosenByChoiceThenSettingThenBrowser(t *testing.T) {
	cases := []struct{ name, setting, query, cookie, header, want string }{
		{"nothing", "", "", "", "", "en"},
		{"browser", "", "", "", "fr-CA,fr;q=0.9,en;q=0.5", "fr"},
		{"weights", "", "", "", "en;q=0.2, de;q=0.7, sv", "de"},
		{"unknown only", "", "", "", "sv,fi;q=0.9", "en"},
		{"zero weight", "", "", "", "de;q=0, nl;q=0.1", "nl"},
		{"broken weight", "", "", "", "de;q=x, nl;q=0.1", "nl"},
		{"not a number", "", "", "", "de;q=NaN, nl;q=0.1", "nl"},
		{"star", "", "", "", "*", "en"},
		{"behind what is read", "", "", "", "nl;q=0.1," + strings.Repeat(" ", 600) + ",de", "nl"},
		{"setting before browser", "es", "", "", "fr", "es"},
		{"cookie before setting", "es", "", "nl", "fr", "nl"},
		{"choice before cookie", "es", "lang=de", "nl", "fr", "de"},
		{"unknown choice", "", "lang=xx", "yy", "fr", "fr"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg := config()
			cfg.Language = c.setting
			s := newSet(t, cfg)
			r := httptest.NewRequest(http.MethodGet, "/adfs/ls/?"+c.query, nil)
			r.Header.Set("Accept-Language", c.header)
			if c.cookie != "" {
				r.AddCookie(&http.Cookie{Name: pages.LanguageCookie, Value: c.cookie})
			}
			w := httptest.NewRecorder()
			if err := s.Start(w, r, nil); err != nil {
				t.Fatal(err)
			}
			if got := w.Header().Get("Content-Language"); got != c.want {
				t.Errorf("language %s, want %s", got, c.want)
			}
			set := w.Result().Cookies()
			if (c.query == "lang=de") != (len(set) == 1) {
				t.Errorf("cookies set: %v", set)
			}
			for _, k := range set {
				if !k.Secure || !k.HttpOnly || k.Path != "/" || k.Domain != "" || k.SameSite != http.SameSiteLaxMode || k.MaxAge < 1000 {
					t.Errorf("cookie %v", k)
				}
			}
		})
	}
}

func TestWaitingTimeIsNeverOneMinute(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "2", time.Second: "2", time.Minute: "2", 2*time.Minute + 1: "3", time.Hour: "60"} {
		if got := pages.Minutes(d); got != want {
			t.Errorf("%v = %s minutes, want %s", d, got, want)
		}
	}
}

func FuzzAcceptLanguage(f *testing.F) {
	for _, s := range []string{"", "en", "nl-BE,nl;q=0.9,en;q=0.8", "*;q=0.5", "de;q=1.0001", ";;;,,,", "fr;q=NaN", "fr;q=-1", "fr;q=1e9", strings.Repeat("de,", 400)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got := pages.AcceptLanguage(header)
		if !slices.Contains(pages.Languages(), got) {
			t.Errorf("%q gives %q", header, got)
		}
		if again := pages.AcceptLanguage(header); again != got {
			t.Errorf("%q gives %q and then %q", header, got, again)
		}
		// English is the last resort only: another answer was asked for by name.
		if got != "en" && !strings.Contains(strings.ToLower(header), got) {
			t.Errorf("%q gives %q, which it does not name", header, got)
		}
	})
}
