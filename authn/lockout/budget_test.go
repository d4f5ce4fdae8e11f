package lockout_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/lockout"
)

func TestL06_SprayIsHeldBack(t *testing.T) {
	var log strings.Builder
	d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{
		AlarmPerMinute: 100, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	account := func(n int) authn.GUID { return authn.GUID{7, byte(n >> 8), byte(n)} }
	through := 0
	for n := range 5000 {
		from := netip.AddrFrom4([4]byte{203, 0, byte(n % 50), 7}) // 50 networks: the hard case
		ticket, err := d.gate.Begin(t.Context(), lockout.Attempt{Domain: corp, Account: account(n), Client: from})
		if err == nil {
			through++
			_ = d.gate.Settle(t.Context(), ticket, lockout.Failed)
		}
		if n%250 == 0 { // an honest person, from a place never seen before
			if r, refused := d.try(byte(n/250), netip.AddrFrom4([4]byte{198, 51, 100, byte(n / 250)}), true); r != authn.Accepted {
				t.Errorf("honest person %d: %v %v", n/250, r, refused)
			}
		}
		d.advance(time.Millisecond)
	}
	if through >= 250 {
		t.Errorf("%d of 5,000 reached the directory, want less than 5 %%", through)
	}
	if !strings.Contains(log.String(), "many failed sign-ins") {
		t.Error("no alarm")
	}
}

func TestOfficeBehindOneAddressIsNotShutOut(t *testing.T) {
	d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{})
	office := netip.MustParseAddr("192.0.2.1")
	refusedPeople := 0
	for n := range 200 { // a quarter of the people mistype once
		account := byte(n)
		if n%4 == 0 {
			if r, _ := d.try(account, office, false); r != authn.WrongPassword {
				refusedPeople++
			}
		}
		if r, _ := d.try(account, office, true); r != authn.Accepted {
			refusedPeople++
		}
		d.advance(time.Second)
	}
	if refusedPeople != 0 {
		t.Errorf("%d people were refused", refusedPeople)
	}
}

// Somebody with a valid password signs in from one address after the other of one
// network, to earn it a budget for guessing other people's passwords.
func TestL06_OnePersonCannotEarnABudgetForSpraying(t *testing.T) {
	d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{})
	through := 0
	for n := range 400 {
		from := netip.AddrFrom4([4]byte{203, 0, 113, byte(n % 10)})
		if r, refused := d.try(1, from, true); r != authn.Accepted && refused == nil {
			t.Fatalf("own sign-in %d: %v", n, r)
		}
		for i := range 2 {
			ticket, err := d.gate.Begin(t.Context(), lockout.Attempt{Domain: corp, Account: authn.GUID{9, byte(n >> 8), byte(n), byte(i)}, Client: from})
			if err == nil {
				through++
				_ = d.gate.Settle(t.Context(), ticket, lockout.Failed)
			}
		}
	}
	// The network's 16, and two for each of the six places that a person has.
	if through > 28 {
		t.Errorf("%d guesses reached the directory, want at most 28", through)
	}
}

func TestL05_ExhaustedAddressHasOneAnswer(t *testing.T) {
	d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{})
	from := address(1)
	d.try(1, from, true) // the place of account 1
	for n := range 10 {  // account 2 is paused from elsewhere, and so is a name
		d.try(2, address(100+n), false)
		d.name("paused", address(200+n))
	}
	for n := 0; ; n++ {
		if refused := d.name(fmt.Sprint("other", n), from); refused != nil {
			break
		}
	}
	for what, refused := range map[string]*lockout.Refused{
		"unknown name": d.name("nobody", from), "paused name": d.name("paused", from),
		"account": second(d.try(3, from, false)), "paused account": second(d.try(2, from, false)),
	} {
		if refused == nil || refused.Scope != lockout.ScopeAddress {
			t.Errorf("%s: %v", what, refused)
		}
	}
	for n := range 6 { // the account's own place: tried, but told as the others
		ticket, err := d.gate.Begin(t.Context(), lockout.Attempt{Domain: corp, Account: authn.GUID{1}, Client: from})
		var refused *lockout.Refused
		if errors.As(err, &refused); err == nil {
			refused = ticket.Instead()
			_ = d.gate.Settle(t.Context(), ticket, lockout.Failed)
		}
		if refused == nil || refused.Scope != lockout.ScopeAddress || (err == nil) != (n < 4) {
			t.Errorf("attempt %d at the own place: %v, %v", n, err, refused)
		}
	}
}

func second(_ authn.Reason, r *lockout.Refused) *lockout.Refused { return r }

func (d *desk) name(name string, from netip.Addr) *lockout.Refused {
	ticket, err := d.gate.Begin(d.t.Context(), lockout.Attempt{Name: name, Client: from})
	if err == nil {
		_ = d.gate.Settle(d.t.Context(), ticket, lockout.Failed)
		return nil
	}
	var refused *lockout.Refused
	errors.As(err, &refused)
	return refused
}

func TestAddressBudgetRefills(t *testing.T) {
	d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{})
	from := address(1)
	for n := range byte(4) {
		if r, _ := d.try(n, from, false); r != authn.WrongPassword {
			t.Fatalf("attempt %d: %v", n, r)
		}
	}
	r, refused := d.try(9, from, true)
	if r != authn.Throttled || refused.Scope != lockout.ScopeAddress || refused.RetryAfter != 30*time.Second {
		t.Fatalf("fifth attempt: %v, %v", r, refused)
	}
	if r, _ := d.try(9, address(2), true); r != authn.Accepted {
		t.Errorf("another address: %v", r)
	}
	d.advance(30 * time.Second)
	if r, _ := d.try(8, from, true); r != authn.Accepted {
		t.Errorf("half a minute later: %v", r)
	}
	if got := d.gate.Peek(corp, authn.GUID{9}); got.Pending != 0 {
		t.Errorf("a refusal by the address left %+v with the account", got)
	}
}

func TestNetworkBudgetHoldsForNeighbours(t *testing.T) {
	for _, prefix := range []string{"203.0.113.%d", "2001:db8:1:2::%x"} {
		d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{})
		through := 0
		var last *lockout.Refused
		for n := 1; n <= 100; n++ {
			if _, refused := d.try(byte(n), netip.MustParseAddr(fmt.Sprintf(prefix, n)), false); refused != nil {
				last = refused
			} else {
				through++
			}
		}
		if through != 16 || last.Scope != lockout.ScopeNetwork {
			t.Errorf("%s: %d went through, last refusal %v", prefix, through, last)
		}
	}
}

func TestInsideNetworksHaveLargeBudgets(t *testing.T) {
	d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{})
	through := 0
	for n := range byte(60) {
		ticket, err := d.gate.Begin(t.Context(), lockout.Attempt{Domain: corp, Account: authn.GUID{n}, Client: netip.MustParseAddr("10.0.0.1"), Inside: true})
		if err == nil {
			through++
			_ = d.gate.Settle(t.Context(), ticket, lockout.Failed)
		}
	}
	if through < 39 || through > 41 {
		t.Errorf("%d went through, want 40", through)
	}
}

func TestMappedAddressIsTheSameAddress(t *testing.T) {
	d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{})
	d.try(1, home, true)
	for n := range 20 {
		d.try(1, address(n), false)
	}
	if r, _ := d.try(1, netip.AddrFrom16(home.As16()), true); r != authn.Accepted {
		t.Errorf("home in its IPv6 form: %v", r)
	}
}

// TestL05_TheAddressLimitComesAtTheSameAttemptForEveryName: the page says so when
// an address has used up its budget. A name whose own count stops it earlier, or
// later, than another's must not spare the address: the attempt at which the
// page changes would tell which names exist.
func TestL05_TheAddressLimitComesAtTheSameAttemptForEveryName(t *testing.T) {
	for _, threshold := range []int{0, 2, 3, 6, 10, 50} {
		policy := lockout.Policy{Threshold: threshold, Window: 30 * time.Minute}
		shown := func(try func(d *desk) *lockout.Refused) string {
			d, s := newDesk(t, policy, lockout.Config{}), ""
			for range 12 {
				mark := "."
				if r := try(d); r != nil && (r.Scope == lockout.ScopeAddress || r.Scope == lockout.ScopeNetwork) {
					mark = "!"
				}
				s += mark
				d.advance(time.Second)
			}
			return s
		}
		draw := func() (unknown, known, worn string) {
			return shown(func(d *desk) *lockout.Refused { return d.name("nobody", home) }),
				shown(func(d *desk) *lockout.Refused { return second(d.try(1, home, false)) }),
				shown(func(d *desk) *lockout.Refused {
					for n := range 60 { // others have used up the account's count
						d.try(1, address(1000+n*300), false)
					}
					return second(d.try(1, home, false))
				})
		}
		unknown, known, worn := draw()
		if known != unknown || worn != unknown {
			// One of the others may share a cell with home, once in some thousand
			// times; the next gate has another key.
			unknown, known, worn = draw()
		}
		if known != unknown || worn != unknown {
			t.Errorf("threshold %d of the domain: unknown name %s, account %s, account under attack %s", threshold, unknown, known, worn)
		}
	}
}
