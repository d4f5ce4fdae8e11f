package directory

import (
	"math/rand/v2"
	"time"
)

// choose picks the DC for one request: of the best tier that has a working one,
// the better of two drawn by weight ("power of two choices"). When none works,
// one whose half-open trial is due gets the request. Nil means that there is
// nobody to ask.
func (dm *domain) choose(tried []*server) *server {
	now := time.Now()
	set := *dm.servers.Load()
	var first, second *server
	for from := 0; from < len(set); {
		to := from + 1
		for to < len(set) && set[to].tier.Load() == set[from].tier.Load() {
			to++
		}
		first = draw(set[from:to], tried, nil)
		if first != nil {
			second = draw(set[from:to], tried, first)
			break
		}
		from = to
	}
	switch {
	case first == nil:
		for _, s := range set {
			if !contains(tried, s) && s.br.trial(now, true) {
				return s
			}
		}
		return nil
	case second != nil && second.meter.score(now) < first.meter.score(now):
		return second
	default:
		return first
	}
}

// draw takes one working server at random by weight (RFC 2782), leaving out
// those tried and not.
func draw(set, tried []*server, not *server) *server {
	total := 0
	for _, s := range set {
		if s != not && s.br.closed() && !contains(tried, s) {
			total += int(s.weight.Load())
		}
	}
	if total == 0 {
		return nil
	}
	at := rand.IntN(total)
	var last *server
	for _, s := range set {
		if s == not || !s.br.closed() || contains(tried, s) {
			continue
		}
		last = s
		if at -= int(s.weight.Load()); at < 0 {
			return s
		}
	}
	return last
}

// spare reports that another DC could take the request if this one is slow.
func (dm *domain) spare(tried []*server, current *server) bool {
	for _, s := range *dm.servers.Load() {
		if s != current && s.br.closed() && !contains(tried, s) {
			return true
		}
	}
	return false
}

func contains(set []*server, s *server) bool {
	for _, v := range set {
		if v == s {
			return true
		}
	}
	return false
}
