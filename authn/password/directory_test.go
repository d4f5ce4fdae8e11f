package password_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"sallyport/authn"
	adds "sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
	"sallyport/authn/lockout"
	"sallyport/authn/password"
)

// domain is the pipeline in front of the directory package and a stand-in of a
// Windows domain: LDAPS, AD's own counting, and AD's success for an empty password.
type domain struct {
	ad    *directorytest.Directory
	trail *trail
	p     *password.Pipeline
}

func newDomain(t *testing.T, users ...directorytest.User) *domain {
	t.Helper()
	ad, err := directorytest.Start(directorytest.Config{Users: users, Policy: directorytest.Policy{LockoutThreshold: 10}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ad.Close() })
	secret := []byte(ad.ServicePassword)
	dir, err := adds.New(adds.Config{
		Domains: []adds.DomainConfig{{
			DNSName: ad.Domain, NetBIOS: ad.NetBIOS, UPNSuffixes: []string{"contoso.test"},
			Servers: []adds.ServerConfig{{URL: ad.DCs[0].URL, Address: ad.DCs[0].Addr}},
		}},
		AllowBareNames: true, Roots: ad.CAPool(),
		Service: adds.Service{Name: ad.ServiceName, Passwords: func() [][]byte { return [][]byte{secret} }},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	policy, err := dir.LockoutPolicy(t.Context(), ad.Domain)
	if err != nil {
		t.Fatal(err)
	}
	gate := lockout.NewMemory(lockout.Config{})
	gate.SetPolicy(ad.Domain, &lockout.Policy{Threshold: policy.Threshold, Window: policy.Window, Duration: policy.Duration})
	d := &domain{ad: ad, trail: &trail{}}
	if d.p, err = password.New(password.Config{Directory: dir, Gate: gate, Audit: d.trail, Schedule: password.Schedule{Floor: time.Millisecond, Step: time.Millisecond}}); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *domain) try(t *testing.T, from netip.Addr, name, pw string) authn.Reason {
	at := attempt
	at.Client = from
	return d.p.Verify(t.Context(), at, authn.Credentials{Name: name, Password: authn.NewPassword([]byte(pw))}).Reason
}

// TestL01_AtADirectory lets strangers guess at alice from 200 addresses and reads
// the directory's own count.
func TestL01_AtADirectory(t *testing.T) {
	d := newDomain(t, directorytest.User{SAM: "alice", UPN: "alice@contoso.test", Password: rightPassword})
	home := netip.MustParseAddr("198.51.100.7")
	if r := d.try(t, home, "alice@contoso.test", rightPassword); r != authn.Accepted {
		t.Fatalf("first sign-in: %v", r)
	}
	var wg sync.WaitGroup
	for w := range 20 {
		wg.Go(func() {
			for n := range 50 {
				d.try(t, netip.AddrFrom4([4]byte{203, byte(n % 10), byte(w), 1}), "alice@contoso.test", fmt.Sprint("guess", n))
			}
		})
	}
	wg.Wait()
	if n := d.ad.DCs[0].BadPwdCount("alice"); n != 5 || d.ad.Locked("alice") {
		t.Errorf("badPwdCount %d, locked %v; want 5, not locked", n, d.ad.Locked("alice"))
	}
	if r := d.try(t, home, "alice@contoso.test", rightPassword); r != authn.Accepted {
		t.Errorf("the owner from home: %v", r)
	}
}

// TestL03_AtADirectory sends the 60 spellings through the directory's own search.
func TestL03_AtADirectory(t *testing.T) {
	d := newDomain(t, directorytest.User{SAM: "alice", UPN: "alice@contoso.test", Password: rightPassword})
	tried := 0
	for n, s := range spellings() {
		if d.try(t, netip.AddrFrom4([4]byte{203, byte(n), 1, 1}), s, "wrong") == authn.WrongPassword {
			tried++
		}
	}
	if n := d.ad.DCs[0].BadPwdCount("alice"); n > 5 || n != tried || d.ad.Locked("alice") {
		t.Errorf("badPwdCount %d of %d tried, locked %v", n, tried, d.ad.Locked("alice"))
	}
	if tried == 0 {
		t.Error("no spelling was tried, the test proves nothing")
	}
}

// TestC14_RightPasswordThatMustBeChanged has the states that AD tells only after the
// right password.
func TestC14_RightPasswordThatMustBeChanged(t *testing.T) {
	d := newDomain(t,
		directorytest.User{SAM: "expired", UPN: "expired@contoso.test", Password: rightPassword, PasswordExpired: true},
		directorytest.User{SAM: "change", UPN: "change@contoso.test", Password: rightPassword, MustChange: true},
		directorytest.User{SAM: "disabled", UPN: "disabled@contoso.test", Password: rightPassword, Disabled: true},
		directorytest.User{SAM: "locked", UPN: "locked@contoso.test", Password: rightPassword, Locked: true},
	)
	for _, tt := range []struct {
		sam, pw string
		want    authn.Reason
		bad     int
	}{
		{"expired", rightPassword, authn.PasswordExpired, 0}, {"change", rightPassword, authn.MustChange, 0},
		{"disabled", rightPassword, authn.Disabled, 0}, {"locked", rightPassword, authn.LockedOut, 0},
		{"expired", "wrong", authn.WrongPassword, 1}, {"change", "wrong", authn.WrongPassword, 1}, {"disabled", "wrong", authn.WrongPassword, 1},
	} {
		if r := d.try(t, netip.Addr{}, tt.sam+"@contoso.test", tt.pw); r != tt.want {
			t.Errorf("%s with %q: %v, want %v", tt.sam, tt.pw, r, tt.want)
		}
		if e := d.trail.last(); e.Reason != tt.want.String() {
			t.Errorf("%s: recorded as %s", tt.sam, e.Reason)
		}
		if n := d.ad.DCs[0].BadPwdCount(tt.sam); tt.sam != "locked" && n != tt.bad {
			t.Errorf("%s: badPwdCount %d, want %d", tt.sam, n, tt.bad)
		}
	}
	for range 20 { // never counted, so never held back
		if r := d.try(t, netip.Addr{}, "change@contoso.test", rightPassword); r != authn.MustChange {
			t.Fatalf("again: %v", r)
		}
	}
}

func TestD02_AtADirectory(t *testing.T) {
	d := newDomain(t, directorytest.User{SAM: "alice", UPN: "alice@contoso.test", Password: rightPassword})
	for _, pw := range []string{"", "\x00", rightPassword + "\x00"} {
		if r := d.try(t, netip.Addr{}, "alice@contoso.test", pw); r != authn.BadInput {
			t.Errorf("%q: %v", pw, r)
		}
	}
	if binds := d.ad.UserBinds(); len(binds) != 0 {
		t.Errorf("%d binds", len(binds))
	}
}
