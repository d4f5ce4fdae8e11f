package partner

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
	"time"
)

// Source says where the metadata of one party comes from and why it is believed.
type Source struct {
	// Key names the party, and the copy on disk: a-z, 0-9 and -.
	Key string
	// Identifiers are the party's entity ids; the document must describe one.
	Identifiers []string
	// File is a local file, which is looked at again every now and then. URL is an
	// https address. One of the two.
	File, URL string
	// SHA256 pins the file's content (hex). Empty: any content.
	SHA256 string
	// Certificates hold the keys of which one must have signed the document. Empty:
	// it is believed for where it is.
	Certificates []*x509.Certificate
	// Client fetches the URL.
	Client *Client
	// Check reports whether the party can be set up from an entity. Nil: anything
	// can.
	Check func(*Entity) error
	// MustEnd refuses documents without validUntil.
	MustEnd bool
}

// KeeperConfig is what a [Keeper] needs.
type KeeperConfig struct {
	Sources []Source
	// Directory holds the last good copies of documents from addresses, so that a
	// restart works without the network. It exists and nobody else writes there.
	// Required when there is a URL.
	Directory string
	// Changed is called, by goroutines of Run, when [Keeper.Entity] has another
	// answer for some party. Nil: nobody is told.
	Changed func()
	// Metrics counts. Nil: nothing is counted.
	Metrics *Metrics
	// Logger is told of failures and changes. Nil: nobody is.
	Logger *slog.Logger
	// Now is the clock. Nil: [time.Now].
	Now func() time.Time
}

// How often documents are asked for. A party's cacheDuration decides between the
// bounds.
const (
	minRefresh  = time.Hour
	maxRefresh  = 24 * time.Hour
	stdRefresh  = 12 * time.Hour
	firstRetry  = time.Minute
	maxRetry    = time.Hour
	fileRefresh = 30 * time.Second
)

// Keeper holds the metadata of parties. It is safe for concurrent use; Load and Run
// are called once each, in this order.
type Keeper struct {
	cfg KeeperConfig

	mu      sync.Mutex
	sources []*source
	byKey   map[string]*source
	run     context.Context // while Run runs
	running sync.WaitGroup
}

// source is the state of one source. Its own goroutine alone writes it.
type source struct {
	Source
	adopted  bool               // by a query, not by the settings
	touched  chan struct{}      // an adopted one's: its copy is to be written again
	stop     context.CancelFunc // ends its goroutine; guarded by the keeper's lock
	mu       sync.Mutex
	used     time.Time // when somebody last got a token for an adopted one; zero: never
	held     *held     // nil when there is none
	failure  error     // of the last attempt
	failures int
	since    time.Time // of the first failure in a row
	next     time.Time // when to try again
	dead     bool      // validUntil of held has passed, and Changed was told
}

// held is a document in force.
type held struct {
	copied
	entity  *Entity
	created time.Time
}

// NewKeeper returns a keeper that holds nothing yet.
func NewKeeper(cfg KeeperConfig) *Keeper {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	k := &Keeper{cfg: cfg, byKey: make(map[string]*source, len(cfg.Sources))}
	for _, s := range cfg.Sources {
		st := &source{Source: s}
		k.sources = append(k.sources, st)
		k.byKey[s.Key] = st
	}
	return k
}

// Load reads the files and the last good copies; it uses no network. The error names
// every file that cannot be used. A copy that cannot be used is no error: the
// document is fetched.
func (k *Keeper) Load() error {
	var errs []error
	now := k.cfg.Now()
	for _, s := range k.sources {
		if s.File != "" {
			h, err := s.read(now)
			if err != nil {
				errs = append(errs, fmt.Errorf("metadata of %s: %s: %w", s.Key, s.File, err))
				continue
			}
			k.hold(s, h)
			continue
		}
		h, err := k.restore(s, now)
		if err != nil {
			k.cfg.Logger.Warn("the last copy of a party's metadata cannot be used", "party", s.Key, "error", err)
			s.failure, s.since = err, now
			continue
		}
		k.hold(s, h)
		s.next = h.Fetched.Add(k.interval(h))
	}
	return errors.Join(errs...)
}

// Entity returns the party's valid metadata, nil when there is none now.
func (k *Keeper) Entity(key string) *Entity {
	k.mu.Lock()
	s := k.byKey[key]
	k.mu.Unlock()
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil || s.held.over(k.cfg.Now()) {
		return nil
	}
	return s.held.entity
}

func (h *held) over(now time.Time) bool {
	return !h.entity.ValidUntil.IsZero() && !now.Before(h.entity.ValidUntil)
}

// Run keeps the documents fresh until the context ends.
func (k *Keeper) Run(ctx context.Context) {
	k.mu.Lock()
	k.run = ctx
	for _, s := range k.sources {
		k.start(s)
	}
	k.mu.Unlock()
	<-ctx.Done()
	k.mu.Lock()
	k.run = nil
	k.mu.Unlock()
	k.running.Wait()
	for _, s := range k.all() {
		k.cfg.Metrics.forget(s)
	}
	k.cfg.Metrics.found(0, 0)
}

// start lets a source live. k.mu is held.
func (k *Keeper) start(s *source) {
	if s.held != nil {
		k.cfg.Metrics.valid(s)
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(k.run)
	k.running.Go(func() {
		k.watch(ctx, s)
		k.forget(s)
	})
}

func (k *Keeper) all() []*source {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.sources)
}

func (k *Keeper) watch(ctx context.Context, s *source) {
	for {
		timer := time.NewTimer(k.wait(s))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.touched: // never without one
			timer.Stop()
			k.keep(s, s.held)
			continue
		case <-timer.C:
		}
		if k.step(ctx, s) && k.cfg.Changed != nil {
			k.cfg.Changed()
		}
		if s.adopted && s.dead && s.failures >= 3 {
			k.drop(s) // who asks for it again lets it be fetched again
			return
		}
	}
}

// wait is how long nothing is to be done for a source.
func (k *Keeper) wait(s *source) time.Duration {
	now := k.cfg.Now()
	if s.File != "" {
		return fileRefresh
	}
	wait := s.next.Sub(now)
	if s.held != nil && !s.dead && !s.held.entity.ValidUntil.IsZero() {
		wait = min(wait, s.held.entity.ValidUntil.Sub(now))
	}
	return max(wait, 0)
}

// step does what is due for a source and reports whether its answer changed.
func (k *Keeper) step(ctx context.Context, s *source) (changed bool) {
	now := k.cfg.Now()
	if s.held != nil && !s.dead && s.held.over(now) {
		s.mu.Lock()
		s.dead = true
		s.mu.Unlock()
		k.cfg.Logger.Error("a party's metadata is no longer valid; nobody can sign in there", "party", s.Key, "valid_until", s.held.entity.ValidUntil)
		changed = true
	}
	if s.URL != "" && now.Before(s.next) {
		return changed
	}
	h, err := k.renew(ctx, s, now)
	if ctx.Err() != nil {
		return changed
	}
	if s.URL != "" || !errors.Is(err, ErrUnchanged) { // files are looked at all the time
		k.cfg.Metrics.count(s, err)
	}
	switch {
	case errors.Is(err, ErrUnchanged):
		if s.URL != "" {
			k.unchanged(s, now)
		} else {
			k.recovered(s)
		}
	case err != nil:
		k.failed(s, err, now)
	default:
		same := s.held != nil && s.held.SHA256 == h.SHA256 && !s.dead
		k.hold(s, h)
		k.recovered(s)
		k.cfg.Metrics.valid(s)
		s.next = now.Add(jitter(k.interval(h)))
		if !same {
			k.cfg.Logger.Info("a party's metadata is in force", "party", s.Key, "sha256", h.SHA256, "valid_until", h.entity.ValidUntil)
			return true
		}
	}
	return changed
}

// renew reads or fetches a document that may replace the one held.
func (k *Keeper) renew(ctx context.Context, s *source, now time.Time) (*held, error) {
	if s.File != "" {
		return s.read(now)
	}
	return k.fetch(ctx, s, now)
}

// hold puts a document in force.
func (k *Keeper) hold(s *source, h *held) {
	s.mu.Lock()
	s.held, s.dead = h, false
	s.mu.Unlock()
	for _, w := range h.entity.Warnings {
		k.cfg.Logger.Warn("a party's metadata", "party", s.Key, "advice", w)
	}
}

// unchanged notes that the server has nothing newer.
func (k *Keeper) unchanged(s *source, now time.Time) {
	s.next = now.Add(jitter(k.interval(s.held)))
	h := *s.held
	h.Fetched = now
	s.mu.Lock()
	s.held = &h
	s.mu.Unlock()
	k.recovered(s)
	k.keep(s, &h)
}

// failed notes a failure; the document that is held stays until its end.
func (k *Keeper) failed(s *source, err error, now time.Time) {
	s.mu.Lock()
	if s.failures++; s.failures == 1 || s.since.IsZero() {
		s.since = now
	}
	first := s.failures == 1 || s.failure.Error() != err.Error()
	s.failure = err
	s.mu.Unlock()
	s.next = now.Add(jitter(backoff(s.failures)))
	if first {
		k.cfg.Logger.Warn("a party's metadata was not renewed; what is held stays until its end", "party", s.Key, "error", err)
	}
}

func (k *Keeper) recovered(s *source) {
	s.mu.Lock()
	s.failure, s.failures, s.since = nil, 0, time.Time{}
	s.mu.Unlock()
}

// interval is how long a copy is good before somebody asks again: what the document
// says within bounds, and so often that half of its life is left for failures.
func (k *Keeper) interval(h *held) time.Duration {
	d := stdRefresh
	if h.entity.CacheDuration > 0 {
		d = h.entity.CacheDuration
	}
	if until := h.entity.ValidUntil; !until.IsZero() {
		d = min(d, until.Sub(h.Fetched)/2)
	}
	return min(max(d, minRefresh), maxRefresh)
}

// backoff doubles from a minute to an hour.
func backoff(failures int) time.Duration {
	return min(firstRetry<<min(failures-1, 10), maxRetry)
}

// jitter spreads d by a tenth to both sides, so that instances do not ask at once.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// Trouble says which parties have no valid metadata or could not be refreshed; nil
// when all is well.
func (k *Keeper) Trouble() error {
	now := k.cfg.Now()
	var errs []error
	for _, s := range k.all() {
		if err := s.trouble(now); err != nil && !s.adopted {
			errs = append(errs, fmt.Errorf("%s: %w", s.Key, err))
		}
	}
	sort.Slice(errs, func(i, j int) bool { return errs[i].Error() < errs[j].Error() })
	return errors.Join(errs...)
}

func (s *source) trouble(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.held == nil && s.failure != nil:
		return fmt.Errorf("no metadata, so that nobody can sign in there: %w", s.failure)
	case s.held == nil:
		return errors.New("no metadata yet, so that nobody can sign in there")
	case s.held.over(now) && s.failure != nil:
		return fmt.Errorf("metadata ended on %s, so that nobody can sign in there: %w", s.held.entity.ValidUntil.Format(time.RFC3339), s.failure)
	case s.held.over(now):
		return fmt.Errorf("metadata ended on %s, so that nobody can sign in there", s.held.entity.ValidUntil.Format(time.RFC3339))
	case s.failure == nil:
		return nil
	}
	end := "has no end"
	if until := s.held.entity.ValidUntil; !until.IsZero() {
		end = "is good until " + until.Format(time.RFC3339)
	}
	return fmt.Errorf("not renewed since %s, the copy %s: %w", s.since.Format(time.RFC3339), end, s.failure)
}
