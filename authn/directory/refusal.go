package directory

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// refusalMemory is how many refused binds the delay for unknown names is drawn
// from; refusalDefault is used until there is one.
const (
	refusalMemory  = 128
	refusalDefault = 8 * time.Millisecond
)

// refusals remembers how long recent refused binds took.
type refusals struct {
	mu   sync.Mutex
	ring [refusalMemory]time.Duration
	n    int
}

func (r *refusals) add(took time.Duration) {
	r.mu.Lock()
	r.ring[r.n%refusalMemory] = took
	r.n++
	r.mu.Unlock()
}

func (r *refusals) draw() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == 0 {
		return refusalDefault
	}
	return r.ring[rand.IntN(min(r.n, refusalMemory))]
}

// RefusalDelay waits as long as one of the recent refused binds took, drawn at
// random, without holding a connection: a name without an account must cost what
// a wrong password costs. A dummy bind would not do, DCs answer it faster.
func (d *Directory) RefusalDelay(ctx context.Context) error {
	timer := time.NewTimer(d.refusal.draw())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
