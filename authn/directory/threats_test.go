package directory_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"sallyport/authn"
	"sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
)

func TestD02_EmptyAndNULPasswordsReachNoDC(t *testing.T) {
	l := newLab(t, directorytest.Config{})
	acc := l.resolve("alice@contoso.test")
	l.ad.ResetRecords()
	for _, pw := range []string{"", "\x00", "\x00abc", password + "\x00", password + "\x00anything"} {
		err := l.dir.Bind(t.Context(), acc, authn.NewPassword([]byte(pw)))
		l.want(authn.ReasonOf(err), authn.BadInput, "password "+pw)
	}
	// What AD cannot hold, or not as UTF-16, could only be cut or changed on the way.
	for _, pw := range []string{strings.Repeat("x", 257), strings.Repeat("x", 1<<20), strings.Repeat("😀", 129), "caf\xe9", "\xed\xa0\x80"} {
		err := l.dir.Bind(t.Context(), acc, authn.NewPassword([]byte(pw)))
		l.want(authn.ReasonOf(err), authn.BadInput, fmt.Sprintf("%d bytes, %.8q", len(pw), pw))
	}
	l.want(authn.ReasonOf(l.dir.Bind(t.Context(), acc, nil)), authn.BadInput, "no password at all")
	nameless := *acc
	nameless.DN = ""
	if err := l.dir.Bind(t.Context(), &nameless, authn.NewPassword([]byte(password))); err == nil {
		t.Error("an account without a DN was bound: an anonymous bind")
	}
	if b := l.ad.Binds(); len(b) != 0 {
		t.Errorf("binds reached the DC: %+v", b)
	}
	// Blanks are a password like any other.
	l.want(authn.ReasonOf(l.dir.Bind(t.Context(), acc, authn.NewPassword([]byte("   ")))), authn.WrongPassword, "blanks")
	for _, pw := range []string{strings.Repeat("x", 256), strings.Repeat("😀", 128)} {
		l.want(authn.ReasonOf(l.dir.Bind(t.Context(), acc, authn.NewPassword([]byte(pw)))), authn.WrongPassword, "as long as AD takes")
	}
}

// trap is a listener that counts connections.
type trap struct {
	net.Listener
	mu sync.Mutex
	n  int
}

func newTrap(t *testing.T) *trap {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr := &trap{Listener: ln}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			tr.mu.Lock()
			tr.n++
			tr.mu.Unlock()
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return tr
}

func (tr *trap) count() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.n
}

func TestD03_C17_ReferralsAreNeverFollowed(t *testing.T) {
	l := newLab(t, directorytest.Config{})
	tr := newTrap(t)
	dc := l.ad.DCs[0]
	dc.Inject(directorytest.Fault{On: directorytest.OnSearch, Name: "userPrincipalName", Effect: directorytest.References, Diagnostic: tr.Addr().String()})
	l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "one entry and three references")
	dc.Clear()
	dc.Inject(directorytest.Fault{On: directorytest.OnSearch, Name: "userPrincipalName", Effect: directorytest.Referral, Diagnostic: tr.Addr().String()})
	_, err := l.dir.Resolve(t.Context(), "alice@contoso.test")
	l.want(authn.ReasonOf(err), authn.Unavailable, "code 10 to the search")
	if err == nil || !strings.Contains(err.Error(), "configure that domain") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	dc.Clear()
	acc := l.resolve("alice@contoso.test")
	dc.Inject(directorytest.Fault{On: directorytest.OnBind, Name: acc.DN, Effect: directorytest.Referral, Diagnostic: tr.Addr().String()})
	l.ad.ResetRecords()
	l.want(authn.ReasonOf(l.dir.Bind(t.Context(), acc, authn.NewPassword([]byte(password)))), authn.Unavailable, "code 10 to the bind")
	if n := len(l.ad.UserBinds()); n != 1 {
		t.Errorf("%d binds", n)
	}
	if n := tr.count(); n != 0 {
		t.Errorf("%d connections to the host of a referral", n)
	}
	// The domain-scope control keeps references away in the first place.
	dc.Clear()
	l.resolve("alice@contoso.test")
	for _, s := range l.ad.Searches() {
		if s.Base != "" && !strings.Contains(strings.Join(s.Controls, " "), "1.2.840.113556.1.4.1339") {
			t.Errorf("search without the domain-scope control: %+v", s)
		}
	}
}

func TestD04_CrossedNamesMeanTheExplicitOwner(t *testing.T) {
	l := newLab(t, directorytest.Config{Users: []directorytest.User{
		{SAM: "carol", UPN: "dave@corp.contoso.test", Password: "Carol-Carol-1"},
		{SAM: "dave", UPN: "carol@corp.contoso.test", Password: "Dave-Dave-22"},
	}})
	acc := l.resolve("dave@corp.contoso.test")
	other := l.resolve(`CONTOSO\dave`)
	if acc.SAMAccountName != "carol" || acc.CrossedWith != other.DN {
		t.Errorf("dave@… is %s, crossed with %q", acc.DN, acc.CrossedWith)
	}
	l.want(l.signIn("dave@corp.contoso.test", "Carol-Carol-1"), authn.Accepted, "explicit owner's password")
	l.ad.ResetRecords()
	l.want(l.signIn("dave@corp.contoso.test", "Dave-Dave-22"), authn.WrongPassword, "implicit owner's password")
	for _, b := range l.ad.UserBinds() {
		if b.DN != acc.DN || b.Name != acc.DN {
			t.Errorf("bind as %q at %q", b.Name, b.DN)
		}
	}
	l.want(l.signIn(`CONTOSO\dave`, "Dave-Dave-22"), authn.Accepted, "the other one by its own name")
}

func TestD04_NeverBindsWhatWasTyped(t *testing.T) {
	l := newLab(t, directorytest.Config{})
	for _, name := range []string{"alice@contoso.test", `CONTOSO\alice`, "ALICE@corp.contoso.test"} {
		l.signIn(name, "wrong")
	}
	acc := l.resolve("alice@contoso.test")
	for _, b := range l.ad.UserBinds() {
		if b.Name != acc.DN {
			t.Errorf("bind name %q", b.Name)
		}
	}
}

func TestD04_AmbiguousNamesGetNoBind(t *testing.T) {
	l := newLab(t, directorytest.Config{})
	l.resolve("alice@contoso.test")
	l.ad.DCs[0].Inject(directorytest.Fault{On: directorytest.OnSearch, Name: "userPrincipalName", Effect: directorytest.Doubled})
	l.ad.ResetRecords()
	l.want(l.signIn("alice@contoso.test", password), authn.Ambiguous, "two objects")
	if n := len(l.ad.UserBinds()); n != 0 {
		t.Errorf("%d binds", n)
	}
}

func TestD05_FalseSuccessesDoNotSignIn(t *testing.T) {
	l := newLab(t, directorytest.Config{})
	acc := l.resolve("alice@contoso.test")
	dc := l.ad.DCs[0]
	inject := func(reply func(int64) []byte) authn.Reason {
		dc.Inject(directorytest.Fault{On: directorytest.OnBind, Name: acc.DN, Effect: directorytest.Raw, Reply: reply})
		defer dc.Clear()
		l.ad.ResetRecords()
		r := authn.ReasonOf(l.dir.Bind(t.Context(), acc, authn.NewPassword([]byte(password))))
		if n := len(l.ad.UserBinds()); n != 1 {
			t.Errorf("%d binds", n)
		}
		return r
	}
	for _, f := range directorytest.FalseSuccesses() {
		l.want(inject(f.Reply), authn.Unavailable, f.Name)
	}
	l.want(inject(directorytest.GoodReply), authn.Accepted, "control: a right reply")
}

func TestD05_SearchesAlwaysRunAsTheServiceAccount(t *testing.T) {
	l := newLab(t, directorytest.Config{}, limits(directory.Limits{Bind: 300 * time.Millisecond, Search: 300 * time.Millisecond}))
	const enough = 2000 // searches that reached the DC
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dc := l.ad.DCs[0]
	ends := []directorytest.Effect{directorytest.Disconnected, directorytest.Unanswered, directorytest.Half, directorytest.AnsweredThenEnd,
		directorytest.WrongID, directorytest.Twice, directorytest.ZeroID}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(worker)))
			for l.ad.SearchCount() < enough && ctx.Err() == nil {
				if r.IntN(40) == 0 {
					dc.Inject(directorytest.Fault{On: directorytest.OnRequest, Times: 1, Effect: ends[r.IntN(len(ends))], End: directorytest.EndReset})
				}
				pw := password
				if r.IntN(2) == 0 {
					pw = "wrong"
				}
				got := l.signIn("alice@contoso.test", pw)
				if pw == "wrong" && got == authn.Accepted {
					t.Error("a wrong password was accepted")
				}
				if pw == password && got == authn.WrongPassword {
					t.Error("trouble was told as a wrong password")
				}
				if got == authn.Unavailable {
					_ = l.dir.RefusalDelay(ctx) // the breaker may be open
				}
			}
		})
	}
	wg.Wait()
	dc.Clear()
	bound := map[uint64]bool{}
	for _, b := range l.ad.UserBinds() {
		bound[b.Conn] = true
	}
	searches := 0
	for _, s := range l.ad.Searches() {
		if s.Base == "" {
			continue
		}
		searches++
		if s.Identity != l.ad.ServiceDN || bound[s.Conn] {
			t.Fatalf("search as %q on connection %d, which carried a user bind: %v", s.Identity, s.Conn, bound[s.Conn])
		}
	}
	if searches < enough/2 {
		t.Errorf("only %d searches", searches)
	}
	if n := dc.MostOutstanding(); n > 1 {
		t.Errorf("%d requests outstanding on one connection", n)
	}
}

func TestL07_PasswordIsSentByteForByte(t *testing.T) {
	passwords := []string{" leading", "trailing ", " both ", "\ttab\t", "emoji 😀🔑", `"<>&'`, "ä ö ü", "a\u0308 decomposed", "ﬁ ligature", "ＦＵＬＬ",
		strings.Repeat("x", 64), strings.Repeat("y", 127), strings.Repeat("z", 128), strings.Repeat("w", 256), strings.Repeat("😀", 128), "CaSe", "line\nfeed"}
	var list []directorytest.User
	for i, pw := range passwords {
		list = append(list, directorytest.User{SAM: "user" + string(rune('a'+i)), Password: pw})
	}
	l := newLab(t, directorytest.Config{Users: list})
	for i, pw := range passwords {
		name := `CONTOSO\user` + string(rune('a'+i))
		l.want(l.signIn(name, pw), authn.Accepted, "password "+pw)
		for _, other := range []string{strings.TrimSpace(pw), strings.ToLower(pw), pw + " ", pw[:len(pw)-1]} {
			if other != pw && other != "" && utf8.ValidString(other) && len([]rune(other)) <= 256 {
				if got := l.signIn(name, other); got == authn.Accepted {
					t.Errorf("%q was accepted for %q", other, pw)
				}
				if err := l.ad.Unlock("user" + string(rune('a'+i))); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	acc := l.resolve(`CONTOSO\usera`)
	l.ad.ResetRecords()
	for name, pw := range map[string]string{"257 characters": strings.Repeat("x", 257), "257 units": strings.Repeat("😀", 128) + "x",
		"1025 bytes": strings.Repeat("ü", 512) + "x", "300 KB": strings.Repeat("x", 300<<10), "not UTF-8": "a\xffb"} {
		l.want(authn.ReasonOf(l.dir.Bind(t.Context(), acc, authn.NewPassword([]byte(pw)))), authn.BadInput, name)
	}
	if n := len(l.ad.Binds()); n != 0 {
		t.Errorf("%d binds", n)
	}
}
