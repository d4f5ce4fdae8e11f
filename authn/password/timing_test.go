package password_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/authn"
	"sallyport/authn/password"
)

// kinds are the refusals that must look alike, each with the reason that proves
// that the sample is what it claims to be.
var kinds = []struct {
	name string
	user user
	pw   string
	want authn.Reason
}{
	{"unknown user", user{}, "wrong", authn.UnknownUser},
	{"wrong password", user{password: rightPassword}, "wrong", authn.WrongPassword},
	{"disabled, wrong password", user{password: rightPassword, reason: authn.Disabled}, "wrong", authn.WrongPassword},
	{"expired, wrong password", user{password: rightPassword, reason: authn.PasswordExpired}, "wrong", authn.WrongPassword},
	{"locked", user{password: rightPassword, locked: true}, rightPassword, authn.LockedOut},
	{"held back by us", user{password: rightPassword}, rightPassword, authn.Throttled},
	{"bad input", user{password: rightPassword}, "", authn.BadInput},
}

// sampleHouse has one user of each kind for each sample.
func sampleHouse(t testing.TB, samples int, bind func() time.Duration) *house {
	users := map[string]*user{}
	id := 0
	for _, k := range kinds {
		for n := range samples {
			id++
			if k.want == authn.UnknownUser {
				continue
			}
			u := k.user
			u.wide = id
			users[sampleName(k.want, k.name, n)] = &u
		}
	}
	h := newHouse(t, users, withHolding)
	h.dir.bindTime = bind
	return h
}

func sampleName(want authn.Reason, kind string, n int) string {
	return fmt.Sprintf("%s%d%d", want, len(kind), n)
}

// measure runs every sample of every kind, begin by begin side by side, and
// returns the durations in order of size.
func measure(t testing.TB, h *house, samples int) [][]time.Duration {
	took := make([][]time.Duration, len(kinds))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n := range samples {
		for i, k := range kinds {
			wg.Go(func() {
				name := sampleName(k.want, k.name, n)
				if k.want == authn.Throttled {
					h.hold(name)
				}
				begun := time.Now()
				r := h.try(name, k.pw)
				d := time.Since(begun)
				if r.Reason != k.want {
					t.Errorf("%s: %v, the sample is worth nothing", k.name, r.Reason)
				}
				mu.Lock()
				took[i] = append(took[i], d)
				mu.Unlock()
			})
		}
		time.Sleep(2 * time.Millisecond) // spread over the steps of the schedule
	}
	wg.Wait()
	for i := range took {
		slices.Sort(took[i])
	}
	return took
}

// judge compares the distributions of all kinds with that of a wrong password.
func judge(t testing.TB, took [][]time.Duration, tolerance time.Duration) {
	quantile := func(d []time.Duration, q int) time.Duration { return d[(len(d)-1)*q/100] }
	for i, k := range kinds {
		d := took[i]
		t.Logf("%-26s min %v, 25%% %v, median %v, 75%% %v, max %v", k.name, d[0], quantile(d, 25), quantile(d, 50), quantile(d, 75), d[len(d)-1])
		if off := (quantile(d, 50) - quantile(took[1], 50)).Abs(); off > tolerance {
			t.Errorf("%s: median is %v from that of a wrong password, allowed %v", k.name, off, tolerance)
		}
	}
}

// TestL05_RefusalsTakeTheSameTime measures with the real clock.
func TestL05_RefusalsTakeTheSameTime(t *testing.T) {
	samples := 60
	if os.Getenv("SALLYPORT_LONG") == "1" {
		samples = 500
	}
	h := sampleHouse(t, samples, func() time.Duration { return 4*time.Millisecond + rand.N(8*time.Millisecond) })
	judge(t, measure(t, h, samples), 5*time.Millisecond)
}

// TestL05_SlowDirectoryDoesNotSeparateNames has binds that last longer than the
// floor; the clock is synctest's, so every instant is exact.
func TestL05_SlowDirectoryDoesNotSeparateNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := sampleHouse(t, 300, func() time.Duration { return 380*time.Millisecond + rand.N(400*time.Millisecond) })
		took := measure(t, h, 300)
		judge(t, took, 50*time.Millisecond) // one step: the draws differ
		for i, k := range kinds {
			for _, d := range took[i] {
				if d < 400*time.Millisecond || d%(50*time.Millisecond) != 0 {
					t.Fatalf("%s answered after %v, which is not on the schedule", k.name, d)
				}
			}
		}
	})
}

func TestWaitingEndsWhenTheClientHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, people())
		done := make(chan time.Duration)
		ctx, hangUp := contextWithCancel(t)
		go func() {
			begun := time.Now()
			h.p.Verify(ctx, attempt, authn.Credentials{Name: "alice", Password: authn.NewPassword([]byte("wrong"))})
			done <- time.Since(begun)
		}()
		time.Sleep(100 * time.Millisecond)
		hangUp()
		if d := <-done; d != 100*time.Millisecond {
			t.Errorf("returned after %v", d)
		}
	})
}

func TestScheduleHasAFloorAndSteps(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct{ elapsed, want time.Duration }{
		{0, 400 * ms}, {399 * ms, 400 * ms}, {400 * ms, 400 * ms}, {400*ms + 1, 450 * ms}, {450 * ms, 450 * ms}, {451 * ms, 500 * ms}, {4999 * ms, 5000 * ms},
	} {
		if got := password.Slot(tt.elapsed, 400*ms, 50*ms); got != tt.want {
			t.Errorf("after %v: %v, want %v", tt.elapsed, got, tt.want)
		}
	}
}
