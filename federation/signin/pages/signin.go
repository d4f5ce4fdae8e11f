package pages

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"sallyport/federation"
)

// Trouble is a message in place, above or beside the fields of the sign-in form.
type Trouble uint8

// The messages in place. They combine: both fields may be empty.
const (
	UserEmpty     Trouble = 1 << iota // the user name is missing
	PasswordEmpty                     // the password is missing
	Credentials                       // name or password is not right
)

// SignIn is one showing of the sign-in page.
type SignIn struct {
	// Token is the sealed transaction.
	Token string
	// Party is the relying party's configured name.
	Party string
	// User prefills the name: the hint of the request or what was typed.
	User string
	// Fresh says that the party asks for the password although a session exists.
	Fresh bool
	// Again is true after a post; Keep then is the choice that was made.
	Again, Keep bool
	// Trouble is what was wrong with the post.
	Trouble Trouble
	// Language is a choice made with this request, or empty.
	Language string
}

// maxPrefill bounds the name that is shown again, in characters; the field takes
// no more.
const maxPrefill = 256

// signInForm is the form as the template sees it.
type signInForm struct {
	Trouble Trouble
	Ticked  bool
	User    string
}

// The conditions of the template.
func (p *signInForm) Wrong() bool       { return p.Trouble&Credentials != 0 }
func (p *signInForm) NoUser() bool      { return p.Trouble&UserEmpty != 0 }
func (p *signInForm) NoPassword() bool  { return p.Trouble&PasswordEmpty != 0 }
func (p *signInForm) FocusUser() bool   { return p.User == "" || p.NoUser() }
func (p *signInForm) UserBad() bool     { return p.Wrong() || p.NoUser() }
func (p *signInForm) PasswordBad() bool { return p.Wrong() || p.NoPassword() }

// SignIn draws the sign-in page, status 200 in all states.
func (s *Set) SignIn(w http.ResponseWriter, r *http.Request, p SignIn) error {
	if !utf8.ValidString(p.User) || utf8.RuneCountInString(p.User) > maxPrefill {
		p.User = ""
	}
	ticked := s.cfg.Keep == KeepOn
	if p.Again {
		ticked = p.Keep
	}
	key := state{language: s.choose(w, r, p.Language).Code, fresh: p.Fresh, ticked: ticked, user: p.User != "", trouble: p.Trouble}
	want := []hole{holeToken, holeParty}
	if key.user {
		want = append(want, holeUser)
	}
	pieces, err := s.pieces(key, func() (*view, error) { return s.signInView(key) }, want...)
	if err != nil {
		return err
	}
	s.splice(w, r, policy{}, key, pieces, &values{token: p.Token, party: p.Party, user: p.User})
	return nil
}

// signInView is the sign-in page with markers for its values.
func (s *Set) signInView(key state) (*view, error) {
	form := &signInForm{Trouble: key.trouble, Ticked: key.ticked}
	if key.user {
		form.User = markers[holeUser]
	}
	v := &view{lang: s.languages[key.language], Failed: key.trouble != 0, Token: markers[holeToken], Menu: menuForm, SignIn: form}
	lead := "signin.lead"
	if key.fresh {
		lead = "signin.lead.again"
	}
	var err error
	if v.Text, err = v.H(lead, "party", markers[holeParty]); err != nil {
		return nil, err
	}
	v.Title, v.Heading, err = v.title("signin.title")
	return v, err
}

// title returns a text for the title element and for the h1.
func (v *view) title(key string, vars ...string) (string, template.HTML, error) {
	text, err := v.T(key, vars...)
	return text, escaped(text), err
}

// HandOver is the page that posts a token to a relying party.
type HandOver struct {
	Party string
	// Action is the registered https address.
	Action string
	Fields []federation.Field
	// FormActions are the origins that the party redirects through; empty allows
	// any https address.
	FormActions []string
	// FrameOrigins are the https origins whose pages may frame this one; empty allows
	// nobody's.
	FrameOrigins []string

	valid bool // Validate was asked and had nothing to say
}

// ErrFieldValue says that a form cannot carry a value byte for byte: browsers
// turn lone line ends into CR LF, and NUL and what is not UTF-8 into U+FFFD.
var ErrFieldValue = errors.New("pages: value cannot be posted unchanged by a browser")

// Validate reports what keeps the page from being drawn or from carrying its
// fields; it is asked before a token counts as issued. The page does not change
// after it.
func (p *HandOver) Validate() error {
	if p.valid {
		return nil
	}
	u, err := url.Parse(p.Action)
	if err != nil || u.Host == "" || u.Scheme != "https" || strings.ContainsFunc(p.Action, notInURL) {
		return fmt.Errorf("pages: hand-over address %q is not an https address", p.Action)
	}
	for _, f := range p.Fields {
		if !postable(f.Value) {
			return fmt.Errorf("%w: field %s", ErrFieldValue, f.Name)
		}
	}
	p.valid = true
	return nil
}

// postable reports whether a browser posts a hidden field's value as it stands here:
// CR LF comes back, a lone CR or LF comes back as both (HTML, form submission).
func postable(s string) bool {
	if strings.IndexByte(s, '\n') >= 0 || strings.IndexByte(s, '\r') >= 0 {
		s = strings.ReplaceAll(s, "\r\n", "")
		if strings.ContainsAny(s, "\r\n") {
			return false
		}
	}
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// notInURL are the characters that RFC 3986 does not allow unescaped. html/template
// would escape them; the registry should have.
func notInURL(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"<>\\^`{|}", r) }

// HandOver draws the page that hands a token over.
func (s *Set) HandOver(w http.ResponseWriter, r *http.Request, p HandOver) error {
	if err := p.Validate(); err != nil {
		return err
	}
	key := state{language: s.choose(w, r, "").Code, handOver: true}
	pieces, err := s.pieces(key, func() (*view, error) { return s.handOverView(key) }, holeParty, holeAction, holeFields)
	if err != nil {
		return err
	}
	pol := policy{formAction: formAction(p.FormActions)}
	if len(p.FrameOrigins) > 0 && nameable(p.FrameOrigins) {
		pol.ancestors = p.FrameOrigins
		w.Header().Del("X-Frame-Options") // it knows no list
	}
	s.splice(w, r, pol, key, pieces, &values{party: p.Party, action: p.Action, fields: p.Fields})
	return nil
}

// handOverView is the hand-over page with markers for its values.
func (s *Set) handOverView(key state) (*view, error) {
	v := &view{lang: s.languages[key.language], HandOver: &HandOver{Action: markers[holeAction], Fields: []federation.Field{markedField}}}
	var err error
	if v.Title, v.Heading, err = v.title("post.title"); err != nil {
		return nil, err
	}
	v.Text, err = v.H("post.lead", "party", markers[holeParty])
	return v, err
}

// formAction lists the origins, or the scheme when there are none or one of them
// could not stand in a policy.
func formAction(origins []string) string {
	if len(origins) == 0 || !nameable(origins) {
		return "https:"
	}
	return strings.Join(origins, " ")
}

// nameable reports whether https origins can stand in a policy and mean themselves.
func nameable(origins []string) bool {
	for _, o := range origins {
		if u, err := url.Parse(o); err != nil || u.Scheme != "https" || u.Host == "" || strings.ContainsAny(o, " ;,'\"*\r\n\t") {
			return false
		}
	}
	return true
}
