package wstrust_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/authn"
	adds "sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
	"sallyport/authn/lockout"
	"sallyport/authn/password"
	"sallyport/federation/wstrust"
)

// domain is the pipeline in front of a stand-in of a Windows domain, whose own
// count of wrong passwords is the judge.
type domain struct {
	ad    *directorytest.Directory
	trail *trail
	p     *password.Pipeline
}

func newDomain(t *testing.T, floor time.Duration, users ...directorytest.User) *domain {
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
		Roots: ad.CAPool(), Service: adds.Service{Name: ad.ServiceName, Passwords: func() [][]byte { return [][]byte{secret} }},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	gate := lockout.NewMemory(lockout.Config{})
	gate.SetPolicy(ad.Domain, &lockout.Policy{Threshold: 10, Window: 30 * time.Minute, Duration: 30 * time.Minute})
	d := &domain{ad: ad, trail: &trail{}}
	if d.p, err = password.New(password.Config{Directory: dir, Gate: gate, Audit: d.trail, Schedule: password.Schedule{Floor: floor, Step: max(floor/8, time.Millisecond)}}); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *domain) rig(t *testing.T, notes wstrust.Notes) *rig {
	return newRig(t, func(c *wstrust.Config) { c.Passwords, c.Notes = d.p, notes })
}

var alice = directorytest.User{SAM: "alice", UPN: "alice@contoso.test", Password: right}

func TestT03_AtADirectory(t *testing.T) {
	d := newDomain(t, time.Millisecond, alice)
	clock := now
	store := memory(&clock)
	rigs := []*rig{d.rig(t, store), d.rig(t, store)}
	body := message{id: "urn:uuid:1", password: "wrong"}.String()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if got := subcode(t, rigs[i%2].send(body, 0, outsider)); got != "Sender FailedAuthentication" {
				t.Errorf("copy %d: %s", i, got)
			}
		})
	}
	wg.Wait()
	if binds, bad := len(d.ad.UserBinds()), d.ad.DCs[0].BadPwdCount("alice"); binds != 1 || bad != 1 {
		t.Errorf("%d binds and badPwdCount %d for 100 copies, want 1 and 1", binds, bad)
	}
	if w := rigs[1].send(message{id: "urn:uuid:2"}.String(), 0, outsider); w.Code != 200 {
		t.Errorf("the right password afterwards: %d %s", w.Code, w.Body)
	}
}

func TestT01_TheFormAndThisDoorShareOneCounter(t *testing.T) {
	d := newDomain(t, time.Millisecond, alice)
	g := d.rig(t, nil)
	for i := range 40 {
		from := fmt.Sprintf("203.0.%d.1", i)
		switch {
		case i%2 == 0:
			d.p.Verify(t.Context(), authn.Attempt{Protocol: "wsfed", Client: netip.MustParseAddr(from)},
				authn.Credentials{Name: `CONTOSO\alice`, Password: authn.NewPassword([]byte(fmt.Sprint("guess", i)))})
		default:
			v := wstrust.Version(i / 2 % 2)
			g.send(message{version: v, id: fmt.Sprint(i), password: fmt.Sprint("guess", i)}.String(), v, from)
		}
	}
	if n := d.ad.DCs[0].BadPwdCount("alice"); n == 0 || n > 5 || d.ad.Locked("alice") {
		t.Errorf("badPwdCount %d, locked %v: want at most 5 of 40, half the domain's threshold", n, d.ad.Locked("alice"))
	}
}

func TestL07_TheSameVerdictAsADirectBind(t *testing.T) {
	for i, secret := range []string{" leading", "trailing ", "a\tb", `"<>&'`, "emoji \U0001F511", "e\u0301", "]]>", strings.Repeat("x", 127), strings.Repeat("é", 128), strings.Repeat("x", 256)} {
		d := newDomain(t, time.Millisecond, directorytest.User{SAM: "alice", UPN: "alice@contoso.test", Password: secret})
		spelled := strings.NewReplacer("\t", "&#9;").Replace(escape(secret))
		if w := d.rig(t, nil).send(message{password: spelled}.String(), 0, outsider); w.Code != 200 {
			t.Errorf("password %d: %d %s", i, w.Code, w.Body)
		}
		if trimmed := strings.TrimSpace(secret); trimmed != secret {
			if w := d.rig(t, nil).send(message{password: escape(trimmed)}.String(), 0, outsider); w.Code == 200 {
				t.Errorf("password %d is taken without its blanks", i)
			}
		}
	}
	d := newDomain(t, time.Millisecond, directorytest.User{SAM: "alice", UPN: "alice@contoso.test", Password: strings.Repeat("x", 257)})
	for _, secret := range []string{strings.Repeat("x", 257), "<![CDATA[]]>"} { // too long; empty, which LDAP would take for nobody
		if got := subcode(t, d.rig(t, nil).send(message{password: secret}.String(), 0, outsider)); got != "Sender FailedAuthentication" {
			t.Errorf("%.10s: %s", secret, got)
		}
	}
	if n := len(d.ad.UserBinds()); n != 0 {
		t.Errorf("%d binds with passwords that must not be tried", n)
	}
}

func TestT07_EqualInTimeAtADirectory(t *testing.T) {
	states := []directorytest.User{
		alice, {SAM: "disabled", UPN: "disabled@contoso.test", Password: right, Disabled: true}, {SAM: "locked", UPN: "locked@contoso.test", Password: right, Locked: true},
		{SAM: "expired", UPN: "expired@contoso.test", Password: right, PasswordExpired: true},
	}
	const floor = 60 * time.Millisecond
	d := newDomain(t, floor, states...)
	g := d.rig(t, nil)
	took := map[string][]time.Duration{}
	for i := range 4 { // below the threshold
		for _, name := range []string{"nobody", "alice", "disabled", "locked", "expired"} {
			secret := "wrong"
			if name == "disabled" {
				secret = escape(right)
			}
			begun := time.Now()
			w := g.send(message{id: fmt.Sprint(name, i), name: name + "@contoso.test", password: secret}.String(), 0, fmt.Sprintf("198.51.%d.1", i))
			took[name] = append(took[name], time.Since(begun))
			if got := subcode(t, w); got != "Sender FailedAuthentication" {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
	for name, all := range took {
		slices.Sort(all)
		if all[0] < floor {
			t.Errorf("%s: answered after %v, before the schedule's first instant", name, all[0])
		}
		t.Logf("%s: %v", name, all)
	}
}
