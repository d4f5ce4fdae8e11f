package redisstore_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/authn/redisstore"
	"sallyport/authn/seal"
	"sallyport/authn/session"
	"sallyport/authn/session/sessiontest"
	"sallyport/deploy/testbed/lab"
)

// clock is the real time plus what was skipped.
type clock struct {
	mu      sync.Mutex
	skipped time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.skipped)
}

func (c *clock) skip(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skipped += d
}

func TestFakeServerConforms(t *testing.T) {
	c := &clock{}
	var srv *fake
	sessiontest.Run(t, sessiontest.Harness{
		Open: func(t *testing.T, l session.Lifetimes) session.Store {
			srv = startFake(t)
			cfg := srv.config()
			cfg.Lifetimes, cfg.Now = l, c.Now
			return newStore(t, cfg)
		},
		Advance: func(_ *testing.T, d time.Duration) {
			c.skip(d)
			srv.advance(d)
		},
		Now: c.Now,
	})
}

func TestRealRedisConforms(t *testing.T) {
	srv := startServer(t, redisstore.ACL)
	c := &clock{}
	sessiontest.Run(t, sessiontest.Harness{
		Open: func(t *testing.T, l session.Lifetimes) session.Store {
			srv.flush()
			cfg := srv.config()
			cfg.Lifetimes, cfg.Now = l, c.Now
			return newStore(t, cfg)
		},
		Advance: func(_ *testing.T, d time.Duration) {
			c.skip(d)
			srv.advance(d)
		},
		Now: c.Now,
	})
}

// TestR10_EveryKeyHasALifeAndABound walks at random and looks at every key.
func TestR10_EveryKeyHasALifeAndABound(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		cfg := b.config()
		cfg.Lifetimes = session.Lifetimes{Absolute: 8 * time.Hour, Idle: time.Hour}
		s := newStore(t, cfg)
		r := rand.New(rand.NewPCG(1, 2))
		var ids []session.ID
		for range 400 {
			id := session.NewID(r.IntN(2) == 0)
			if len(ids) > 0 && r.IntN(4) > 0 {
				id = ids[r.IntN(len(ids))]
			}
			var err error
			switch r.IntN(5) {
			case 0:
				x := sessiontest.Example(1, time.Now())
				x.Persistent = r.IntN(2) == 0
				if id, err = s.Create(t.Context(), x); err == nil {
					ids = append(ids, id)
				}
			case 1, 2:
				_, err = s.Use(t.Context(), id, fmt.Sprint("urn:party:", r.IntN(60), strings.Repeat("x", r.IntN(60))))
			case 3:
				_, err = s.End(t.Context(), id)
			case 4:
				_, err = s.Once(t.Context(), "p", fmt.Sprint(r.IntN(50)), time.Minute)
			}
			if err != nil && !errors.Is(err, session.ErrNone) {
				t.Fatal(err)
			}
		}
		keys := b.keys()
		for _, k := range keys {
			text, list, ttl := b.get(k)
			size := len(text)
			for _, e := range list {
				size += len(e)
			}
			if ttl <= 0 || ttl > 24*time.Hour || size > 4096 || len(list) > session.MaxParties {
				t.Errorf("%s: life %v, %d bytes, %d entries", k, ttl, size, len(list))
			}
		}
		if len(keys) < 20 {
			t.Errorf("only %d keys", len(keys))
		}
	})
}

// TestSessionFitsItsBudget holds line 9 of the performance budget: bytes and round
// trips.
func TestSessionFitsItsBudget(t *testing.T) {
	srv := startServer(t, redisstore.ACL)
	s := newStore(t, srv.config())
	id, err := s.Create(t.Context(), sessiontest.Example(1, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Use(t.Context(), id, "urn:federation:MicrosoftOnline"); err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, kind := range []string{"s", "p"} {
		n, err := srv.admin.MemoryUsage(t.Context(), only(t, srv, kind)).Result()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes in Redis", kind, n)
		total += n
	}
	if total > 600 {
		t.Errorf("%d bytes in Redis, the gate is 600", total)
	}
}

func TestUseIsOneRoundTrip(t *testing.T) {
	f := startFake(t)
	cfg := f.config()
	cfg.ProbeEvery = time.Hour
	cfg.Lifetimes = session.Lifetimes{Idle: time.Hour}
	s := newStore(t, cfg)
	id, err := s.Create(t.Context(), sessiontest.Example(1, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first probe is over", 3*time.Second, func() bool { return f.trips() >= 2 })
	for _, op := range []struct {
		name string
		run  func() error
	}{
		{"Use", func() error { _, err := s.Use(t.Context(), id, "urn:a"); return err }},
		{"Peek", func() error { _, err := s.Peek(t.Context(), id); return err }},
		{"Once", func() error { _, err := s.Once(t.Context(), "p", "k", time.Minute); return err }},
		{"Seen", func() error { _, err := s.Seen(t.Context(), "p", "k"); return err }},
		{"Create", func() error { _, err := s.Create(t.Context(), sessiontest.Example(2, time.Now()), "urn:a"); return err }},
		{"End", func() error { _, err := s.End(t.Context(), id); return err }},
	} {
		before := f.trips()
		if err := op.run(); err != nil {
			t.Errorf("%s: %v", op.name, err)
		}
		if n := f.trips() - before; n != 1 {
			t.Errorf("%s took %d round trips", op.name, n)
		}
	}
}

func TestSettingsAreChecked(t *testing.T) {
	good := startFake(t).config()
	bad := map[string]func(*redisstore.Config){
		"no address":        func(c *redisstore.Config) { c.Addresses = nil },
		"no port":           func(c *redisstore.Config) { c.Addresses = []string{"redis.contoso.test"} },
		"clear text abroad": func(c *redisstore.Config) { c.Addresses = []string{"redis.contoso.test:6379"} },
		"default user":      func(c *redisstore.Config) { c.Username = "" },
		"no password":       func(c *redisstore.Config) { c.Password = nil },
		"no master":         func(c *redisstore.Config) { c.Masters = nil },
		"short master":      func(c *redisstore.Config) { c.Masters = [][]byte{[]byte("short")} },
		"pattern as prefix": func(c *redisstore.Config) { c.Prefix = "sally*:" },
	}
	for what, spoil := range bad {
		cfg := good
		spoil(&cfg)
		if s, err := redisstore.New(cfg); err == nil {
			s.Close()
			t.Errorf("%s was accepted", what)
		}
	}
}

func TestParseURL(t *testing.T) {
	cfg, err := redisstore.ParseURL("rediss://gateway@redis.contoso.test:6380/2")
	if err != nil || cfg.Addresses[0] != "redis.contoso.test:6380" || cfg.Username != "gateway" || cfg.Database != 2 || cfg.TLS == nil {
		t.Errorf("%+v, %v", cfg, err)
	}
	if cfg, err = redisstore.ParseURL("redis://gateway@127.0.0.1"); err != nil || cfg.Addresses[0] != "127.0.0.1:6379" || cfg.TLS != nil {
		t.Errorf("%+v, %v", cfg, err)
	}
	for _, bad := range []string{
		"", "redis.contoso.test:6379", "http://redis.contoso.test", "rediss://", "rediss://gateway:canary@redis.contoso.test", "rediss://h/x",
		"rediss://h/-1", "rediss://h?tls=no", "rediss://h#x", "rediss://\x00canary",
	} {
		if _, err := redisstore.ParseURL(bad); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestLabRedis runs against the server of the testbed, with the user that the
// documented rights make.
func TestLabRedis(t *testing.T) {
	address := os.Getenv("SALLYPORT_REDIS_URL")
	if address == "" {
		lab.Without(t, "SALLYPORT_REDIS_URL is not set; deploy/testbed/run sets it")
	}
	cfg, err := redisstore.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(os.Getenv("SALLYPORT_REDIS_PASSWORD_FILE"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Password = func() (string, error) { return strings.TrimRight(string(secret), "\r\n"), nil }
	ca, err := os.ReadFile(os.Getenv("SALLYPORT_REDIS_CA"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) || cfg.TLS == nil {
		t.Fatal("the lab's Redis must have TLS and a CA")
	}
	cfg.TLS.RootCAs = roots
	cfg.Masters, cfg.Timeout = [][]byte{seal.NewMaster()}, patience
	s := newStore(t, cfg)
	if fatal, danger := problems(s.SelfTest(t.Context())); len(fatal)+len(danger) > 0 {
		t.Fatalf("self-test: %q %q", fatal, danger)
	}
	id, err := s.Create(t.Context(), sessiontest.Example(1, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Use(t.Context(), id, "urn:federation:MicrosoftOnline"); err != nil {
		t.Error(err)
	}
	if parties, err := s.End(t.Context(), id); err != nil || len(parties) != 1 {
		t.Errorf("End = %q, %v", parties, err)
	}
}

func BenchmarkRealUse(b *testing.B) {
	srv := startServer(b, redisstore.ACL)
	s := newStore(b, srv.config())
	id, err := s.Create(b.Context(), sessiontest.Example(1, time.Now()))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Use(b.Context(), id, "urn:federation:MicrosoftOnline"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestR10_PartiesAreCut uses a session for many parties, and a dead one for some.
func TestR10_PartiesAreCut(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		s := newStore(t, b.config())
		v := newVictim(t, b, s, 1)
		for n := range session.MaxParties * 2 {
			if _, err := s.Use(t.Context(), v.id, fmt.Sprint("urn:party:", n)); err != nil {
				t.Fatal(err)
			}
		}
		if _, list, _ := b.get(v.list); len(list) != session.MaxParties {
			t.Errorf("%d entries, want %d", len(list), session.MaxParties)
		}
		if _, err := s.End(t.Context(), v.id); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Use(t.Context(), v.id, "urn:party"); !errors.Is(err, session.ErrNone) {
			t.Error(err)
		}
		if _, list, _ := b.get(v.list); len(list) != 0 {
			t.Errorf("a dead session remembers %d parties", len(list))
		}
	})
}
