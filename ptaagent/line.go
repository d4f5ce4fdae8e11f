package ptaagent

import (
	"context"
	"slices"
	"sync"
)

// line lets so many requests run at once and so many wait for their turn, the oldest
// first. When too many wait, the oldest is turned away: it has the least time left, and
// whoever waits behind it has more. It is safe for concurrent use.
type line struct {
	room int

	mu      sync.Mutex
	free    int
	waiting []turn
}

// turn gets true when it has come, and false when it never will.
type turn chan bool

func newLine(run, wait int) *line { return &line{free: run, room: wait} }

// enter takes the last place; [line.wait] must follow.
func (l *line) enter() turn {
	t := make(turn, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free > 0 {
		l.free--
		t <- true
		return t
	}
	if len(l.waiting) >= l.room {
		l.waiting[0] <- false
		l.waiting = l.waiting[1:]
	}
	l.waiting = append(l.waiting, t)
	return t
}

// wait waits for the turn; true obliges to leave. It is false for who is turned away
// or whose ctx ends.
func (l *line) wait(ctx context.Context, t turn) bool {
	select {
	case ok := <-t:
		return ok
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting, t); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		return false
	}
	return <-t // it came at the same moment
}

// leave gives the place to the next.
func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.free++
		return
	}
	l.waiting[0] <- true
	l.waiting = l.waiting[1:]
}
