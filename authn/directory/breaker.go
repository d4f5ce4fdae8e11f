package directory

import (
	"sync"
	"time"
)

// Circuit breaker figures: it opens at three failures in ten seconds, for two
// seconds that double to sixty.
const (
	breakerFailures = 3
	breakerWindow   = 10 * time.Second
	breakerFirst    = 2 * time.Second
	breakerMax      = 60 * time.Second
)

// breakerState is where a breaker stands.
type breakerState uint8

const (
	breakerClosed breakerState = iota
	breakerOpen
	breakerHalfOpen
)

func (s breakerState) String() string {
	switch s {
	case breakerClosed:
		return "closed"
	case breakerHalfOpen:
		return "half_open"
	default:
		return "open"
	}
}

// breaker keeps requests away from a DC that does not answer. Times come from
// the caller and must carry the monotonic clock.
type breaker struct {
	mu       sync.Mutex
	state    breakerState
	failures [breakerFailures]time.Time // the last ones, newest first
	opened   time.Time
	until    time.Time
	backoff  time.Duration
	forced   bool
}

// closed reports that requests may go to the DC.
func (b *breaker) closed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state == breakerClosed
}

func (b *breaker) current() breakerState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// trial takes the one half-open trial when it is due. With urgent set (no other
// DC works) a trial is due after the first pause already, however often the
// breaker opened, so that an outage of all DCs ends seconds after its cause.
func (b *breaker) trial(now time.Time, urgent bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.dueLocked(now, urgent) {
		return false
	}
	// A trial that never reports is given up after a window's time.
	b.state, b.opened, b.until = breakerHalfOpen, now, now.Add(breakerWindow)
	return true
}

// dueLocked reports whether trial would be granted.
func (b *breaker) dueLocked(now time.Time, urgent bool) bool {
	if b.state == breakerClosed {
		return false
	}
	if urgent && !b.forced && b.state == breakerOpen {
		return now.Sub(b.opened) >= breakerFirst
	}
	return !now.Before(b.until)
}

// success closes the breaker; it reports whether it was not closed before.
func (b *breaker) success(now time.Time) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == breakerClosed {
		return false
	}
	b.state, b.forced = breakerClosed, false
	b.failures = [breakerFailures]time.Time{}
	return true
}

// failure counts one failure; it reports whether the breaker opened by it.
func (b *breaker) failure(now time.Time) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	copy(b.failures[1:], b.failures[:])
	b.failures[0] = now
	oldest := b.failures[breakerFailures-1]
	switch {
	case b.state == breakerOpen:
		return false
	case b.state == breakerHalfOpen:
		b.openLocked(now, 0)
		return false
	case !oldest.IsZero() && now.Sub(oldest) <= breakerWindow:
		b.openLocked(now, 0)
		return true
	}
	return false
}

// force opens the breaker for d: waiting less would not help.
func (b *breaker) force(now time.Time, d time.Duration) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	opened = b.state == breakerClosed
	b.openLocked(now, d)
	return opened
}

func (b *breaker) openLocked(now time.Time, d time.Duration) {
	switch {
	case d > 0:
		b.forced = true
	case b.backoff == 0 || now.Sub(b.until) > breakerMax:
		b.backoff, b.forced = breakerFirst, false
		d = b.backoff
	default:
		b.backoff, b.forced = min(2*b.backoff, breakerMax), false
		d = b.backoff
	}
	b.state, b.opened, b.until = breakerOpen, now, now.Add(d)
}
