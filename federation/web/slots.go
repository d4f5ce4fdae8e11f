package web

import (
	"net/netip"
	"sync"
)

// slots counts the requests that are being answered, in all and for each client.
// Nobody waits for one: see [Config.MaxInFlight].
type slots struct {
	max, perClient int

	mu    sync.Mutex
	total int                // under mu
	by    map[netip.Addr]int // under mu; as long as total at most
}

func newSlots(most, perClient int) *slots {
	if most == 0 {
		most = 1000
	}
	if perClient == 0 {
		perClient = max(1, most/4)
	}
	return &slots{max: most, perClient: perClient, by: make(map[netip.Addr]int)}
}

// enter takes a slot, or returns the name of the limit that it would break. The
// zero Addr has no share of its own.
func (s *slots) enter(key netip.Addr) (limit string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key.IsValid() && s.by[key] >= s.perClient {
		return "overload_client"
	}
	if s.total >= s.max {
		return "overload"
	}
	s.total++
	if key.IsValid() {
		s.by[key]++
	}
	return ""
}

func (s *slots) leave(key netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if key.IsValid() {
		if s.by[key]--; s.by[key] <= 0 {
			delete(s.by, key)
		}
	}
}
