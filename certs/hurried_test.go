package certs_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport/certs"
)

// names are the keys of parties.
func names(list []certs.Party) string {
	var all []string
	for _, p := range list {
		all = append(all, p.Key)
	}
	return strings.Join(all, " ")
}

// After an emergency nobody can sign in to a party until it has the new certificate: it
// is said who is left, until each was read back and proved, or an admin says so.
func TestC05_PartiesThatDoNotKnowTheNewKeyAreNamedUntilTheyDo(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a")
	f.trust()
	f.parties = append(f.parties, certs.Party{Key: "fabrikam.test", ByHand: true}, certs.Party{Key: "legacy", Single: true})
	f.domain.Fail(errors.New("503 from Graph"))
	signs, _, err := f.hand().Emergency(t.Context(), "")
	must(t, err)
	step := func() {
		must(t, f.nodes[0].Step(t.Context()))
		_ = f.nodes[0].Tell(t.Context())
		must(t, f.nodes[0].Step(t.Context()))
	}
	step()
	h := f.hand()
	v := h.View(f.ledger())
	if got := names(v.Uninformed()); got != "contoso.test wiki fabrikam.test legacy" {
		t.Errorf("uninformed: %s", got)
	}
	if s := v.Plan()[0]; s.Action != certs.NextTell || s.ID != signs.ID || len(s.Waits) != 4 {
		t.Errorf("next: %+v", s)
	}
	for _, part := range []string{"people cannot sign in", "wiki: was not seen", "sallyport certs told " + signs.ID[:8] + " fabrikam.test", "sallyport domain check contoso.test"} {
		if alarm := f.nodes[0].Status().Alarm; !strings.Contains(alarm, part) {
			t.Errorf("the alarm does not say %q: %s", part, alarm)
		}
	}
	f.domain.Fail(nil)
	step()
	must(t, h.Told(t.Context(), signs.ID, "fabrikam.test"))
	must(t, h.Told(t.Context(), signs.ID, "legacy"))
	if got := names(h.View(f.ledger()).Uninformed()); got != "wiki" {
		t.Errorf("uninformed: %s", got)
	}
	must(t, h.Told(t.Context(), signs.ID, "wiki"))
	step()
	if v := h.View(f.ledger()); len(v.Uninformed()) != 0 || v.Alarm() != "" || v.Plan()[0].Action == certs.NextTell {
		t.Errorf("still uninformed: %s; %s", names(v.Uninformed()), v.Alarm())
	}
}

// A party that reads metadata has its time after an emergency too: nobody is asked about
// it for ever.
func TestC05_PartyThatReadsMetadataHasItsTimeAfterAnEmergency(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a")
	f.trust()
	_, _, err := f.hand().Emergency(t.Context(), "")
	must(t, err)
	for range 49 { // 24 days and a half
		must(t, f.nodes[0].Step(t.Context()))
		must(t, f.nodes[0].Tell(t.Context()))
		f.clock.Pass(halfDay)
	}
	h := f.hand()
	if got := names(h.View(f.ledger()).Uninformed()); got != "wiki" {
		t.Errorf("before its time: %q", got)
	}
	for range 3 {
		must(t, f.nodes[0].Step(t.Context()))
		f.clock.Pass(halfDay)
	}
	if got := names(h.View(f.ledger()).Uninformed()); got != "" {
		t.Errorf("after its time: %q", got)
	}
}

// A promotion by force is an emergency for the parties that were passed over, and only
// then.
func TestForcedPromotionNamesWhoWasPassedOver(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a")
	f.trust()
	h := f.hand()
	next, err := h.Stage(t.Context())
	must(t, err)
	f.round()
	_, err = h.Promote(t.Context(), "", false)
	var unready *certs.NotReadyError
	if !errors.As(err, &unready) || unready.ID != next.ID || len(unready.Waits) == 0 {
		t.Fatalf("%v", err)
	}
	_, err = h.Promote(t.Context(), "", true)
	must(t, err)
	if got := names(h.View(f.ledger()).Uninformed()); got != "wiki" {
		t.Errorf("uninformed: %q", got)
	}
	_, err = h.Promote(t.Context(), f.ledger().Of(certs.Retired).ID, true) // back, to what all know
	must(t, err)
	if got := names(h.View(f.ledger()).Uninformed()); got != "" {
		t.Errorf("uninformed of the earlier key: %q", got)
	}
}

// An admin may let the next key sign as soon as every party is known to hold it, without
// overriding anything; by itself it waits for the end of the certificate.
func TestAdminPromotesEarlyWithoutForce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "a")
	f.trust()
	h := f.hand()
	next, err := h.Stage(t.Context()) // 365 days before the end
	must(t, err)
	for range 40 { // 20 days: past PromoteAfter
		f.round()
		f.read()
		f.clock.Pass(halfDay)
	}
	if _, err := h.Promote(t.Context(), "", false); !errors.Is(err, certs.ErrRefused) || !strings.Contains(err.Error(), "wiki was not seen") {
		t.Fatalf("%v", err)
	}
	must(t, h.Told(t.Context(), next.ID, "wiki"))
	for range 4 {
		f.round()
		f.clock.Pass(halfDay)
	}
	if got := f.ledger().Of(certs.Signing).ID; got == next.ID {
		t.Fatal("promoted by itself, most of a year before the end")
	}
	if due := h.View(f.ledger()).Plan()[0].Due; due.Sub(f.clock.Now()) < 300*24*time.Hour {
		t.Errorf("by itself on %s", due)
	}
	_, err = h.Promote(t.Context(), "", false)
	must(t, err)
	if f.ledger().Of(certs.Signing).Hurried {
		t.Error("every party knew it")
	}
}

// Who leads changes; what failed at an earlier leader is not kept there for ever.
func TestTroubleOfAnEarlierLeaderIsForgotten(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "b")
	f.trust()
	f.domain.Fail(errors.New("503 from Graph"))
	must(t, f.nodes[0].Step(t.Context()))
	if err := f.nodes[0].Tell(t.Context()); err == nil {
		t.Fatal("nothing failed")
	}
	f.domain.Fail(nil)
	f.start("a") // leads from now on
	for range 2 {
		for _, n := range f.nodes {
			must(t, n.Step(t.Context()))
			must(t, n.Tell(t.Context()))
		}
	}
	for _, n := range f.nodes {
		if s := n.Status(); len(s.Troubles) > 0 {
			t.Errorf("%s: %q", n.name, s.Troubles)
		}
	}
	if got := f.ledger().Instances["b"].Trouble; got != "" {
		t.Errorf("an admin's list says of b: %s", got)
	}
}
