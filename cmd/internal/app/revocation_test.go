package app_test

import (
	"strings"
	"testing"

	"sallyport/cmd/internal/demo"
	"sallyport/cmd/internal/trip"
)

// TestR05_AllSessionsOfAPersonEnd: in every browser of that person, and nobody
// else's; a new sign-in stays.
func TestR05_AllSessionsOfAPersonEnd(t *testing.T) {
	h := open(t, demo.Options{})
	desk, phone, other := h.Browser(), h.Browser(), h.Browser()
	h.signIn(t, desk, "alice")
	h.signIn(t, phone, "alice")
	h.signIn(t, other, "bob")

	account, err := h.Gateway.EndSessions(t.Context(), `CONTOSO\alice`)
	if err != nil || account != `CONTOSO\alice` {
		t.Fatalf("EndSessions: %q, %v", account, err)
	}
	alice, bob := h.User("alice").UPN, h.User("bob").UPN
	if p := h.signInPage(t, desk, alice); !p.AsksPassword(trip.English) {
		t.Error("the first browser is still signed in")
	}
	if p := h.signInPage(t, phone, alice); !p.AsksPassword(trip.English) {
		t.Error("the second browser is still signed in")
	}
	if p := h.signInPage(t, other, bob); p.AsksPassword(trip.English) {
		t.Error("somebody else was signed out")
	}
	h.signIn(t, desk, "alice")
	if p := h.signInPage(t, desk, alice); p.AsksPassword(trip.English) {
		t.Error("a new session does not last")
	}
	if _, err := h.Gateway.EndSessions(t.Context(), "nobody@contoso.test"); err == nil || !strings.Contains(err.Error(), "nobody@contoso.test") {
		t.Errorf("an unknown person: %v", err)
	}
}
