package lockout

import "time"

// counter counts the failures of one account or name, and the attempts under way,
// which count as failures until they have ended. It has two sides, see
// [Memory.Begin]; they share the window, because AD's own window runs from the
// last failure whoever caused it.
type counter struct {
	last  int64 // Unix nanoseconds of the last count on either side
	epoch uint32
	sides [2]struct{ failed, pending uint16 }
}

// The sides of a counter.
const (
	strange = 0 // from anywhere
	own     = 1 // from the person's own places
)

// expire starts a new epoch when nothing was counted for a window.
func (c *counter) expire(now time.Time, window time.Duration) {
	if c.last != 0 && now.UnixNano()-c.last >= int64(window) {
		*c = counter{epoch: c.epoch + 1}
	}
}

// take counts an attempt when that stays within the limit. Otherwise it returns
// how long to wait.
func (c *counter) take(side, limit int, now time.Time, window time.Duration) (wait time.Duration, ok bool) {
	c.expire(now, window)
	s := &c.sides[side]
	if int(s.failed) >= limit {
		return time.Duration(c.last + int64(window) - now.UnixNano()), false
	}
	if int(s.failed)+int(s.pending) >= limit {
		return time.Second, false // others are under way; they may yet end well
	}
	s.pending++
	c.last = max(c.last, now.UnixNano())
	return 0, true
}

// fail turns an attempt that was under way into a failure.
func (c *counter) fail(side int, epoch uint32, now time.Time) {
	c.release(side, epoch)
	c.sides[side].failed++ // also when the window has gone by meanwhile: AD has just counted it
	c.last = max(c.last, now.UnixNano())
}

// release forgets an attempt that was under way.
func (c *counter) release(side int, epoch uint32) {
	if s := &c.sides[side]; c.epoch == epoch && s.pending > 0 {
		s.pending--
	}
}

// reset forgets failures but not what is under way.
func (c *counter) reset() {
	for i := range c.sides {
		c.sides[i].failed = 0
	}
}

// generations is a map whose entries vanish by time alone: an entry lives for at
// least one period after its last use, and nothing else removes it. Dropping a
// whole generation needs no scan.
type generations[K comparable, V any] struct {
	young, old map[K]*V
	turned     time.Time
}

// turn drops what has not been used for a whole period.
func (g *generations[K, V]) turn(now time.Time, period time.Duration) {
	if g.young == nil || now.Sub(g.turned) >= 2*period {
		g.young, g.old, g.turned = make(map[K]*V), nil, now
		return
	}
	if now.Sub(g.turned) >= period {
		g.young, g.old, g.turned = make(map[K]*V), g.young, now
	}
}

// find returns an entry and makes it young again, or nil.
func (g *generations[K, V]) find(k K) *V {
	if v, ok := g.young[k]; ok {
		return v
	}
	v, ok := g.old[k]
	if !ok {
		return nil
	}
	delete(g.old, k)
	g.young[k] = v
	return v
}

// add makes an entry; turn must have been called before.
func (g *generations[K, V]) add(k K) *V {
	v := new(V)
	g.young[k] = v
	return v
}

func (g *generations[K, V]) len() int { return len(g.young) + len(g.old) }
