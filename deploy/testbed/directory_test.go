package testbed_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/directory"
	"sallyport/deploy/testbed/lab"
)

// openDirectory starts the product's directory client on both domain
// controllers; change may alter its settings first.
func openDirectory(t *testing.T, l *lab.Lab, change func(*directory.Config)) *directory.Directory {
	t.Helper()
	secret := []byte(l.Secret(t, l.ServicePasswordFile))
	cfg := directory.Config{
		Domains: []directory.DomainConfig{{
			DNSName:     "corp.contoso.test",
			NetBIOS:     "CONTOSO",
			UPNSuffixes: []string{"contoso.test"},
		}},
		Roots:   l.Roots(t),
		Service: directory.Service{Name: l.Service, Passwords: func() [][]byte { return [][]byte{secret} }},
	}
	for _, dc := range l.DCs {
		cfg.Domains[0].Servers = append(cfg.Domains[0].Servers, directory.ServerConfig{URL: dc.URL, Address: dc.Addr})
	}
	if change != nil {
		change(&cfg)
	}
	d, err := directory.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// signIn resolves the name and binds with the password, as the pipeline does.
func signIn(ctx context.Context, d *directory.Directory, name, password string) (*authn.Account, error) {
	acc, err := d.Resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	return acc, d.Bind(ctx, acc, authn.NewPassword([]byte(password)))
}

// eventually polls until ok holds; it fails the test after the limit.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within %v", what, limit)
		case <-tick.C:
		}
	}
}

// signsInWithin waits until the person gets in; between a start and the first
// successful probe every domain controller may count as down.
func signsInWithin(t *testing.T, limit time.Duration, d *directory.Directory, u lab.User) {
	t.Helper()
	eventually(t, limit, "sign-in of "+u.SAM, func() bool {
		_, err := signIn(t.Context(), d, u.UPN, u.Password)
		return err == nil
	})
}

func TestSambaGivesEveryAccountStateItsReason(t *testing.T) {
	l := lab.Require(t)
	d := openDirectory(t, l, nil)
	signsInWithin(t, 10*time.Second, d, l.User(t, "normal"))

	for _, tc := range []struct {
		state string
		right authn.Reason // with the right password
		wrong authn.Reason // with a wrong one
	}{
		{"normal", authn.Accepted, authn.WrongPassword},
		{"never-expires", authn.Accepted, authn.WrongPassword},
		{"password-expires-soon", authn.Accepted, authn.WrongPassword},
		{"non-ascii", authn.Accepted, authn.WrongPassword},
		{"special", authn.Accepted, authn.WrongPassword},
		{"groups", authn.Accepted, authn.WrongPassword},
		{"locked", authn.LockedOut, authn.LockedOut},
		{"disabled", authn.Disabled, authn.WrongPassword},
		{"account-expired", authn.AccountExpired, authn.WrongPassword},
		{"password-expired", authn.PasswordExpired, authn.WrongPassword},
		{"must-change", authn.MustChange, authn.WrongPassword},
		{"logon-hours", authn.LogonHours, authn.WrongPassword},
		{"workstation", authn.Workstation, authn.WrongPassword},
		// Samba refuses members of Protected Users before it looks at the password.
		{"protected", authn.Restricted, authn.Restricted},
	} {
		t.Run(tc.state, func(t *testing.T) {
			u := l.User(t, tc.state)
			acc, err := signIn(t.Context(), d, u.UPN, u.Password)
			if got := authn.ReasonOf(err); got != tc.right {
				t.Errorf("right password: %v (%v), want %v", got, err, tc.right)
			}
			if acc == nil {
				t.Fatal("no account")
			}
			if acc.DN != u.DN && !strings.EqualFold(acc.SAMAccountName, u.SAM) {
				t.Errorf("account %s, want %s", acc.DN, u.DN)
			}
			if acc.DisplayName != u.DisplayName {
				t.Errorf("display name %q, want %q", acc.DisplayName, u.DisplayName)
			}
			_, err = signIn(t.Context(), d, u.UPN, u.Password+"x")
			if got := authn.ReasonOf(err); got != tc.wrong {
				t.Errorf("wrong password: %v (%v), want %v", got, err, tc.wrong)
			}
		})
	}
}

func TestSambaStateBitsAgreeWithTheVerdictOfTheBind(t *testing.T) {
	l := lab.Require(t)
	d := openDirectory(t, l, nil)
	signsInWithin(t, 10*time.Second, d, l.User(t, "normal"))
	for state, want := range map[string]authn.State{
		"normal":           0,
		"locked":           authn.StateLocked,
		"disabled":         authn.StateDisabled,
		"account-expired":  authn.StateAccountExpired,
		"password-expired": authn.StatePasswordExpired,
		"must-change":      authn.StateMustChange | authn.StatePasswordExpired,
		"smart-card":       authn.StateSmartCard,
	} {
		acc, err := d.Resolve(t.Context(), l.User(t, state).UPN)
		if err != nil {
			t.Errorf("%s: %v", state, err)
			continue
		}
		// The code that says "must change" may or may not repeat "expired".
		if acc.State&^authn.StatePasswordExpired != want&^authn.StatePasswordExpired || acc.State&want == 0 && want != 0 {
			t.Errorf("%s: state %b, want %b", state, acc.State, want)
		}
	}
}

func TestSambaFindsOneAccountByEveryFormOfItsName(t *testing.T) {
	l := lab.Require(t)
	d := openDirectory(t, l, func(c *directory.Config) { c.AllowBareNames = true })
	alice := l.BySAM(t, "alice")
	signsInWithin(t, 10*time.Second, d, alice)
	var first authn.GUID
	for _, name := range []string{
		"alice@contoso.test", "ALICE@Contoso.Test", `CONTOSO\alice`, `contoso\ALICE`, "alice@corp.contoso.test", "alice",
	} {
		acc, err := signIn(t.Context(), d, name, alice.Password)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if first.IsZero() {
			first = acc.ID
		}
		if acc.ID != first {
			t.Errorf("%s is object %v, want %v", name, acc.ID, first)
		}
		if again, err := d.ByID(t.Context(), acc.Domain, acc.ID); err != nil || again.SAMAccountName != "alice" {
			t.Errorf("by its id: %+v, %v", again, err)
		}
	}
	for _, name := range []string{"nobody@contoso.test", `CONTOSO\nobody`, "alice@elsewhere.test", "*", "ali*@contoso.test", "a)(cn=*"} {
		if _, err := d.Resolve(t.Context(), name); authn.ReasonOf(err) != authn.UnknownUser {
			t.Errorf("%s: %v, want unknown user", name, err)
		}
	}
}

func TestC13_SambaNamesThatNeedEscaping(t *testing.T) {
	l := lab.Require(t)
	d := openDirectory(t, l, func(c *directory.Config) { c.ReadGroups = true })
	u := l.User(t, "special")
	signsInWithin(t, 10*time.Second, d, u)
	var ids []authn.GUID
	for _, name := range []string{"j.o'mueller@contoso.test", `CONTOSO\jmueller (ext)`} {
		acc, err := signIn(t.Context(), d, name, u.Password)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ids = append(ids, acc.ID)
		if acc.DisplayName != u.DisplayName {
			t.Errorf("display name %q, want %q", acc.DisplayName, u.DisplayName)
		}
		// Domain Users, Users, the group with brackets and the one around it.
		if len(acc.Groups) < 4 {
			t.Errorf("groups %v, want the nested one too", acc.Groups)
		}
	}
	if ids[0] != ids[1] {
		t.Errorf("two spellings led to two objects: %v", ids)
	}
}

func TestSambaNestedGroups(t *testing.T) {
	l := lab.Require(t)
	d := openDirectory(t, l, func(c *directory.Config) { c.ReadGroups = true })
	u := l.User(t, "groups")
	signsInWithin(t, 10*time.Second, d, l.User(t, "normal"))
	acc, err := d.Resolve(t.Context(), u.UPN)
	if err != nil {
		t.Fatal(err)
	}
	// 300 nested ones in a circle, the primary group and the built-in Users.
	if len(acc.Groups) != 302 || !acc.GroupsRead {
		t.Errorf("%d groups, want 302", len(acc.Groups))
	}
	seen := map[string]bool{}
	for _, sid := range acc.Groups {
		if !strings.HasPrefix(sid, "S-1-5-") || seen[sid] {
			t.Errorf("group %q twice, or not a SID", sid)
		}
		seen[sid] = true
	}
}

func TestC15_SambaSourceAnchors(t *testing.T) {
	l := lab.Require(t)
	d := openDirectory(t, l, nil)
	signsInWithin(t, 10*time.Second, d, l.User(t, "normal"))
	n := 0
	for _, u := range l.Users {
		if u.State != "anchor" {
			continue
		}
		n++
		acc, err := d.Resolve(t.Context(), u.UPN)
		if err != nil {
			t.Errorf("%s: %v", u.SAM, err)
			continue
		}
		if got := base64.StdEncoding.EncodeToString(acc.SourceAnchor()); got != u.ImmutableID {
			t.Errorf("%s: ImmutableID %q, want %q", u.SAM, got, u.ImmutableID)
		}
	}
	if n != 6 {
		t.Errorf("%d accounts with odd anchors, want 6", n)
	}
}

func TestSambaPasswordsThatMustNotReachTheWire(t *testing.T) {
	l := lab.Require(t)
	d := openDirectory(t, l, nil)
	alice := l.BySAM(t, "alice")
	signsInWithin(t, 10*time.Second, d, alice)
	for name, password := range map[string]string{
		"empty":     "",
		"NUL":       alice.Password + "\x00x", // Samba itself accepts this one
		"not UTF-8": "\xff\xfe",
		"too long":  strings.Repeat("a", 2000),
	} {
		if _, err := signIn(t.Context(), d, alice.UPN, password); err == nil {
			t.Errorf("%s: accepted", name)
		} else if r := authn.ReasonOf(err); r != authn.BadInput {
			t.Errorf("%s: %v, want bad input", name, r)
		}
	}
}

func TestSambaLockoutPolicyIsRead(t *testing.T) {
	l := lab.Require(t)
	d := openDirectory(t, l, nil)
	signsInWithin(t, 10*time.Second, d, l.User(t, "normal"))
	p, err := d.LockoutPolicy(t.Context(), "corp.contoso.test")
	if err != nil {
		t.Fatal(err)
	}
	if p.Threshold != 10 || p.Window != 30*time.Minute || p.Duration != 24*time.Hour {
		t.Errorf("policy %+v, want 10 in 30 min for a day", p)
	}
}

func TestSambaIsRefusedWithAForeignAuthority(t *testing.T) {
	l := lab.Require(t)
	d := openDirectory(t, l, func(c *directory.Config) { c.Roots = l.StrangerRoots(t) })
	_, err := signIn(t.Context(), d, "alice@contoso.test", l.BySAM(t, "alice").Password)
	if r := authn.ReasonOf(err); r != authn.Unavailable {
		t.Errorf("%v (%v), want unavailable", r, err)
	}
}

func TestSambaControllerLostAndBack(t *testing.T) {
	l := lab.Require(t)
	d := openDirectory(t, l, nil)
	alice := l.BySAM(t, "alice")
	signsInWithin(t, 10*time.Second, d, alice)
	eventually(t, 20*time.Second, "both controllers usable", func() bool { return usable(d) == 2 })

	for _, tc := range []struct{ what, take string }{{"killed", "stop"}, {"silent", "pause"}} {
		t.Run(tc.what, func(t *testing.T) {
			for _, dc := range l.DCs {
				t.Run(dc.Service, func(t *testing.T) {
					t.Run("lost", func(t *testing.T) {
						l.Control(t, tc.take, dc.Service) // comes back when this part ends
						loseOne(t, d, alice)
					})
					eventually(t, 90*time.Second, dc.Name+" used again", func() bool { return usable(d) == 2 })
				})
			}
		})
	}
}

// loseOne signs in while one controller is away: at most the attempts whose
// bind was already on its way may ask the person to try again, and each answer
// comes within the attempt's deadline.
func loseOne(t *testing.T, d *directory.Directory, u lab.User) {
	t.Helper()
	var refused []string
	good := 0
	for i := 0; good < 20; i++ {
		if i == 60 {
			t.Fatalf("only %d of %d sign-ins worked: %v", good, i, refused)
		}
		begin := time.Now()
		_, err := signIn(t.Context(), d, u.UPN, u.Password)
		if took := time.Since(begin); took > 12*time.Second {
			t.Fatalf("an answer took %v", took)
		}
		switch {
		case err == nil:
			good++
		case authn.ReasonOf(err).Undecided():
			refused = append(refused, fmt.Sprint(err))
		default:
			t.Fatalf("a lost controller became a verdict: %v", err)
		}
	}
	if len(refused) > 8 {
		t.Errorf("%d sign-ins were told to try again: %v", len(refused), refused)
	}
}

// usable counts the domain controllers that the client would use now.
func usable(d *directory.Directory) int {
	n := 0
	for _, dm := range d.Status() {
		for _, s := range dm.Servers {
			if s.Usable {
				n++
			}
		}
	}
	return n
}
