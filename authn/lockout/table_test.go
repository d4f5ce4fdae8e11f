package lockout_test

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/lockout"
)

func TestL03_SpellingsOfAnUnknownNameShareACount(t *testing.T) {
	d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{})
	spellings := []string{
		"nobody", "NOBODY", "Nobody", " nobody", "nobody\u00a0", "\u3000nobody", "ｎｏｂｏｄｙ", `CORP\nobody`, "nobody@contoso.test",
		"nobody@CONTOSO.TEST", "nobody.", "nobody@corp.contoso.test.", "\ufeffnobody", "nobody\t",
	}
	through := 0
	for i, s := range spellings {
		ticket, err := d.gate.Begin(t.Context(), lockout.Attempt{Name: s, Client: address(i)})
		if err == nil {
			through++
			if err := d.gate.Settle(t.Context(), ticket, lockout.Failed); err != nil {
				t.Fatal(err)
			}
		}
	}
	if through != 3 { // the limit for a domain that is not known
		t.Errorf("%d of %d spellings went through, want 3", through, len(spellings))
	}
}

// TestL04_OtherTrafficCannotEvictACount floods the gate with unknown names,
// accounts and addresses, and looks at the victim's count and at memory.
func TestL04_OtherTrafficCannotEvictACount(t *testing.T) {
	d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{})
	for n := range 5 {
		d.try(1, address(n), false)
	}
	before := heap()
	names, accounts := 100_000, 20_000
	if os.Getenv("SALLYPORT_LONG") == "1" {
		names, accounts = 1_000_000, 200_000
	}
	for n := range names {
		from := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(n >> 16), byte(n >> 8), byte(n), 0})
		if ticket, err := d.gate.Begin(t.Context(), lockout.Attempt{Name: fmt.Sprint("random", n), Client: from}); err == nil {
			_ = d.gate.Settle(t.Context(), ticket, lockout.Failed)
		}
	}
	for n := range accounts {
		id := authn.GUID{0xff, byte(n >> 16), byte(n >> 8), byte(n)}
		if ticket, err := d.gate.Begin(t.Context(), lockout.Attempt{Domain: corp, Account: id}); err == nil {
			_ = d.gate.Settle(t.Context(), ticket, lockout.Failed)
		}
	}
	grown := heap() - before
	if got := d.gate.Peek(corp, authn.GUID{1}); got.Strange != 5 {
		t.Errorf("the victim's count is %+v, want 5", got)
	}
	if r, _ := d.try(1, netip.Addr{}, false); r != authn.Throttled {
		t.Errorf("the victim: %v, want throttled", r)
	}
	if grown > 100<<20 {
		t.Errorf("memory grew by %d MB", grown>>20)
	}
	t.Logf("memory grew by %d KB for %d accounts and %d names", grown>>10, accounts, names)
	runtime.KeepAlive(d)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestL04_FullTableRefusesAndForgetsOnlyByTime(t *testing.T) {
	d := newDesk(t, lockout.Policy{Threshold: 10, Window: 30 * time.Minute}, lockout.Config{MaxAccounts: 3})
	for n := byte(1); n <= 3; n++ {
		d.try(n, address(int(n)), false)
	}
	if r, refused := d.try(4, address(4), true); r != authn.Throttled || refused.Scope != lockout.ScopeFull {
		t.Errorf("account beyond the table: %v, %v", r, refused)
	}
	for n := byte(1); n <= 3; n++ {
		if got := d.gate.Peek(corp, authn.GUID{n}); got.Strange != 1 {
			t.Errorf("account %d: %+v", n, got)
		}
	}
	d.advance(61 * time.Minute)
	if r, _ := d.try(4, address(4), true); r != authn.Accepted {
		t.Errorf("after two windows: %v", r)
	}
}

func TestL04_ALongNameTakesNoMoreThanAKibibyte(t *testing.T) {
	name := lockout.NormalName(strings.Repeat("a", 1<<20))
	if len(name) > 1024 {
		t.Errorf("%d bytes are kept of a name", len(name))
	}
	if lockout.NormalName(strings.Repeat("a", 1024)+"b") != name {
		t.Error("endings beyond what is kept make counts of their own")
	}
}

func FuzzNormalName(f *testing.F) {
	for _, s := range []string{"alice", `CONTOSO\Alice`, "alice@contoso.test", "@", `\`, "ＡＬＩＣＥ", "ß", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := lockout.NormalName(s)
		if strings.ContainsRune(once, '\\') {
			t.Errorf("%q still has a domain: %q", s, once)
		}
		if len(once) < 1024 && lockout.NormalName(once) != once {
			t.Errorf("%q is not stable: %q, then %q", s, once, lockout.NormalName(once))
		}
	})
}
