package password_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/authn/lockout"
	"sallyport/authn/password"
)

func TestRightPasswordIsAcceptedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people())
		begun := time.Now()
		r := h.try("alice@contoso.test", rightPassword)
		if r.Reason != authn.Accepted || r.Account == nil || r.Account.SAMAccountName != "alice" || r.At.IsZero() {
			t.Fatalf("result %+v", r)
		}
		if took := time.Since(begun); took != h.dir.bindFor {
			t.Errorf("took %v, want the bind alone", took)
		}
		e := h.trail.last()
		if e.Code != audit.SignInAccepted || e.AccountName != `CONTOSO\alice` || e.Typed != "" || e.Reference != attempt.Reference || e.Reason != "accepted" {
			t.Errorf("event %+v", e)
		}
	})
}

// TestL02_ParallelWrongPasswordsStayBelowTheThreshold sends 500 at once through
// the whole pipeline; no bind ends before all have had their chance.
func TestL02_ParallelWrongPasswordsStayBelowTheThreshold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people())
		h.dir.blocking = make(chan struct{})
		results := make(chan authn.Result, 500)
		for n := range 500 {
			go func() {
				at := attempt
				at.Client = netip.AddrFrom4([4]byte{203, byte(n >> 8), byte(n), 1})
				results <- h.p.Verify(t.Context(), at, authn.Credentials{Name: "alice@contoso.test", Password: authn.NewPassword([]byte("wrong"))})
			}()
		}
		synctest.Wait() // all are waiting: five at the directory, the rest for their slot
		close(h.dir.blocking)
		counts := map[authn.Reason]int{}
		for range 500 {
			counts[(<-results).Reason]++
		}
		if h.dir.bindCount() != 5 || counts[authn.WrongPassword] != 5 || counts[authn.Throttled] != 495 {
			t.Errorf("%d binds, results %v; want 5 binds", h.dir.bindCount(), counts)
		}
	})
}

// spellings are 60 ways to write one user's name.
func spellings() []string {
	var all []string
	for _, local := range []string{"alice", "ALICE", "Alice", "aLiCe", "ａｌｉｃｅ", "ＡＬＩＣＥ"} {
		for _, form := range []string{
			"%s", `CONTOSO\%s`, `contoso\%s`, "%s@contoso.test", "%s@CONTOSO.TEST", "%s@corp.contoso.test", "%s@corp.contoso.test.",
			" %s@contoso.test", "%s@contoso.test\u00a0", "\u3000%s",
		} {
			all = append(all, fmt.Sprintf(form, local))
		}
	}
	return all
}

// TestL03_SixtySpellingsAreOneAccount tries a wrong password under each spelling:
// whatever the directory takes for alice counts as alice, and the rest reaches no
// bind.
func TestL03_SixtySpellingsAreOneAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people())
		all := spellings()
		if len(all) != 60 {
			t.Fatalf("%d spellings", len(all))
		}
		for _, s := range all {
			h.try(s, "wrong")
		}
		if h.dir.bindCount() != 5 {
			t.Errorf("%d binds, want 5", h.dir.bindCount())
		}
		if got := h.gate.Peek("corp.contoso.test", authn.GUID{1}); got.Strange != 5 {
			t.Errorf("count of the account: %+v, want 5", got)
		}
		if r := h.try("bob@contoso.test", "correct horse"); r.Reason != authn.Accepted {
			t.Errorf("somebody else: %v", r.Reason)
		}
	})
}

// TestL07_PasswordArrivesAsTyped sends passwords at the edges of what is allowed.
func TestL07_PasswordArrivesAsTyped(t *testing.T) {
	const emoji = "\U0001F600" // two UTF-16 units
	tests := []struct {
		name, pw string
		binds    bool
	}{
		{"leading and trailing blanks", "  pass word \t", true},
		{"line feed", "pass\r\n", true},
		{"markup", `"<>&'`, true},
		{"emoji", "pass" + emoji, true},
		{"decomposed, not normalised", "Pa\u0308sswo\u0308rd", true},
		{"full width, not folded", "ＰＡＳＳ", true},
		{"64", strings.Repeat("x", 64), true},
		{"127", strings.Repeat("x", 127), true},
		{"128", strings.Repeat("x", 128), true},
		{"256", strings.Repeat("x", 256), true},
		{"256 of three bytes", strings.Repeat("€", 256), true},
		{"128 emoji", strings.Repeat(emoji, 128), true},
		{"257", strings.Repeat("x", 257), false},
		{"128 emoji and one", strings.Repeat(emoji, 128) + "x", false},
		{"1 MB", strings.Repeat("x", 1<<20), false},
		{"not UTF-8", "pass\xff", false},
		{"surrogate in UTF-8", "pass\xed\xa0\x80", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, map[string]*user{"alice": {id: 1, password: tt.pw}})
				r := h.try("alice@contoso.test", tt.pw)
				switch {
				case tt.binds && (r.Reason != authn.Accepted || h.dir.bindCount() != 1 || h.dir.seen[0] != tt.pw):
					t.Errorf("%v, %d binds", r.Reason, h.dir.bindCount())
				case !tt.binds && (r.Reason != authn.BadInput || h.dir.bindCount() != 0):
					t.Errorf("%v, %d binds; want bad input without a bind", r.Reason, h.dir.bindCount())
				}
			})
		})
	}
}

// TestD02_EmptyPasswordNeverReachesTheDirectory also has a directory that says yes
// to everything, as Windows does to an empty password.
func TestD02_EmptyPasswordNeverReachesTheDirectory(t *testing.T) {
	for _, pw := range []string{"", "\x00", "\x00abc", "abc\x00", rightPassword + "\x00", rightPassword + "\x00x"} {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t, people())
			h.dir.bind = func() error { return nil }
			r := h.try("alice@contoso.test", pw)
			if r.Reason != authn.BadInput || h.dir.bindCount() != 0 {
				t.Errorf("%q: %v, %d binds", pw, r.Reason, h.dir.bindCount())
			}
			none := h.p.Verify(t.Context(), attempt, authn.Credentials{Name: "alice@contoso.test"})
			if none.Reason != authn.BadInput || h.dir.bindCount() != 0 {
				t.Errorf("no password: %v, %d binds", none.Reason, h.dir.bindCount())
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // blanks are a password, and a wrong one
		h := newHouse(t, people())
		if r := h.try("alice@contoso.test", "   "); r.Reason != authn.WrongPassword {
			t.Errorf("blanks: %v", r.Reason)
		}
	})
}

func TestNamesThatNoObjectHasAreNotLookedUp(t *testing.T) {
	for _, name := range []string{"", " alice", "alice ", "alice\u00a0", "ali\x00ce", "alice\n", "al\x1bice", "alice\xff", strings.Repeat("a", 1025)} {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t, people())
			h.dir.resolve = func(typed string) error { t.Errorf("looked up %q", typed); return nil }
			if r := h.try(name, rightPassword); r.Reason != authn.UnknownUser || h.dir.bindCount() != 0 {
				t.Errorf("%q: %v", name, r.Reason)
			}
		})
	}
}

// TestD07_VerdictsOfTheDirectory injects each reason at the bind and looks at
// result, count and audit record.
// TestD08_OutageMovesNoCount lets every bind fail for want of a DC, more often than
// the threshold, and then the DCs come back.
// TestL01_HangingUpDoesNotEscapeTheCount cancels the request while the directory is
// judging the password.
// TestC02_UnrecordedAcceptanceIsAFailure refuses the audit record.
// TestL05_ExhaustedAddressHidesTheOwnPlace signs in from an address, uses its budget
// up, and then fails with the account that has been there before.
func TestL05_ExhaustedAddressHidesTheOwnPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people())
		at := attempt
		at.Client = netip.MustParseAddr("198.51.100.7")
		try := func(name, pw string) authn.Result {
			return h.p.Verify(t.Context(), at, authn.Credentials{Name: name, Password: authn.NewPassword([]byte(pw))})
		}
		if r := try("alice", rightPassword); r.Reason != authn.Accepted {
			t.Fatal(r.Reason)
		}
		for n := range 12 {
			try(fmt.Sprint("nobody", n), "x")
		}
		for name, recorded := range map[string]string{"nobody99": "throttled", "bob": "throttled", "alice": "wrong_password"} {
			r := try(name, "wrong")
			var refused *lockout.Refused
			if r.Reason != authn.Throttled || !errors.As(r.Cause, &refused) || refused.Scope != lockout.ScopeAddress || r.RetryAfter == 0 {
				t.Errorf("%s: %v, %v", name, r.Reason, r.Cause)
			}
			if e := h.trail.last(); e.Reason != recorded {
				t.Errorf("%s: recorded as %s, want %s", name, e.Reason, recorded)
			}
		}
		if r := try("alice", rightPassword); r.Reason != authn.Accepted {
			t.Errorf("the owner: %v", r.Reason)
		}
	})
}

// brokenGate cannot count.
func FuzzInputNeverBindsWhatMustNot(f *testing.F) {
	f.Add("alice", "Passw0rd!x1")
	f.Add("alice", "")
	f.Add("alice", "\x00")
	f.Add(" alice", strings.Repeat("\U0001F600", 129))
	f.Fuzz(func(t *testing.T, name, pw string) {
		if err := password.CheckPassword(authn.NewPassword([]byte(pw))); err == nil {
			if pw == "" || strings.ContainsRune(pw, 0) || len(pw) > 1024 {
				t.Errorf("password %q passed", pw)
			}
		}
		if err := password.CheckName(name); err == nil {
			if name == "" || strings.TrimSpace(name) != name || strings.ContainsAny(name, "\x00\n\r") || len(name) > 1024 {
				t.Errorf("name %q passed", name)
			}
		}
	})
}
