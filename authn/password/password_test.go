package password_test

import (
	"testing"
	"testing/synctest"

	"sallyport/authn"
	"sallyport/authn/audit"
)

func TestRightPasswordIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people())
		r := h.try("alice@contoso.test", rightPassword)
		if r.Reason != authn.Accepted || r.Account == nil || r.Account.SAMAccountName != "alice" || r.At.IsZero() {
			t.Fatalf("result %+v", r)
		}
		e := h.trail.last()
		if e.Code != audit.SignInAccepted || e.AccountName != `CONTOSO\alice` || e.Typed != "" || e.Reference != attempt.Reference || e.Reason != "accepted" {
			t.Errorf("event %+v", e)
		}
	})
}
