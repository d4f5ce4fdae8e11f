package directory_test

import (
	"testing"

	"sallyport/authn"
	"sallyport/authn/directory/directorytest"
)

func TestPasswordIsJudgedByABind(t *testing.T) {
	l := newLab(t, directorytest.Config{})
	for _, name := range []string{"alice@contoso.test", "ALICE@Contoso.Test", `CONTOSO\alice`, `contoso\ALICE`, "alice@corp.contoso.test"} {
		l.want(l.signIn(name, password), authn.Accepted, name)
		l.want(l.signIn(name, "wrong"), authn.WrongPassword, name+" with a wrong password")
		l.want(l.signIn(name, "Battery-Staple-8"), authn.WrongPassword, name+" with another user's password")
	}
	if v := l.ad.Violations(); len(v) > 0 {
		t.Errorf("the DC complains: %q", v)
	}
}

func TestAccountHoldsWhatTheDirectorySays(t *testing.T) {
	l := newLab(t, directorytest.Config{})
	acc := l.resolve("ALICE@contoso.test")
	id, err := l.ad.Identity("alice")
	if err != nil {
		t.Fatal(err)
	}
	if acc.ID != authn.GUID(id.GUID) || acc.DN != id.DN || acc.UPN != "alice@contoso.test" || acc.SAMAccountName != "alice" ||
		acc.NetBIOS != "CONTOSO" || acc.Domain != "corp.contoso.test" || acc.DisplayName != "Alice Example" || acc.Language != "nl-NL" ||
		acc.State != 0 || acc.PwdLastSet <= 0 || acc.PasswordExpires.IsZero() || acc.SID != id.SID.String() {
		t.Errorf("account %+v, identity %+v", acc, id)
	}
	again, err := l.dir.ByID(t.Context(), acc.Domain, acc.ID)
	if err != nil || again.DN != acc.DN {
		t.Errorf("ByID: %+v, %v", again, err)
	}
	gone := acc.ID
	gone[0] ^= 1
	_, err = l.dir.ByID(t.Context(), acc.Domain, gone)
	l.want(authn.ReasonOf(err), authn.UnknownUser, "ByID of no object")
}

func TestStartWarmsAndReportsUsable(t *testing.T) {
	l := newLab(t, directorytest.Config{DCs: 2})
	if st := l.dir.Status(); st[0].Usable {
		t.Error("usable before anything was asked")
	}
	if err := l.dir.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both DCs usable with warm pools", func() bool {
		st := l.dir.Status()[0]
		for _, s := range st.Servers {
			if !s.Usable || s.BindIdle != 2 || s.ServiceIdle != 1 || !s.ClockKnown || s.Level != 7 {
				return false
			}
		}
		return st.Usable
	})
	if n := len(l.ad.UserBinds()); n != 0 {
		t.Errorf("%d user binds without a user", n)
	}
}

// TestSambaHabits: a DC that ignores size limits and unknown controls, keeps the
// old identity after a refused bind and says 52e for everything.
func TestSambaHabits(t *testing.T) {
	l := newLab(t, directorytest.Config{Samba: true, Settings: directorytest.Settings{FunctionalLevel: 4,
		IgnoreSizeLimit: true, IgnoreCriticalControls: true, KeepIdentity: true}})
	l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "right")
	l.want(l.signIn("alice@contoso.test", "wrong"), authn.WrongPassword, "wrong")
	l.want(l.signIn(`CONTOSO\bob`, "Battery-Staple-8"), authn.Accepted, "right")
	l.want(l.signIn("nobody@contoso.test", "x"), authn.UnknownUser, "unknown")
	l.ad.DCs[0].Inject(directorytest.Fault{On: directorytest.OnSearch, Name: "userPrincipalName", Effect: directorytest.Doubled})
	l.want(l.signIn("alice@contoso.test", password), authn.Ambiguous, "two objects")
	for _, r := range l.dir.Probe(t.Context()) {
		if !r.OK {
			t.Errorf("%+v", r)
		}
	}
}
