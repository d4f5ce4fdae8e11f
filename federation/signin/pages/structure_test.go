package pages_test

import (
	"strings"
	"testing"

	"golang.org/x/net/html"

	"sallyport/federation/signin/pages"
)

// TestEveryPageCanBeUsedByEverybody checks what a tool like axe would find in the
// bare document, on each page and state in each language.
func TestEveryPageCanBeUsedByEverybody(t *testing.T) {
	s := newSet(t, config())
	for _, lang := range pages.Languages() {
		for _, d := range drawings(s) {
			t.Run(lang+"/"+d.name, func(t *testing.T) {
				_, doc := draw(t, d, get(lang))
				checkDocument(t, doc, lang)
				checkFields(t, doc)
				checkInline(t, doc)
			})
		}
	}
}

func checkDocument(t *testing.T, doc *html.Node, lang string) {
	root := named(doc, "html")[0]
	if got, _ := attr(root, "lang"); got != lang {
		t.Errorf("html lang = %q, want %q", got, lang)
	}
	if dir, _ := attr(root, "dir"); dir != "ltr" {
		t.Errorf("html dir = %q", dir)
	}
	for _, tag := range []string{"h1", "main", "title"} {
		if n := named(doc, tag); len(n) != 1 || text(n[0]) == "" {
			t.Errorf("%d elements %s, or an empty one", len(n), tag)
		}
	}
	title, h1 := text(named(doc, "title")[0]), text(named(doc, "h1")[0])
	if !strings.HasSuffix(title, " · Contoso") || !strings.Contains(title, h1) {
		t.Errorf("title %q does not name the page %q and the organisation", title, h1)
	}
	ids := map[string]bool{}
	focus := 0
	for _, n := range elements(doc) {
		if id, ok := attr(n, "id"); ok {
			if ids[id] {
				t.Errorf("id %q stands twice", id)
			}
			ids[id] = true
		}
		if _, ok := attr(n, "autofocus"); ok {
			focus++
		}
	}
	for _, n := range elements(doc) {
		for _, key := range []string{"aria-describedby", "aria-labelledby", "aria-controls", "for", "form", "data-caps"} {
			refs, _ := attr(n, key)
			for _, ref := range strings.Fields(refs) {
				if !ids[ref] {
					t.Errorf("%s of <%s> points to %q, which is not there", key, n.Data, ref)
				}
			}
		}
		if (n.Data == "a" || n.Data == "button" || n.Data == "summary") && text(n) == "" {
			t.Errorf("<%s> without a name", n.Data)
		}
		if n.Data == "img" {
			if _, ok := attr(n, "alt"); !ok {
				t.Error("picture without alt")
			}
		}
	}
	if want := len(named(doc, "input")) > 2 && hasID(doc, "user"); (focus == 1) != want {
		t.Errorf("%d elements with autofocus; the sign-in form has one, other pages none", focus)
	}
}

func hasID(doc *html.Node, id string) bool {
	for _, n := range elements(doc) {
		if got, _ := attr(n, "id"); got == id {
			return true
		}
	}
	return false
}

func checkFields(t *testing.T, doc *html.Node) {
	labels := map[string]string{}
	for _, n := range named(doc, "label") {
		id, _ := attr(n, "for")
		labels[id] = text(n)
	}
	for _, n := range named(doc, "input") {
		kind, _ := attr(n, "type")
		if kind == "hidden" {
			continue
		}
		id, _ := attr(n, "id")
		if labels[id] == "" {
			t.Errorf("field %q has no label", id)
		}
		if _, ok := attr(n, "placeholder"); ok {
			t.Errorf("field %q has a placeholder", id)
		}
		if auto, _ := attr(n, "autocomplete"); kind != "checkbox" && auto == "" {
			t.Errorf("field %q has no autocomplete", id)
		}
		if _, ok := attr(n, "maxlength"); ok && kind == "password" {
			t.Error("a password would be cut")
		}
		if value, _ := attr(n, "value"); kind == "password" && value != "" {
			t.Error("a password is prefilled")
		}
		if bad, _ := attr(n, "aria-invalid"); bad == "true" {
			refs, _ := attr(n, "aria-describedby")
			if !strings.Contains(refs, "problem") && !strings.Contains(refs, "error") {
				t.Errorf("invalid field %q does not name its message", id)
			}
		}
	}
}

func checkInline(t *testing.T, doc *html.Node) {
	for _, n := range elements(doc) {
		if n.Data == "style" || (n.Data == "script" && n.FirstChild != nil) {
			t.Errorf("inline <%s>", n.Data)
		}
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("inline %s on <%s>", a.Key, n.Data)
			}
			if strings.HasPrefix(a.Val, "data:") || strings.HasPrefix(a.Val, "javascript:") {
				t.Errorf("%s=%q on <%s>", a.Key, a.Val, n.Data)
			}
		}
		// Nothing is loaded from elsewhere but the frames of a sign-out.
		if src, ok := attr(n, "src"); ok && n.Data != "iframe" && !strings.HasPrefix(src, pages.AssetPath) {
			t.Errorf("<%s> loads %q", n.Data, src)
		}
	}
}

func TestFocusGoesWhereThePersonHasToType(t *testing.T) {
	s := newSet(t, config())
	want := map[string]string{
		"signin/empty": "user", "signin/given": "password", "signin/refused": "password", "signin/fresh": "password",
		"signin/no-user": "user", "signin/no-password": "password", "signin/neither": "user",
	}
	for _, d := range drawings(s) {
		id, ok := want[d.name]
		if !ok {
			continue
		}
		_, doc := draw(t, d, get("en"))
		for _, n := range elements(doc) {
			if _, focused := attr(n, "autofocus"); focused {
				if got, _ := attr(n, "id"); got != id {
					t.Errorf("%s: focus on %q, want %q", d.name, got, id)
				}
			}
		}
	}
}

func TestRefusedPageSaysErrorInItsTitle(t *testing.T) {
	s := newSet(t, config())
	for _, d := range drawings(s) {
		_, doc := draw(t, d, get("en"))
		failed := strings.HasPrefix(d.name, "error/") || strings.HasPrefix(d.name, "signin/no-") || d.name == "signin/neither" || d.name == "signin/refused"
		if got := strings.HasPrefix(text(named(doc, "title")[0]), "Error: "); got != failed {
			t.Errorf("%s: title %q", d.name, text(named(doc, "title")[0]))
		}
	}
}

func TestLanguageIsSwitchedWithoutSendingTheRequestAgain(t *testing.T) {
	s := newSet(t, config())
	for _, d := range drawings(s) {
		r := get("en")
		r.URL.RawQuery = "wa=wsignin1.0&wctx=secret"
		_, doc := draw(t, d, r)
		for _, n := range named(doc, "a") {
			if _, ok := attr(n, "hreflang"); ok {
				t.Errorf("%s: a link would lose or repeat the request", d.name)
			}
		}
		if strings.HasPrefix(d.name, "signin/") {
			n := 0
			for _, b := range named(doc, "button") {
				if name, _ := attr(b, "name"); name == "lang" {
					n++
				}
			}
			if n != len(pages.Languages()) {
				t.Errorf("%s: %d languages to choose from", d.name, n)
			}
		}
	}
}
