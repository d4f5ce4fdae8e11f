package directory

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

var (
	errPoolWait = errors.New("directory: no free connection in time")
	errSlowDial = errors.New("directory: connection not ready in time")
	errClosed   = errors.New("directory: closed")
)

// pool keeps connections of one purpose to one DC: last in, first out, so that
// the number of warm connections follows the load. Whoever needs a connection
// gets an idle one or waits; dials run in the background and serve whoever waits
// longest, so a cancelled request wastes none.
type pool struct {
	max, min  int
	idleLimit time.Duration
	age       time.Duration
	wait      time.Duration
	slots     chan struct{} // dials to this DC at once, both pools together
	open      func(ctx context.Context) (*conn, error)
	base      context.Context // ends with the Directory
	spawn     func(func())    // runs a goroutine that Close waits for
	lost      func()          // an idle connection was found dead

	mu         sync.Mutex
	idle       []*conn // the end was used last
	count      int     // idle, lent and being dialled
	dialling   int
	waiters    []chan grant // first come first
	generation uint64
	closed     bool
}

// grant ends a wait. Channels have room for one, so a grant never blocks.
type grant struct {
	c   *conn
	err error
}

// take lends a connection. patience bounds the wait while a dial is under way
// for this caller; the pool's own limit bounds the wait for one to come back;
// most bounds both.
func (p *pool) take(ctx context.Context, patience, most time.Duration) (*conn, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errClosed
	}
	c, expired := p.popLocked(time.Now())
	if c != nil {
		p.mu.Unlock()
		p.retire(expired)
		return c, nil
	}
	w := make(chan grant, 1)
	p.waiters = append(p.waiters, w)
	p.dialLocked()
	limit, late := min(p.wait, most), errPoolWait
	if p.dialling >= len(p.waiters) {
		limit, late = min(patience, most), errSlowDial
	}
	p.mu.Unlock()
	p.retire(expired)

	timer := time.NewTimer(limit)
	defer timer.Stop()
	var err error
	select {
	case g := <-w:
		return g.c, g.err
	case <-timer.C:
		err = late
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.mu.Lock()
	left := p.leaveLocked(w)
	p.mu.Unlock()
	if !left {
		// The grant came at the same moment; it must not get lost.
		if g := <-w; g.c != nil {
			return g.c, nil
		}
	}
	return nil, err
}

func (p *pool) leaveLocked(w chan grant) bool {
	for i, v := range p.waiters {
		if v == w {
			p.waiters = append(p.waiters[:i], p.waiters[i+1:]...)
			return true
		}
	}
	return false
}

// popLocked takes the idle connection that was used last; the ones found too old
// on the way are returned for closing.
func (p *pool) popLocked(now time.Time) (c *conn, expired []*conn) {
	for len(p.idle) > 0 {
		last := len(p.idle) - 1
		c := p.idle[last]
		p.idle[last] = nil
		p.idle = p.idle[:last]
		if p.fitLocked(c, now) {
			return c, expired
		}
		p.count--
		expired = append(expired, c)
	}
	return nil, expired
}

func (p *pool) fitLocked(c *conn, now time.Time) bool {
	return !p.closed && c.generation == p.generation && now.Before(c.dies) && now.Sub(c.used) < p.idleLimit && c.frame.clean()
}

// put takes a lent connection back; one that is not clean is closed.
func (p *pool) put(c *conn) {
	now := time.Now()
	c.used = now
	p.mu.Lock()
	if !p.fitLocked(c, now) {
		p.count--
		p.dialLocked()
		p.mu.Unlock()
		p.retire([]*conn{c})
		return
	}
	p.giveLocked(c)
	p.mu.Unlock()
}

func (p *pool) giveLocked(c *conn) {
	if len(p.waiters) > 0 {
		w := p.waiters[0]
		p.waiters = append(p.waiters[:0], p.waiters[1:]...)
		w <- grant{c: c}
		return
	}
	p.idle = append(p.idle, c)
}

// discard ends the loan of a connection that must not be used again.
func (p *pool) discard(c *conn, cause error) {
	c.drop(cause)
	p.mu.Lock()
	p.count--
	p.dialLocked()
	p.mu.Unlock()
}

// died removes a connection that ended while idle. For a lent one the borrower
// will notice.
func (p *pool) died(c *conn) {
	p.mu.Lock()
	found := false
	for i, v := range p.idle {
		if v == c {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			p.count--
			found = true
			break
		}
	}
	p.mu.Unlock()
	if found {
		p.lost()
	}
}

// flush closes idle connections last used no later than the given instant:
// what silently broke one (a firewall that forgot it) broke the older ones too.
func (p *pool) flush(until time.Time) (n int) {
	return p.sweep(func(c *conn) bool { return !c.used.After(until) })
}

// reap closes idle connections that are too old, so that they do not wait for a
// request to find out.
func (p *pool) reap(now time.Time) int {
	return p.sweep(func(c *conn) bool { return !p.fitLocked(c, now) })
}

func (p *pool) sweep(gone func(*conn) bool) int {
	p.mu.Lock()
	kept, out := p.idle[:0], []*conn(nil)
	for _, c := range p.idle {
		if gone(c) {
			out = append(out, c)
		} else {
			kept = append(kept, c)
		}
	}
	clear(p.idle[len(kept):])
	p.idle = kept
	p.count -= len(out)
	p.mu.Unlock()
	p.retire(out)
	return len(out)
}

// renew makes all present connections unfit (new certificate authorities).
func (p *pool) renew() {
	p.mu.Lock()
	p.generation++
	p.mu.Unlock()
	p.reap(time.Now())
}

func (p *pool) retire(cs []*conn) {
	for _, c := range cs {
		if c.frame.clean() {
			p.spawn(c.bye)
		} else {
			c.drop(errDead)
		}
	}
}

// fill dials until the minimum is open.
func (p *pool) fill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed && p.count < p.min {
		p.startDialLocked()
	}
}

// dialLocked starts one dial for each waiter that has none.
func (p *pool) dialLocked() {
	for !p.closed && p.dialling < len(p.waiters) && p.count < p.max {
		p.startDialLocked()
	}
}

func (p *pool) startDialLocked() {
	p.count++
	p.dialling++
	generation := p.generation
	p.spawn(func() { p.dialOne(generation) })
}

func (p *pool) dialOne(generation uint64) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-p.base.Done():
		p.dialled(nil, errClosed)
		return
	}
	p.mu.Lock()
	needless := len(p.waiters) == 0 && p.count > p.min
	p.mu.Unlock()
	if needless {
		p.dialled(nil, nil)
		return
	}
	c, err := p.open(p.base)
	if err == nil {
		now := time.Now()
		c.generation, c.used = generation, now
		c.dies = now.Add(p.age + time.Duration((rand.Float64()-0.5)*0.2*float64(p.age)))
		c.frame.mu.Lock()
		c.frame.onDead = func() { p.died(c) }
		c.frame.mu.Unlock()
	}
	p.dialled(c, err)
}

func (p *pool) dialled(c *conn, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialling--
	switch {
	case c != nil && !p.closed && c.frame.clean():
		p.giveLocked(c)
		return
	case c != nil:
		c.frame.mu.Lock()
		c.frame.onDead = nil
		c.frame.mu.Unlock()
		err = errDead
		c.drop(err)
	}
	p.count--
	if err != nil && len(p.waiters) > 0 {
		w := p.waiters[0]
		p.waiters = append(p.waiters[:0], p.waiters[1:]...)
		w <- grant{err: err}
	}
	p.dialLocked()
}

// poolSize is a pool's state for metrics.
type poolSize struct{ idle, lent, dialling, waiting int }

func (p *pool) size() poolSize {
	p.mu.Lock()
	defer p.mu.Unlock()
	return poolSize{idle: len(p.idle), lent: p.count - len(p.idle) - p.dialling, dialling: p.dialling, waiting: len(p.waiters)}
}

// close ends the pool: waiters get an error, idle connections a goodbye.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, w := range p.waiters {
		w <- grant{err: errClosed}
	}
	p.waiters = nil
	idle := p.idle
	p.idle = nil
	p.count -= len(idle)
	p.mu.Unlock()
	p.retire(idle)
}
