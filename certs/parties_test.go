package certs_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport/certs"
)

func TestC04_PartyThatIsNotProvedIsWaitedForAndNamed(t *testing.T) {
	t.Parallel()
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
	if got := s.Ledger.Instances["a"].Trouble; !strings.Contains(got, "503 from Graph") {
		t.Errorf("an admin's list would not say why: %q", got)
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
	t.Parallel()
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

func TestC23_PartyWithOneCertificateIsPromotedByHandOnly(t *testing.T) {
	t.Parallel()
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

// A party that reads metadata and was not seen to do so has its time; who is asked to
// promote earlier says whom it waits for, until when, and what an admin can say.
func TestPartyThatWasNotSeenIsNamedWithItsTime(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a")
	f.trust()
	first := f.nodes[0].Keys().Current()
	f.clock.Pass(first.Certificate.NotAfter.Add(-45 * 24 * time.Hour).Sub(f.clock.Now()))
	for range 35 { // 17 days: longer than PromoteAfter, shorter than PartyTime
		f.round()
		f.clock.Pass(halfDay)
	}
	_, err := f.hand().Promote(t.Context(), "", false)
	if !errors.Is(err, certs.ErrRefused) || !strings.Contains(err.Error(), "wiki was not seen to read the metadata and has until ") {
		t.Fatal(err)
	}
	must(t, f.hand().Told(t.Context(), f.ledger().Next().ID, "wiki"))
	if _, err := f.hand().Promote(t.Context(), "", false); err != nil {
		t.Error(err)
	}
}
