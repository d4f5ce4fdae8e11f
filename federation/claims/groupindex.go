package claims

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// unknownFor is how long the answer "no such group" holds: an administrator who
// makes the group must not wait long.
const unknownFor = time.Minute

// GroupDirectory translates between the names and the SIDs of security groups. It
// is safe for concurrent use.
type GroupDirectory interface {
	// GroupSID returns the SID of the group NETBIOS\name, empty when there is none.
	GroupSID(ctx context.Context, name string) (string, error)
	// GroupNames returns NETBIOS\name of those SIDs that have a name. domain is where
	// most of them belong.
	GroupNames(ctx context.Context, domain string, sids []string) (map[string]string, error)
}

// GroupIndex remembers the SIDs of the groups that rules name, so that sign-ins
// compare SIDs and ask nobody. [GroupIndex.Run] keeps it up to date; a name that
// it does not know yet is looked up when it is needed. Safe for concurrent use.
type GroupIndex struct {
	directory GroupDirectory
	log       *slog.Logger
	now       func() time.Time

	mu     sync.RWMutex
	wanted []string
	known  map[string]indexed // by lower-case name
}

type indexed struct {
	sid string // empty: there is no such group
	at  time.Time
}

// NewGroupIndex returns an empty index. A nil logger says nothing, a nil clock is
// [time.Now].
func NewGroupIndex(d GroupDirectory, log *slog.Logger, now func() time.Time) *GroupIndex {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	return &GroupIndex{directory: d, log: log, now: now, known: map[string]indexed{}}
}

// Want replaces the names that Run keeps up to date.
func (x *GroupIndex) Want(names []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.wanted = append([]string(nil), names...)
	keep := make(map[string]indexed, len(names))
	for _, n := range names {
		if e, ok := x.known[strings.ToLower(n)]; ok {
			keep[strings.ToLower(n)] = e
		}
	}
	x.known = keep
}

// Run looks all wanted names up at once and then at every interval, until ctx
// ends.
func (x *GroupIndex) Run(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if err := x.Refresh(ctx); err != nil && ctx.Err() == nil {
			x.log.LogAttrs(ctx, slog.LevelWarn, "looking for the groups of the claim rules", slog.String("error", err.Error()))
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// Refresh looks all wanted names up once. What cannot be looked up keeps its last
// answer.
func (x *GroupIndex) Refresh(ctx context.Context) error {
	x.mu.RLock()
	wanted := x.wanted
	x.mu.RUnlock()
	var errs []error
	for _, n := range wanted {
		sid, err := x.ask(ctx, n)
		if err != nil {
			errs = append(errs, err)
		} else if sid == "" {
			x.log.LogAttrs(ctx, slog.LevelWarn, "a group in the claim rules does not exist", slog.String("group", n))
		}
	}
	return errors.Join(errs...)
}

// SID returns the SID of a group by name, empty when there is none.
func (x *GroupIndex) SID(ctx context.Context, name string) (string, error) {
	x.mu.RLock()
	e, ok := x.known[strings.ToLower(name)]
	x.mu.RUnlock()
	if ok && (e.sid != "" || x.now().Sub(e.at) < unknownFor) {
		return e.sid, nil
	}
	return x.ask(ctx, name)
}

func (x *GroupIndex) ask(ctx context.Context, name string) (string, error) {
	sid, err := x.directory.GroupSID(ctx, name)
	if err != nil {
		return "", err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.known[strings.ToLower(name)] = indexed{sid: sid, at: x.now()}
	return sid, nil
}

// Names returns NETBIOS\name of those SIDs that have a name.
func (x *GroupIndex) Names(ctx context.Context, domain string, sids []string) (map[string]string, error) {
	return x.directory.GroupNames(ctx, domain, sids)
}
