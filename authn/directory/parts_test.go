package directory_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/authn"
	"sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
)

func TestBreaker(t *testing.T) {
	now := time.Now()
	at := func(s float64) time.Time { return now.Add(time.Duration(s * float64(time.Second))) }
	var b directory.Breaker
	b.Failure(at(0))
	b.Failure(at(1))
	if b.Failure(at(11.5)); !b.Closed() {
		t.Fatal("three failures in more than ten seconds opened it")
	}
	if opened := b.Failure(at(11.6)); opened || !b.Closed() {
		t.Fatal("two failures in ten seconds opened it")
	}
	if opened := b.Failure(at(11.7)); !opened || b.Closed() {
		t.Fatal("three failures in ten seconds did not open it")
	}
	if b.Trial(at(13), false) {
		t.Error("a trial before two seconds have passed")
	}
	if !b.Trial(at(13.8), false) || b.Trial(at(13.8), false) || b.State() != "half_open" {
		t.Error("want exactly one trial after two seconds")
	}
	b.Failure(at(13.9))
	if b.Trial(at(17), false) || !b.Trial(at(18), false) {
		t.Error("the pause did not double to four seconds")
	}
	b.Failure(at(18))
	if !b.Trial(at(20.1), true) {
		t.Error("without another DC a trial is due after two seconds")
	}
	if !b.Success(at(20.2)) || !b.Closed() || b.Success(at(20.3)) {
		t.Error("a good trial did not close it once")
	}
	b.Force(at(30), time.Minute)
	if b.Trial(at(80), true) || !b.Trial(at(91), false) {
		t.Error("a forced pause did not last its minute")
	}
	if b.Trial(at(92), false) || !b.Trial(at(102), false) {
		t.Error("a trial that never reported blocks the breaker")
	}
}

func TestBreakerPausesDoubleToAMinute(t *testing.T) {
	now := time.Now()
	var b directory.Breaker
	for range 3 {
		b.Failure(now)
	}
	for _, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
		want *= time.Second
		if b.Trial(now.Add(want-time.Millisecond), false) || !b.Trial(now.Add(want), false) {
			t.Fatalf("pause is not %s", want)
		}
		now = now.Add(want)
		b.Failure(now)
	}
}

func TestScoreOfADC(t *testing.T) {
	now := time.Now()
	var fast, slow directory.Meter
	use := func(m *directory.Meter, took time.Duration) {
		m.Begin(now)
		m.End(now, took)
	}
	use(&fast, 3*time.Millisecond)
	use(&slow, 50*time.Millisecond)
	if fast.Score(now) >= slow.Score(now) {
		t.Error("the fast one is not better")
	}
	if later := now.Add(3 * time.Minute); slow.Score(later) != fast.Score(later) {
		t.Error("a slow answer is held against a DC for ever")
	}
	for range 30 {
		fast.Begin(now)
	}
	if fast.Score(now) <= slow.Score(now) {
		t.Error("a queue of thirty does not count")
	}
	var stuck, loaded directory.Meter
	stuck.Begin(now)
	for range 100 {
		loaded.Begin(now.Add(900 * time.Millisecond))
	}
	if stuck.Score(now.Add(time.Second)) <= loaded.Score(now.Add(time.Second)) {
		t.Error("a DC that owes an answer for a second is preferred")
	}
}

// reader is a directory for the cache.
type reader struct {
	calls atomic.Int64
	gate  chan struct{}
	err   error
}

func (r *reader) ByID(ctx context.Context, domain string, id authn.GUID) (*authn.Account, error) {
	r.calls.Add(1)
	if r.gate != nil {
		<-r.gate
	}
	if r.err != nil {
		return nil, r.err
	}
	return &authn.Account{ID: id, Domain: domain}, nil
}

func TestCacheAsksOnceAndForgetsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		c := directory.NewCache(r, time.Hour, 2)
		get := func(n byte) *authn.Account {
			t.Helper()
			acc, err := c.Account(t.Context(), "corp.contoso.test", authn.GUID{n})
			if err != nil {
				t.Fatal(err)
			}
			return acc
		}
		get(1)
		time.Sleep(directory.MaxCacheAge - time.Second)
		if get(1); r.calls.Load() != 1 {
			t.Errorf("%d readings", r.calls.Load())
		}
		time.Sleep(time.Second)
		if get(1); r.calls.Load() != 2 {
			t.Errorf("%d readings after the longest age, whatever the setting", r.calls.Load())
		}
		get(2)
		get(3) // 1 makes room
		get(2)
		if r.calls.Load() != 4 {
			t.Errorf("%d readings", r.calls.Load())
		}
		if get(1); r.calls.Load() != 5 {
			t.Errorf("%d readings: the cache is not bounded", r.calls.Load())
		}
		if _, err := c.Account(t.Context(), "other.test", authn.GUID{1}); r.calls.Load() != 6 || err != nil {
			t.Errorf("another domain's account came from the cache: %v", err)
		}
	})
}

func TestCacheConcurrentQuestionsAndDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{gate: make(chan struct{})}
		c := directory.NewCache(r, 0, 0)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := c.Account(t.Context(), "corp.contoso.test", authn.GUID{1}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := r.calls.Load(); n != 1 {
			t.Errorf("%d readings for one account", n)
		}
		c.Drop(authn.GUID{1}) // while it is being read
		close(r.gate)
		wg.Wait()
		if _, err := c.Account(t.Context(), "corp.contoso.test", authn.GUID{1}); err != nil || r.calls.Load() != 2 {
			t.Errorf("a reading from before the drop was kept: %v, %d readings", err, r.calls.Load())
		}
		r.err = &authn.Error{Reason: authn.Unavailable}
		c.Drop(authn.GUID{1})
		for range 2 {
			if _, err := c.Account(t.Context(), "corp.contoso.test", authn.GUID{1}); authn.ReasonOf(err) != authn.Unavailable {
				t.Error(err)
			}
		}
		if r.calls.Load() != 4 {
			t.Error("an error was kept")
		}
		c.Put(&authn.Account{ID: authn.GUID{1}, Domain: "corp.contoso.test"})
		if _, err := c.Account(t.Context(), "corp.contoso.test", authn.GUID{1}); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Account(ctx, "corp.contoso.test", authn.GUID{9}); !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled question: %v", err)
		}
		synctest.Wait()
	})
}

func TestRefusalDelayIsDrawnFromRefusals(t *testing.T) {
	l := newLab(t, directorytest.Config{})
	synctest.Test(t, func(t *testing.T) {
		took := func() time.Duration {
			start := time.Now()
			if err := l.dir.RefusalDelay(t.Context()); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		if d := took(); d <= 0 {
			t.Errorf("without a sample: %s", d)
		}
		l.dir.Samples(7*time.Millisecond, 21*time.Millisecond)
		seen := map[time.Duration]bool{}
		for range 200 {
			seen[took()] = true
		}
		if len(seen) != 2 || !seen[7*time.Millisecond] || !seen[21*time.Millisecond] {
			t.Errorf("delays %v", seen)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.dir.RefusalDelay(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestLockoutPolicy(t *testing.T) {
	l := newLab(t, directorytest.Config{Policy: directorytest.Policy{LockoutThreshold: 7, LockoutWindow: 20 * time.Minute, LockoutDuration: time.Hour}})
	got, err := l.dir.LockoutPolicy(t.Context(), "CORP.contoso.test")
	if want := (directory.Policy{Threshold: 7, Window: 20 * time.Minute, Duration: time.Hour}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	stated := newLab(t, directorytest.Config{Policy: directorytest.Policy{LockoutThreshold: -1, LockoutDuration: -1}},
		func(_ *directorytest.Directory, c *directory.Config) { c.Domains[0].MinLockoutThreshold = 5 })
	got, err = stated.dir.LockoutPolicy(t.Context(), "corp.contoso.test")
	if err != nil || got.Threshold != 5 || !got.Forever {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := l.dir.LockoutPolicy(t.Context(), "other.test"); authn.ReasonOf(err) != authn.Misconfigured {
		t.Error(err)
	}
}

func TestConnectionsAreReplacedByAgeAndIdleness(t *testing.T) {
	for name, lim := range map[string]directory.Limits{"age": {Age: 30 * time.Millisecond}, "idle": {Idle: 30 * time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, directorytest.Config{}, limits(lim))
			l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "first")
			before := l.ad.DCs[0].Dials()
			// The limit is real time: the framing connection runs on real sockets.
			timer := time.NewTimer(60 * time.Millisecond)
			<-timer.C
			l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "second")
			if n := l.ad.DCs[0].Dials(); n <= before {
				t.Error("an old connection was used again")
			}
		})
	}
}

func TestKeptConnectionsServeManySignIns(t *testing.T) {
	l := newLab(t, directorytest.Config{})
	for range 500 {
		l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "sign-in")
	}
	if n := l.ad.DCs[0].Dials(); n != 2 {
		t.Errorf("%d dials for 500 sign-ins, want one for each pool", n)
	}
}

func TestBurstDialsFourAtOnceAndSixteenInAll(t *testing.T) {
	l := newLab(t, directorytest.Config{})
	acc := l.resolve("alice@contoso.test")
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { l.want(l.bindAs(acc, password), authn.Accepted, "bind") })
	}
	wg.Wait()
	if n := l.ad.DCs[0].MostOpen(); n > 17 {
		t.Errorf("%d connections", n)
	}
}

func TestReloadedRootsApplyToKeptConnections(t *testing.T) {
	l := newLab(t, directorytest.Config{})
	other, err := directorytest.Start(directorytest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "before")
	l.dir.Reload(other.CAPool())
	l.want(l.signIn("alice@contoso.test", password), authn.Unavailable, "with roots that do not know the DC")
}

func TestCloseEndsEverything(t *testing.T) {
	l := newLab(t, directorytest.Config{DCs: 2})
	if err := l.dir.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "before")
	if err := l.dir.Close(); err != nil {
		t.Fatal(err)
	}
	l.want(l.signIn("alice@contoso.test", password), authn.Unavailable, "after")
	eventually(t, "no connection left", func() bool { return l.ad.DCs[0].Open()+l.ad.DCs[1].Open() == 0 })
	if err := l.dir.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if l.dir.Start(t.Context()) == nil {
		t.Error("started after Close")
	}
}

func TestWrongServersAreNotUsed(t *testing.T) {
	for name, change := range map[string]func(*directorytest.Settings){
		"not synchronised": func(s *directorytest.Settings) { s.NotSynchronized = true },
		"read-only":        func(s *directorytest.Settings) { s.RODC = true },
		"other domain":     func(s *directorytest.Settings) { s.OtherDomain = "other.test" },
	} {
		l := newLab(t, directorytest.Config{DCs: 2})
		l.ad.DCs[0].Set(change)
		for range 20 {
			l.want(l.signIn("alice@contoso.test", password), authn.Accepted, name)
		}
		for _, b := range l.ad.Binds() {
			if b.DC == l.ad.DCs[0].Name {
				t.Fatalf("%s: a bind went there", name)
			}
		}
	}
	rodc := newLab(t, directorytest.Config{}, setting(func(s *directorytest.Settings) { s.RODC = true }),
		func(_ *directorytest.Directory, c *directory.Config) { c.Domains[0].AllowRODC = true })
	rodc.want(rodc.signIn("alice@contoso.test", password), authn.Accepted, "read-only DC that is allowed")
}

func TestNetBIOSNameIsLearned(t *testing.T) {
	l := newLab(t, directorytest.Config{}, func(_ *directorytest.Directory, c *directory.Config) { c.Domains[0].NetBIOS = "" })
	if err := l.dir.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "CONTOSO is known", func() bool { return l.signIn(`CONTOSO\alice`, password) == authn.Accepted })
	if acc := l.resolve("alice@contoso.test"); acc.Name() != `CONTOSO\alice` {
		t.Errorf("name %s", acc.Name())
	}
}
