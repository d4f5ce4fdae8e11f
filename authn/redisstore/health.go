package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"sallyport/authn/session"
)

// tripAfter is how many calls must fail in a row before the store stops asking.
// Errors that are sure to last stop it at once.
const tripAfter = 3

// maxEnded bounds the sign-outs that are remembered during an outage.
const maxEnded = 10_000

var errClosed = errors.New("closed")

// health is whether Redis is believed to answer, and what was put off until it
// does.
type health struct {
	log  *slog.Logger
	wake chan struct{} // tells the prober that the store has tripped

	mu       sync.Mutex
	down     error
	since    time.Time
	failures int
	shut     bool
	full     bool              // the record about a dropped sign-out was written
	endings  map[string]ending // by record key
}

type ending struct {
	id      session.ID
	expires time.Time
}

func newHealth(log *slog.Logger) *health {
	return &health{log: log, wake: make(chan struct{}, 1), endings: make(map[string]ending)}
}

func (h *health) reason() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down
}

func (h *health) allow() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down
}

func (h *health) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down, h.shut = errClosed, true
}

func (h *health) good() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures = 0
}

func (h *health) bad(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures++
	if h.down == nil && (h.failures >= tripAfter || lasting(err)) {
		h.trip(err)
	}
}

// trip stops the store. The caller holds mu.
func (h *health) trip(err error) {
	h.down, h.since = err, time.Now()
	h.log.Error("sessions in Redis are unavailable; people sign in by password", "error", err)
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// probed takes the result of a probe and reports whether the store has just come
// back.
func (h *health) probed(err error) (back bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.shut:
		return false
	case err != nil && h.down == nil:
		h.trip(err)
	case err != nil:
		h.down = err // the newest reason
	case h.down != nil:
		h.log.Info("sessions in Redis are available again", "down_for", time.Since(h.since).Round(time.Millisecond))
		h.down, h.failures, h.full = nil, 0, false
		return true
	}
	return false
}

// remember puts a sign-out off until Redis is back.
func (h *health) remember(id session.ID, key string, expires time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.endings) < maxEnded {
		h.endings[key] = ending{id, expires}
		return
	}
	if !h.full {
		h.full = true
		h.log.Error("a sign-out could not be kept while Redis is down: too many are waiting; this is said once for each outage",
			"waiting", len(h.endings))
	}
}

// ended reports whether the session's sign-out was put off.
func (h *health) ended(key string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.endings[key]
	return ok
}

func (h *health) putOff() map[string]ending {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make(map[string]ending, len(h.endings))
	for k, e := range h.endings {
		all[k] = e
	}
	return all
}

func (h *health) settled(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.endings, key)
}

// watch probes until ctx ends. It is the one goroutine of a store.
func (s *Store) watch(ctx context.Context) {
	defer close(s.done)
	for {
		err := s.probe(ctx)
		if ctx.Err() != nil {
			return
		}
		s.health.probed(err)
		wait := s.cfg.ProbeEvery
		if err != nil {
			wait /= 10
		} else {
			s.endPutOff(ctx)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.health.wake:
			timer.Stop()
			if !pause(ctx, s.cfg.ProbeEvery/10) {
				return
			}
		case <-timer.C:
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// probe does to a key of its own what sessions need, so that a missing permission
// shows as surely as a dead server.
func (s *Store) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 4*s.cfg.Timeout)
	defer cancel()
	key := s.cfg.Prefix + "probe:{" + rand.Text() + "}"
	list := key + "l"
	cmds, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.SetArgs(ctx, key, "1", redis.SetArgs{Mode: "NX", TTL: 10 * time.Second})
		p.GetEx(ctx, key, 10*time.Second)
		p.Get(ctx, key)
		p.RPush(ctx, list, "1")
		p.PExpire(ctx, list, 10*time.Second)
		p.LRem(ctx, list, 0, "2")
		p.LPushX(ctx, list, "2")
		p.LTrim(ctx, list, 0, 1)
		p.LRange(ctx, list, 0, 1)
		p.Del(ctx, key)
		p.Del(ctx, list)
		return nil
	})
	return firstFault(cmds, err)
}

// endPutOff carries out the sign-outs that Redis missed.
func (s *Store) endPutOff(ctx context.Context) {
	for key, e := range s.health.putOff() {
		_, list := s.names.session(e.id)
		_, absolute := s.cfg.Lifetimes.Of(e.id.Persistent())
		_, _, err := s.end(ctx, key, list, absolute)
		if err == nil || errors.Is(err, session.ErrNone) || s.cfg.Now().After(e.expires) {
			s.health.settled(key)
			continue
		}
		return // down again
	}
}
