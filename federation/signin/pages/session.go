package pages

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"sallyport/federation"
)

// SignedIn is the page for a person who has a session and nothing to finish.
type SignedIn struct {
	// User is the account's name in the directory.
	User string
	// Party is where the person can go on to; nil when not known.
	Party *federation.RelyingParty
	// Used says that the page was posted before; else this is the start page.
	Used bool
}

// The values of field action in our own forms.
const (
	ActionAgain = "again" // start the stored request again
	ActionOther = "other" // start it again with another account
)

// SignedIn draws the page for a page that was used, and the start page of
// somebody who is signed in.
func (s *Set) SignedIn(w http.ResponseWriter, r *http.Request, p SignedIn) error {
	v := s.view(w, r, "", view{Good: true, User: p.User, Menu: linkMenu(r)})
	key, vars := "signedin.close", []string(nil)
	if p.Party != nil {
		key, vars = "signedin.here", []string{"party", p.Party.NameIn(v.lang.Code)}
		if p.Used {
			key = "signedin.text"
		}
	}
	var err error
	if v.Title, v.Heading, err = v.title("signedin.title"); err != nil {
		return err
	}
	if v.Box, err = v.H(key, vars...); err != nil {
		return err
	}
	if v.Primary, err = v.open(p.Party); err != nil {
		return err
	}
	out, err := v.T("signedin.out")
	if err != nil {
		return err
	}
	// A link: the visits to other parties that follow would break the policy of a form.
	v.Second = &offer{Label: out, Link: v.s.cfg.Action + "?wa=wsignout1.0", Quiet: true}
	return s.write(w, r, http.StatusOK, policy{}, v)
}

// open offers the way to a party's start address, nil when it has none.
func (v *view) open(rp *federation.RelyingParty) (*offer, error) {
	if rp == nil || !isHTTPS(rp.StartURL) {
		return nil, nil
	}
	label, err := v.T("action.open", "party", rp.NameIn(v.lang.Code))
	return &offer{Label: label, Link: rp.StartURL}, err
}

func isHTTPS(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil
}

// Start draws the start page of somebody who is not signed in.
func (s *Set) Start(w http.ResponseWriter, r *http.Request, rp *federation.RelyingParty) error {
	v := s.view(w, r, "", view{Menu: linkMenu(r)})
	var err error
	if v.Title, v.Heading, err = v.title("start.title"); err != nil {
		return err
	}
	if v.Text, err = v.H("start.text"); err != nil {
		return err
	}
	if v.Primary, err = v.open(rp); err != nil {
		return err
	}
	return s.write(w, r, http.StatusOK, policy{}, v)
}

// SignedOut is the page after a sign-out.
type SignedOut struct {
	// Services are the names of the parties that were told.
	Services []string
	// Ended are the names of the parties that confirmed it, Unknown those of the
	// parties that did not, or cannot be told.
	Ended, Unknown []string
	// CleanUp are the https addresses that tell them, loaded in hidden frames.
	CleanUp []string
	// Onward is an address of the registry where the person goes on, or empty.
	Onward string
	// Form is an answer that the person carries on in place of Onward; nil for none.
	Form *HandOver
	// Party is offered to sign in again, may be nil.
	Party *federation.RelyingParty
}

// SignedOut draws the page after a sign-out. Its policy names exactly the origins
// of the clean-up addresses.
func (s *Set) SignedOut(w http.ResponseWriter, r *http.Request, p SignedOut) error {
	v := s.view(w, r, "", view{Good: true, List: p.Services})
	var pol policy
	for _, address := range p.CleanUp {
		u, err := url.Parse(address)
		if err != nil || !isHTTPS(address) {
			return fmt.Errorf("pages: clean-up address %q is not an https address", address)
		}
		v.Frames = append(v.Frames, address)
		if origin := u.Scheme + "://" + u.Host; !slices.Contains(pol.frames, origin) {
			pol.frames = append(pol.frames, origin)
		}
	}
	key := "signedout.alone"
	if len(p.Services) > 0 {
		key = "signedout.text"
	}
	var err error
	if v.Title, v.Heading, err = v.title("signedout.title"); err != nil {
		return err
	}
	if v.Box, err = v.H(key); err != nil {
		return err
	}
	for _, l := range []struct {
		key  string
		list []string
	}{{"signedout.ended", p.Ended}, {"signedout.unknown", p.Unknown}} {
		if len(l.list) == 0 {
			continue
		}
		text, err := v.H(l.key)
		if err != nil {
			return err
		}
		v.Lists = append(v.Lists, list{text, l.list})
	}
	if v.Text, err = v.H("signedout.shared"); err != nil {
		return err
	}
	if p.Form != nil {
		if err := p.Form.Validate(); err != nil {
			return err
		}
		v.Next, pol.formAction = p.Form, formAction(p.Form.FormActions)
	}
	if v.Primary, err = v.afterSignOut(p); err != nil {
		return err
	}
	return s.write(w, r, http.StatusOK, pol, v)
}

func (v *view) afterSignOut(p SignedOut) (*offer, error) {
	if p.Form != nil {
		return nil, nil
	}
	if isHTTPS(p.Onward) {
		label, err := v.T("action.continue")
		return &offer{Label: label, Link: p.Onward, Onward: true}, err
	}
	if p.Party == nil || !isHTTPS(p.Party.StartURL) {
		return nil, nil
	}
	label, err := v.T("signedout.again")
	return &offer{Label: label, Link: p.Party.StartURL}, err
}
