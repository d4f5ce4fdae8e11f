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

// The conditions of the template.
func (p *SignIn) Wrong() bool       { return p.Trouble&Credentials != 0 }
func (p *SignIn) NoUser() bool      { return p.Trouble&UserEmpty != 0 }
func (p *SignIn) NoPassword() bool  { return p.Trouble&PasswordEmpty != 0 }
func (p *SignIn) FocusUser() bool   { return p.User == "" || p.NoUser() }
func (p *SignIn) UserBad() bool     { return p.Wrong() || p.NoUser() }
func (p *SignIn) PasswordBad() bool { return p.Wrong() || p.NoPassword() }

// SignIn draws the sign-in page, status 200 in all states.
func (s *Set) SignIn(w http.ResponseWriter, r *http.Request, p SignIn) error {
	if !utf8.ValidString(p.User) || utf8.RuneCountInString(p.User) > maxPrefill {
		p.User = ""
	}
	v := s.view(w, r, p.Language, view{Failed: p.Trouble != 0, Token: p.Token, Menu: menuForm, SignIn: &p})
	lead := "signin.lead"
	if p.Fresh {
		lead = "signin.lead.again"
	}
	var err error
	if v.Text, err = v.H(lead, "party", p.Party); err != nil {
		return err
	}
	if v.Title, v.Heading, err = v.title("signin.title"); err != nil {
		return err
	}
	return s.write(w, r, http.StatusOK, policy{}, v)
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
}

// ErrFieldValue says that a form cannot carry a value byte for byte: browsers
// turn line ends into CR LF, and NUL and what is not UTF-8 into U+FFFD.
var ErrFieldValue = errors.New("pages: value cannot be posted unchanged by a browser")

// Validate reports what keeps the page from being drawn or from carrying its
// fields; it is asked before a token counts as issued.
func (p *HandOver) Validate() error {
	u, err := url.Parse(p.Action)
	if err != nil || u.Host == "" || u.Scheme != "https" {
		return fmt.Errorf("pages: hand-over address %q is not an https address", p.Action)
	}
	for _, f := range p.Fields {
		if !utf8.ValidString(f.Value) || strings.ContainsAny(f.Value, "\r\n\x00") {
			return fmt.Errorf("%w: field %s", ErrFieldValue, f.Name)
		}
	}
	return nil
}

// HandOver draws the page that hands a token over.
func (s *Set) HandOver(w http.ResponseWriter, r *http.Request, p HandOver) error {
	err := p.Validate()
	if err != nil {
		return err
	}
	v := s.view(w, r, "", view{HandOver: &p})
	if v.Title, v.Heading, err = v.title("post.title"); err != nil {
		return err
	}
	if v.Text, err = v.H("post.lead", "party", p.Party); err != nil {
		return err
	}
	return s.write(w, r, http.StatusOK, policy{formAction: formAction(p.FormActions)}, v)
}

// formAction lists the origins, or the scheme when there are none or one of them
// could not stand in a policy.
func formAction(origins []string) string {
	for _, o := range origins {
		if u, err := url.Parse(o); err != nil || u.Scheme != "https" || u.Host == "" || strings.ContainsAny(o, " ;,'\"\r\n\t") {
			return "https:"
		}
	}
	if len(origins) == 0 {
		return "https:"
	}
	return strings.Join(origins, " ")
}
