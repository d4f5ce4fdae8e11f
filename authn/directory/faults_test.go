package directory_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
)

func quick(l directory.Limits) func(*directorytest.Directory, *directory.Config) {
	if l.Bind == 0 {
		l.Bind = 500 * time.Millisecond
	}
	if l.Search == 0 {
		l.Search = 600 * time.Millisecond
	}
	return limits(l)
}

func (l *lab) bindAs(acc *authn.Account, pw string) authn.Reason {
	return authn.ReasonOf(l.dir.Bind(l.Context(), acc, authn.NewPassword([]byte(pw))))
}

func TestD07_EachSubCodeFromTheWire(t *testing.T) {
	l := newLab(t, directorytest.Config{DCs: 2})
	acc := l.resolve("alice@contoso.test")
	for code, want := range verdicts {
		for _, dc := range l.ad.DCs {
			dc.Clear()
			dc.Inject(directorytest.Fault{On: directorytest.OnBind, Name: acc.DN, Effect: directorytest.Result, Code: 49, Diagnostic: windowsText(code)})
		}
		l.ad.ResetRecords()
		l.want(l.bindAs(acc, password), want.reason, fmt.Sprintf("data %x", code))
		if n := len(l.ad.UserBinds()); n != 1 {
			t.Errorf("data %x: %d binds over both DCs", code, n)
		}
	}
}

func TestD07_NoVerdictIsNeverAWrongPassword(t *testing.T) {
	l := newLab(t, directorytest.Config{DCs: 2}, quick(directory.Limits{}))
	acc := l.resolve("alice@contoso.test")
	type expect struct {
		reason authn.Reason
		binds  int // over both DCs
	}
	cases := map[string]struct {
		fault directorytest.Fault
		want  expect
	}{
		"closed before the answer": {directorytest.Fault{Effect: directorytest.Unanswered, End: directorytest.EndClose}, expect{authn.Unavailable, 1}},
		"reset before the answer":  {directorytest.Fault{Effect: directorytest.Unanswered, End: directorytest.EndReset}, expect{authn.Unavailable, 1}},
		"notice before the answer": {directorytest.Fault{Effect: directorytest.Unanswered, End: directorytest.EndNotice}, expect{authn.Unavailable, 1}},
		"closed before judging":    {directorytest.Fault{Effect: directorytest.Disconnected, End: directorytest.EndClose}, expect{authn.Unavailable, 1}},
		"half an answer":           {directorytest.Fault{Effect: directorytest.Half, End: directorytest.EndClose}, expect{authn.Unavailable, 1}},
		"no answer":                {directorytest.Fault{Effect: directorytest.Stall}, expect{authn.Unavailable, 1}},
		"wrong messageID":          {directorytest.Fault{Effect: directorytest.WrongID}, expect{authn.Unavailable, 1}},
		"zero messageID":           {directorytest.Fault{Effect: directorytest.ZeroID}, expect{authn.Unavailable, 1}},
		"repeated messageID":       {directorytest.Fault{Effect: directorytest.RepeatedID}, expect{authn.Unavailable, 1}},
		"1 MB diagnostic":          {directorytest.Fault{Effect: directorytest.HugeDiagnostic}, expect{authn.Unavailable, 1}},
		"deep nesting":             {directorytest.Fault{Effect: directorytest.Raw, Reply: directorytest.DeepReply(10000)}, expect{authn.Unavailable, 1}},
		"length 2^31":              {directorytest.Fault{Effect: directorytest.Raw, Reply: directorytest.LongReply}, expect{authn.Unavailable, 1}},
		"bare notice":              {directorytest.Fault{Effect: directorytest.Raw, Reply: directorytest.NoticeReply(52)}, expect{authn.Unavailable, 1}},
		"busy":                     {result(51), expect{authn.Unavailable, 2}},
		"unavailable":              {result(52), expect{authn.Unavailable, 2}},
		"strong auth required":     {result(8), expect{authn.Misconfigured, 2}},
	}
	for _, code := range []int64{1, 2, 7, 10, 14, 16, 48, 53, 80, 120} {
		cases[fmt.Sprintf("code %d", code)] = struct {
			fault directorytest.Fault
			want  expect
		}{result(code), expect{authn.Unavailable, 1}}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, directorytest.Config{DCs: 2}, quick(directory.Limits{}))
			for _, dc := range l.ad.DCs {
				f := c.fault
				f.On, f.Name = directorytest.OnBind, acc.DN
				dc.Inject(f)
			}
			start := time.Now()
			got := l.bindAs(acc, password)
			if took := time.Since(start); took > 1400*time.Millisecond {
				t.Errorf("took %s, the limit is 500 ms", took)
			}
			l.want(got, c.want.reason, name)
			if got.Counts() || !got.Undecided() {
				t.Errorf("%s counts against the account", got)
			}
			if n := len(l.ad.UserBinds()); n != c.want.binds {
				t.Errorf("%d binds, want %d", n, c.want.binds)
			}
			for _, dc := range l.ad.DCs {
				dc.Clear()
			}
		})
	}
	for _, code := range []int64{32, 34} {
		l.ad.DCs[0].Clear()
		for _, dc := range l.ad.DCs {
			dc.Inject(directorytest.Fault{On: directorytest.OnBind, Name: acc.DN, Effect: directorytest.Result, Code: code, Times: 1})
		}
		l.want(l.bindAs(acc, password), authn.UnknownUser, fmt.Sprintf("code %d", code))
	}
}

func result(code int64) directorytest.Fault {
	return directorytest.Fault{Effect: directorytest.Result, Code: code, Diagnostic: "00002024: LdapErr: DSID-0C060598, comment: x, data 0, v4f7c"}
}

// TestWrongPasswordGoesToOneDC: asking a second DC would count one mistake twice.
func TestWrongPasswordGoesToOneDC(t *testing.T) {
	l := newLab(t, directorytest.Config{DCs: 3})
	for range 10 {
		l.ad.ResetRecords()
		l.want(l.signIn("alice@contoso.test", "wrong"), authn.WrongPassword, "sign-in")
		if n := len(l.ad.UserBinds()); n != 1 {
			t.Fatalf("%d binds", n)
		}
		if err := l.ad.Unlock("alice"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOutstandingBindEndsWithTheRequest: a cancelled request closes the socket,
// so that its late answer cannot become somebody else's.
func TestOutstandingBindEndsWithTheRequest(t *testing.T) {
	l := newLab(t, directorytest.Config{})
	acc := l.resolve("alice@contoso.test")
	gate := make(chan struct{})
	struck := make(chan struct{})
	dc := l.ad.DCs[0]
	dc.Inject(directorytest.Fault{On: directorytest.OnBind, Name: acc.DN, Times: 1, Effect: directorytest.Late, Gate: gate, Do: func() { close(struck) }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan authn.Reason, 1)
	go func() { done <- authn.ReasonOf(l.dir.Bind(ctx, acc, authn.NewPassword([]byte(password)))) }()
	<-struck
	start := time.Now()
	cancel()
	l.want(<-done, authn.Unavailable, "cancelled bind")
	if took := time.Since(start); took > time.Second {
		t.Errorf("a cancelled bind took %s", took)
	}
	close(gate)
	l.want(l.bindAs(acc, "wrong"), authn.WrongPassword, "the next bind gets its own answer")
}

// counted counts the bytes that a connection delivers.
type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func TestD09_FloodsAreCutOff(t *testing.T) {
	for name, effect := range map[string]directorytest.Effect{"100 MB attribute": directorytest.HugeAttribute, "endless entries": directorytest.Endless} {
		t.Run(name, func(t *testing.T) {
			var read atomic.Int64
			l := newLab(t, directorytest.Config{}, func(_ *directorytest.Directory, c *directory.Config) {
				c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := new(net.Dialer).DialContext(ctx, network, address)
					return counted{conn, &read}, err
				}
			})
			l.resolve("alice@contoso.test")
			l.ad.DCs[0].Inject(directorytest.Fault{On: directorytest.OnSearch, Name: "userPrincipalName", Effect: effect})
			before := read.Load()
			_, err := l.dir.Resolve(t.Context(), "alice@contoso.test")
			if r := authn.ReasonOf(err); r != authn.Unavailable && r != authn.Ambiguous {
				t.Errorf("reason %s", r)
			}
			if n := read.Load() - before; n > 6<<20 {
				t.Errorf("%d bytes were read", n)
			}
			l.ad.DCs[0].Clear()
			l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "afterwards")
		})
	}
}

func TestC16_IdleConnectionsClosedByTheDC(t *testing.T) {
	for name, how := range map[string]directorytest.End{"FIN": directorytest.EndClose, "RST": directorytest.EndReset, "notice": directorytest.EndNotice} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, directorytest.Config{}, quick(directory.Limits{}))
			l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "before")
			for range 5 {
				l.ad.DCs[0].Disconnect(how)
				eventually(t, "noticed", func() bool {
					s := l.dir.Status()[0].Servers[0]
					return s.BindIdle == 0 && s.ServiceIdle == 0
				})
				l.ad.ResetRecords()
				l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "after "+name)
				if n := len(l.ad.UserBinds()); n != 1 {
					t.Errorf("%d binds", n)
				}
			}
			if s := l.dir.Status()[0].Servers[0]; s.LastError != "" || s.Breaker != "closed" {
				t.Errorf("an idle connection's end is told as trouble: %+v", s)
			}
		})
	}
}

func TestC16_SilentDropCostsOneTry(t *testing.T) {
	l := newLab(t, directorytest.Config{}, limits(directory.Limits{Bind: time.Second}))
	acc := l.resolve("alice@contoso.test")
	dc := l.ad.DCs[0]
	// Eight bind connections, all idle since the same time.
	gate := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Add(8)
	dc.Inject(directorytest.Fault{On: directorytest.OnBind, Times: 8, Effect: directorytest.Late, Gate: gate, Do: waiting.Done})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { l.bindAs(acc, password) })
	}
	waiting.Wait()
	close(gate)
	wg.Wait()
	if n := l.dir.Status()[0].Servers[0].BindIdle; n < 4 {
		t.Fatalf("only %d idle connections", n)
	}
	dc.Disconnect(directorytest.EndSilent)
	l.ad.ResetRecords()
	failed := 0
	for range 10 {
		r := l.bindAs(acc, password)
		if r != authn.Accepted {
			failed++
			l.want(r, authn.Unavailable, "on a dropped path")
		}
	}
	if failed > 1 {
		t.Errorf("%d attempts failed, want one for the whole pool", failed)
	}
	if n := len(l.ad.UserBinds()); n != 10-failed {
		t.Errorf("%d binds reached the DC in 10 attempts, %d failed", n, failed)
	}
}

func TestObjectMovedBetweenSearchAndBind(t *testing.T) {
	l := newLab(t, directorytest.Config{})
	acc := l.resolve("alice@contoso.test")
	if err := l.ad.Update("alice", func(u *directorytest.User) { u.OU = "Moved" }); err != nil {
		t.Fatal(err)
	}
	l.want(l.bindAs(acc, password), authn.Accepted, "bind with the old DN")
	if n := l.ad.DCs[0].BadPwdCount("alice"); n != 0 {
		t.Errorf("badPwdCount %d", n)
	}
}

func TestBusyWhenNoConnectionComesFree(t *testing.T) {
	l := newLab(t, directorytest.Config{}, limits(directory.Limits{BindMax: 2, Wait: 50 * time.Millisecond}))
	acc := l.resolve("alice@contoso.test")
	gate := make(chan struct{})
	struck := make(chan struct{}, 2)
	l.ad.DCs[0].Inject(directorytest.Fault{On: directorytest.OnBind, Times: 2, Effect: directorytest.Late, Gate: gate, Do: func() { struck <- struct{}{} }})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { l.want(l.bindAs(acc, password), authn.Accepted, "slow bind") })
	}
	<-struck
	<-struck
	l.want(l.bindAs(acc, password), authn.Busy, "third bind")
	close(gate)
	wg.Wait()
	if n := l.ad.DCs[0].Dials(); n > 3 {
		t.Errorf("%d dials", n)
	}
}

func TestSearchIsRepeatedAtTheNextDC(t *testing.T) {
	for name, f := range map[string]directorytest.Fault{
		"no answer": {Effect: directorytest.Stall}, "closed": {Effect: directorytest.Unanswered, End: directorytest.EndClose},
		"busy": result(51), "fault": result(80), "unbound": {Effect: directorytest.Result, Code: 1,
			Diagnostic: "000004DC: LdapErr: DSID-0C090A5C, comment: In order to perform this operation a successful bind must be completed on the connection., data 0, v4f7c"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, directorytest.Config{DCs: 2}, quick(directory.Limits{}))
			l.resolve("alice@contoso.test")
			f.On, f.Name, f.Times = directorytest.OnSearch, "userPrincipalName", 1
			l.ad.DCs[0].Inject(f)
			l.ad.DCs[1].Inject(f)
			// Each DC fails once: the first search meets one of them at most twice.
			l.ad.DCs[1].Clear()
			for range 4 {
				if _, err := l.dir.Resolve(t.Context(), "alice@contoso.test"); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

func TestMetricsAreOnTheWire(t *testing.T) {
	l := newLab(t, directorytest.Config{})
	l.signIn("alice@contoso.test", "wrong")
	text := gather(t, l)
	for _, want := range []string{`sallyport_directory_binds_total{dc="dc1.corp.contoso.test",domain="corp.contoso.test",reason="wrong_password"} 1`,
		`sallyport_directory_pool_connections{dc="dc1.corp.contoso.test",domain="corp.contoso.test",pool="bind",state="idle"} 1`,
		`sallyport_directory_dc_usable{dc="dc1.corp.contoso.test",domain="corp.contoso.test"} 1`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}
