package pages

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"sallyport/federation/web"
)

//go:embed files/pages.html
var templates string

// Set is all pages of one configuration. It does not change after [New] and is
// safe for concurrent use.
type Set struct {
	cfg       Config
	languages map[string]*language
	pages     *template.Template
	assets    map[string]asset
	latest    map[string]string // name.ext to name.HASH.ext
	// Addresses of assets; brand is empty without own colours, darkLogo without
	// a second logo.
	style, script, brand, logo, darkLogo, icon string
	cuts                                       sync.Map // state to []piece
}

// New checks the settings and prepares every page. The error holds all problems.
func New(cfg Config) (*Set, error) {
	if cfg.Action == "" {
		cfg.Action = "/adfs/ls/"
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Set{cfg: cfg, assets: make(map[string]asset), latest: make(map[string]string)}
	var err error
	if s.languages, err = readTexts(textsTSV); err != nil {
		return nil, err
	}
	if s.pages, err = template.New("pages").Parse(templates); err != nil {
		return nil, fmt.Errorf("pages: templates: %w", err)
	}
	if s.brand, err = s.addBrand(); err != nil {
		return nil, err
	}
	s.style = s.add("style", "css", "text/css; charset=utf-8", styleCSS)
	s.script = s.add("sallyport", "js", "text/javascript; charset=utf-8", script)
	s.icon = s.add("icon", "svg", "image/svg+xml", icon)
	s.logo = s.icon
	if len(cfg.Logo) > 0 {
		if s.logo, err = s.addImage("logo", cfg.Logo); err != nil {
			return nil, err
		}
		s.icon = s.logo // one request less; browsers scale it
	}
	if len(cfg.LogoDark) > 0 {
		if s.darkLogo, err = s.addImage("logo-dark", cfg.LogoDark); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// offer is one way on from a page: a link or a button.
type offer struct {
	Label  string
	Link   string // an address of ours or of the settings
	Action string // the value of field action when it is a button of the form
	Onward bool   // the script follows the link by itself
	Quiet  bool   // a second choice that looks like a button
}

// list is a sentence with what it is about.
type list struct {
	Text  template.HTML
	Items []string
}

// view is what the templates see. Each page fills what it needs.
type view struct {
	s        *Set
	lang     *language
	Nonce    string
	Title    string // of the page, before the organisation's name
	Heading  template.HTML
	Failed   bool   // the title says error
	Token    string // sealed transaction, field t
	Post     bool   // the offers stand in a form that posts to us
	Menu     menu
	Good     bool // colour of the box
	Box      template.HTML
	Text     template.HTML
	List     []string
	Lists    []list
	Primary  *offer
	Second   *offer
	Facts    *web.Info
	User     string
	Frames   []string
	SignIn   *signInForm
	HandOver *HandOver
	Next     *HandOver // the way on from a message
}

// menu says how the language is switched where the page can be kept: by buttons
// of the form, by links, or not at all.
type menu uint8

const (
	noMenu menu = iota
	menuForm
	menuLinks
)

// policy is the Content-Security-Policy of a page.
type policy struct {
	formAction string // default 'self'
	frames     []string
	ancestors  []string // default 'none'
}

func (p policy) String(nonce string) string {
	var b strings.Builder
	b.Grow(256)
	b.WriteString("default-src 'none'; style-src 'self'; img-src 'self'; script-src 'nonce-")
	b.WriteString(nonce)
	b.WriteString("'; connect-src 'none'; form-action ")
	if p.formAction == "" {
		p.formAction = "'self'"
	}
	b.WriteString(p.formAction)
	if len(p.frames) > 0 {
		b.WriteString("; frame-src ")
		b.WriteString(strings.Join(p.frames, " "))
	}
	b.WriteString("; base-uri 'none'; frame-ancestors ")
	if len(p.ancestors) == 0 {
		b.WriteString("'none'")
	} else {
		b.WriteString(strings.Join(p.ancestors, " "))
	}
	return b.String()
}

// newNonce returns 128 random bits as a policy wants them, in the alphabet that
// needs no escaping in an attribute.
func newNonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// view completes a view with the set, the language and a nonce.
func (s *Set) view(w http.ResponseWriter, r *http.Request, chosen string, v view) *view {
	v.s, v.lang, v.Nonce = s, s.choose(w, r, chosen), newNonce()
	return &v
}

// write draws a page into memory first, so that an error leaves no half page.
func (s *Set) write(w http.ResponseWriter, r *http.Request, status int, p policy, v *view) error {
	var out bytes.Buffer
	out.Grow(8 << 10)
	if err := s.pages.ExecuteTemplate(&out, "page", v); err != nil {
		return fmt.Errorf("pages: %w", err)
	}
	send(w, r, status, p.String(v.Nonce), v.lang.Code, v.Post, out.Bytes())
	return nil
}

// pageHeaders are the headers of every page. The slices are shared by all answers:
// Set and Add replace, never write, them.
var pageHeaders = [...]struct {
	name  string
	value []string
}{
	{"Content-Type", []string{"text/html; charset=utf-8"}},
	{"Cache-Control", []string{"no-store"}},
	{"Pragma", []string{"no-cache"}},
	{"X-Content-Type-Options", []string{"nosniff"}},
	{"Referrer-Policy", []string{"no-referrer"}},
}

var ownFormReferrer = []string{"same-origin"}

// send writes a drawn page with its headers.
func send(w http.ResponseWriter, r *http.Request, status int, csp, language string, ownForm bool, body []byte) {
	h := w.Header()
	for _, always := range pageHeaders {
		h[always.name] = always.value
	}
	values := []string{language, csp, strconv.Itoa(len(body))}
	h["Content-Language"], h["Content-Security-Policy"], h["Content-Length"] = values[0:1:1], values[1:2:2], values[2:3:3]
	if ownForm {
		// Under no-referrer, browsers that send no Sec-Fetch-Site would post our own
		// form with "Origin: null" (Fetch §3.1), which the check of origins refuses.
		h["Referrer-Policy"] = ownFormReferrer
	}
	h.Add("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client has gone, nobody to tell
	}
}

// splice writes a page that was drawn before, with the values of this request.
func (s *Set) splice(w http.ResponseWriter, r *http.Request, p policy, key state, pieces []piece, v *values) {
	v.nonce = newNonce()
	out := buffers.Get().(*bytes.Buffer)
	out.Reset()
	join(out, pieces, v)
	send(w, r, http.StatusOK, p.String(v.nonce), key.language, !key.handOver, out.Bytes())
	if out.Cap() <= maxKeptBuffer {
		buffers.Put(out)
	}
}

// linkMenu offers language links where a link leads to the same page again: a
// GET without parameters.
func linkMenu(r *http.Request) menu {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return noMenu
	}
	if q := r.URL.RawQuery; q != "" && !(len(q) == len(LanguageField)+3 && strings.HasPrefix(q, LanguageField+"=")) {
		return noMenu
	}
	return menuLinks
}

// KeepOffered reports whether people may stay signed in at all.
func (s *Set) KeepOffered() bool { return s.cfg.Keep != KeepHidden }
