package sessiontest

import (
	"time"

	"sallyport/authn/session"
)

// revocations judges package session's revocations with the store under test: two
// instances that share it.
func (x *suite) revocations() {
	ctx := x.t.Context()
	instance := func() *session.Revocations {
		r, err := session.NewRevocations(session.RevocationsConfig{Notes: x.shared(), Now: x.Now})
		if err != nil {
			x.t.Fatal(err)
		}
		return r
	}
	here, there := instance(), instance()
	alice, bob := Example(1, x.Now()), Example(2, x.Now())
	x.create(alice)
	x.create(bob)
	want := func(what string, r *session.Revocations, s *session.Session, want bool) {
		x.t.Helper()
		if got, err := r.Revoked(ctx, s); err != nil || got != want {
			x.t.Errorf("%s: revoked %v, %v; want %v", what, got, err, want)
		}
	}
	want("before", here, alice, false)
	want("before, elsewhere", there, alice, false)
	if err := here.EndAll(ctx, alice.Account); err != nil {
		x.t.Fatal(err)
	}
	want("after", here, alice, true)
	want("another account", here, bob, false)
	x.Advance(x.t, 11*time.Second) // longer than five intervals
	want("elsewhere", there, alice, true)
	want("another account, elsewhere", there, bob, false)
	again := Example(1, x.Now())
	x.create(again)
	want("a later session", there, again, false)
	want("a later session, here", here, again, false)
	if err := there.EndAll(ctx, bob.Account); err != nil {
		x.t.Fatal(err)
	}
	want("the first revocation stays", there, alice, true)
	want("a second revocation", there, bob, true)
	x.s.Close()
	x.Advance(x.t, 11*time.Second)
	if got, err := here.Revoked(ctx, again); err == nil || got {
		x.t.Errorf("without a store: revoked %v, %v; want an error", got, err)
	}
}
