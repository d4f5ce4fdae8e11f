package pages_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"sallyport/federation"
	"sallyport/federation/signin/pages"
	"sallyport/federation/web"
)

func config() pages.Config {
	return pages.Config{
		Org: "Contoso", Host: "sts.contoso.test", ExampleUPN: "name@contoso.test", ExampleDown: `CONTOSO\name`,
		Help:  map[string]string{"en": "Use your work account. The service desk never asks for your password."},
		Links: pages.Links{Help: "https://help.contoso.test/", Privacy: "https://contoso.test/privacy", Forgot: "tel:+15550100", Change: "https://contoso.test/change"},
	}
}

func newSet(t testing.TB, cfg pages.Config) *pages.Set {
	t.Helper()
	s, err := pages.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	microsoft = &federation.RelyingParty{Key: "microsoft365", Name: "Microsoft 365", StartURL: "https://www.example.test/"}
	facts     = &web.Info{Reference: "K7QF-3M9D", CorrelationID: "7f0c2b1e-52a4-4d0b-9a0e-3f6f2c1d8e55",
		Start: time.Date(2026, 11, 25, 13, 32, 7, 0, time.UTC)}
)

// drawing is one page in one state.
type drawing struct {
	name string
	draw func(w http.ResponseWriter, r *http.Request) error
}

// drawings are all pages in all states.
func drawings(s *pages.Set) []drawing {
	signIn := func(p pages.SignIn) func(http.ResponseWriter, *http.Request) error {
		p.Token, p.Party = "c2VhbGVk", "Microsoft 365"
		return func(w http.ResponseWriter, r *http.Request) error { return s.SignIn(w, r, p) }
	}
	all := []drawing{
		{"signin/empty", signIn(pages.SignIn{})},
		{"signin/given", signIn(pages.SignIn{User: "alice@contoso.test"})},
		{"signin/fresh", signIn(pages.SignIn{User: "alice@contoso.test", Fresh: true})},
		{"signin/refused", signIn(pages.SignIn{User: "alice", Again: true, Keep: true, Trouble: pages.Credentials})},
		{"signin/no-user", signIn(pages.SignIn{Again: true, Trouble: pages.UserEmpty})},
		{"signin/no-password", signIn(pages.SignIn{User: "alice", Again: true, Trouble: pages.PasswordEmpty})},
		{"signin/neither", signIn(pages.SignIn{Again: true, Trouble: pages.UserEmpty | pages.PasswordEmpty})},
		{"handover", func(w http.ResponseWriter, r *http.Request) error {
			return s.HandOver(w, r, pages.HandOver{Party: "Microsoft 365", Action: "https://login.example.test/login.srf",
				Fields: []federation.Field{{Name: "wa", Value: "wsignin1.0"}, {Name: "wresult", Value: "<t/>"}}})
		}},
		{"signedin/used", func(w http.ResponseWriter, r *http.Request) error {
			return s.SignedIn(w, r, pages.SignedIn{User: "alice@contoso.test", Party: microsoft, Used: true})
		}},
		{"signedin/start", func(w http.ResponseWriter, r *http.Request) error {
			return s.SignedIn(w, r, pages.SignedIn{User: "alice@contoso.test", Party: microsoft})
		}},
		{"signedin/nowhere", func(w http.ResponseWriter, r *http.Request) error {
			return s.SignedIn(w, r, pages.SignedIn{User: "alice@contoso.test"})
		}},
		{"start", func(w http.ResponseWriter, r *http.Request) error { return s.Start(w, r, microsoft) }},
		{"start/nowhere", func(w http.ResponseWriter, r *http.Request) error { return s.Start(w, r, nil) }},
		{"signedout/alone", func(w http.ResponseWriter, r *http.Request) error {
			return s.SignedOut(w, r, pages.SignedOut{Party: microsoft})
		}},
		{"signedout/told", func(w http.ResponseWriter, r *http.Request) error {
			return s.SignedOut(w, r, pages.SignedOut{Services: []string{"Microsoft 365", "Wiki"},
				CleanUp: []string{"https://login.example.test/login.srf?wa=wsignoutcleanup1.0", "https://wiki.example.test/x?wa=wsignoutcleanup1.0"}})
		}},
		{"signedout/form", func(w http.ResponseWriter, r *http.Request) error {
			return s.SignedOut(w, r, pages.SignedOut{Services: []string{"Wiki"}, CleanUp: []string{"https://wiki.example.test/x?wa=wsignoutcleanup1.0"},
				Ended: []string{"Blog"}, Form: &pages.HandOver{Action: "https://login.example.test/login.srf", FormActions: []string{"https://login.example.test"},
					Fields: []federation.Field{{Name: "SAMLResponse", Value: "PHg+"}, {Name: "RelayState", Value: `"><x>`}}}})
		}},
		{"signedout/onward", func(w http.ResponseWriter, r *http.Request) error {
			return s.SignedOut(w, r, pages.SignedOut{Onward: "https://login.example.test/login.srf"})
		}},
	}
	for _, p := range pages.Problems() {
		for name, e := range map[string]*federation.Error{
			"bare":  {Problem: federation.Problem(p)},
			"party": {Problem: federation.Problem(p), Party: microsoft, RetryAfter: 90 * time.Second},
			"retry": {Problem: federation.Problem(p), Party: microsoft, Retry: "c2VhbGVk"},
		} {
			all = append(all, drawing{"error/" + p + "/" + name, func(w http.ResponseWriter, r *http.Request) error {
				s.Error(w, r, facts, e)
				return nil
			}})
		}
	}
	return all
}

// draw makes one page and parses it.
func draw(t testing.TB, d drawing, r *http.Request) (*httptest.ResponseRecorder, *html.Node) {
	t.Helper()
	w := httptest.NewRecorder()
	if err := d.draw(w, r); err != nil {
		t.Fatalf("%s: %v", d.name, err)
	}
	doc, err := html.Parse(strings.NewReader(w.Body.String()))
	if err != nil {
		t.Fatalf("%s: %v", d.name, err)
	}
	return w, doc
}

func get(language string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/adfs/ls/", nil)
	r.Header.Set("Accept-Language", language)
	return r
}

// elements returns all elements of a document.
func elements(n *html.Node) []*html.Node {
	var all []*html.Node
	for d := range n.Descendants() {
		if d.Type == html.ElementNode {
			all = append(all, d)
		}
	}
	return all
}

func named(doc *html.Node, tag string) []*html.Node {
	var all []*html.Node
	for _, n := range elements(doc) {
		if n.Data == tag {
			all = append(all, n)
		}
	}
	return all
}

func attr(n *html.Node, key string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// of is a drawing of one error.
func (d drawing) of(s *pages.Set, e *federation.Error) drawing {
	d.draw = func(w http.ResponseWriter, r *http.Request) error {
		s.Error(w, r, facts, e)
		return nil
	}
	return d
}
