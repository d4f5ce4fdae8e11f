package partner

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

var errStopped = errors.New("the keeper does not run")

// The names of copies: those of parties that came by queries begin with foundFile.
const (
	foundFile = "mdq-"
	copyFile  = ".metadata"
)

// noteUse is how exactly a copy says when its party was used last.
const noteUse = 24 * time.Hour

// adopt takes in a source that nobody configured: from its last good copy, or else
// by fetching it now. From then on it is kept fresh like any other, until it has
// ended and cannot be renewed, or gives way (see [Keeper.room]).
func (k *Keeper) adopt(ctx context.Context, given Source, most int) error {
	s, now := newAdopted(given), k.cfg.Now()
	h, err := k.restore(s, now)
	if err == nil {
		s.used, s.next = h.Used, h.Fetched.Add(k.interval(h))
	} else {
		h, err = k.fetch(ctx, s, now)
		k.cfg.Metrics.count(s, err)
		if err != nil {
			return err
		}
		s.next = now.Add(jitter(k.interval(h)))
	}
	k.hold(s, h)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.run == nil {
		return errStopped
	}
	if k.byKey[s.Key] == nil {
		k.sources, k.byKey[s.Key] = append(k.sources, s), s
		k.start(s)
		k.room(most)
	}
	return nil
}

func newAdopted(given Source) *source {
	return &source{Source: given, adopted: true, touched: make(chan struct{}, 1)}
}

// reopen takes in, before Run, the parties that were used before a restart, and
// deletes the copies of all others: who asks for one has it fetched again. from
// says where an entity's metadata comes from.
func (k *Keeper) reopen(from func(id string) Source, most int) {
	if k.cfg.Directory == "" {
		return
	}
	files, err := os.ReadDir(k.cfg.Directory)
	if err != nil {
		k.cfg.Logger.Warn("the copies of the metadata of parties that were found by queries cannot be listed", "error", err)
		return
	}
	now, own := k.cfg.Now(), make(map[string]bool)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.sources {
		own[k.path(s)] = true
	}
	for _, f := range files {
		name := filepath.Join(k.cfg.Directory, f.Name())
		if !strings.HasPrefix(f.Name(), foundFile) || !strings.HasSuffix(f.Name(), copyFile) || own[name] {
			continue
		}
		if s := k.reopened(name, from, now); s != nil {
			k.sources, k.byKey[s.Key] = append(k.sources, s), s
		} else {
			k.remove(name)
		}
	}
	k.room(most)
}

// reopened is the party of a copy; nil when it was never used, or cannot be now.
func (k *Keeper) reopened(name string, from func(id string) Source, now time.Time) *source {
	c, err := readCopy(name)
	if err != nil || c.Entity == "" || c.Used.IsZero() {
		return nil
	}
	s := newAdopted(from(c.Entity))
	if k.path(s) != name {
		return nil
	}
	h, err := k.restore(s, now)
	if err != nil {
		return nil
	}
	s.used, s.next = h.Used, h.Fetched.Add(k.interval(h))
	k.hold(s, h)
	return s
}

// use notes that somebody got a token for an adopted party.
func (k *Keeper) use(key string, most int) {
	now := k.cfg.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.byKey[key]
	if s == nil || !s.adopted {
		return
	}
	s.mu.Lock()
	first, stale := s.used.IsZero(), now.Sub(s.used) >= noteUse
	s.used = now
	s.mu.Unlock()
	if first || stale {
		select {
		case s.touched <- struct{}{}:
		default:
		}
	}
	if first {
		k.room(most)
	}
}

// room lets adopted parties go until at most most are left for which somebody has got
// a token, and as many that wait for it: of the one kind that which was used longest
// ago, of the other that which came first. So whoever names parties pushes out only
// what others have named and nobody needed. k.mu is held.
func (k *Keeper) room(most int) {
	var used, waiting []*source
	last := make(map[*source]time.Time)
	for _, s := range k.sources { // in the order in which they came
		if !s.adopted {
			continue
		}
		s.mu.Lock()
		last[s] = s.used
		s.mu.Unlock()
		if last[s].IsZero() {
			waiting = append(waiting, s)
		} else {
			used = append(used, s)
		}
	}
	slices.SortStableFunc(used, func(a, b *source) int { return last[a].Compare(last[b]) })
	for ; len(waiting) > most; waiting = waiting[1:] {
		k.let(waiting[0])
	}
	for ; len(used) > most; used = used[1:] {
		k.cfg.Logger.Warn("a party that was found by a query gives way, though it was used: more are in use than may be kept",
			"party", used[0].Key, "used", last[used[0]], "most", most)
		k.let(used[0])
	}
	k.cfg.Metrics.found(len(used), len(waiting))
}

// let lets an adopted source go; its goroutine deletes the copy. k.mu is held.
func (k *Keeper) let(s *source) {
	k.sources = slices.DeleteFunc(k.sources, func(other *source) bool { return other == s })
	delete(k.byKey, s.Key)
	if s.stop != nil {
		s.stop()
	} else {
		k.remove(k.path(s))
	}
}

// drop lets an adopted source go by its own goroutine.
func (k *Keeper) drop(s *source) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.let(s)
}

// forget deletes the copy of a source that was let go, at the end of its goroutine,
// which alone writes it.
func (k *Keeper) forget(s *source) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.stop()
	if s.adopted && k.byKey[s.Key] == nil { // and not found again meanwhile
		k.remove(k.path(s))
	}
}

func (k *Keeper) remove(name string) {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.cfg.Logger.Warn("the copy of a party's metadata that is not needed any more was not deleted", "file", name, "error", err)
	}
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
