package certs_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"sallyport/certs"
)

func TestC04_WholeRotationGoesByItselfAndNobodyIsRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a", "b")
	f.trust()
	first := f.nodes[0].Keys().Current()
	end := first.Certificate.NotAfter
	var staged, promoted, gone time.Time
	f.clock.Pass(300 * 24 * time.Hour)
	for f.clock.Now().Before(end.Add(24 * time.Hour)) {
		f.clock.Pass(halfDay)
		f.round()
		if f.clock.Now().YearDay()%5 == 0 {
			f.read() // a reader that is slow: every fifth day
		}
		l := f.ledger()
		if staged.IsZero() && l.Next() != nil {
			staged = f.clock.Now()
		}
		if promoted.IsZero() && f.nodes[1].Keys().Current().ID != first.ID {
			promoted = f.clock.Now()
		}
		if e, err := l.Find(first.ID); gone.IsZero() && err == nil && e.State == certs.Gone {
			gone = f.clock.Now()
		}
	}
	within := func(what string, at time.Time, before, least, most time.Duration) {
		t.Helper()
		if left := end.Sub(at) + before; at.IsZero() || left < least || left > most {
			t.Errorf("%s at %s, %s before the end", what, at, end.Sub(at))
		}
	}
	within("staged", staged, 0, 44*24*time.Hour, 45*24*time.Hour)
	within("promoted", promoted, 0, 19*24*time.Hour, 21*24*time.Hour)
	if d := gone.Sub(promoted); d < 24*time.Hour || d > 48*time.Hour {
		t.Errorf("the earlier key was listed for %s after it signed", d)
	}
	for _, n := range f.nodes {
		var actions []string
		for _, e := range n.events {
			actions = append(actions, e.Action)
		}
		if got := strings.Join(actions, " "); got != "staged promoted staged published promoted gone" {
			t.Errorf("%s's audit trail: %s", n.name, got)
		}
	}
}

// crash ends a "process" at the n-th step that it takes on the disk, and every one
// after.
type crash struct{ at, count int }

var errCrash = errors.New("the machine lost its power")

func (c *crash) hook(string) error {
	c.count++
	if c.count >= c.at {
		return errCrash
	}
	return nil
}

// A rotation that is cut off at any step on the disk goes on cleanly afterwards.
func TestCrashAtEveryStepContinuesCleanly(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, at int) (steps int) {
		f := newFleet(t)
		f.policy.Live = 240 * time.Hour // few reports, so that most steps belong to the rotation
		f.start("a")
		f.start("b")
		f.trust()
		first := f.nodes[0].Keys().Current().ID
		c := &crash{at: at}
		n := f.nodes[0]
		f.clock.Pass(n.Keys().Current().Certificate.NotAfter.Sub(f.clock.Now()) - 45*24*time.Hour)
		n.store.BeforeStep(c.hook)
		n.keys.Before = c.hook
		restarted := false
		for range 34 {
			f.round()
			f.read()
			if !restarted && c.count >= c.at { // the dead process comes back
				restarted = true
				f.start("a")
				f.round()
			}
			f.clock.Pass(2 * halfDay)
		}
		l := f.ledger()
		if s := l.Of(certs.Signing); s.ID == first {
			t.Errorf("crash at step %d: no rotation happened: %+v", at, f.nodes[1].Status().Troubles)
		}
		if e, err := l.Find(first); err != nil || e.State != certs.Gone {
			t.Errorf("crash at step %d: the first key is %v", at, e.State)
		}
		if next := l.Next(); next != nil {
			t.Errorf("crash at step %d: there is another key, %s", at, next.State)
		}
		for i := range l.Entries {
			_, err := f.nodes[0].keys.Open(t.Context(), l.Entries[i].Ref)
			if gone := l.Entries[i].State == certs.Gone; gone != errors.Is(err, certs.ErrNoKey) {
				t.Errorf("crash at step %d: the private key of a key that is %s: %v", at, l.Entries[i].State, err)
			}
		}
		if l.Lease != nil {
			t.Errorf("crash at step %d: a lease was left", at)
		}
		return c.count
	}
	total := run(t, 1<<30)
	if total < 40 {
		t.Fatalf("only %d steps on the disk; the test proves nothing", total)
	}
	step := 5
	if os.Getenv("SALLYPORT_LONG") == "1" { // deploy/testbed/run --long
		step = 1
	}
	for at := 1; at <= total; at += step {
		t.Run(fmt.Sprint("step ", at), func(t *testing.T) {
			t.Parallel()
			run(t, at)
		})
	}
	t.Logf("%d steps on the disk", total)
}

func TestC03_InstanceWithoutTheFleetsKeySaysWhich(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a", "b")
	f.trust()
	// b cannot read new keys from now on.
	h := f.hand()
	e, err := h.Stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	broken := f.nodes[1]
	must(t, f.nodes[0].Step(t.Context()))
	chmod(t, f.dir+"/"+e.Ref+".key", 0o644)
	_ = broken.Step(t.Context())
	must(t, f.nodes[0].Step(t.Context()))
	if _, err := h.Promote(t.Context(), "", true); !errors.Is(err, certs.ErrRefused) || !strings.Contains(err.Error(), "have not loaded it: b") {
		t.Fatalf("promotion, forced, with an instance that lacks the key: %v", err)
	}
	// The instance falls silent, so it does not count; the fleet goes on; it comes back.
	f.clock.Pass(41 * time.Hour)
	chmod(t, f.dir+"/"+e.Ref+".key", 0o600)
	must(t, f.nodes[0].Step(t.Context()))
	if _, err := h.Promote(t.Context(), "", true); err != nil {
		t.Fatal(err)
	}
	chmod(t, f.dir+"/"+e.Ref+".key", 0o644)
	f.clock.Pass(time.Minute)
	_ = broken.Step(t.Context())
	if got := broken.Lacking(); !strings.Contains(got, e.ID) || !strings.Contains(got, "0644") {
		t.Errorf("lacking: %q", got)
	}
	late := f.boot("c")
	if err := late.Start(t.Context()); err != nil {
		t.Errorf("an instance that has an earlier key does not come up: %v", err)
	}
	if got := late.Lacking(); !strings.Contains(got, e.ID) {
		t.Errorf("lacking: %q", got)
	}
	chmod(t, f.dir+"/"+e.Ref+".key", 0o600)
	must(t, broken.Step(t.Context()))
	if got := broken.Lacking(); got != "" || broken.Keys().Current().ID != e.ID {
		t.Errorf("still lacking: %q", got)
	}
}

func TestC05_EmergencyReplacesBothSlotsAndEveryKey(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a", "b")
	f.trust()
	old := f.nodes[0].Keys().Current()
	staged, err := f.hand().Stage(t.Context())
	must(t, err)
	f.round()
	begun := f.clock.Now()
	signs, standby, err := f.hand().Emergency(t.Context(), "laptop stolen")
	must(t, err)
	f.clock.Pass(5 * time.Second)
	f.reader = nil
	for range 2 {
		for _, n := range f.nodes {
			must(t, n.Step(t.Context()))
			must(t, n.Tell(t.Context()))
		}
	}
	if f.clock.Now().Sub(begun) > 5*time.Minute {
		t.Error("it takes longer than five minutes")
	}
	slots, err := f.domain.Slots(t.Context(), domainName)
	must(t, err)
	if slots.Current == nil || slots.Next == nil {
		t.Fatalf("a slot is empty: %v, %v", slots.Current, slots.Next)
	}
	if certs.Thumbprint(slots.Current) != signs.ID || certs.Thumbprint(slots.Next) != standby.ID {
		t.Errorf("slots hold %s and %s", certs.Thumbprint(slots.Current), certs.Thumbprint(slots.Next))
	}
	for _, n := range f.nodes {
		if n.Keys().Current().ID != signs.ID {
			t.Errorf("%s signs with %s", n.name, n.Keys().Current().ID)
		}
		for _, k := range n.Keys().Published() {
			if k.ID == old.ID || k.ID == staged.ID {
				t.Errorf("%s still lists %s", n.name, k.ID)
			}
		}
	}
	for _, id := range []string{old.ID, staged.ID} {
		e, err := f.ledger().Find(id)
		must(t, err)
		if _, err := f.nodes[0].keys.Open(t.Context(), e.Ref); !errors.Is(err, certs.ErrNoKey) {
			t.Errorf("the private key of %s: %v", id, err)
		}
		if _, err := f.hand().Promote(t.Context(), id, true); !errors.Is(err, certs.ErrRefused) {
			t.Errorf("promoting a stolen key: %v", err)
		}
	}
	if _, err := f.hand().Import(t.Context(), old.Signer, old.Certificate); !errors.Is(err, certs.ErrRefused) {
		t.Errorf("importing a stolen key: %v", err)
	}
	renewed := certificate(t, old.Signer, now, now.AddDate(1, 0, 0)) // the same key behind another certificate
	if _, err := f.hand().Import(t.Context(), old.Signer, renewed); !errors.Is(err, certs.ErrRefused) || !strings.Contains(err.Error(), "stolen") {
		t.Errorf("importing a stolen key under a new certificate: %v", err)
	}
	// The one that stands by waits for its time although it is known long since.
	for range 100 {
		f.clock.Pass(halfDay)
		for _, n := range f.nodes {
			must(t, n.Step(t.Context()))
			must(t, n.Tell(t.Context()))
		}
	}
	if f.nodes[0].Keys().Current().ID != signs.ID {
		t.Error("the standby key was promoted long before the other ends")
	}
}

// FuzzDecodeLedger: what is accepted comes back the same, and has one signing key.
func FuzzDecodeLedger(f *testing.F) {
	fl := newFleet(f, "a")
	data, err := certs.EncodeLedger(fl.ledger())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := certs.DecodeLedger(data)
		if err != nil {
			return
		}
		if l.Of(certs.Signing) == nil {
			t.Fatal("no signing key")
		}
		if _, err := x509.ParseCertificate(l.Of(certs.Signing).Certificate); err != nil {
			t.Fatal(err)
		}
		again, err := certs.EncodeLedger(l)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := certs.DecodeLedger(again); err != nil {
			t.Fatal(err)
		}
	})
}
