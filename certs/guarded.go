package certs

import (
	"context"
	"fmt"
)

// guarded is a store in which no old state can come back while an instance runs: what
// was put back, a backup or an earlier state of a shared store, could name a key that is
// given up (threats C03). The loop neither puts it in force nor goes on from it.
type guarded struct {
	Store
	seen func() *Ledger // the last ledger that was believed, nil before the first
}

// Load implements [Store].
func (g guarded) Load(ctx context.Context) (*Ledger, error) {
	l, err := g.Store.Load(ctx)
	if err != nil {
		return nil, err
	}
	if was := g.seen(); was != nil {
		if why := l.wentBack(was); why != "" {
			return nil, fmt.Errorf("the ledger went back %s: what is in force stays; if a backup was restored on purpose, restart the instances", why)
		}
	}
	return l, nil
}

// wentBack says in what l is older than was, empty when it can have come from it. The
// version alone does not tell: what was put back goes on growing.
func (l *Ledger) wentBack(was *Ledger) string {
	switch {
	case l.Version < was.Version:
		return fmt.Sprintf("from version %d to %d", was.Version, l.Version)
	case l.LastEvent < was.LastEvent:
		return fmt.Sprintf("from event %d to %d", was.LastEvent, l.LastEvent)
	}
	for i := range was.Entries {
		e := &was.Entries[i]
		if e.State != Gone {
			continue
		}
		if now, err := l.Find(e.ID); err == nil && now.State.Listed() {
			return fmt.Sprintf("to when %s, which is gone, was %s", short(e.ID), now.State)
		}
	}
	return ""
}
