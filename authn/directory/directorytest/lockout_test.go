package directorytest_test

import (
	"sync"
	"testing"
	"time"

	"sallyport/authn/directory/directorytest"
)

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 25, 10, 30, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func bindAt(t testing.TB, d *directorytest.Directory, dc int, sam, password string) string {
	t.Helper()
	c := dial(t, d, dc)
	defer c.Close()
	return code(t, c.Bind(identity(t, d, sam).DN, password))
}

func TestWrongPasswordsCountPerDCAndSumAtThePDCEmulator(t *testing.T) {
	d := start(t, func(c *directorytest.Config) { c.DCs = 3 })
	for _, dc := range []int{0, 1, 1, 2} {
		bindAt(t, d, dc, "alice", "wrong")
	}
	for dc, want := range []int{4, 2, 1} {
		if got := d.DCs[dc].BadPwdCount("alice"); got != want {
			t.Errorf("dc%d counts %d, want %d", dc+1, got, want)
		}
	}
	if got := bindAt(t, d, 1, "alice", password("alice")); got != "0" {
		t.Fatal(got)
	}
	if d.DCs[1].BadPwdCount("alice") != 0 || d.DCs[0].BadPwdCount("alice") != 0 {
		t.Error("a right password does not reset the counters")
	}
}

func TestSambaCountsPerDCOnly(t *testing.T) {
	d := start(t, func(c *directorytest.Config) { c.DCs, c.Samba = 2, true })
	bindAt(t, d, 1, "alice", "wrong")
	if got := d.DCs[0].BadPwdCount("alice"); got != 0 {
		t.Errorf("dc1 counts %d", got)
	}
}

func TestLockoutIsToldBeforeThePasswordAndEnds(t *testing.T) {
	now := newClock()
	d := start(t, func(c *directorytest.Config) {
		c.Now = now.now
		c.Policy = directorytest.Policy{LockoutThreshold: 3, LockoutWindow: 10 * time.Minute, LockoutDuration: 20 * time.Minute}
	})
	for i, want := range []string{"49/52e", "49/52e", "49/52e", "49/775"} {
		if got := bindAt(t, d, 0, "alice", "wrong"); got != want {
			t.Errorf("attempt %d: %s, want %s", i+1, got, want)
		}
	}
	if got := bindAt(t, d, 0, "alice", password("alice")); got != "49/775" || !d.Locked("alice") {
		t.Errorf("right password while locked: %s", got)
	}
	now.advance(20 * time.Minute)
	if got := bindAt(t, d, 0, "alice", password("alice")); got != "0" {
		t.Errorf("after the lock has ended: %s", got)
	}
	bindAt(t, d, 0, "alice", "wrong")
	bindAt(t, d, 0, "alice", "wrong")
	now.advance(11 * time.Minute)
	bindAt(t, d, 0, "alice", "wrong")
	if got := d.DCs[0].BadPwdCount("alice"); got != 1 {
		t.Errorf("count after the window: %d, want 1", got)
	}
}

func TestUnlockEndsALock(t *testing.T) {
	d := start(t, func(c *directorytest.Config) { c.Policy.LockoutThreshold = 1 })
	bindAt(t, d, 0, "alice", "wrong")
	for _, sam := range []string{"alice", "ludwig"} {
		if got := bindAt(t, d, 0, sam, password(sam)); got != "49/775" {
			t.Errorf("%s before: %s", sam, got)
		}
		if err := d.Unlock(sam); err != nil {
			t.Fatal(err)
		}
		if got := bindAt(t, d, 0, sam, password(sam)); got != "0" {
			t.Errorf("%s after: %s", sam, got)
		}
	}
}

func TestTheTwoPasswordsBeforeAreRefusedUncounted(t *testing.T) {
	d := start(t, func(c *directorytest.Config) {
		c.Users = append(c.Users, directorytest.User{SAM: "past", Password: "now", OldPasswords: []string{"n-1", "n-2", "n-3"}})
	})
	for pw, want := range map[string]int{"n-1": 0, "n-2": 0} {
		if got := bindAt(t, d, 0, "past", pw); got != "49/52e" || d.DCs[0].BadPwdCount("past") != want {
			t.Errorf("%s: %s, count %d", pw, got, d.DCs[0].BadPwdCount("past"))
		}
	}
	if got := bindAt(t, d, 0, "past", "n-3"); got != "49/52e" || d.DCs[0].BadPwdCount("past") != 1 {
		t.Errorf("n-3: %s, count %d", got, d.DCs[0].BadPwdCount("past"))
	}
}

func TestReplicationDelayHidesALockFromOtherDCs(t *testing.T) {
	now := newClock()
	d := start(t, func(c *directorytest.Config) {
		c.DCs, c.Now = 2, now.now
		c.Policy = directorytest.Policy{LockoutThreshold: 1, ReplicationDelay: 5 * time.Second}
	})
	bindAt(t, d, 0, "alice", "wrong")
	if got := bindAt(t, d, 1, "alice", password("alice")); got != "0" {
		t.Errorf("at once: %s", got)
	}
	now.advance(5 * time.Second)
	if got := bindAt(t, d, 1, "alice", password("alice")); got != "49/775" {
		t.Errorf("after the delay: %s", got)
	}
}

func TestUpdateChangesPasswordAndState(t *testing.T) {
	d := start(t, nil)
	if err := d.Update("alice", func(u *directorytest.User) { u.Password = "another" }); err != nil {
		t.Fatal(err)
	}
	if got := bindAt(t, d, 0, "alice", "another"); got != "0" {
		t.Errorf("new password: %s", got)
	}
	if got := bindAt(t, d, 0, "alice", password("alice")); got != "49/52e" || d.DCs[0].BadPwdCount("alice") != 0 {
		t.Errorf("old password: %s, count %d", got, d.DCs[0].BadPwdCount("alice"))
	}
	if err := d.Update("alice", func(u *directorytest.User) { u.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	if got := bindAt(t, d, 0, "alice", "another"); got != "49/533" {
		t.Errorf("disabled: %s", got)
	}
	if err := d.Update("nobody", func(*directorytest.User) {}); err == nil {
		t.Error("update of nobody succeeds")
	}
}
