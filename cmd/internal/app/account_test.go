package app_test

import (
	"testing"
	"time"

	"sallyport/authn/directory/directorytest"
	"sallyport/cmd/internal/demo"
	"sallyport/cmd/internal/trip"
)

func TestI10_AChangedPasswordEndsTheSessionsBegunWithTheOldOne(t *testing.T) {
	h := open(t, demo.Options{})
	old, fresh := h.Browser(), h.Browser()
	defer old.Close()
	defer fresh.Close()
	bob := h.User("bob")
	h.signIn(t, old, "bob")
	if err := h.Directory.Update("bob", func(u *directorytest.User) {
		u.Password = "Another-4417-one"
		u.PwdLastSet = 134399898000000000
	}); err != nil {
		t.Fatal(err)
	}
	// The person signs in with the new password elsewhere; the new session lives.
	p := h.password(t, fresh, h.signInPage(t, fresh, bob.UPN), "Another-4417-one")
	if _, ok := p.HandedOver(); !ok {
		t.Fatalf("the new password is not taken: %q", p.Heading())
	}
	if p = h.signInPage(t, fresh, bob.UPN); p.AsksPassword(trip.English) {
		t.Error("the session begun with the new password does not live")
	}
	if p = h.signInPage(t, old, bob.UPN); !p.AsksPassword(trip.English) {
		t.Errorf("the session begun with the old password lives on: %q", p.Heading())
	}
	h.event(t, map[string]any{"code": "SP301", "account_name": `CONTOSO\bob`})
}

func TestI06_TwoAccountsWithOneSourceAnchorGetNoToken(t *testing.T) {
	anchor := []byte("sixteen bytes id")
	h := open(t, demo.Options{Extra: []directorytest.User{
		{SAM: "twin1", UPN: "twin1@contoso.test", Password: "Quay-twin-one1", ConsistencyGUID: anchor},
		{SAM: "twin2", UPN: "twin2@contoso.test", Password: "Quay-twin-two2", ConsistencyGUID: anchor},
	}})
	for _, sam := range []string{"twin1", "twin2"} {
		eventually(t, sam+" is refused once the accounts have been compared", 10*time.Second, func() bool {
			b := h.Browser()
			defer b.Close()
			p := h.password(t, b, h.signInPage(t, b, h.User(sam).UPN), h.User(sam).Password)
			return p.Heading() == "Your account is not set up for Microsoft 365"
		})
	}
	h.signIn(t, h.Browser(), "alice")
}

// TestI06_NobodyBecomesSomebodyElseBetweenTwoScans: who may write the anchor of an
// account, as the delegate of some unit may, writes another person's into it and signs
// in at once.
func TestI06_NobodyBecomesSomebodyElseBetweenTwoScans(t *testing.T) {
	h := open(t, demo.Options{})
	h.signIn(t, h.Browser(), "alice")
	alice, err := h.Directory.Identity("alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Directory.Update("bob", func(u *directorytest.User) { u.ConsistencyGUID = alice.GUID[:] }); err != nil {
		t.Fatal(err)
	}
	bob := h.User("bob")
	b := h.Browser()
	if p := h.password(t, b, h.signInPage(t, b, bob.UPN), bob.Password); p.Heading() != "Your account is not set up for Microsoft 365" {
		t.Errorf("signed in with another person's anchor: %q", p.Heading())
	}
	// An anchor that is no object's, as of people who came from another forest, is their own.
	if err := h.Directory.Update("bob", func(u *directorytest.User) { u.ConsistencyGUID = []byte("sixteen bytes id") }); err != nil {
		t.Fatal(err)
	}
	b = h.Browser()
	if p := h.password(t, b, h.signInPage(t, b, bob.UPN), bob.Password); p.Heading() != "Signing you in" {
		t.Errorf("signed in with an anchor of one's own: %q", p.Heading())
	}
}
