package partner

import (
	"context"
	"errors"
	"slices"
)

var errStopped = errors.New("the keeper does not run")

// adopt takes in a source that nobody configured: from its last good copy, or else
// by fetching it now. From then on it is kept fresh like any other, until it has
// ended and cannot be renewed.
func (k *Keeper) adopt(ctx context.Context, given Source) (*Entity, error) {
	s, now := &source{Source: given, adopted: true}, k.cfg.Now()
	h, err := k.restore(s, now)
	if err == nil {
		s.next = h.Fetched.Add(k.interval(h))
	} else {
		h, err = k.fetch(ctx, s, now)
		k.cfg.Metrics.count(s, err)
		if err != nil {
			return nil, err
		}
		s.next = now.Add(jitter(k.interval(h)))
	}
	k.hold(s, h)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.run == nil {
		return nil, errStopped
	}
	if k.byKey[s.Key] == nil {
		k.sources, k.byKey[s.Key] = append(k.sources, s), s
		k.start(s)
	}
	return h.entity, nil
}

// drop lets an adopted source go.
func (k *Keeper) drop(s *source) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sources = slices.DeleteFunc(k.sources, func(other *source) bool { return other == s })
	delete(k.byKey, s.Key)
}

// Found returns the valid entities that came by queries.
func (k *Keeper) Found() []*Entity {
	var list []*Entity
	for _, s := range k.all() {
		if s.adopted {
			if e := k.Entity(s.Key); e != nil {
				list = append(list, e)
			}
		}
	}
	return list
}
