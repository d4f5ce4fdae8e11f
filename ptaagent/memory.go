package ptaagent

import (
	"crypto/sha256"
	"sync"
	"time"
)

// memory keeps what has been seen, in two generations, for as long as it could be
// repeated with effect. It holds a digest of each key, in 15 MB at most.
type memory struct {
	mu       sync.Mutex
	now, old map[[16]byte]struct{}
	turned   time.Time
}

const (
	memoryAge   = 10 * time.Minute // a generation lasts so long,
	memoryLeast = time.Minute      // or at least so long when it is full
	memorySize  = 250_000
)

func newMemory() *memory { return &memory{now: map[[16]byte]struct{}{}} }

// first notes a key and reports whether it is new. A memory that is full before its
// time takes nothing: it refuses.
func (m *memory) first(key string, at time.Time) bool {
	sum := sha256.Sum256([]byte(key))
	k := [16]byte(sum[:16])
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.turned.IsZero() {
		m.turned = at
	}
	age, full := at.Sub(m.turned), len(m.now) >= memorySize
	if age > memoryAge || full && age > memoryLeast {
		m.old, m.now, m.turned, full = m.now, map[[16]byte]struct{}{}, at, false
	}
	if _, ok := m.now[k]; ok {
		return false
	}
	if _, ok := m.old[k]; ok || full {
		return false
	}
	m.now[k] = struct{}{}
	return true
}
