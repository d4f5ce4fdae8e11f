package lockout_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/lockout"
)

const corp = "corp.contoso.test"

var (
	start = time.Date(2026, 11, 24, 10, 30, 0, 0, time.UTC)
	home  = netip.MustParseAddr("198.51.100.7")
)

// desk is a gate with a clock and a domain whose own counter it keeps, as a
// domain controller would.
type desk struct {
	t    testing.TB
	now  time.Time
	gate *lockout.Memory

	mu     sync.Mutex
	policy lockout.Policy
	bad    int       // badPwdCount
	last   time.Time // badPasswordTime
	locked bool
	asked  int
}

func newDesk(t testing.TB, policy lockout.Policy, cfg lockout.Config) *desk {
	d := &desk{t: t, now: start, policy: policy}
	cfg.Now = func() time.Time { d.mu.Lock(); defer d.mu.Unlock(); return d.now }
	d.gate = lockout.NewMemory(cfg)
	d.gate.SetPolicy(corp, &policy)
	return d
}

func (d *desk) advance(by time.Duration) { d.mu.Lock(); d.now = d.now.Add(by); d.mu.Unlock() }

// ask is the bind at the domain controller.
func (d *desk) ask(right bool) authn.Reason {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.now.Sub(d.last) >= d.policy.Window {
		d.bad = 0
	}
	switch {
	case d.locked:
		return authn.LockedOut
	case right:
		d.bad = 0
		return authn.Accepted
	}
	d.bad, d.last = d.bad+1, d.now
	if d.policy.Threshold > 0 && d.bad >= d.policy.Threshold {
		d.locked = true
	}
	return authn.WrongPassword
}

// try is one sign-in: gate, bind, settle. It returns the refusal, if any.
func (d *desk) try(account byte, from netip.Addr, right bool) (authn.Reason, *lockout.Refused) {
	a := lockout.Attempt{Domain: corp, Account: authn.GUID{account}, Client: from}
	ticket, err := d.gate.Begin(d.t.Context(), a)
	if err != nil {
		var refused *lockout.Refused
		if !errors.As(err, &refused) {
			d.t.Errorf("Begin: %v", err)
		}
		return authn.Throttled, refused
	}
	reason := d.ask(right)
	if err := d.gate.Settle(d.t.Context(), ticket, lockout.OutcomeOf(reason)); err != nil {
		d.t.Errorf("Settle: %v", err)
	}
	return reason, nil
}

func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{203, byte(n >> 8), byte(n), 9})
}

// TestL01_StrangersCannotLockTheOwnerOut sends 10,000 wrong passwords from 200
// addresses and then lets the owner sign in from a place of theirs.
func TestL01_StrangersCannotLockTheOwnerOut(t *testing.T) {
	d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{})
	if r, _ := d.try(1, home, true); r != authn.Accepted {
		t.Fatalf("first sign-in: %v", r)
	}
	for n := range 10_000 {
		d.try(1, address(n%200), false)
		d.advance(100 * time.Millisecond) // 16 minutes in all
	}
	if d.bad > 5 || d.locked {
		t.Errorf("badPwdCount %d, locked %v; want at most 5, not locked", d.bad, d.locked)
	}
	if r, _ := d.try(1, netip.MustParseAddr("192.0.2.50"), true); r != authn.Throttled {
		t.Errorf("owner from a strange place: %v, want throttled", r)
	}
	if r, _ := d.try(1, home, true); r != authn.Accepted {
		t.Errorf("owner from home: %v, want accepted", r)
	}
}

// TestL01_BothCountsTogetherStayBelowAD lets strangers and the owner fail at
// instants that are chosen against the windows.
func TestL01_BothCountsTogetherStayBelowAD(t *testing.T) {
	for _, threshold := range []int{3, 4, 5, 6, 10, 20, 50} {
		d := newDesk(t, lockout.Policy{Threshold: threshold, Window: 30 * time.Minute}, lockout.Config{})
		d.try(1, home, true)
		worst := 0
		r := rand.New(rand.NewPCG(1, uint64(threshold)))
		for n := range 5000 {
			if r.IntN(2) == 0 {
				d.try(1, home, false)
			} else {
				d.try(1, address(n), false)
			}
			worst = max(worst, d.bad)
			d.advance([]time.Duration{0, time.Second, 10 * time.Minute, 29*time.Minute + 59*time.Second}[r.IntN(4)])
		}
		if d.locked || worst >= threshold {
			t.Errorf("AD threshold %d: badPwdCount reached %d, locked %v", threshold, worst, d.locked)
		}
		if worst == 0 {
			t.Errorf("AD threshold %d: nothing was asked, the test proves nothing", threshold)
		}
	}
}

// TestL02_ParallelAttemptsCannotPassTheCount starts 500 attempts at once; none
// ends before all have begun or been refused.
func TestL02_ParallelAttemptsCannotPassTheCount(t *testing.T) {
	d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var tickets []lockout.Ticket
	for n := range 500 {
		wg.Go(func() {
			ticket, err := d.gate.Begin(t.Context(), lockout.Attempt{Domain: corp, Account: authn.GUID{1}, Client: address(n)})
			if err == nil {
				mu.Lock()
				tickets = append(tickets, ticket)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(tickets) != 5 {
		t.Fatalf("%d attempts were let through, want 5", len(tickets))
	}
	for _, ticket := range tickets {
		if err := d.gate.Settle(t.Context(), ticket, lockout.Failed); err != nil {
			t.Error(err)
		}
	}
	if r, refused := d.try(1, address(1000), false); r != authn.Throttled || refused.Scope != lockout.ScopeAccount {
		t.Errorf("the next one: %v, %v", r, refused)
	}
}

func TestUnsettledAttemptStaysCounted(t *testing.T) {
	d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{})
	for n := range 5 {
		if _, err := d.gate.Begin(t.Context(), lockout.Attempt{Domain: corp, Account: authn.GUID{1}, Client: address(n)}); err != nil {
			t.Fatal(err)
		}
	}
	if r, _ := d.try(1, address(9), false); r != authn.Throttled {
		t.Errorf("sixth attempt: %v", r)
	}
	d.advance(31 * time.Minute)
	if r, _ := d.try(1, address(9), false); r != authn.WrongPassword {
		t.Errorf("after the window: %v", r)
	}
}

func TestOutcomesMoveTheCount(t *testing.T) {
	tests := []struct {
		outcome lockout.Outcome
		want    lockout.Counts
	}{
		{lockout.Undecided, lockout.Counts{Strange: 2}},
		{lockout.Failed, lockout.Counts{Strange: 3}},
		{lockout.Denied, lockout.Counts{Strange: 2}},
		{lockout.Proven, lockout.Counts{Strange: 2}},
		{lockout.Accepted, lockout.Counts{}},
	}
	for _, tt := range tests {
		d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{})
		d.try(1, address(1), false)
		d.try(1, address(2), false)
		ticket, err := d.gate.Begin(t.Context(), lockout.Attempt{Domain: corp, Account: authn.GUID{1}, Client: address(3)})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.gate.Peek(corp, authn.GUID{1}); got != (lockout.Counts{Strange: 2, Pending: 1}) {
			t.Errorf("under way: %+v", got)
		}
		if err := d.gate.Settle(t.Context(), ticket, tt.outcome); err != nil {
			t.Fatal(err)
		}
		if got := d.gate.Peek(corp, authn.GUID{1}); got != tt.want {
			t.Errorf("outcome %d: %+v, want %+v", tt.outcome, got, tt.want)
		}
	}
}

// TestD07_ReasonsBecomeOutcomes holds the whole table, so that a new reason is
// decided on purpose.
func TestD07_ReasonsBecomeOutcomes(t *testing.T) {
	want := map[authn.Reason]lockout.Outcome{
		authn.NoVerdict: lockout.Undecided, authn.Unavailable: lockout.Undecided, authn.Busy: lockout.Undecided,
		authn.Misconfigured: lockout.Undecided,
		authn.WrongPassword: lockout.Failed, authn.Rejected: lockout.Failed, authn.UnknownUser: lockout.Failed, authn.Ambiguous: lockout.Failed,
		authn.LockedOut: lockout.Denied, authn.Throttled: lockout.Denied, authn.BadInput: lockout.Denied,
		authn.Restricted: lockout.Denied, authn.LogonHours: lockout.Proven, authn.Workstation: lockout.Proven,
		authn.PasswordExpired: lockout.Proven, authn.Disabled: lockout.Proven, authn.TooManyGroups: lockout.Proven,
		authn.AccountExpired: lockout.Proven, authn.MustChange: lockout.Proven, authn.NotReady: lockout.Proven, authn.NotAllowed: lockout.Proven,
		authn.Accepted: lockout.Accepted,
	}
	for _, r := range authn.Reasons() {
		w, listed := want[r]
		if got := lockout.OutcomeOf(r); !listed || got != w {
			t.Errorf("%v is %d, want %d (listed %v)", r, got, w, listed)
		}
	}
}

func TestWindowRunsFromTheLastFailure(t *testing.T) {
	d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{})
	for n := range 5 {
		d.try(1, address(n), false)
		d.advance(10 * time.Minute)
	}
	// 10 minutes after the fifth failure.
	r, refused := d.try(1, address(7), false)
	if r != authn.Throttled || refused.RetryAfter != 20*time.Minute {
		t.Errorf("%v, again in %v; want throttled, 20m", r, refused)
	}
	d.advance(20 * time.Minute)
	if r, _ := d.try(1, address(8), false); r != authn.WrongPassword {
		t.Errorf("after the window: %v", r)
	}
}

// TestL03_SpellingsOfAnUnknownNameShareACount is the half of the row that concerns
// names without an object; the other half is the pipeline's.
// A directory holds any number of 100 ns; the longest must not wrap around and
// make the gate forget.
func TestL01_AnEndlessWindowForgetsNothing(t *testing.T) {
	d := newDesk(t, lockout.Policy{Threshold: 10, Window: 1<<63 - 1}, lockout.Config{})
	for n := range 40 {
		_, refused := d.try(1, address(n), false)
		if refused != nil && (refused.RetryAfter <= 0 || refused.Scope != lockout.ScopeAccount) {
			t.Fatalf("attempt %d: %+v", n, refused)
		}
		d.advance(time.Minute)
	}
	if d.bad > 5 || d.locked {
		t.Errorf("%d wrong passwords reached the directory, want at most 5", d.bad)
	}
}

// A policy that is known to be stricter than the one assumed in its absence stays
// known while the directory does not answer.
func TestL01_AnUnreadablePolicyDoesNotReplaceAKnownOne(t *testing.T) {
	for _, policy := range []lockout.Policy{{Threshold: 3, Window: 24 * time.Hour}, {Threshold: 1, Window: time.Hour}} {
		d := newDesk(t, policy, lockout.Config{})
		want := lockout.Config{}.LimitsFor(&policy)
		if got := d.gate.SetPolicy(strings.ToUpper(corp), nil); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		for n := range 10 {
			d.try(1, address(n), false)
			d.advance(31 * time.Minute) // longer than the window without a policy
		}
		if policy.Threshold > 1 && d.locked {
			t.Errorf("threshold %d: the account is locked in the directory", policy.Threshold)
		}
	}
	if got, want := lockout.NewMemory(lockout.Config{}).SetPolicy(corp, nil), (lockout.Config{}).LimitsFor(nil); got != want {
		t.Errorf("never read: %+v, want %+v", got, want)
	}
}

// TestL06_SprayIsHeldBack tries one password on each of 5,000 accounts from 50
// addresses, while 20 people sign in.
// TestL05_ExhaustedAddressHasOneAnswer uses up the budget of an address and then
// tries names of every kind from it.
// name tries a name that leads to no account.
func TestSettleWithoutBeginIsAnError(t *testing.T) {
	if err := lockout.NewMemory(lockout.Config{}).Settle(t.Context(), lockout.Ticket{}, lockout.Failed); err == nil {
		t.Error("accepted")
	}
}

func BenchmarkBeginSettle(b *testing.B) {
	m := lockout.NewMemory(lockout.Config{})
	m.SetPolicy(corp, &lockout.Policy{Threshold: 10, Window: 30 * time.Minute})
	a := lockout.Attempt{Domain: corp, Account: authn.GUID{1}, Client: home}
	b.ReportAllocs()
	for b.Loop() {
		ticket, err := m.Begin(b.Context(), a)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Settle(b.Context(), ticket, lockout.Accepted); err != nil {
			b.Fatal(err)
		}
	}
}
