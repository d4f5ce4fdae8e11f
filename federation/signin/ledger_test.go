package signin_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"sallyport/authn/audit"
	"sallyport/federation"
	"sallyport/federation/signin"
)

// ledger is a responder whose requests are named by their Extra and answered once.
type ledger struct {
	*responder
	store *store
}

func (g *ledger) Named(req *federation.SignInRequest) bool { return req.Extra != "" }

func (g *ledger) Answered(ctx context.Context, req *federation.SignInRequest) error {
	if seen, err := g.store.Seen(ctx, "request", req.Extra); err != nil || !seen {
		return nil
	}
	return fmt.Errorf("request %s: %w", req.Extra, federation.ErrUsed)
}

func (g *ledger) Respond(ctx context.Context, req *federation.SignInRequest, sub *federation.Subject) (*federation.Answer, error) {
	if req.Extra != "" {
		if first, err := g.store.Once(ctx, "request", req.Extra, time.Hour); err == nil && !first {
			return nil, fmt.Errorf("request %s: %w", req.Extra, federation.ErrUsed)
		}
	}
	return g.responder.Respond(ctx, req, sub)
}

// newLedger is a lab whose requests are all named by *name.
func newLedger(t *testing.T, name *string) *lab {
	l := newLab(t, func(l *lab, cfg *signin.Config) {
		cfg.Responders["wsfed"] = &ledger{l.responder, l.store}
	})
	l.request = func(req *federation.SignInRequest) { req.Extra = *name }
	return l
}

// TestS05_NoPasswordForARequestThatWasAnswered: whoever has somebody's request, or
// comes back to an old one, is told so before a password is typed, by whatever way.
func TestS05_NoPasswordForARequestThatWasAnswered(t *testing.T) {
	name := "_1"
	l := newLedger(t, &name)
	b, stranger := l.browser(), l.browser()
	early := stranger.get(signInQuery) // a page from before
	early.wants(200, `name="password"`)
	b.get(signInQuery).wants(200, `name="password"`) // loaded twice
	if p := b.signIn("alice"); !p.isHandOver() {
		t.Fatalf("no token:\n%.800s", p.body)
	}
	refused := func(how string, p *page) {
		t.Helper()
		if p.status != 400 || !p.has("no longer valid") || p.has(`name="password"`) || p.isHandOver() {
			t.Errorf("%s: %d\n%.800s", how, p.status, p.body)
		}
		if p.has(`name="t"`) {
			t.Errorf("%s: what cannot be answered is offered again", how)
		}
	}
	asked := len(l.passwords.calls)
	refused("in another browser", stranger.get(signInQuery))
	refused("with a password wanted", stranger.get(signInQuery+"&wfresh=0"))
	refused("begun again", stranger.post("t", early.token(), "action", "again"))
	refused("as somebody else", stranger.post("t", early.token(), "action", "other"))
	if len(l.passwords.calls) != asked {
		t.Error("a password was judged")
	}
	if e := l.trail.find(audit.RequestRefused); len(e) != 4 || e[0].Reason != "stale" || e[0].Detail == "" || e[0].Party != federation.MicrosoftOnline {
		t.Errorf("audit: %+v", e)
	}
	b.get(signInQuery).wants(200, "This sign-in is already finished")
	b.get(signInQuery+"&wfresh=0").wants(200, "This sign-in is already finished")
	// The page that was there before ends at the mark, and its session with it.
	refused("an early page", stranger.post("t", early.token(), "username", "bob", "password", rightPassword))
	if n := l.responder.issued(); n != 1 {
		t.Errorf("%d tokens for one request", n)
	}
	name = "_2"
	stranger.get(signInQuery).wants(200, `name="password"`)
}

// A store that is down keeps nobody out.
func TestS05_NobodyCanSayWhetherARequestWasAnswered(t *testing.T) {
	name := "_1"
	l := newLedger(t, &name)
	l.store.setDown(true)
	if !l.browser().signIn("alice").isHandOver() {
		t.Error("no token without the store")
	}
}

// TestS05_LookingCostsNoFurtherRoundTrip: the mark of the request takes the place of the
// page's, so that a sign-in by password with replay protection is three round trips.
func TestS05_LookingCostsNoFurtherRoundTrip(t *testing.T) {
	name := "_1"
	l := newLedger(t, &name)
	b := l.browser()
	l.store.took()
	if !b.signIn("alice").isHandOver() {
		t.Fatal("no token")
	}
	if got := l.store.took(); !slices.Equal(got, []string{"Seen", "Create", "Once"}) {
		t.Errorf("password: %v", got)
	}
	name = "_2"
	if !b.get(signInQuery).isHandOver() {
		t.Fatal("no token")
	}
	if got := l.store.took(); !slices.Equal(got, []string{"Use", "Once"}) {
		t.Errorf("session: %v", got)
	}
	name = "" // a sign-in that begins here: its page is worth one token
	token := b.get(signInQuery + "&wfresh=0").token()
	for range 2 {
		b.post("t", token, "username", "alice", "password", rightPassword)
	}
	if n := l.responder.issued(); n != 3 {
		t.Errorf("%d tokens", n)
	}
}
