package redisstore_test

import (
	"sync"
	"testing"
	"time"

	"sallyport/authn/redisstore"
	"sallyport/authn/session"
	"sallyport/authn/session/sessiontest"
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
