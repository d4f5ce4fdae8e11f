package certs_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/certs/certstest"
	"sallyport/certs/keystore"
)

// policy is the default but for instances, which in these tests report rarely.
var policy = certs.Policy{Live: 40 * time.Hour, RetireFor: 24 * time.Hour}

// node is one instance of a fleet.
type node struct {
	*certs.Manager
	name   string
	store  *certs.DirStore
	keys   *certstest.Keys
	events []certs.Event
}

// fleet is instances that share a directory, with the parties around them.
type fleet struct {
	t       testing.TB
	dir     string
	clock   *certstest.Clock
	domain  *certstest.Domain
	parties []certs.Party
	policy  certs.Policy
	nodes   []*node
	// reader is a party that reads metadata on its own: what it held last.
	reader []*certs.Key
}

const domainName = "contoso.test"

func newFleet(t testing.TB, names ...string) *fleet {
	t.Helper()
	f := &fleet{
		t: t, dir: privateDir(t), clock: certstest.NewClock(now), domain: certstest.NewDomain(), policy: policy,
		parties: []certs.Party{{Key: domainName, Pushed: true}, {Key: "wiki"}},
	}
	for _, n := range names {
		f.start(n)
	}
	return f
}

// boot makes an instance without starting it.
func (f *fleet) boot(name string) *node {
	f.t.Helper()
	n := &node{name: name, store: certs.NewDirStore(f.dir), keys: &certstest.Keys{KeyStore: keystore.NewFiles(f.dir, nil)}}
	n.store.SetNow(func() time.Time { return time.Now().Add(2 * time.Hour) }) // so that versions are pruned
	m, err := certs.NewManager(certs.ManagerConfig{
		Store: n.store, Keys: n.keys, Instance: name, Policy: f.policy, Host: "sts.contoso.test",
		Parties: func() []certs.Party { return f.parties }, Trust: f.domain, Prove: certstest.Accepts,
		Apply:    func(*certs.Key, []*certs.Key) error { return nil },
		Audit:    func(_ context.Context, e certs.Event) error { n.events = append(n.events, e); return nil },
		Generate: true, Now: f.clock.Now, Steady: f.clock.Steady,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	n.Manager = m
	return n
}

// start boots an instance and puts it into the fleet, in the place of one of its
// name.
func (f *fleet) start(name string) *node {
	f.t.Helper()
	n := f.boot(name)
	if err := n.Start(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.nodes = append(slices.DeleteFunc(f.nodes, func(o *node) bool { return o.name == name }), n)
	return n
}

// round lets every instance step once, and the parties look.
func (f *fleet) round() {
	f.t.Helper()
	for range 2 { // what one instance changes the others see the next time
		for _, n := range f.nodes {
			_ = n.Step(f.t.Context())
			_ = n.Tell(f.t.Context())
		}
		f.clock.Pass(20 * time.Second)
	}
	f.judge()
}

// judge is what must hold at every moment: each instance signs with a key that every
// party accepts and every instance lists.
func (f *fleet) judge() {
	f.t.Helper()
	for _, n := range f.nodes {
		signs := n.Keys().Current()
		if slots, _ := f.domain.Slots(f.t.Context(), domainName); slots.Current != nil && !f.domain.Holds(domainName, signs.Certificate) {
			f.t.Fatalf("%s: %s signs with %s, which %s does not hold", f.clock.Now(), n.name, signs.ID, domainName)
		}
		if f.reader != nil && !slices.ContainsFunc(f.reader, func(k *certs.Key) bool { return k.ID == signs.ID }) {
			f.t.Fatalf("%s: %s signs with %s, which a reader of metadata does not hold", f.clock.Now(), n.name, signs.ID)
		}
		for _, o := range f.nodes {
			if !slices.ContainsFunc(o.Keys().Published(), func(k *certs.Key) bool { return k.ID == signs.ID }) {
				f.t.Fatalf("%s: %s signs with %s, which %s does not list", f.clock.Now(), n.name, signs.ID, o.name)
			}
		}
	}
}

// read lets the reader read the metadata of one instance.
func (f *fleet) read() { f.reader = f.nodes[0].Keys().Published() }

func (f *fleet) ledger() *certs.Ledger {
	f.t.Helper()
	l, err := certs.NewDirStore(f.dir).Load(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}

func (f *fleet) trust() {
	f.domain.Set(domainName, certs.Slots{Current: f.nodes[0].Keys().Current().Certificate})
	f.read()
}

func (f *fleet) hand() *certs.Hand {
	return &certs.Hand{
		Store: certs.NewDirStore(f.dir), Keys: &certstest.Keys{KeyStore: keystore.NewFiles(f.dir, nil)}, Policy: f.policy, Parties: f.parties,
		Host: "sts.contoso.test", By: "alice@admin", Now: f.clock.Now,
	}
}

const halfDay = 12 * time.Hour

func TestC04_WholeRotationGoesByItselfAndNobodyIsRefused(t *testing.T) {
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
		run(t, at)
	}
	t.Logf("%d steps on the disk", total)
}

func TestPartyThatIsNotProvedIsWaitedForAndNamed(t *testing.T) {
	f := newFleet(t, "a")
	f.trust()
	first := f.nodes[0].Keys().Current()
	f.domain.Fail(errors.New("503 from Graph"))
	for f.clock.Now().Before(first.Certificate.NotAfter.Add(-14 * 24 * time.Hour)) {
		f.clock.Pass(halfDay)
		f.nodes[0].Step(t.Context()) //nolint:errcheck // shows in the status
		f.nodes[0].Tell(t.Context()) //nolint:errcheck
	}
	if f.nodes[0].Keys().Current().ID != first.ID {
		t.Fatal("promoted without a proof")
	}
	s := f.nodes[0].Status()
	if !strings.Contains(s.Alarm, domainName) || !strings.Contains(s.Alarm, "in 14 days") {
		t.Errorf("alarm: %q", s.Alarm)
	}
	if got := strings.Join(s.Troubles, "\n"); !strings.Contains(got, "503 from Graph") {
		t.Errorf("troubles: %s", got)
	}
	if _, err := f.hand().Promote(t.Context(), "", false); !errors.Is(err, certs.ErrRefused) || !strings.Contains(err.Error(), domainName) {
		t.Errorf("by hand: %v", err)
	}
	f.domain.Fail(nil)
	f.read()
	f.round()
	if f.nodes[0].Keys().Current().ID == first.ID {
		t.Error("not promoted although the proof stands")
	}
}

func TestDomainOfSomebodyElseIsLeftAlone(t *testing.T) {
	f := newFleet(t, "a")
	foreign := certificate(t, keyOf(t, "foreign", 2048), now, now.AddDate(1, 0, 0))
	f.domain.Set(domainName, certs.Slots{Current: foreign})
	if err := f.nodes[0].Tell(t.Context()); err == nil || !strings.Contains(err.Error(), "none of this service's") {
		t.Errorf("%v", err)
	}
	if f.domain.Pushes() != 0 {
		t.Error("a domain that trusts another service was changed")
	}
}

func TestC03_InstanceWithoutTheFleetsKeySaysWhich(t *testing.T) {
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

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestC05_EmergencyReplacesBothSlotsAndEveryKey(t *testing.T) {
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

func TestC07_ClockThatJumpsMovesNobody(t *testing.T) {
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
	for range 5 { // there and back again, many times
		f.clock.Jump(30 * 24 * time.Hour)
		f.round()
		f.clock.Jump(-30 * 24 * time.Hour)
		f.round()
	}
	if e := f.ledger().Next(); e == nil || time.Duration(e.Exposed) > time.Hour {
		t.Errorf("%+v", e)
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

func TestInstanceWithAnotherClockIsNamed(t *testing.T) {
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

func TestTwoAdminsAtOnceMakeOneKey(t *testing.T) {
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

func TestSwapLosesAgainstWhoeverWasFirst(t *testing.T) {
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
}

func TestC23_PartyWithOneCertificateIsPromotedByHandOnly(t *testing.T) {
	f := newFleet(t, "a")
	f.trust()
	f.parties = append(f.parties, certs.Party{Key: "legacy", Single: true})
	first := f.nodes[0].Keys().Current()
	for f.clock.Now().Before(first.Certificate.NotAfter.Add(-24 * time.Hour)) {
		f.clock.Pass(halfDay)
		f.round()
		f.read()
	}
	if f.nodes[0].Keys().Current().ID != first.ID {
		t.Fatal("promoted by itself")
	}
	if s := f.nodes[0].Status(); !strings.Contains(s.Alarm, "legacy holds one certificate only") {
		t.Errorf("alarm: %s", s.Alarm)
	}
	must(t, f.hand().Told(t.Context(), f.ledger().Next().ID, "legacy"))
	if _, err := f.hand().Promote(t.Context(), "", false); err != nil {
		t.Error(err)
	}
}

func TestManualModeDoesNothingByItself(t *testing.T) {
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
	f := newFleet(t, "a")
	must(t, f.nodes[0].Step(t.Context()))
	name := fmt.Sprintf("%s/ledger-%012d.json", f.dir, f.ledger().Version)
	write(t, name, []byte("{"), 0o600)
	_, err := certs.NewDirStore(f.dir).Load(t.Context())
	if err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("%v", err)
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
