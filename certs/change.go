package certs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// attempts is how often a change is tried again after somebody else's.
const attempts = 20

// change loads the ledger, lets f change it, and swaps it in; after a conflict it
// starts again. An f that changes nothing returns errUnchanged.
func change(ctx context.Context, s Store, f func(*Ledger) error) (*Ledger, error) {
	for range attempts {
		l, err := s.Load(ctx)
		if err != nil {
			return nil, err
		}
		switch err := f(l); {
		case errors.Is(err, errUnchanged):
			return l, nil
		case err != nil:
			return nil, err
		}
		l.Version++
		switch err := s.Swap(ctx, l); {
		case errors.Is(err, ErrConflict):
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		default:
			return l, nil
		}
	}
	return nil, fmt.Errorf("%w, %d times in a row: is something rewriting it without end?", ErrConflict, attempts)
}

var errUnchanged = errors.New("nothing changed")

// newRef makes up a name for a private key: the day, for people, and chance.
func newRef(now time.Time) string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("%s-%x", now.UTC().Format("20060102"), b)
}

// advance adds the time that a manager watched pass to every listed entry.
func (l *Ledger) advance(now time.Time, passed time.Duration) {
	l.Tick = now
	for i := range l.Entries {
		if e := &l.Entries[i]; e.State.Listed() {
			e.Exposed += Duration(max(passed, 0))
		}
	}
}

// enter moves an entry to a state.
func (e *Entry) enter(s State, now time.Time) {
	e.State, e.Since, e.Exposed = s, now, 0
}

// Running returns the instances whose last report is recent by the wall clock. A
// [Manager] watches the reports instead, so that a wrong clock makes nobody dead.
func (l *Ledger) Running(p Policy, now time.Time) map[string]Instance {
	p = p.WithDefaults()
	running := map[string]Instance{}
	for name, i := range l.Instances {
		if now.Sub(i.Seen) <= p.Live {
			running[name] = i
		}
	}
	return running
}

// promote makes e the key that signs from that instant on, and retires the one
// that signs now.
func (l *Ledger) promote(e *Entry, now, from time.Time, by, detail string) {
	old := l.Of(Signing)
	old.enter(Retired, now)
	e.enter(Signing, now)
	e.SignsFrom = from
	l.note(Event{At: now, By: by, Action: ActionPromoted, ID: e.ID, Detail: detail})
}

// publish moves every staged key that all running instances hold on to Published.
func (l *Ledger) publish(running map[string]Instance, now time.Time, by string) (changed bool) {
	for i := range l.Entries {
		e := &l.Entries[i]
		if e.State != Staged || len(running) == 0 || len(lacking(running, e.ID)) > 0 {
			continue
		}
		e.enter(Published, now)
		l.note(Event{At: now, By: by, Action: ActionPublished, ID: e.ID})
		changed = true
	}
	return changed
}

// bury lets every retired key go whose last token has expired.
func (l *Ledger) bury(p Policy, now time.Time, by string) (changed bool) {
	for i := range l.Entries {
		e := &l.Entries[i]
		if e.State != Retired || time.Duration(e.Exposed) < p.RetireFor {
			continue
		}
		e.enter(Gone, now)
		l.note(Event{At: now, By: by, Action: ActionGone, ID: e.ID, Detail: "its last token has expired"})
		changed = true
	}
	return changed
}

// know records how a party came to hold a certificate, if that is more than what
// was known.
func (e *Entry) know(party, how string, now time.Time) (changed bool) {
	was := e.Knows[party].How
	if strength(how) <= strength(was) {
		return false
	}
	if e.Knows == nil {
		e.Knows = map[string]Sighting{}
	}
	e.Knows[party] = Sighting{At: now, How: how}
	return true
}

func strength(how string) int {
	switch how {
	case Fetched:
		return 1
	case ReadBack:
		return 2
	case Told:
		return 3
	case Proved:
		return 4
	default:
		return 0
	}
}
