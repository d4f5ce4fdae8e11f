package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/authn/redisstore"
	"sallyport/authn/session"
	"sallyport/authn/session/sessiontest"
)

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// use calls Use and reports how long it took.
func use(t *testing.T, s session.Store, id session.ID) (time.Duration, error) {
	begun := time.Now()
	got, err := s.Use(t.Context(), id, "urn:a")
	if (err == nil) != (got != nil) {
		t.Errorf("session %v with error %v", got, err)
	}
	return time.Since(begun), err
}

// outage checks what every outage must look like, and what follows its end.
func outage(t *testing.T, s *redisstore.Store, id session.ID, begin, end func(), after error) {
	t.Helper()
	if _, err := use(t, s, id); err != nil {
		t.Fatalf("before: %v", err)
	}
	begin()
	var slowest time.Duration
	for range 10 {
		took, err := use(t, s, id)
		slowest = max(slowest, took)
		if !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("during: %v", err)
		}
	}
	if slowest > time.Second {
		t.Errorf("slowest answer took %v", slowest)
	}
	if s.Down() == nil {
		t.Error("no reason for readiness")
	}
	begun := time.Now()
	for range 100 {
		_, _ = use(t, s, id)
	}
	if per := time.Since(begun) / 100; per > 5*time.Millisecond {
		t.Errorf("each sign-in waits %v for a store known to be down", per)
	}
	if _, err := s.Create(t.Context(), sessiontest.Example(1, time.Now())); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("Create: %v", err)
	}
	if first, err := s.Once(t.Context(), "p", "k", time.Minute); first || !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("Once: %v, %v", first, err)
	}
	end()
	eventually(t, "the store comes back by itself", 5*time.Second, func() bool { return s.Down() == nil })
	if _, err := use(t, s, id); !errors.Is(err, after) {
		t.Errorf("after: %v, want %v", err, after)
	}
	if _, err := s.Create(t.Context(), sessiontest.Example(1, time.Now())); err != nil {
		t.Errorf("Create after: %v", err)
	}
}

func TestR06_RedisKilledAndStarted(t *testing.T) {
	srv := startServer(t, redisstore.ACL)
	var log logBuffer
	cfg := srv.config()
	cfg.Timeout = productTimeout
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := newStore(t, cfg)
	id, err := s.Create(t.Context(), sessiontest.Example(1, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	outage(t, s, id, srv.stop, srv.restart, session.ErrNone) // it keeps nothing over a restart
	for _, want := range []string{"are unavailable", "available again"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("log does not say %q once:\n%s", want, log.String())
		}
	}
}

func TestR06_RedisPaused(t *testing.T) {
	srv := startServer(t, redisstore.ACL)
	cfg := srv.config()
	cfg.Timeout = productTimeout
	s := newStore(t, cfg)
	id, err := s.Create(t.Context(), sessiontest.Example(1, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	outage(t, s, id, srv.pause, srv.resume, nil)
}

func TestR06_NetworkCut(t *testing.T) {
	f := startFake(t)
	p := startProxy(t, f.addr())
	cfg := f.config()
	cfg.Addresses, cfg.Timeout = []string{p.addr()}, productTimeout
	s := newStore(t, cfg)
	id, err := s.Create(t.Context(), sessiontest.Example(1, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	outage(t, s, id, func() { p.change(func([]byte) [][]byte { return nil }) }, func() { p.change(nil); p.cut() }, nil)
}

func TestR06_RedisDownAtTheStart(t *testing.T) {
	f := startFake(t)
	cfg := f.config()
	f.stop()
	s := newStore(t, cfg)
	eventually(t, "the first probe says so", 3*time.Second, func() bool { return s.Down() != nil })
	if err := s.Ping(t.Context()); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("Ping: %v", err)
	}
	ln, err := net.Listen("tcp", cfg.Addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	f.ln = ln
	go f.accept(ln)
	eventually(t, "the store comes up by itself", 3*time.Second, func() bool { return s.Down() == nil })
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

// TestR05_SignOutDuringAnOutageIsCarriedOut signs out while Redis does what it is
// told and nobody hears of it, and while it refuses to.
func TestR05_SignOutDuringAnOutageIsCarriedOut(t *testing.T) {
	t.Run("no answers", func(t *testing.T) {
		f := startFake(t)
		p := startProxy(t, f.addr())
		signOutWhile(t, f, p, func() { p.change(func([]byte) [][]byte { return nil }) }, func() { p.change(nil); p.cut() })
	})
	t.Run("refusals", func(t *testing.T) {
		f := startFake(t)
		signOutWhile(t, f, startProxy(t, f.addr()), func() { f.deny("SET", true) }, func() { f.deny("SET", false) })
	})
}

func signOutWhile(t *testing.T, f *fake, p *proxy, begin, end func()) {
	t.Helper()
	cfg := f.config()
	direct := newStore(t, cfg)
	cfg.Addresses, cfg.Timeout = []string{p.addr()}, productTimeout
	s := newStore(t, cfg)
	id, err := s.Create(t.Context(), sessiontest.Example(1, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	begin()
	if _, err := s.End(t.Context(), id); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("End: %v", err)
	}
	if _, err := s.Use(t.Context(), id, ""); !errors.Is(err, session.ErrNone) {
		t.Errorf("used here after its sign-out: %v", err)
	}
	end()
	eventually(t, "the other instance sees the sign-out", 3*time.Second, func() bool {
		_, err := direct.Use(t.Context(), id, "")
		return errors.Is(err, session.ErrNone)
	})
}

// TestR07_SlowRedisDoesNotPileUp hangs every reply while 300 requests come.
func TestR07_SlowRedisDoesNotPileUp(t *testing.T) {
	f := startFake(t)
	p := startProxy(t, f.addr())
	cfg := f.config()
	cfg.Addresses, cfg.PoolSize, cfg.Timeout = []string{p.addr()}, 8, productTimeout
	s := newStore(t, cfg)
	id, err := s.Create(t.Context(), sessiontest.Example(1, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	release := p.hang()
	defer release()
	var slowest atomic.Int64
	var wg sync.WaitGroup
	for range 300 {
		wg.Go(func() {
			took, err := use(t, s, id)
			if !errors.Is(err, session.ErrUnavailable) {
				t.Errorf("hanging: %v", err)
			}
			for old := slowest.Load(); int64(took) > old && !slowest.CompareAndSwap(old, int64(took)); old = slowest.Load() {
			}
		})
	}
	wg.Wait()
	if d := time.Duration(slowest.Load()); d > 700*time.Millisecond {
		t.Errorf("slowest answer took %v", d)
	}
	p.mu.Lock()
	count := p.count
	p.mu.Unlock()
	if count > 40 {
		t.Errorf("%d connections were made for a pool of 8", count)
	}
	eventually(t, "goroutines end", 3*time.Second, func() bool { return runtime.NumGoroutine() < before+60 })
}

func TestR07_DeadlineOfTheCallerIsObeyed(t *testing.T) {
	f := startFake(t)
	p := startProxy(t, f.addr())
	cfg := f.config()
	cfg.Addresses, cfg.Timeout, cfg.ProbeEvery = []string{p.addr()}, 5*time.Second, time.Hour
	s := newStore(t, cfg)
	id, err := s.Create(t.Context(), sessiontest.Example(1, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	defer p.hang()()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	for range 10 {
		if _, err := s.Use(ctx, id, ""); !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("%v", err)
		}
	}
	if took := time.Since(begun); took > 400*time.Millisecond {
		t.Errorf("took %v", took)
	}
	if s.Down() != nil {
		t.Errorf("impatient callers took the store down for all: %v", s.Down())
	}
}

// TestR02_WrongRepliesFindNoWrongSession delays, doubles, swaps and drops replies
// under load: every session that comes back is the caller's own, and nothing is
// first twice.
func TestR02_WrongRepliesFindNoWrongSession(t *testing.T) {
	f := startFake(t)
	p := startProxy(t, f.addr())
	cfg := f.config()
	cfg.Addresses, cfg.PoolSize, cfg.ProbeEvery, cfg.Timeout = []string{p.addr()}, 4, 50*time.Millisecond, 60*time.Millisecond
	s := newStore(t, cfg)
	const people = 8
	ids := make([]session.ID, people)
	for n := range ids {
		var err error
		if ids[n], err = s.Create(t.Context(), sessiontest.Example(byte(n), time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	var calls atomic.Int64
	var late [][]byte
	var mu sync.Mutex
	p.change(func(b []byte) [][]byte {
		b = bytes.Clone(b)
		mu.Lock()
		defer mu.Unlock()
		switch calls.Add(1) % 31 {
		case 3:
			return [][]byte{b, b} // twice
		case 5:
			late = append(late, b) // for another connection
			return nil
		case 9, 20:
			if len(late) > 0 {
				out := late[0]
				late = late[1:]
				return [][]byte{out, b}
			}
		}
		return [][]byte{b}
	})
	var good, none, failed, firsts atomic.Int64
	seen := make([]atomic.Int64, 4000)
	var wg sync.WaitGroup
	stop := time.Now().Add(1500 * time.Millisecond)
	for n, id := range ids {
		wg.Go(func() {
			for i := 0; time.Now().Before(stop); i++ {
				got, err := s.Use(t.Context(), id, "urn:a")
				switch {
				case err == nil && got.Account[4] != byte(n):
					t.Errorf("caller %d got the session of %d", n, got.Account[4])
				case err == nil:
					good.Add(1)
				case errors.Is(err, session.ErrNone):
					none.Add(1)
				default:
					failed.Add(1)
				}
				k := i % len(seen)
				if first, err := s.Once(t.Context(), "race", fmt.Sprint(k), time.Minute); err == nil && first {
					firsts.Add(1)
					if seen[k].Add(1) > 1 {
						t.Errorf("key %d was first twice", k)
					}
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	wg.Wait()
	t.Logf("%d own sessions, %d none, %d unavailable, %d firsts", good.Load(), none.Load(), failed.Load(), firsts.Load())
	if good.Load() == 0 || failed.Load()+none.Load() == 0 {
		t.Error("the faults or the good answers are missing: the test proves nothing")
	}
}
