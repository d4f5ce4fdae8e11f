package certs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/certs"
	"sallyport/certs/certstest"
	"sallyport/certs/keystore"
)

func TestC07_ClockThatJumpsMovesNobody(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a")
	f.trust()
	n := f.nodes[0]
	first := n.Keys().Current()
	// A year ahead at once: nothing is made.
	f.clock.Jump(340 * 24 * time.Hour)
	_ = n.Step(t.Context())
	if f.ledger().Next() != nil {
		t.Fatal("a key was made because the clock jumped")
	}
	if got := strings.Join(n.Status().Troubles, "\n"); !strings.Contains(got, "the clock jumped") {
		t.Errorf("troubles: %s", got)
	}
	f.clock.Jump(-340 * 24 * time.Hour)
	_ = n.Step(t.Context())
	// A staged key gets no older by a jump.
	if _, err := f.hand().Stage(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.round()
	report := f.policy.WithDefaults().Live / 3 // when a report is due, which adds up the time
	for range 5 {                              // there and back again, many times
		f.clock.Jump(30 * 24 * time.Hour)
		f.clock.Pass(report)
		f.round()
		f.clock.Jump(-30 * 24 * time.Hour)
		f.round()
	}
	if e := f.ledger().Next(); e == nil {
		t.Error("the staged key is gone")
	} else if most := 5*report + time.Hour; time.Duration(e.Exposed) > most {
		t.Errorf("the staged key is counted as %v old, at most %v have passed", time.Duration(e.Exposed), most)
	}
	if n.Keys().Current().ID != first.ID {
		t.Error("promoted because the clock jumped")
	}
	// After a promotion, a clock that goes back brings no earlier key back.
	f.read()
	e, err := f.hand().Promote(t.Context(), "", true)
	must(t, err)
	f.round()
	f.round()
	f.clock.Jump(-time.Hour)
	must(t, n.Step(t.Context()))
	if n.Keys().Current().ID != e.ID {
		t.Error("went back to the earlier key")
	}
}

// A clock that is set back is noticed like one that is put forward; what has been
// counted stays counted, and nobody signs with an earlier key.
func TestC07_ClockThatGoesBackIsNoticedAndUndoesNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a")
	f.trust()
	n := f.nodes[0]
	if _, err := f.hand().Stage(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		f.round()
		f.clock.Pass(halfDay)
	}
	before := *f.ledger().Next()
	if before.State != certs.Published || before.Exposed == 0 || len(n.Status().Troubles) > 0 {
		t.Fatalf("%s, counted %v, troubles %v", before.State, time.Duration(before.Exposed), n.Status().Troubles)
	}
	f.clock.Jump(-10 * 24 * time.Hour)
	must(t, n.Step(t.Context()))
	if got := strings.Join(n.Status().Troubles, "\n"); !strings.Contains(got, "the clock jumped") {
		t.Errorf("troubles: %q", got)
	}
	f.clock.Pass(halfDay)
	f.round()
	if e := f.ledger().Next(); e == nil || e.ID != before.ID || e.State != certs.Published || e.Exposed < before.Exposed {
		t.Errorf("before %v, after %+v", time.Duration(before.Exposed), e)
	}
}

func TestInstanceWithAnotherClockIsNamed(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a", "b")
	must(t, f.nodes[0].Step(t.Context()))
	ahead := certstest.NewClock(f.clock.Now().Add(20 * time.Minute))
	n := &node{name: "c", store: certs.NewDirStore(f.dir), keys: &certstest.Keys{KeyStore: keystore.NewFiles(f.dir, nil)}}
	m, err := certs.NewManager(certs.ManagerConfig{
		Store: n.store, Keys: n.keys, Instance: "c", Policy: f.policy, Now: ahead.Now, Steady: f.clock.Steady,
		Apply: func(*certs.Key, []*certs.Key) error { return nil },
	})
	must(t, err)
	must(t, m.Start(t.Context()))
	for range 3 {
		must(t, m.Step(t.Context()))
		must(t, f.nodes[0].Step(t.Context()))
		f.clock.Pass(14 * time.Hour)
		ahead.Pass(14 * time.Hour)
	}
	must(t, f.nodes[0].Step(t.Context()))
	if got := strings.Join(f.nodes[0].Status().Troubles, "\n"); !strings.Contains(got, "that of c") {
		t.Errorf("troubles: %s", got)
	}
}

// A report that could not be read while the store was away is old, and nobody's clock is
// wrong.
func TestOutageOfTheStoreIsNoWrongClock(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a", "b")
	f.trust()
	f.round()
	f.clock.Pass(20 * time.Hour)
	must(t, f.nodes[1].Step(t.Context())) // b reports, and a does not see it before the outage
	f.clock.Pass(time.Hour)
	must(t, f.nodes[0].Step(t.Context()))
	must(t, f.nodes[0].Step(t.Context()))
	if s := f.nodes[0].Status(); len(s.Troubles) > 0 {
		t.Errorf("%q", s.Troubles)
	}
}

func TestO01_TwoAdminsAtOnceMakeOneKey(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a")
	hands := []*certs.Hand{f.hand(), f.hand()}
	hands[1].By = "bob@admin"
	errs := make(chan error, 2)
	for _, h := range hands {
		go func() { _, err := h.Stage(context.Background()); errs <- err }()
	}
	var refused int
	for range 2 {
		if err := <-errs; errors.Is(err, certs.ErrRefused) {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	if refused != 1 {
		t.Errorf("%d of 2 were refused", refused)
	}
	n := 0
	for _, e := range f.ledger().Entries {
		if e.State == certs.Staged {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d staged keys", n)
	}
}

func TestO01_SwapLosesAgainstWhoeverWasFirst(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a")
	l := f.ledger()
	mine, theirs := *l, *l
	mine.Version++
	theirs.Version++
	theirs.Tick = theirs.Tick.Add(time.Second)
	s := certs.NewDirStore(f.dir)
	s.BeforeStep(func(step string) error {
		if step != "link" {
			return nil
		}
		return certs.NewDirStore(f.dir).Swap(t.Context(), &theirs) // in the last moment
	})
	if err := s.Swap(t.Context(), &mine); !errors.Is(err, certs.ErrConflict) {
		t.Errorf("%v", err)
	}
	if got := f.ledger(); !got.Tick.Equal(theirs.Tick) {
		t.Error("the first one's ledger was replaced")
	}
	stale := *l // somebody who read long ago
	if err := certs.NewDirStore(f.dir).Swap(t.Context(), &stale); !errors.Is(err, certs.ErrConflict) {
		t.Errorf("an old version: %v", err)
	}
	ahead := *l // it leaves out what others changed in between
	ahead.Version += 5
	if err := certs.NewDirStore(f.dir).Swap(t.Context(), &ahead); !errors.Is(err, certs.ErrConflict) {
		t.Errorf("a version that does not follow: %v", err)
	}
}

func TestC06_ExpiredKeyIsNotPromotedEvenByForce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a")
	h := f.hand()
	staged, err := h.Stage(t.Context())
	must(t, err)
	f.round()
	cert, err := staged.X509()
	must(t, err)
	h.Now = func() time.Time { return cert.NotAfter.Add(time.Second) }
	if _, err := h.Promote(t.Context(), "", true); !errors.Is(err, certs.ErrRefused) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("after its end: %v", err)
	}
	h.Now = func() time.Time { return cert.NotBefore.Add(-time.Second) }
	if _, err := h.Promote(t.Context(), "", true); !errors.Is(err, certs.ErrRefused) || !strings.Contains(err.Error(), "valid only from") {
		t.Errorf("before its beginning: %v", err)
	}
	h.Now = f.clock.Now
	if _, err := h.Promote(t.Context(), "", true); err != nil {
		t.Errorf("in its time: %v", err)
	}
}

func TestO01_EveryInstanceRecordsWhoChangedAKey(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a", "b")
	h := f.hand()
	staged, err := h.Stage(t.Context())
	must(t, err)
	must(t, h.Told(t.Context(), staged.ID, "wiki"))
	f.round()
	first := f.ledger().Of(certs.Signing).ID
	_, err = h.Promote(t.Context(), "", true)
	must(t, err)
	next, err := h.Stage(t.Context())
	must(t, err)
	_, err = h.Retire(t.Context(), next.ID)
	must(t, err)
	signs, standby, err := h.Emergency(t.Context(), "laptop stolen")
	must(t, err)
	for range 2 {
		for _, n := range f.nodes {
			must(t, n.Step(t.Context()))
		}
	}
	want := []certs.Event{
		{Action: certs.ActionStaged, ID: staged.ID},
		{Action: certs.ActionTold, ID: staged.ID, Detail: "wiki"},
		{Action: certs.ActionPromoted, ID: staged.ID, Detail: "in the place of " + first + ", forced"},
		{Action: certs.ActionStaged, ID: next.ID},
		{Action: certs.ActionDiscarded, ID: next.ID, Detail: "was staged"},
		{Action: certs.ActionEmergency, ID: signs.ID, Detail: "laptop stolen"},
		{Action: certs.ActionDiscarded, ID: first, Detail: "given up for stolen, was retired"},
		{Action: certs.ActionDiscarded, ID: staged.ID, Detail: "given up for stolen, was signing"},
		{Action: certs.ActionStaged, ID: standby.ID, Detail: "stands by"},
	}
	for _, n := range f.nodes {
		var got []certs.Event
		for _, e := range n.events {
			if e.By == "alice@admin" {
				got = append(got, certs.Event{Action: e.Action, ID: e.ID, Detail: e.Detail})
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got): %s", n.name, diff)
		}
	}
}

func TestManualModeDoesNothingByItself(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.policy.Manual = true
	f.start("a")
	f.trust()
	first := f.nodes[0].Keys().Current()
	for range 75 {
		f.clock.Pass(10 * halfDay)
		f.round()
	}
	if f.ledger().Next() != nil || f.nodes[0].Keys().Current().ID != first.ID {
		t.Error("something happened")
	}
	if s := f.nodes[0].Status(); !strings.Contains(s.Alarm, "sallyport certs stage") {
		t.Errorf("alarm: %s", s.Alarm)
	}
}

func TestOldLedgerIsNotTakenForTheNewOne(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a")
	f.trust()
	_, err := f.hand().Stage(t.Context())
	must(t, err)
	f.round()
	v := f.ledger().Version
	must(t, removeFile(f.dir, fmt.Sprintf("ledger-%012d.json", v)))
	if err := f.nodes[0].Step(t.Context()); err == nil || !strings.Contains(err.Error(), "went back") {
		t.Errorf("%v", err)
	}
}

func TestDamagedLedgerIsNamedAndNotPassedOver(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a")
	must(t, f.nodes[0].Step(t.Context()))
	name := fmt.Sprintf("%s/ledger-%012d.json", f.dir, f.ledger().Version)
	write(t, name, []byte("{"), 0o600)
	_, err := certs.NewDirStore(f.dir).Load(t.Context())
	if err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("%v", err)
	}
}
