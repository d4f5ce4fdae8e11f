package directorytest_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn/directory/directorytest"
)

func TestFalseSuccessesAreTheBytesOfTheContract(t *testing.T) {
	want := []string{ // adds-ldap.md 18.10
		"300c02010165070a010004000400", "300c02010178070a010004000400", "300b02010161060a0004000400",
		"300c020101610702010004000400", "3014020101610f0a0901000000000000000004000400",
		"308002010161070a0100040004000000", "300e02010161090a0301000004000400", "300c02010261070a010004000400",
	}
	all := directorytest.FalseSuccesses()
	if len(all) != len(want) {
		t.Fatalf("%d replies", len(all))
	}
	for i, f := range all {
		if got := hex.EncodeToString(f.Reply(1)); got != want[i] {
			t.Errorf("%s: %s, want %s", f.Name, got, want[i])
		}
	}
	if got := hex.EncodeToString(directorytest.GoodReply(1)); got != "300c02010161070a010004000400" {
		t.Errorf("good reply %s", got)
	}
	if got := hex.EncodeToString(directorytest.NoticeReply(52)(1)); got != "3024020100781f0a0134040004008a16312e332e362e312e342e312e313436362e3230303336" {
		t.Errorf("notice %s", got)
	}
}

func TestFalseSuccessesReachTheClient(t *testing.T) {
	d := start(t, nil)
	alice := identity(t, d, "alice").DN
	for _, f := range directorytest.FalseSuccesses() {
		d.DCs[0].Inject(directorytest.Fault{On: directorytest.OnBind, Times: 1, Effect: directorytest.Raw, Reply: f.Reply})
		c := dialRaw(t, d, 0)
		c.send(bindMessage(7, alice, "wrong"))
		got := make([]byte, len(f.Reply(7)))
		if _, err := c.c.Read(got); err != nil || !bytes.Equal(got, f.Reply(7)) {
			t.Errorf("%s: %v %x", f.Name, err, got)
		}
	}
	if n := d.DCs[0].BadPwdCount("alice"); n != 0 {
		t.Errorf("a raw answer was judged: count %d", n)
	}
	if b := d.UserBinds(); len(b) != 8 || b[0].Judged || !b[0].Faulty || b[0].Code != -1 {
		t.Errorf("records %+v", b)
	}
}

// bindWith injects a fault and returns what one bind with a wrong password reads
// first, and whether the connection is closed then.
func bindWith(t testing.TB, d *directorytest.Directory, f directorytest.Fault) (answer []byte, closed bool) {
	t.Helper()
	f.On = directorytest.OnBind
	d.DCs[0].Clear()
	d.DCs[0].Inject(f)
	c := dialRaw(t, d, 0)
	c.send(bindMessage(3, identity(t, d, "bob").DN, "wrong"))
	answer = c.read()
	if answer == nil {
		return nil, true
	}
	if err := c.c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err := c.c.Read(make([]byte, 1))
	return answer, !errors.Is(err, os.ErrDeadlineExceeded) && err != nil
}

func TestFaultsOfTheConnection(t *testing.T) {
	d := start(t, nil)
	for what, tc := range map[string]struct {
		f        directorytest.Fault
		answered bool
		judged   bool
	}{
		"closed before judging":  {directorytest.Fault{Effect: directorytest.Disconnected, End: directorytest.EndClose}, false, false},
		"reset before judging":   {directorytest.Fault{Effect: directorytest.Disconnected, End: directorytest.EndReset}, false, false},
		"notice before judging":  {directorytest.Fault{Effect: directorytest.Disconnected, End: directorytest.EndNotice}, true, false},
		"closed after judging":   {directorytest.Fault{Effect: directorytest.Unanswered, End: directorytest.EndClose}, false, true},
		"reset after judging":    {directorytest.Fault{Effect: directorytest.Unanswered, End: directorytest.EndReset}, false, true},
		"half an answer":         {directorytest.Fault{Effect: directorytest.Half, End: directorytest.EndClose}, false, true},
		"closed after an answer": {directorytest.Fault{Effect: directorytest.AnsweredThenEnd, End: directorytest.EndClose}, true, true},
	} {
		if err := d.Unlock("bob"); err != nil {
			t.Fatal(err)
		}
		answer, closed := bindWith(t, d, tc.f)
		if (answer != nil) != tc.answered || !closed {
			t.Errorf("%s: answer %x, closed %v", what, answer, closed)
		}
		if n := d.DCs[0].BadPwdCount("bob"); (n == 1) != tc.judged {
			t.Errorf("%s: count %d", what, n)
		}
	}
}

func TestFaultsOfTheAnswer(t *testing.T) {
	d := start(t, nil)
	for what, tc := range map[string]struct {
		f    directorytest.Fault
		want func(answer []byte) bool
	}{
		"result 51":       {directorytest.Fault{Effect: directorytest.Result, Code: 51}, func(b []byte) bool { _, _, c := resultOf(t, b); return c == 51 }},
		"another id":      {directorytest.Fault{Effect: directorytest.WrongID}, func(b []byte) bool { id, _, _ := resultOf(t, b); return id == 4 }},
		"id 0":            {directorytest.Fault{Effect: directorytest.ZeroID}, func(b []byte) bool { id, _, _ := resultOf(t, b); return id == 0 }},
		"referral":        {directorytest.Fault{Effect: directorytest.Referral, Diagnostic: "127.0.0.1:1"}, func(b []byte) bool { _, _, c := resultOf(t, b); return c == 10 }},
		"1 MB of text":    {directorytest.Fault{Effect: directorytest.HugeDiagnostic}, func(b []byte) bool { return len(b) > 1<<20 }},
		"no text":         {directorytest.Fault{Effect: directorytest.Diagnosed}, func(b []byte) bool { return bytes.HasSuffix(b, []byte{4, 0, 4, 0}) }},
		"text not UTF-8":  {directorytest.Fault{Effect: directorytest.Diagnosed, Diagnostic: "\xff"}, func(b []byte) bool { return bytes.HasSuffix(b, []byte{4, 1, 0xff}) }},
		"depth 1,000":     {directorytest.Fault{Effect: directorytest.Raw, Reply: directorytest.DeepReply(1000)}, func(b []byte) bool { return bytes.HasSuffix(b, []byte{0x30, 2, 0x30, 0}) }},
		"held for a time": {directorytest.Fault{Delay: time.Millisecond}, func(b []byte) bool { _, _, c := resultOf(t, b); return c == 49 }},
	} {
		answer, closed := bindWith(t, d, tc.f)
		if closed || !tc.want(answer) {
			t.Errorf("%s: closed %v, answer %.60x", what, closed, answer)
		}
	}
	d.DCs[0].Clear()
	d.DCs[0].Inject(directorytest.Fault{On: directorytest.OnBind, Effect: directorytest.Twice})
	c := dialRaw(t, d, 0)
	c.send(bindMessage(3, "nobody", "wrong"))
	if a, b := c.read(), c.read(); a == nil || !bytes.Equal(a, b) {
		t.Errorf("two answers: %x, %x", a, b)
	}
}

func TestFaultsAreCountedAndNamed(t *testing.T) {
	d := start(t, nil)
	alice, bob := identity(t, d, "alice").DN, identity(t, d, "bob").DN
	d.DCs[0].Inject(directorytest.Fault{On: directorytest.OnBind, Name: alice, Skip: 1, Times: 2, Effect: directorytest.Result, Code: 51})
	c := dial(t, d, 0)
	for i, want := range []string{"0", "51", "51", "0"} {
		if got := code(t, c.Bind(bob, password("bob"))); got != "0" {
			t.Errorf("bob: %s", got)
		}
		if got := code(t, c.Bind(alice, password("alice"))); got != want {
			t.Errorf("bind %d of alice: %s, want %s", i+1, got, want)
		}
	}
}

func TestFaultsOfASearch(t *testing.T) {
	d := start(t, nil)
	find := search(d.BaseDN, ldap.ScopeWholeSubtree, "(sAMAccountName=alice)", "cn")
	inject := func(f directorytest.Fault) *ldap.Conn {
		c := service(t, d)
		d.DCs[0].Clear()
		f.On = directorytest.OnSearch
		d.DCs[0].Inject(f)
		return c
	}
	res, err := inject(directorytest.Fault{Effect: directorytest.Doubled}).Search(find)
	if err != nil || len(res.Entries) != 2 {
		t.Errorf("doubled: %v, %d entries", err, len(res.Entries))
	}
	res, err = inject(directorytest.Fault{Effect: directorytest.References, Diagnostic: "127.0.0.1:9"}).Search(find)
	if err != nil || len(res.Referrals) != 3 || !strings.HasPrefix(res.Referrals[0], "ldap://127.0.0.1:9/") {
		t.Errorf("references: %v, %q", err, res.Referrals)
	}
	_, err = inject(directorytest.Fault{Effect: directorytest.Referral, Diagnostic: "127.0.0.1:9"}).Search(find)
	if got := code(t, err); !strings.HasPrefix(got, "10") {
		t.Errorf("referral: %s", got)
	}
	res, err = inject(directorytest.Fault{Effect: directorytest.HugeAttribute, Size: 1 << 20}).Search(find)
	if err != nil || len(res.Entries) != 1 || len(res.Entries[0].GetRawAttributeValue("description")) != 1<<20 {
		t.Errorf("huge attribute: %v", err)
	}
	find.SizeLimit, find.EnforceSizeLimit = 50, true
	if _, err = inject(directorytest.Fault{Effect: directorytest.Endless}).Search(find); !errors.Is(err, ldap.ErrSizeLimitExceeded) {
		t.Errorf("endless: %v", err)
	}
	moved := directorytest.Fault{Effect: directorytest.Late, Do: func() {
		if err := d.Update("alice", func(u *directorytest.User) { u.OU = "Elsewhere" }); err != nil {
			t.Error(err)
		}
	}}
	res, err = inject(moved).Search(search(d.BaseDN, ldap.ScopeWholeSubtree, "(sAMAccountName=alice)", "distinguishedName"))
	if err != nil || !strings.Contains(res.Entries[0].DN, "OU=Elsewhere") {
		t.Errorf("moved: %v", err)
	}
}

func TestFaultsOfADial(t *testing.T) {
	d := start(t, nil)
	dc := d.DCs[0]
	dc.Inject(directorytest.Fault{On: directorytest.OnAccept, Times: 1, Effect: directorytest.Disconnected, End: directorytest.EndReset})
	if _, err := tryDial(d, 0); err == nil {
		t.Error("reset after accept: connected")
	}
	dc.Inject(directorytest.Fault{On: directorytest.OnAccept, Times: 1, Effect: directorytest.Stall})
	stalled := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 100 * time.Millisecond}, Config: &tls.Config{RootCAs: d.CAPool(), ServerName: dc.Name}}
	if _, err := stalled.Dial("tcp", dc.Addr); err == nil || !os.IsTimeout(err) {
		t.Errorf("stalled handshake: %v", err)
	}
	dc.Clear()
	dc.Inject(directorytest.Fault{On: directorytest.OnAccept, Times: 1, Effect: directorytest.Deaf})
	deaf := dialRaw(t, d, 0)
	deaf.send(rootMessage(1, "currentTime"))
	if err := deaf.c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := deaf.c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deaf: %v", err)
	}
	dc.Down()
	if _, err := tryDial(d, 0); err == nil {
		t.Error("down: connected")
	}
	if err := dc.Up(); err != nil {
		t.Fatal(err)
	}
	whoami(t, dial(t, d, 0)) // an answer: the server has counted the handshake
	dc.Set(func(s *directorytest.Settings) { s.MaxConnections = 1 })
	if _, err := tryDial(d, 0); err == nil {
		t.Error("beyond the cap: connected")
	}
	if dc.Dials() != 5 || dc.Handshakes() != 2 {
		t.Errorf("%d dials, %d handshakes", dc.Dials(), dc.Handshakes())
	}
}

func TestWrongCertificates(t *testing.T) {
	d := start(t, nil)
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	for kind, want := range map[directorytest.CertificateKind]any{
		directorytest.CertificateExpired: &invalid, directorytest.CertificateNotYet: &invalid, directorytest.CertificateWrongName: &hostname,
		directorytest.CertificateForeignCA: &unknown, directorytest.CertificateNoSAN: &hostname,
	} {
		d.DCs[0].Set(func(s *directorytest.Settings) { s.Certificate = kind })
		if _, err := tryDial(d, 0); err == nil || !errors.As(err, want) {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
	d.DCs[0].Set(func(s *directorytest.Settings) {
		s.Certificate, s.MaxTLS = directorytest.CertificateGood, tls.VersionTLS11
	})
	if _, err := tryDial(d, 0); err == nil {
		t.Error("TLS 1.1: connected")
	}
	d.DCs[0].Set(func(s *directorytest.Settings) { s.MaxTLS = 0 })
	if err := d.DCs[0].RenewCertificate(); err != nil {
		t.Fatal(err)
	}
	dial(t, d, 0)
}

func TestIdleConnectionsEnd(t *testing.T) {
	for what, how := range map[string]directorytest.End{"notice": directorytest.EndNotice, "FIN": directorytest.EndClose, "RST": directorytest.EndReset} {
		d := start(t, func(c *directorytest.Config) {
			c.Settings = directorytest.Settings{IdleTimeout: 20 * time.Millisecond, IdleEnd: how}
		})
		c := dialRaw(t, d, 0)
		got := c.read()
		if how == directorytest.EndNotice {
			if id, op, code := resultOf(t, got); id != 0 || op != 0x78 || code != 52 {
				t.Errorf("%s: %x", what, got)
			}
			got = c.read()
		}
		if got != nil {
			t.Errorf("%s: %x", what, got)
		}
	}
}

func TestDisconnectSilently(t *testing.T) {
	d := start(t, nil)
	c := dialRaw(t, d, 0)
	c.send(rootMessage(1, "currentTime"))
	c.read() // the entry
	c.read() // the end
	d.DCs[0].Disconnect(directorytest.EndSilent)
	c.send(rootMessage(2, "currentTime"))
	if err := c.c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v; want silence", n, err)
	}
}

func TestOpenConnectionsAreCounted(t *testing.T) {
	d := start(t, nil)
	a, b := dial(t, d, 0), dial(t, d, 0)
	if err := errors.Join(a.Bind("x", "y"), b.Bind("x", "y")); err == nil {
		t.Fatal("nobody signed in")
	}
	if d.DCs[0].Open() != 2 || d.DCs[0].MostOpen() != 2 {
		t.Errorf("open %d, most %d", d.DCs[0].Open(), d.DCs[0].MostOpen())
	}
	if err := a.Unbind(); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if d.DCs[0].Open() == 1 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("open %d after an unbind", d.DCs[0].Open())
}

func TestPasswordChange(t *testing.T) {
	d := start(t, nil)
	alice := identity(t, d, "alice").DN
	c := dial(t, d, 0)
	if err := c.Bind(alice, password("alice")); err != nil {
		t.Fatal(err)
	}
	quoted := func(s string) string {
		var b strings.Builder
		for _, r := range `"` + s + `"` {
			b.WriteByte(byte(r))
			b.WriteByte(byte(r >> 8))
		}
		return b.String()
	}
	change := func(old, next string) string {
		m := ldap.NewModifyRequest(alice, nil)
		m.Delete("unicodePwd", []string{quoted(old)})
		m.Add("unicodePwd", []string{quoted(next)})
		err := c.Modify(m)
		if err == nil {
			return "0"
		}
		var e *ldap.Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		return e.Err.Error()[:8]
	}
	for _, tc := range []struct{ old, next, want string }{
		{"wrong", "Passw0rd!x1", "00000056"},
		{password("alice"), "short", "0000052D"},
		{password("alice"), password("alice"), "0000052D"},
		{password("alice"), "Pässwörd€1", "0"},
	} {
		if got := change(tc.old, tc.next); got != tc.want {
			t.Errorf("%q to %q: %s, want %s", tc.old, tc.next, got, tc.want)
		}
	}
	if got := bindAt(t, d, 0, "alice", "Pässwörd€1"); got != "0" {
		t.Errorf("new password: %s", got)
	}
	if n := d.DCs[0].BadPwdCount("alice"); n != 0 {
		t.Errorf("count %d", n)
	}
}
