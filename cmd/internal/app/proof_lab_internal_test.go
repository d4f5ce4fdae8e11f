package app

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/certs"
)

const aDay = 24 * time.Hour

// died reports whether a death may have cut an answer off.
func (v *village) died() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.deaths > 0
}

// leap puts the clock forward while nobody is in the middle of a sign-in, and lets both
// instances see it.
func (v *village) leap(d time.Duration) {
	v.t.Helper()
	v.world.Lock()
	defer v.world.Unlock()
	for _, part := range []time.Duration{d, 2 * time.Hour} { // after the second one no clock is taken for a wrong one
		v.clock.Pass(v.t, part)
		for _, n := range v.all {
			_ = n.manager.Step(v.t.Context())
		}
	}
}

// day is some days: what is due happens while people sign in. mend repairs what a step
// broke and reports whether it had to; the day then goes on.
func (v *village) day(d time.Duration, mend func() bool) {
	v.t.Helper()
	v.leap(d)
	morning := v.counts()
	for calm := 0; calm < 3; calm++ {
		before := v.counts()
		for _, n := range v.all {
			_ = n.manager.Step(v.t.Context())
			_ = n.manager.Tell(v.t.Context())
		}
		v.clock.Pass(v.t, 20*time.Second)
		v.eventually("people sign in at Microsoft 365", func() bool { return v.moved(before, v.clients[:2]) })
		if mend() {
			calm--
		}
	}
	v.eventually("everybody signs in", func() bool { return v.moved(morning, v.clients) })
	v.poll()
}

func (v *village) counts() (list []int64) {
	for _, c := range v.clients {
		list = append(list, c.done.Load())
	}
	return list
}

// moved reports whether every client that must not fail has signed somebody in since.
func (v *village) moved(before []int64, clients []*client) bool {
	for i, c := range clients {
		if c.done.Load() <= before[i] && !c.lenient.Load() {
			return false
		}
	}
	return true
}

// over reports whether the first certificate is gone and no instance signs with it.
func (v *village) over() bool {
	e, err := v.ledger().Find(certs.Thumbprint(v.first))
	return err == nil && e.State == certs.Gone
}

// rotate goes from 46 days before the end of the first certificate until the next one
// signs alone, everywhere; mishaps take their time.
func (v *village) rotate(mend func() bool) {
	v.t.Helper()
	for _, days := range []time.Duration{1, 3, 3, 4, 4, 4, 3, 2, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1} { // 42
		if v.over() {
			break
		}
		v.day(days*aDay, mend)
	}
	v.day(aDay, mend)
	l := v.ledger()
	signs := l.Of(certs.Signing)
	old, err := l.Find(certs.Thumbprint(v.first))
	if err != nil || signs.ID == old.ID || old.State != certs.Gone || l.Next() != nil || l.Lease != nil {
		for _, e := range l.Entries {
			v.t.Logf("%s %s since %s, known to %v", e.ID, e.State, e.Since, e.Knows)
		}
		v.t.Fatalf("the rotation is not over: %v, troubles %v", err, v.all[0].manager.Status().Troubles)
	}
	for _, n := range v.all {
		if got := n.SigningCertificates()[0].ID; got != signs.ID {
			v.t.Errorf("%s signs with %s", n.name, got)
		}
	}
	for _, domain := range []string{"contoso.test", "fabrikam.test"} {
		if held, err := heldAt(v.graph, domain); err != nil || certs.Thumbprint(held.Current) != signs.ID {
			v.t.Errorf("%s: %v, Microsoft holds %s", domain, err, certs.Thumbprint(held.Current))
		}
	}
	for _, c := range v.clients {
		v.t.Logf("%s: %d sign-ins, %d of them at the second try", c.name, c.done.Load(), c.again.Load())
		if c.done.Load() < 12 {
			v.t.Errorf("only %d sign-ins at %s", c.done.Load(), c.name)
		}
	}
	if v.polled == 0 {
		v.t.Error("the Microsoft that polls has not polled")
	}
}

// calm is a day on which nothing breaks.
func calm() bool { return false }

func TestC04_RotationBehindHAProxyFailsNoSignIn(t *testing.T) {
	v := newVillage(t)
	v.work()
	v.rotate(calm)
	t.Run("TestC05_EmergencyOnTwoRunningInstancesTakesMinutes", v.emergency)
}

// emergency replaces all keys of the running fleet, in minutes: both instances sign
// with the new key, Microsoft holds both new certificates, the stolen key is good for
// nothing.
func (v *village) emergency(t *testing.T) {
	for _, c := range v.clients { // nobody knows the new keys before
		c.lenient.Store(true)
	}
	stolen := v.all[0].inForceNow()[0]
	begun := time.Now()
	signs, standby, err := (&certs.Hand{
		Store: v.all[0].mains, Keys: v.all[0].mains, Host: "sts.contoso.test", By: "alice@admin", Now: v.clock.Now,
	}).Emergency(t.Context(), "drill")
	if err != nil {
		t.Fatal(err)
	}
	v.eventually("both instances sign with the new key", func() bool {
		return v.all[0].SigningCertificates()[0].ID == signs.ID && v.all[1].SigningCertificates()[0].ID == signs.ID
	})
	v.eventually("Microsoft holds both new certificates", func() bool {
		held, err := heldAt(v.graph, "fabrikam.test")
		return err == nil && certs.Thumbprint(held.Current) == signs.ID && held.Next != nil && certs.Thumbprint(held.Next) == standby.ID
	})
	v.eventually("the party has refreshed", func() bool { return len(v.foreign()) > 0 && !slices.Contains(v.foreign(), text64(stolen.Certificate)) })
	took := time.Since(begun)
	t.Logf("everything replaced after %s", took.Round(time.Millisecond))
	if took > 5*time.Minute {
		t.Errorf("it took %s", took)
	}
	v.leap(time.Minute)
	for _, c := range v.clients[1:] {
		c.lenient.Store(false)
	}
	before := v.counts()
	v.eventually("people sign in with the new key", func() bool { return v.moved(before, v.clients) })
	token, err := probe(t.Context(), v.all[0].cfg, "fabrikam.test", stolen, v.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := v.judge("fabrikam.test", token, "sallyport-proof@fabrikam.test"); err == nil || !strings.Contains(err.Error(), "is in no slot") {
		t.Errorf("a token of the stolen key: %v", err)
	}
	for _, n := range v.all {
		if _, err := n.mains.Open(t.Context(), v.ref(stolen.ID)); err == nil {
			t.Errorf("%s has the stolen key still", n.name)
		}
	}
}

// mishaps are what breaks: each step of the rotation meets one, at its first occurrence.
// Its fields are guarded by the village's mu.
type mishaps struct {
	met    []string
	broken bool
}

// meets reports whether something breaks at this step.
func (m *mishaps) meets(step string) bool {
	if m.broken || slices.Contains(m.met, step) {
		return false
	}
	before, _ := strings.CutPrefix(step, "before ")
	if before == step && os.Getenv("SALLYPORT_LONG") != "1" && step != "after "+certs.ActionPromoted {
		return false
	}
	m.met, m.broken = append(m.met, step), true
	return true
}

// TestC04_InstanceKilledAtEveryStepBehindHAProxy kills an instance at each step of the
// rotation; only what was in its hands at that moment may need a second try.
func TestC04_InstanceKilledAtEveryStepBehindHAProxy(t *testing.T) {
	v := newVillage(t)
	var m mishaps
	var dead *villager
	v.work()
	v.setFate(func(n *villager, step string) error {
		if m.broken && !slices.Contains(m.met, step) {
			return errAway // the other one does what is new later, so that it meets its mishap
		}
		if !m.meets(step) {
			return nil
		}
		dead = n
		v.deaths++
		n.die()
		return errDead
	})
	v.rotate(func() bool {
		v.mu.Lock()
		n := dead
		v.mu.Unlock()
		if n == nil {
			return false
		}
		v.revive(n)
		v.mu.Lock()
		defer v.mu.Unlock()
		dead, m.broken = nil, false
		return true
	})
	t.Logf("%d deaths: %s", len(m.met), strings.Join(m.met, ", "))
	v.wantSteps(m.met)
	for _, c := range v.clients {
		if n := c.again.Load(); n > int64(len(m.met)) {
			t.Errorf("%s: %d sign-ins needed a second try, more than there were deaths", c.name, n)
		}
	}
}

// TestC04_SharedStoreUnreachableAtEveryStepBehindHAProxy cuts both instances off from
// Redis, sessions included, at each step.
func TestC04_SharedStoreUnreachableAtEveryStepBehindHAProxy(t *testing.T) {
	v := newVillage(t)
	var m mishaps
	v.work()
	v.setFate(func(_ *villager, step string) error {
		if m.broken && strings.HasPrefix(step, "before ") {
			return errAway // until the outage is declared over, lest a step have no outage of its own
		}
		if m.meets(step) {
			for _, n := range v.all {
				n.line.set(true)
			}
		}
		return nil // what follows fails by itself, or its answer was the last one
	})
	v.rotate(func() bool {
		v.mu.Lock()
		broken := m.broken
		v.mu.Unlock()
		if !broken {
			return false
		}
		for _, n := range v.all {
			n.line.set(false)
		}
		v.eventually("Redis is used again", func() bool {
			return v.all[0].store.Down() == nil && v.all[1].store.Down() == nil
		})
		v.mu.Lock()
		defer v.mu.Unlock()
		m.broken = false
		return true
	})
	t.Logf("%d outages: %s", len(m.met), strings.Join(m.met, ", "))
	v.wantSteps(m.met)
}

// TestC04_SlowPartyStopsThePromotionUnlessForced has a service provider that does not
// refresh: the promotion is refused and says whom it waits for; forced, exactly that
// party refuses people until it has refreshed.
func TestC04_SlowPartyStopsThePromotionUnlessForced(t *testing.T) {
	v := newVillage(t)
	slow := filepath.Join(v.lab.SAMLDir, "pysaml2/run/slow")
	if err := os.WriteFile(slow, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(slow) })
	v.work()
	for _, days := range []time.Duration{1, 5, 6, 5} { // 29 days before the end
		v.day(days*aDay, calm)
	}
	hand := &certs.Hand{
		Store: v.all[0].mains, Keys: v.all[0].mains, Policy: SigningPolicy(v.all[0].cfg), Parties: SigningParties(v.all[0].cfg),
		Host: "sts.contoso.test", By: "alice@admin", Now: v.clock.Now,
	}
	_, err := hand.Promote(t.Context(), "", false)
	if err == nil || !strings.Contains(err.Error(), "pysaml2") || !strings.Contains(err.Error(), "metadata") {
		t.Fatalf("promotion: %v", err)
	}
	t.Log(err)
	foreign := v.clients[2]
	foreign.lenient.Store(true)
	promoted, err := hand.Promote(t.Context(), "", true)
	if err != nil {
		t.Fatal(err)
	}
	// A command at an instance that has stopped, whose own copy is old or gone, names
	// the keys of now.
	stopped := *v.all[1].cfg
	stopped.Signing.KeyDir = filepath.Join(t.TempDir(), "keys")
	if own, err := OwnCertificates(t.Context(), &stopped); err != nil || certs.Thumbprint(own.Signing) != promoted.ID {
		t.Errorf("certificates by Redis: %v, %s signs, want %s", err, certs.Thumbprint(own.Signing), promoted.ID)
	}
	v.day(time.Minute, calm)
	v.eventually("the slow party refuses", func() bool { return foreign.refused.Load() != nil })
	if why := *foreign.refused.Load(); !strings.Contains(why, "ignature") {
		t.Errorf("it refuses for another reason: %s", why)
	}
	if err := os.Remove(slow); err != nil {
		t.Fatal(err)
	}
	v.eventually("it has refreshed", func() bool {
		return slices.Contains(v.foreign(), text64(v.all[0].SigningCertificates()[0].Certificate))
	})
	v.leap(time.Minute) // what began before is over
	foreign.lenient.Store(false)
	before := v.counts()
	v.eventually("everybody signs in again", func() bool { return v.moved(before, v.clients) })
}

func (v *village) ref(id string) string {
	v.t.Helper()
	e, err := v.ledger().Find(id)
	if err != nil {
		v.t.Fatal(err)
	}
	return e.Ref
}

func (a *App) inForceNow() []*certs.Key {
	a.swapping.Lock()
	defer a.swapping.Unlock()
	return slices.Clone(a.inForce)
}

func (v *village) setFate(f func(n *villager, step string) error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fate = f
}

// revive starts a dead instance again and waits until HAProxy uses it.
func (v *village) revive(n *villager) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 5*time.Second)
	defer cancel()
	_ = n.Stop(ctx)
	v.launch(n)
	before := n.served.n.Load()
	v.eventually("HAProxy uses "+n.name+" again", func() bool { return n.served.n.Load() > before })
}

// wantSteps looks that the mishaps met every step of a rotation.
func (v *village) wantSteps(met []string) {
	v.t.Helper()
	for _, step := range []string{"lease", "generate", certs.ActionStaged, certs.ActionPublished, "knows", certs.ActionPromoted, certs.ActionGone, "destroy", "report"} {
		if !slices.Contains(met, "before "+step) {
			v.t.Errorf("nothing happened before %s: %v", step, met)
		}
	}
}
