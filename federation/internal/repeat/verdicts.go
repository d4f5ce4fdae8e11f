package repeat

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"time"

	"sallyport/authn"
)

// Notes are short notes that all instances share. [session.Notes] of the session
// stores implements it.
type Notes interface {
	// Claim writes a note under the name unless there is one. It returns the note
	// that is there then, and whether this call wrote it. One round trip.
	Claim(ctx context.Context, purpose, name, note string, ttl time.Duration) (there string, mine bool, err error)
	// Amend replaces the note, or removes it when the new one is empty.
	Amend(ctx context.Context, purpose, name, note string, ttl time.Duration) error
}

const (
	notePurpose     = "verdict"
	notePending     = "?"
	pendingTTL      = 10 * time.Second // longer than an attempt may take
	pollEvery       = 50 * time.Millisecond
	notesTimeout    = time.Second
	maxLocal        = 20_000
	maxLocalSweepAt = time.Second
)

// Config is what [New] needs.
type Config struct {
	// Notes shares verdicts with the other instances. Nil: each remembers its own.
	Notes Notes
	// Key names verdicts; the same on every instance. Required: 32 bytes.
	Key []byte
	// Logger hears that a verdict could not be shared. Nil: nobody does.
	Logger *slog.Logger
	// Now is the clock. Nil: [time.Now].
	Now func() time.Time
}

// Verdicts remembers refusals. It is safe for concurrent use.
type Verdicts struct {
	notes Notes
	key   []byte
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex
	running map[ID]*run
	refused map[ID]refusedNote
	swept   time.Time
}

// New returns an empty memory.
func New(cfg Config) (*Verdicts, error) {
	if len(cfg.Key) != 32 {
		return nil, errors.New("repeat: a key of 32 bytes is needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Verdicts{
		notes: cfg.Notes, key: cfg.Key, log: cfg.Logger, now: cfg.Now,
		running: map[ID]*run{}, refused: map[ID]refusedNote{},
	}, nil
}

// ID names a message: a keyed hash, from which nobody can try passwords, and how long
// its refusal is remembered.
type ID struct {
	sum [sha256.Size]byte
	ttl time.Duration
}

func (id ID) name() string { return base64.RawURLEncoding.EncodeToString(id.sum[:]) }

type run struct {
	done   chan struct{}
	reason authn.Reason // the verdict; set before done is closed
}

type refusedNote struct {
	reason authn.Reason
	until  time.Time
}

// ID names a message by the parts that make it the same one. Its refusal is
// remembered for ttl.
func (p *Verdicts) ID(ttl time.Duration, parts ...[]byte) ID {
	mac := hmac.New(sha256.New, p.key)
	for _, part := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		mac.Write(n[:])
		mac.Write(part)
	}
	id := ID{ttl: ttl}
	mac.Sum(id.sum[:0])
	return id
}

// Verify returns the verdict on a message: judge's, or that of an earlier copy.
// first is true when judge was called.
func (p *Verdicts) Verify(ctx context.Context, id ID, judge func() authn.Result) (res authn.Result, first bool) {
	p.mu.Lock()
	if n, ok := p.refused[id]; ok && p.now().Before(n.until) {
		p.mu.Unlock()
		return authn.Result{Reason: n.reason}, false
	}
	if r := p.running[id]; r != nil {
		p.mu.Unlock()
		select {
		case <-r.done:
		case <-ctx.Done():
			return authn.Result{Reason: authn.Unavailable, Cause: ctx.Err()}, true
		}
		switch {
		case r.reason == authn.Accepted:
			return judge(), true
		case r.reason.Undecided(): // whoever asks again is judged: not all of them at once
			return authn.Result{Reason: r.reason}, true
		}
		return authn.Result{Reason: r.reason}, false
	}
	r := &run{done: make(chan struct{})}
	p.running[id] = r
	p.mu.Unlock()
	defer func() { // also when judge panics: nobody must wait for ever
		p.mu.Lock()
		delete(p.running, id)
		p.mu.Unlock()
		close(r.done)
	}()
	res, first = p.lead(ctx, id, judge)
	r.reason = res.Reason
	if first && res.Reason != authn.Accepted && !res.Reason.Undecided() {
		p.keep(id, res.Reason)
	}
	return res, first
}

// lead is the one copy of this instance that asks the others.
func (p *Verdicts) lead(ctx context.Context, id ID, judge func() authn.Result) (authn.Result, bool) {
	reason, shared := p.claim(ctx, id)
	if reason != authn.NoVerdict {
		return authn.Result{Reason: reason}, false
	}
	res := judge()
	if !shared {
		return res, true
	}
	note, ttl := "", time.Duration(0)
	if res.Reason != authn.Accepted && !res.Reason.Undecided() {
		note, ttl = res.Reason.String(), id.ttl
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), notesTimeout)
	defer cancel()
	if err := p.notes.Amend(limited, notePurpose, id.name(), note, ttl); err != nil {
		p.log.Warn("the verdict on a message could not be shared with other instances", "error", err)
	}
	return res, true
}

// claim asks the shared notes for a verdict, and waits while another instance is
// about to give one. Without a verdict this instance judges; shared says whether
// it holds the claim. A store that is down changes nothing but that.
func (p *Verdicts) claim(ctx context.Context, id ID) (verdict authn.Reason, shared bool) {
	if p.notes == nil {
		return authn.NoVerdict, false
	}
	wait := time.NewTicker(pollEvery)
	defer wait.Stop()
	for {
		there, mine, err := p.notes.Claim(ctx, notePurpose, id.name(), notePending, pendingTTL)
		switch {
		case err != nil || mine:
			return authn.NoVerdict, err == nil
		case there != notePending:
			return reasonNamed(there), false
		}
		select {
		case <-ctx.Done():
			return authn.NoVerdict, false
		case <-wait.C:
		}
	}
}

// reasonNamed reads a note. Whatever it is, it is no acceptance: a note that
// somebody wrote into the store by hand refuses one message and lets nobody in.
func reasonNamed(note string) authn.Reason {
	for _, r := range authn.Reasons() {
		if r.String() == note && r != authn.Accepted && !r.Undecided() {
			return r
		}
	}
	return authn.Rejected
}

// keep remembers a refusal on this instance.
func (p *Verdicts) keep(id ID, reason authn.Reason) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.swept) >= time.Minute || len(p.refused) >= maxLocal && now.Sub(p.swept) >= maxLocalSweepAt {
		p.swept = now
		for k, n := range p.refused {
			if !now.Before(n.until) {
				delete(p.refused, k)
			}
		}
	}
	if _, known := p.refused[id]; !known && len(p.refused) >= maxLocal {
		return // a flood: the shared notes still know
	}
	p.refused[id] = refusedNote{reason, now.Add(id.ttl)}
}
