// Package sessiontest is the conformance suite of session stores: what a
// [session.Store] promises, as tests that every implementation runs.
package sessiontest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/authn"
	"sallyport/authn/session"
)

// Harness is one implementation under test.
type Harness struct {
	// Open returns an empty store with these lifetimes. The suite closes it.
	Open func(t *testing.T, l session.Lifetimes) session.Store
	// Advance moves the time that the store and its server go by.
	Advance func(t *testing.T, d time.Duration)
	// Now is the clock that the store goes by.
	Now func() time.Time
	// Slack is how far the server's clock may be from Now.
	Slack time.Duration
}

type suite struct {
	Harness
	t *testing.T
	s session.Store
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	tests := []struct {
		name string
		l    session.Lifetimes
		run  func(*suite)
	}{
		{"a created session is found as it was created", session.Lifetimes{}, (*suite).roundTrip},
		{"an id that was never made finds nothing", session.Lifetimes{}, (*suite).unknown},
		{"R03 every Create makes a new id", session.Lifetimes{}, (*suite).newIDs},
		{"R03 another kind of the same id finds nothing", session.Lifetimes{}, (*suite).otherKind},
		{"R05 an ended session stays ended", session.Lifetimes{}, (*suite).ended},
		{"R05 one sign-out ends one session", session.Lifetimes{}, (*suite).endsOne},
		{"R05 the absolute limit holds in spite of use", session.Lifetimes{Absolute: 4 * time.Hour, Idle: 3 * time.Hour}, (*suite).absolute},
		{"R05 the idle limit runs from the last use", session.Lifetimes{Absolute: 8 * time.Hour, Idle: 2 * time.Hour}, (*suite).idle},
		{"R05 Peek is no use", session.Lifetimes{Absolute: 8 * time.Hour, Idle: 2 * time.Hour}, (*suite).peekIsNoUse},
		{"R05 persistent sessions have limits of their own", session.Lifetimes{
			Absolute: 4 * time.Hour, Idle: 2 * time.Hour, PersistentAbsolute: 48 * time.Hour, PersistentIdle: 24 * time.Hour,
		}, (*suite).persistent},
		{"parties come back latest first and once each", session.Lifetimes{}, (*suite).parties},
		{"a new session has its parties", session.Lifetimes{}, (*suite).partiesOfNew},
		{"R10 parties do not grow without bound", session.Lifetimes{}, (*suite).partiesBound},
		{"R10 parties of a dead session are not kept", session.Lifetimes{}, (*suite).partiesOfDead},
		{"sessions cannot be mixed up under load", session.Lifetimes{}, (*suite).parallel},
		{"once is once", session.Lifetimes{}, (*suite).once},
		{"once is once in a race", session.Lifetimes{}, (*suite).onceRace},
		{"a note is shared until it ends", session.Lifetimes{}, (*suite).notes},
		{"one of many claims a note", session.Lifetimes{}, (*suite).notesRace},
		{"R05 all sessions of an account end at once, everywhere", session.Lifetimes{}, (*suite).revocations},
		{"S09 a link ends the sessions that it names", session.Lifetimes{}, (*suite).links},
		{"S09 links are bounded and end with their sessions", session.Lifetimes{Absolute: 4 * time.Hour}, (*suite).linksBound},
		{"a record that cannot be kept is refused", session.Lifetimes{}, (*suite).badRecords},
		{"a closed store is unavailable", session.Lifetimes{}, (*suite).closed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := h.Open(t, tt.l)
			defer s.Close()
			if err := s.Ping(t.Context()); err != nil {
				t.Fatalf("Ping: %v", err)
			}
			tt.run(&suite{Harness: h, t: t, s: s})
		})
	}
}

// Example returns a session of account number n, as a caller would give it to
// Create.
func Example(n byte, now time.Time) *session.Session {
	return &session.Session{
		Account:         authn.GUID{0xae, 0x4f, 0x1d, 0xf8, n, 0x7d, 0xd0, 0x11, 0xa7, 0x65, 0, 0xa0, 0xc9, 0x1e, 0x6b, 0xf6},
		Domain:          "corp.contoso.test",
		Method:          authn.MethodPassword,
		AuthenticatedAt: now.Add(-time.Second).UTC().Truncate(time.Millisecond),
		PwdLastSet:      134399898000000000 + int64(n),
	}
}

func (x *suite) create(s *session.Session) session.ID {
	x.t.Helper()
	id, err := x.s.Create(x.t.Context(), s)
	if err != nil {
		x.t.Fatalf("Create: %v", err)
	}
	return id
}

func (x *suite) live(what string, id session.ID) *session.Session {
	x.t.Helper()
	s, err := x.s.Use(x.t.Context(), id, "")
	if err != nil {
		x.t.Fatalf("%s: Use: %v", what, err)
	}
	return s
}

func (x *suite) dead(what string, id session.ID) {
	x.t.Helper()
	ctx := x.t.Context()
	if s, err := x.s.Use(ctx, id, "urn:party"); !errors.Is(err, session.ErrNone) || s != nil {
		x.t.Errorf("%s: Use = %v, %v; want none", what, s, err)
	}
	if s, err := x.s.Peek(ctx, id); !errors.Is(err, session.ErrNone) || s != nil {
		x.t.Errorf("%s: Peek = %v, %v; want none", what, s, err)
	}
	if p, err := x.s.End(ctx, id); !errors.Is(err, session.ErrNone) || p != nil {
		x.t.Errorf("%s: End = %v, %v; want none", what, p, err)
	}
}

func (x *suite) roundTrip() {
	for _, persistent := range []bool{false, true} {
		want := Example(1, x.Now())
		want.Persistent = persistent
		before := x.Now()
		id := x.create(want)
		if off := want.StartedAt.Sub(before); off < -time.Second || off > time.Second {
			x.t.Errorf("StartedAt is %v from now", off)
		}
		if want.Expires.Before(want.StartedAt.Add(time.Hour)) {
			x.t.Errorf("Expires %v, started %v", want.Expires, want.StartedAt)
		}
		got := x.live("fresh", id)
		if d := cmp.Diff(want, got); d != "" {
			x.t.Errorf("Use (-want +got):\n%s", d)
		}
		got.Account = authn.GUID{9} // a caller's change must not reach the store
		peeked, err := x.s.Peek(x.t.Context(), id)
		if err != nil {
			x.t.Fatal(err)
		}
		if d := cmp.Diff(want, peeked); d != "" {
			x.t.Errorf("Peek (-want +got):\n%s", d)
		}
		parsed, err := session.ParseID(id.Cookie())
		if err != nil || parsed != id || id.Persistent() != persistent {
			x.t.Errorf("cookie does not lead back to the id: %v", err)
		}
	}
}

func (x *suite) unknown() {
	x.create(Example(1, x.Now()))
	x.dead("random id", session.NewID(false))
	x.dead("random persistent id", session.NewID(true))
	x.dead("zero id", session.ID{})
}

func (x *suite) newIDs() {
	seen := map[session.ID]bool{}
	s := Example(1, x.Now())
	for range 50 {
		id := x.create(s)
		if seen[id] || id.IsZero() {
			x.t.Fatal("id repeated or zero")
		}
		seen[id] = true
	}
}

func (x *suite) otherKind() {
	id := x.create(Example(1, x.Now()))
	id[31] ^= 1
	x.dead("id with the kind changed", id)
	id[31] ^= 1
	x.live("the id itself", id)
	id[0] ^= 0x80
	x.dead("id with one bit changed", id)
}

func (x *suite) ended() {
	id := x.create(Example(1, x.Now()))
	x.live("before", id)
	if _, err := x.s.End(x.t.Context(), id); err != nil {
		x.t.Fatalf("End: %v", err)
	}
	x.dead("after End", id)
	x.Advance(x.t, time.Hour)
	x.dead("an hour later", id)
}

func (x *suite) endsOne() {
	one, two := x.create(Example(1, x.Now())), x.create(Example(1, x.Now()))
	if _, err := x.s.End(x.t.Context(), one); err != nil {
		x.t.Fatal(err)
	}
	x.dead("the ended one", one)
	x.live("the other session of the same person", two)
}

func (x *suite) absolute() {
	id := x.create(Example(1, x.Now()))
	for range 3 {
		x.Advance(x.t, 78*time.Minute)
		x.live("within the limit", id)
	}
	x.Advance(x.t, 7*time.Minute)
	x.dead("past the absolute limit", id)
}

func (x *suite) idle() {
	id := x.create(Example(1, x.Now()))
	x.Advance(x.t, 110*time.Minute)
	x.live("just within", id)
	x.Advance(x.t, 110*time.Minute)
	x.live("just within again", id)
	x.Advance(x.t, 121*time.Minute)
	x.dead("past the idle limit", id)
}

func (x *suite) peekIsNoUse() {
	id := x.create(Example(1, x.Now()))
	x.Advance(x.t, 110*time.Minute)
	if _, err := x.s.Peek(x.t.Context(), id); err != nil {
		x.t.Fatal(err)
	}
	x.Advance(x.t, 20*time.Minute)
	x.dead("idle although peeked at", id)
}

func (x *suite) persistent() {
	s := Example(1, x.Now())
	s.Persistent = true
	id, plain := x.create(s), x.create(Example(1, x.Now()))
	x.Advance(x.t, 23*time.Hour)
	x.dead("the plain one", plain)
	if got := x.live("the persistent one", id); !got.Persistent {
		x.t.Error("Persistent was lost")
	}
	x.Advance(x.t, 23*time.Hour)
	x.live("the persistent one, used a day ago", id)
	x.Advance(x.t, 2*time.Hour+time.Minute)
	x.dead("past the persistent absolute limit", id)
}

func (x *suite) parallel() {
	const people, uses = 20, 20
	ids := make([]session.ID, people)
	for n := range ids {
		ids[n] = x.create(Example(byte(n), x.Now()))
	}
	var wg sync.WaitGroup
	for n, id := range ids {
		wg.Go(func() {
			for range uses {
				s, err := x.s.Use(x.t.Context(), id, "urn:a")
				if err != nil || s.Account[4] != byte(n) {
					x.t.Errorf("session of %d: %v, %v", n, s, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func (x *suite) badRecords() {
	bad := []func(*session.Session){
		func(s *session.Session) { s.Account = authn.GUID{} },
		func(s *session.Session) { s.Domain = "" },
		func(s *session.Session) { s.Domain = string(make([]byte, 200)) },
		func(s *session.Session) { s.Method = authn.MethodNone },
	}
	for i, spoil := range bad {
		s := Example(1, x.Now())
		spoil(s)
		if id, err := x.s.Create(x.t.Context(), s); err == nil || !id.IsZero() {
			x.t.Errorf("record %d was accepted", i)
		}
	}
}

func (x *suite) closed() {
	id := x.create(Example(1, x.Now()))
	x.s.Close()
	ctx := context.WithoutCancel(x.t.Context())
	_, useErr := x.s.Use(ctx, id, "")
	_, createErr := x.s.Create(ctx, Example(1, x.Now()))
	_, onceErr := x.s.Once(ctx, "p", "k", time.Minute)
	_, _, claimErr := x.shared().Claim(ctx, "p", "k", "?", time.Minute)
	amendErr := x.shared().Amend(ctx, "p", "k", "?", time.Minute)
	_, noteErr := x.shared().Note(ctx, "p", "k")
	for _, err := range []error{useErr, createErr, onceErr, claimErr, amendErr, noteErr, x.s.Ping(ctx)} {
		if !errors.Is(err, session.ErrUnavailable) {
			x.t.Errorf("after Close: %v, want unavailable", err)
		}
	}
	x.s.Close() // twice is harmless
}
