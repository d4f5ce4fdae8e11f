package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"sallyport/authn"
)

// Revocations end all sessions of an account at once, on every instance, though a
// store does not know whose its sessions are.
//
// A revocation is a note under the account that says until when its sessions have
// ended, kept for as long as such a session could live. A second note, the mark, is
// another one after every revocation; each instance looks at it every Interval and
// drops what it knew when it has changed. As long as nobody's sessions were revoked
// nothing is asked, and after that an account is asked for once, not at each use.
//
// Instances compare each other's clocks: a sign-in right after a revocation may end
// with it when the clocks differ.
type Revocations struct {
	cfg RevocationsConfig

	mu     sync.Mutex
	mark   string // the last one seen; empty: nobody was revoked
	seenAt time.Time
	known  map[authn.GUID]time.Time // zero: not revoked
}

// RevocationsConfig configures [NewRevocations].
type RevocationsConfig struct {
	// Notes is the store that the instances share. Required.
	Notes Notes
	// Lifetimes are those of the sessions.
	Lifetimes Lifetimes
	// Interval is how often the mark is looked at, and so how long a revoked session
	// may live on at another instance. Default 2 s.
	Interval time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Logger. Default: none.
	Logger *slog.Logger
}

// The purposes of the notes, and the name of the mark.
const (
	revokedPurpose = "sessions revoked"
	markPurpose    = "revocation mark"
	markName       = "latest"
)

// maxKnown bounds the accounts that are remembered between two revocations.
const maxKnown = 50_000

// NewRevocations returns revocations kept in cfg.Notes. It asks nobody yet.
func NewRevocations(cfg RevocationsConfig) (*Revocations, error) {
	if cfg.Notes == nil {
		return nil, errors.New("session: revocations need a store of notes")
	}
	cfg.Lifetimes = cfg.Lifetimes.WithDefaults()
	if cfg.Interval <= 0 {
		cfg.Interval = 2 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Revocations{cfg: cfg, known: make(map[authn.GUID]time.Time)}, nil
}

// Run looks at the mark until ctx ends.
func (r *Revocations) Run(ctx context.Context) {
	tick := time.NewTicker(r.cfg.Interval)
	defer tick.Stop()
	for {
		if err := r.look(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Logger.Debug("revocations of sessions cannot be read now", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look reads the mark and forgets what was known when it is another one.
func (r *Revocations) look(ctx context.Context) error {
	mark, err := r.cfg.Notes.Note(ctx, markPurpose, markName)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if mark != r.mark {
		clear(r.known)
	}
	r.mark, r.seenAt = mark, r.cfg.Now()
	return nil
}

// EndAll ends all sessions of the account that began until now. An error wraps
// [ErrUnavailable]: the sessions may live on.
func (r *Revocations) EndAll(ctx context.Context, account authn.GUID) error {
	life := max(r.cfg.Lifetimes.Absolute, r.cfg.Lifetimes.PersistentAbsolute)
	now := r.cfg.Now()
	if err := r.cfg.Notes.Amend(ctx, revokedPurpose, account.String(), strconv.FormatInt(now.UnixMilli(), 10), life); err != nil {
		return err
	}
	if err := r.cfg.Notes.Amend(ctx, markPurpose, markName, rand.Text(), life); err != nil {
		return err
	}
	return r.look(ctx)
}

// Revoked reports whether the session ended by a revocation of its account. An
// error wraps [ErrUnavailable]; the session must not be used then.
func (r *Revocations) Revoked(ctx context.Context, s *Session) (bool, error) {
	until, err := r.until(ctx, s.Account)
	if err != nil {
		return false, err
	}
	return !until.IsZero() && !s.StartedAt.After(until), nil
}

// until returns the instant up to which the account's sessions have ended.
func (r *Revocations) until(ctx context.Context, account authn.GUID) (time.Time, error) {
	if r.stale() {
		if err := r.look(ctx); err != nil {
			return time.Time{}, err
		}
	}
	r.mu.Lock()
	mark := r.mark
	until, known := r.known[account]
	r.mu.Unlock()
	if mark == "" || known {
		return until, nil
	}
	note, err := r.cfg.Notes.Note(ctx, revokedPurpose, account.String())
	if err != nil {
		return time.Time{}, err
	}
	if note != "" {
		ms, err := strconv.ParseInt(note, 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("%w: the revocation of an account is no time", ErrUnavailable)
		}
		until = time.UnixMilli(ms)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mark == mark { // else the answer may be older than the latest revocation
		if len(r.known) >= maxKnown {
			clear(r.known)
		}
		r.known[account] = until
	}
	return until, nil
}

// stale reports that the mark was not read for several intervals: Run does not
// run, or the store did not answer it.
func (r *Revocations) stale() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cfg.Now().Sub(r.seenAt) > 5*r.cfg.Interval
}
