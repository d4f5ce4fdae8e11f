package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"sallyport/authn/directory/directorytest"
	"sallyport/cmd/internal/trip"
)

// shown is what a person must see for each sub-code that the directory gives
// with the right password (adds-ldap.md 5.4), by the English pages.
var shown = map[uint32]string{
	0x52e: "The user name or password is not right.",
	0x775: "The user name or password is not right.",
	0x533: "Your account is turned off",
	0x701: "Your account has reached its end date",
	0x532: "Your password has to be changed",
	0x773: "Your password has to be changed",
	0x530: "You cannot sign in at this time",
	0x531: "Your account cannot be used here",
	0x52f: "The user name or password is not right.", // a DC may say so of any password
}

// check is one trip: whose, in which state, and what came of it.
type check struct {
	name, state string
	f           func(context.Context) (string, error)
	outcome     string
	err         error
}

// Check makes the whole trip for every user and some more, and reports each, in
// order. The trips are made side by side: each refusal takes the time that hides
// its reason.
func (d *Demo) Check(ctx context.Context, w io.Writer) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	var checks []*check
	for _, u := range d.Users {
		checks = append(checks, &check{name: u.SAM, state: u.State, f: func(ctx context.Context) (string, error) { return d.checkUser(ctx, u) }})
	}
	checks = append(checks,
		&check{name: "alice", state: "wrong password", f: d.checkWrongPassword},
		&check{name: "nobody", state: "no such account", f: d.checkUnknown},
		&check{name: "alice", state: "asked again (prompt=login)", f: d.checkAgain},
		&check{name: "alice", state: "token changed on the way", f: d.checkTampered},
		&check{name: "alice", state: "SAML 2.0", f: d.checkSAML},
		&check{name: "alice", state: "SAML 2.0, response changed", f: d.checkTamperedSAML},
		&check{name: "alice", state: "WS-Trust, no browser", f: d.checkActive},
		&check{name: "others", state: "WS-Trust, refused", f: d.checkActiveRefusals},
		&check{name: "four", state: "managed domain, PTA agent", f: d.checkManaged},
		&check{name: "alice, others", state: "SAML 2.0 ECP, no browser", f: d.checkEnhanced},
	)
	good := 0
	for c := range sideBySide(ctx, checks) {
		mark, outcome := "ok    ", c.outcome
		if c.err != nil {
			mark, outcome = "FAILED", c.err.Error()
		} else {
			good++
		}
		fmt.Fprintf(w, "%s  %-28s %-34s %s\n", mark, c.name, c.state, outcome)
	}
	fmt.Fprintf(w, "%d passed, %d failed\n", good, len(checks)-good)
	return good == len(checks)
}

// sideBySide runs checks, a few at a time, and yields them in their order.
func sideBySide(ctx context.Context, checks []*check) iter.Seq[*check] {
	return func(yield func(*check) bool) {
		places := make(chan struct{}, 8)
		var done []chan struct{}
		for range checks {
			done = append(done, make(chan struct{}))
		}
		go func() {
			for i, c := range checks {
				places <- struct{}{}
				go func() {
					c.outcome, c.err = c.f(ctx)
					<-places
					close(done[i])
				}()
			}
		}()
		for i, c := range checks {
			<-done[i]
			if !yield(c) {
				return
			}
		}
	}
}

// checkUser makes one user's trip: into Microsoft 365 and out of it again, or to
// the page that says why not.
func (d *Demo) checkUser(ctx context.Context, u directorytest.User) (string, error) {
	b := d.Browser()
	defer b.Close()
	upn := u.UPN
	if upn == "" {
		upn = u.SAM + "@" + federated
	}
	p, err := b.ToGateway(ctx, d.Cloud.URL(), upn, false)
	if err != nil {
		return "", err
	}
	name := ""
	if u.UPN == "" {
		name = d.Directory.NetBIOS + `\` + u.SAM
	}
	if p, err = b.Password(ctx, p, trip.English, name, u.Password); err != nil {
		return "", err
	}
	if want := expected(u); want != "" {
		if !strings.Contains(p.Text(), want) {
			return "", fmt.Errorf("the page says %q instead of %q", p.Heading(), want)
		}
		if _, ok := p.HandedOver(); ok {
			return "", errors.New("a token was given")
		}
		return "refused: " + want, nil
	}
	if p, err = b.HandOver(ctx, p); err != nil {
		return "", err
	}
	if err := signedInAs(p, upn); err != nil {
		return "", err
	}
	if err := d.checkSession(ctx, b, upn); err != nil {
		return "", fmt.Errorf("second visit: %w", err)
	}
	if err := d.checkSignOut(ctx, b, p, upn); err != nil {
		return "", fmt.Errorf("sign-out: %w", err)
	}
	return "signed in as " + p.ID("upn") + ", again without password, signed out", nil
}

func expected(u directorytest.User) string {
	if u.Data == 0 && u.UPN == "" {
		return "Your account is not set up for Microsoft 365"
	}
	return shown[u.Data]
}

// signedInAs reads the portal of the stand-in.
func signedInAs(p *trip.Page, upn string) error {
	if code := p.ID("code"); code != "" {
		return fmt.Errorf("Microsoft 365 refused the token: %s: %s", code, p.ID("why"))
	}
	if got := p.ID("upn"); got != upn {
		return fmt.Errorf("signed in as %q instead of %q (%d %q)", got, upn, p.Status, p.Heading())
	}
	if !strings.Contains(p.ID("state"), "signature verified") {
		return errors.New("the signature was not verified")
	}
	return nil
}

// checkSession visits again with the same browser: no password may be asked.
func (d *Demo) checkSession(ctx context.Context, b *trip.Browser, upn string) error {
	p, err := b.ToGateway(ctx, d.Cloud.URL(), upn, false)
	if err != nil {
		return err
	}
	if p.AsksPassword(trip.English) {
		return errors.New("the password is asked although there is a session")
	}
	if p, err = b.HandOver(ctx, p); err != nil {
		return err
	}
	return signedInAs(p, upn)
}

// checkSignOut signs out at Microsoft 365, loads what a browser would load, and
// makes sure that the session is gone.
func (d *Demo) checkSignOut(ctx context.Context, b *trip.Browser, portal *trip.Page, upn string) error {
	out, ok := portal.Link("Sign out")
	if !ok {
		return errors.New("the portal has no link to sign out")
	}
	d.signOut.Lock() // Microsoft 365 counts for everybody
	defer d.signOut.Unlock()
	before := d.Cloud.Cleanups()
	p, err := b.Open(ctx, out)
	if err != nil {
		return err
	}
	if p.Heading() != "You are signed out" {
		return fmt.Errorf("the page says %q", p.Heading())
	}
	for _, frame := range p.Frames() {
		if _, err := b.Open(ctx, frame); err != nil {
			return err
		}
	}
	if d.Cloud.Cleanups() != before+1 {
		return fmt.Errorf("Microsoft 365 was told %d times", d.Cloud.Cleanups()-before)
	}
	p, err = b.ToGateway(ctx, d.Cloud.URL(), upn, false)
	if err != nil {
		return err
	}
	if !p.AsksPassword(trip.English) {
		return errors.New("the session is still there")
	}
	return nil
}

func (d *Demo) checkWrongPassword(ctx context.Context) (string, error) {
	return d.refused(ctx, "alice@"+federated, "not "+d.Users[0].Password)
}

func (d *Demo) checkUnknown(ctx context.Context) (string, error) {
	return d.refused(ctx, "nobody@"+federated, "whatever-1")
}

func (d *Demo) refused(ctx context.Context, upn, password string) (string, error) {
	b := d.Browser()
	defer b.Close()
	p, err := b.ToGateway(ctx, d.Cloud.URL(), upn, false)
	if err != nil {
		return "", err
	}
	if p, err = b.Password(ctx, p, trip.English, "", password); err != nil {
		return "", err
	}
	if !strings.Contains(p.Text(), shown[0x52e]) {
		return "", fmt.Errorf("the page says %q", p.Heading())
	}
	return "refused: " + shown[0x52e], nil
}

// checkAgain asks for a fresh sign-in on top of a session.
func (d *Demo) checkAgain(ctx context.Context) (string, error) {
	b := d.Browser()
	defer b.Close()
	u := d.Users[0]
	for _, again := range []bool{false, true} {
		p, err := b.ToGateway(ctx, d.Cloud.URL(), u.UPN, again)
		if err != nil {
			return "", err
		}
		if p, err = b.Password(ctx, p, trip.English, "", u.Password); err != nil {
			return "", err
		}
		if p, err = b.HandOver(ctx, p); err != nil {
			return "", err
		}
		if err := signedInAs(p, u.UPN); err != nil {
			return "", err
		}
	}
	return "the password was asked again, the instant is new", nil
}

// checkTampered makes sure that the judge is awake.
func (d *Demo) checkTampered(ctx context.Context) (string, error) {
	b := d.Browser()
	defer b.Close()
	u := d.Users[0]
	p, err := b.ToGateway(ctx, d.Cloud.URL(), u.UPN, false)
	if err != nil {
		return "", err
	}
	if p, err = b.Password(ctx, p, trip.English, "", u.Password); err != nil {
		return "", err
	}
	f, ok := p.HandedOver()
	if !ok {
		return "", fmt.Errorf("no token: %q", p.Heading())
	}
	f.Fields.Set("wresult", strings.Replace(f.Fields.Get("wresult"), u.UPN, "bob@"+federated, 1))
	if p, err = b.Submit(ctx, f); err != nil {
		return "", err
	}
	if p.ID("code") != "AADSTS50006" {
		return "", fmt.Errorf("Microsoft 365 answered %q %q", p.ID("code"), p.Heading())
	}
	return "refused by the stand-in of Microsoft 365: AADSTS50006", nil
}
