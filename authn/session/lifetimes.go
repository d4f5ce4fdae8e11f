package session

import (
	"errors"
	"fmt"
	"time"
)

// Lifetimes are the limits of both kinds of session. A zero field takes its
// default.
type Lifetimes struct {
	// Absolute ends a session after the sign-in whatever happens. Default 8 h, as
	// AD FS does.
	Absolute time.Duration
	// Idle ends a session that was not used for so long. Default and upper limit:
	// Absolute, which means no idle limit.
	Idle time.Duration
	// PersistentAbsolute and PersistentIdle are the same for people who chose to
	// stay signed in. Defaults 24 h, as AD FS does, and PersistentAbsolute.
	PersistentAbsolute, PersistentIdle time.Duration
}

// WithDefaults returns l with zero fields filled in and no idle limit above its
// absolute one.
func (l Lifetimes) WithDefaults() Lifetimes {
	fill := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	fill(&l.Absolute, 8*time.Hour)
	fill(&l.PersistentAbsolute, 24*time.Hour)
	fill(&l.Idle, l.Absolute)
	fill(&l.PersistentIdle, l.PersistentAbsolute)
	l.Idle = min(l.Idle, l.Absolute)
	l.PersistentIdle = min(l.PersistentIdle, l.PersistentAbsolute)
	return l
}

// Validate returns everything that is wrong with the limits as they were set,
// for a settings file; zero fields are right.
func (l Lifetimes) Validate() error {
	full := l.WithDefaults()
	var errs []error
	for _, v := range []struct {
		name      string
		d, atMost time.Duration
	}{
		{"absolute lifetime", l.Absolute, 30 * 24 * time.Hour},
		{"idle lifetime", l.Idle, full.Absolute},
		{"persistent absolute lifetime", l.PersistentAbsolute, 180 * 24 * time.Hour},
		{"persistent idle lifetime", l.PersistentIdle, full.PersistentAbsolute},
	} {
		if v.d != 0 && (v.d < time.Minute || v.d > v.atMost) {
			errs = append(errs, fmt.Errorf("session: %s is %v, must be from 1m to %v", v.name, v.d, v.atMost))
		}
	}
	return errors.Join(errs...)
}

// Of returns the idle and absolute limit of one kind of session.
func (l Lifetimes) Of(persistent bool) (idle, absolute time.Duration) {
	if persistent {
		return l.PersistentIdle, l.PersistentAbsolute
	}
	return l.Idle, l.Absolute
}

// Begin sets the instants that a store owns.
func (l Lifetimes) Begin(s *Session, now time.Time) {
	_, absolute := l.Of(s.Persistent)
	s.StartedAt = now.UTC().Truncate(time.Millisecond)
	s.Expires = s.StartedAt.Add(absolute)
	s.AuthenticatedAt = s.AuthenticatedAt.UTC().Truncate(time.Millisecond)
}
