package password_test

import (
	"context"
	"errors"
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

func TestD07_VerdictsOfTheDirectory(t *testing.T) {
	tests := []struct {
		reason  authn.Reason
		counted int
		code    audit.Code
	}{
		{authn.WrongPassword, 1, audit.SignInRefused},
		{authn.Rejected, 1, audit.SignInRefused},
		{authn.UnknownUser, 1, audit.SignInRefused}, // the object vanished in between
		{authn.LockedOut, 0, audit.SignInRefused},
		{authn.Restricted, 0, audit.SignInRefused},
		{authn.LogonHours, 0, audit.SignInRefused},
		{authn.Workstation, 0, audit.SignInRefused},
		{authn.PasswordExpired, 0, audit.SignInRefused},
		{authn.Disabled, 0, audit.SignInRefused},
		{authn.TooManyGroups, 0, audit.SignInRefused},
		{authn.AccountExpired, 0, audit.SignInRefused},
		{authn.MustChange, 0, audit.SignInRefused},
		{authn.Unavailable, 0, audit.SignInFailed},
		{authn.Busy, 0, audit.SignInFailed},
		{authn.Misconfigured, 0, audit.SignInFailed},
	}
	for _, tt := range tests {
		t.Run(tt.reason.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, people())
				h.dir.bind = func() error { return &authn.Error{Reason: tt.reason, Cause: errors.New("injected")} }
				r := h.try("alice@contoso.test", rightPassword)
				if r.Reason != tt.reason {
					t.Errorf("reason %v", r.Reason)
				}
				if got := h.gate.Peek("corp.contoso.test", authn.GUID{1}); got.Strange != tt.counted || got.Pending != 0 {
					t.Errorf("counted %+v, want %d", got, tt.counted)
				}
				if e := h.trail.last(); e.Code != tt.code || e.Reason != tt.reason.String() || !strings.Contains(e.Detail, "injected") {
					t.Errorf("event %+v", e)
				}
			})
		})
	}
}

func TestD07_ErrorsWithoutAReasonAreNeverAVerdict(t *testing.T) {
	faults := map[string]error{
		"plain error":                errors.New("connection reset by peer"),
		"deadline":                   context.DeadlineExceeded,
		"error that claims to be ok": &authn.Error{Reason: authn.Accepted},
		"error without a verdict":    &authn.Error{},
	}
	for name, fault := range faults {
		for _, where := range []string{"resolve", "bind"} {
			t.Run(name+" at "+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newHouse(t, people())
					if where == "bind" {
						h.dir.bind = func() error { return fault }
					} else {
						h.dir.resolve = func(string) error { return fault }
					}
					r := h.try("alice@contoso.test", rightPassword)
					if !r.Reason.Undecided() {
						t.Errorf("reason %v", r.Reason)
					}
					if got := h.gate.Peek("corp.contoso.test", authn.GUID{1}); got != (lockout.Counts{}) {
						t.Errorf("counted %+v", got)
					}
				})
			})
		}
	}
}

func TestResolveCannotProveAnything(t *testing.T) {
	for _, reason := range authn.Reasons() {
		if reason == authn.UnknownUser || reason == authn.Ambiguous {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t, people())
			h.dir.resolve = func(string) error { return &authn.Error{Reason: reason} }
			if r := h.try("alice@contoso.test", rightPassword); !r.Reason.Undecided() || h.dir.bindCount() != 0 {
				t.Errorf("resolve said %v: %v", reason, r.Reason)
			}
		})
	}
}

func TestD08_OutageMovesNoCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people())
		h.dir.bind = func() error { return &authn.Error{Reason: authn.Unavailable, Cause: errors.New("no DC")} }
		begun := time.Now()
		at := attempt
		at.Client = netip.MustParseAddr("198.51.100.7") // the address has a count of its own
		for range 50 {
			r := h.p.Verify(t.Context(), at, authn.Credentials{Name: "alice@contoso.test", Password: authn.NewPassword([]byte("anything"))})
			if r.Reason != authn.Unavailable {
				t.Fatalf("during the outage: %v", r.Reason)
			}
		}
		if per := time.Since(begun) / 50; per > 50*time.Millisecond {
			t.Errorf("an outage is told after %v", per)
		}
		h.dir.bind = nil
		if r := h.try("alice@contoso.test", rightPassword); r.Reason != authn.Accepted {
			t.Errorf("after the outage: %v", r.Reason)
		}
	})
}

func TestL01_HangingUpDoesNotEscapeTheCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people())
		for n := range 20 {
			h.dir.mu.Lock()
			h.dir.blocking = make(chan struct{})
			h.dir.mu.Unlock()
			ctx, hangUp := context.WithCancel(t.Context())
			done := make(chan authn.Result)
			go func() {
				done <- h.p.Verify(ctx, attempt, authn.Credentials{Name: "alice@contoso.test", Password: authn.NewPassword([]byte("wrong"))})
			}()
			synctest.Wait()
			hangUp()
			synctest.Wait()
			close(h.dir.blocking)
			if r := <-done; n < 5 && r.Reason != authn.WrongPassword {
				t.Errorf("attempt %d: %v", n, r.Reason)
			}
		}
		if h.dir.bindCount() != 5 {
			t.Errorf("%d binds, want 5", h.dir.bindCount())
		}
		if len(h.trail.events) != 20 {
			t.Errorf("%d events, want 20", len(h.trail.events))
		}
	})
}

// A panic behind the bind must neither let somebody in nor leave an attempt under
// way for ever, which no later success would clear.
func TestL02_APanicSettlesTheAttemptAsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people())
		h.dir.bind = func() error { panic("injected") }
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			h.try("alice@contoso.test", rightPassword)
		}()
		if got := h.gate.Peek("corp.contoso.test", authn.GUID{1}); got.Strange != 1 || got.Pending != 0 {
			t.Errorf("counted %+v, want one failure", got)
		}
	})
}

func TestStuckDirectoryIsLeftWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people())
		h.dir.blocking = make(chan struct{})
		begun := time.Now()
		r := h.try("alice@contoso.test", rightPassword)
		if r.Reason != authn.Unavailable || time.Since(begun) < 5*time.Second || time.Since(begun) > 5100*time.Millisecond {
			t.Errorf("%v after %v", r.Reason, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun = time.Now()
		r = h.p.Verify(ctx, attempt, authn.Credentials{Name: "bob", Password: authn.NewPassword([]byte("x"))})
		if r.Reason != authn.Unavailable || time.Since(begun) > 1100*time.Millisecond {
			t.Errorf("with a deadline of the caller: %v after %v", r.Reason, time.Since(begun))
		}
	})
}

func TestC02_UnrecordedAcceptanceIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people())
		h.trail.fail = errors.New("disk full")
		r := h.try("alice@contoso.test", rightPassword)
		if r.Reason != authn.Unavailable || !errors.Is(r.Cause, h.trail.fail) {
			t.Errorf("accepted although unrecorded: %v, %v", r.Reason, r.Cause)
		}
		if r := h.try("alice@contoso.test", "wrong"); r.Reason != authn.WrongPassword {
			t.Errorf("refusal: %v", r.Reason)
		}
	})
}

type brokenGate struct{ begin, settle error }

func (g brokenGate) Begin(context.Context, lockout.Attempt) (lockout.Ticket, error) {
	return lockout.Ticket{}, g.begin
}
func (g brokenGate) Settle(context.Context, lockout.Ticket, lockout.Outcome) error { return g.settle }

func TestNothingIsTriedUncounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people(), func(c *password.Config) { c.Gate = brokenGate{begin: errors.New("store down")} })
		if r := h.try("alice@contoso.test", rightPassword); r.Reason != authn.Unavailable || h.dir.bindCount() != 0 {
			t.Errorf("%v, %d binds", r.Reason, h.dir.bindCount())
		}
		h = newHouse(t, people(), func(c *password.Config) { c.Gate = brokenGate{settle: errors.New("store down")} })
		if r := h.try("alice@contoso.test", rightPassword); r.Reason != authn.Accepted {
			t.Errorf("count not settled: %v", r.Reason)
		}
		if !strings.Contains(h.log.String(), "not settled") {
			t.Error("not logged")
		}
	})
}

func TestCrossedNamesAreNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people())
		h.dir.crossed = "CN=Other,DC=corp,DC=contoso,DC=test"
		h.try("alice@contoso.test", rightPassword)
		if e := h.trail.last(); !strings.Contains(e.Detail, h.dir.crossed) {
			t.Errorf("event %+v", e)
		}
	})
}

func TestUnknownNameIsRecordedAsTypedAndClipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people())
		h.try("nobody@contoso.test", "x")
		if e := h.trail.last(); e.Typed != "nobody@contoso.test" || e.Account != "" || e.Reason != "unknown_user" {
			t.Errorf("event %+v", e)
		}
		h.try(strings.Repeat("ü", 400), "x")
		if e := h.trail.last(); len(e.Typed) > 260 {
			t.Errorf("%d bytes of a name were recorded", len(e.Typed))
		}
	})
}
