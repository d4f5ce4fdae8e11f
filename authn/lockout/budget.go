package lockout

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"time"
)

const (
	// credit is what a first success of one person from one address in a while
	// adds to the budgets of that address and network.
	credit = 2
	// creditCap bounds what successes can add, in bursts.
	creditCap = 15
	// placeLife is how long an address stays one of a person's own places.
	placeLife = 30 * 24 * time.Hour
	// creditAgain is how long the same person's success there adds nothing more.
	creditAgain = 12 * time.Hour
	maxPlaces   = 6
)

// budgets is a table of token buckets of fixed size. Keys share a cell when their
// hashes meet; a share is never more than the cell's own budget, so sharing only
// makes it stricter.
type budgets struct {
	cells []cell
	burst float32
	every float32 // seconds for one token
	start time.Time
}

// cell holds how many tokens are missing from (or, below zero, were added to) a
// full budget, so that the zero cell is a full budget.
type cell struct {
	missing float32
	at      uint32 // seconds since start
}

func newBudgets(n int, b Budget) budgets {
	return budgets{cells: make([]cell, n), burst: float32(b.Burst), every: float32(b.Every.Seconds())}
}

func (b *budgets) cell(key uint64, now time.Time) *cell {
	if b.start.IsZero() {
		b.start = now
	}
	c := &b.cells[key%uint64(len(b.cells))]
	at := uint32(max(0, now.Sub(b.start)/time.Second))
	if at > c.at {
		refill := float32(at-c.at) / b.every
		switch {
		case c.missing > 0:
			c.missing = max(0, c.missing-refill)
		case c.missing < 0:
			c.missing = min(0, c.missing+refill) // credit fades as fast as debt
		}
		c.at = at
	}
	return c
}

// has reports whether the budget has so many tokens, and if not, how long until
// then.
func (b *budgets) has(key uint64, cost float32, now time.Time) (wait time.Duration, ok bool) {
	c := b.cell(key, now)
	if c.missing+cost > b.burst {
		return time.Duration((c.missing + cost - b.burst) * b.every * float32(time.Second)).Round(time.Second), false
	}
	return 0, true
}

// give adds tokens, or takes them when there are less than none.
func (b *budgets) give(key uint64, tokens float32, now time.Time) {
	c := b.cell(key, now)
	c.missing = max(c.missing-tokens, -creditCap*b.burst)
}

func costOf(a Attempt) float32 {
	if a.Inside {
		return 0.1
	}
	return 1
}

// places are the addresses from which one account has signed in, last one first.
type places [maxPlaces]place

type place struct {
	address uint64 // keyed hash
	seen    int64  // Unix seconds; 0: empty
	credit  int64  // Unix seconds of the last credit
}

// hashAddress folds an address to 64 bits under a key of this process, so that
// nobody can choose addresses that meet.
func (m *Memory) hashAddress(a netip.Addr) uint64 {
	if !a.IsValid() {
		return 0
	}
	b := a.Unmap().WithZone("").As16()
	return maphash.Bytes(m.seed, b[:])
}

func (m *Memory) hashNetwork(a netip.Addr) uint64 {
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return 0
	}
	b := p.Addr().As16()
	return maphash.Bytes(m.seed, binary.BigEndian.AppendUint16(b[:], uint16(bits)))
}

// isFamiliar reports whether the account has signed in from the address before.
// The caller holds mu.
func (m *Memory) isFamiliar(t *Ticket, now time.Time) bool {
	if !t.attempt.Client.IsValid() {
		return false
	}
	p := m.places.find(t.attempt.Account)
	if p == nil {
		return false
	}
	oldest := now.Add(-placeLife).Unix()
	for i := range p {
		if p[i].seen > oldest && p[i].address == t.address {
			return true
		}
	}
	return false
}

// welcome makes the address one of the account's places and reports whether this
// success earns credit. The caller holds mu.
func (m *Memory) welcome(t *Ticket, now time.Time) bool {
	p := m.places.find(t.attempt.Account)
	if p == nil {
		if m.places.len() >= m.cfg.MaxAccounts {
			return false
		}
		p = m.places.add(t.attempt.Account)
	}
	i := 0
	for i < len(p)-1 && p[i].seen != 0 && p[i].address != t.address {
		i++
	}
	it := p[i]
	if it.address != t.address {
		// The new place takes over when the old one last earned: otherwise one person
		// who goes round more addresses than fit would earn at every step.
		it = place{address: t.address, credit: it.credit}
	}
	copy(p[1:i+1], p[:i])
	it.seen = now.Unix()
	earns := now.Unix()-it.credit >= int64(creditAgain/time.Second)
	if earns {
		it.credit = now.Unix()
	}
	p[0] = it
	return earns
}
