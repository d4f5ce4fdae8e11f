package certs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// ManagerConfig is what the loop of one instance needs.
type ManagerConfig struct {
	// Store and Keys are shared by all instances. Required.
	Store Store
	Keys  KeyStore
	// Instance names this instance among the others, the same after a restart.
	// Required.
	Instance string
	Policy   Policy
	// Host is the service's name in the subject of a certificate.
	Host string
	// Parties returns the relying parties of now. Nil: there are none.
	Parties func() []Party
	// Trust reaches the parties that are Pushed, and Prove makes the proof for them.
	// Both or neither.
	Trust Trust
	Prove Prove
	// Apply puts a key set in force, signer and metadata together. With an error the
	// one before stays in force. Required.
	Apply func(current *Key, others []*Key) error
	// Audit writes an event into this instance's audit trail. Nil: nowhere.
	Audit func(ctx context.Context, e Event) error
	// Generate makes the first key when there is none at all.
	Generate bool
	// Initial is taken over as the first key when there is none at all. Nil: none.
	Initial *Key
	// Poll is how often the ledger is read. Default 5 seconds.
	Poll time.Duration
	// Tell is how often parties that are pushed to are looked at. Default 5 minutes.
	Tell time.Duration
	// Logger takes changes and troubles. Default: none.
	Logger *slog.Logger
	// Now is the wall clock, for dates. Default [time.Now].
	Now func() time.Time
	// Steady is a clock that never jumps, for how long something took. Default: the
	// time since NewManager.
	Steady func() time.Duration
}

// Manager is the life cycle in one running instance: it loads what the ledger names,
// puts it in force, reports that, and takes the steps that are due. It is safe for
// concurrent use.
type Manager struct {
	cfg  ManagerConfig
	hand Hand
	keys Keys
	kick chan struct{} // the ledger changed: look at the parties

	step sync.Mutex // one step at a time

	mu       sync.Mutex // guards what follows
	ledger   *Ledger    // as last seen
	loaded   map[string]*Key
	trouble  map[string]string // by what failed
	watched  map[string]watch
	tick     time.Time     // the ledger's tick as last seen
	tickAt   time.Duration // when it was first seen so
	looked   time.Duration // when the reports of others were looked at, by the steady clock
	audited  uint64
	reported time.Duration
	// fetched are the parties that read the metadata since the last report, with what
	// it listed.
	fetched map[string]map[string]bool
	hold    time.Duration // automatic steps wait until then
	wall    time.Time     // the clocks at the last step
	steady  time.Duration
}

// watch is what was seen of another instance's reports.
type watch struct {
	seen time.Time     // its latest report, by its own clock
	at   time.Duration // when that came in, by the steady clock
	skew time.Duration // how much its clock was ahead then, roughly
}

const (
	// jump is a difference of clocks that is no coincidence.
	jump = 5 * time.Minute
	// settle is how long a clock must be steady after a jump before a key is made or
	// promoted by itself.
	settle = time.Hour
)

// NewManager returns a manager that has not looked at anything yet.
func NewManager(cfg ManagerConfig) (*Manager, error) {
	if cfg.Store == nil || cfg.Keys == nil || cfg.Instance == "" || cfg.Apply == nil {
		return nil, errors.New("certs: a manager needs a store, a key store, an instance and Apply")
	}
	if (cfg.Trust == nil) != (cfg.Prove == nil) {
		return nil, errors.New("certs: Trust and Prove go together")
	}
	if cfg.Poll <= 0 {
		cfg.Poll = 5 * time.Second
	}
	if cfg.Tell <= 0 {
		cfg.Tell = 5 * time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Steady == nil {
		begin := time.Now()
		cfg.Steady = func() time.Duration { return time.Since(begin) }
	}
	cfg.Policy = cfg.Policy.WithDefaults()
	m := &Manager{
		cfg: cfg, kick: make(chan struct{}, 1), loaded: map[string]*Key{}, trouble: map[string]string{},
		watched: map[string]watch{}, fetched: map[string]map[string]bool{}, wall: cfg.Now(), steady: cfg.Steady(),
	}
	m.cfg.Store = guarded{cfg.Store, m.seen}
	m.hand = Hand{Store: m.cfg.Store, Keys: cfg.Keys, Policy: cfg.Policy, Host: cfg.Host, By: cfg.Instance, Now: cfg.Now, Running: m.running}
	return m, nil
}

// Keys is the set in force. It is empty before Start.
func (m *Manager) Keys() *Keys { return &m.keys }

// Start loads the key set and puts it in force, making or taking over the first key
// where the configuration says so. Without the key that signs there is an error,
// which says what is missing.
func (m *Manager) Start(ctx context.Context) error {
	_, err := m.cfg.Store.Load(ctx)
	if errors.Is(err, ErrNoLedger) {
		err = m.first(ctx)
	}
	if err != nil {
		return err
	}
	if err := m.refresh(ctx); err != nil {
		return err
	}
	if m.keys.now.Load() == nil {
		return fmt.Errorf("%w: %s", ErrLacking, m.Lacking())
	}
	return nil
}

// ErrLacking says that an instance cannot have the key that the fleet signs with.
var ErrLacking = errors.New("this instance lacks the fleet's signing key")

func (m *Manager) first(ctx context.Context) error {
	var err error
	switch {
	case m.cfg.Initial != nil:
		_, err = m.hand.Import(ctx, m.cfg.Initial.Signer, m.cfg.Initial.Certificate)
	case m.cfg.Generate:
		_, err = m.hand.First(ctx)
	default:
		return fmt.Errorf("%w: bring one in with sallyport certs import, or make one with sallyport certs stage", ErrNoLedger)
	}
	if errors.Is(err, ErrRefused) {
		return nil // another instance was first
	}
	return err
}

// Run goes on until ctx ends.
func (m *Manager) Run(ctx context.Context) {
	var both sync.WaitGroup
	first := make(chan struct{}, 1)
	first <- struct{}{} // an instance that runs is seen to run
	both.Go(func() { m.every(ctx, m.cfg.Poll, first, m.Step) })
	both.Go(func() { m.every(ctx, m.cfg.Tell, m.kick, m.Tell) })
	both.Wait()
}

func (m *Manager) every(ctx context.Context, interval time.Duration, kick <-chan struct{}, f func(context.Context) error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-kick:
		}
		limited, cancel := context.WithTimeout(ctx, max(interval, time.Minute))
		_ = f(limited) // kept as trouble, and logged once
		cancel()
	}
}

// Step looks at the ledger, puts in force what it says, reports, and takes the steps
// that are due and need nobody outside.
func (m *Manager) Step(ctx context.Context) error {
	m.step.Lock()
	defer m.step.Unlock()
	m.watchClock()
	if err := m.refresh(ctx); err != nil {
		return m.note("store", err)
	}
	if err := m.tend(ctx); err != nil {
		return m.note("store", err)
	}
	m.note("store", nil)
	// What tend changed is in force at once, here.
	if err := m.refresh(ctx); err != nil {
		return m.note("store", err)
	}
	m.audit(ctx)
	return m.note("stage", m.stage(ctx))
}

// stage makes the next key when its time has come.
func (m *Manager) stage(ctx context.Context) error {
	l := m.seen()
	v := m.view(l)
	steps := v.Plan()
	s := steps[len(steps)-1]
	if s.Action != NextStage || s.ByAdmin || len(s.Waits) > 0 || v.Now.Before(s.Due) || m.holding() || !m.leads(v) {
		return nil
	}
	_, err := m.hand.Stage(ctx)
	if errors.Is(err, ErrRefused) {
		return nil // somebody else did
	}
	return err
}

// leads reports whether this instance does what one instance is enough for. When two
// believe it at once, the compare-and-swap decides.
func (m *Manager) leads(v View) bool {
	first := m.cfg.Instance
	for name := range v.Running {
		first = min(first, name)
	}
	return first == m.cfg.Instance
}

// note keeps or clears a trouble and logs changes of it.
func (m *Manager) note(what string, err error) error {
	m.mu.Lock()
	was := m.trouble[what]
	text := ""
	if err != nil {
		text = strings.ReplaceAll(err.Error(), "\n", "; ") // of joined errors; it stands in one line
	}
	if text == "" {
		delete(m.trouble, what)
	} else {
		m.trouble[what] = text
	}
	m.mu.Unlock()
	switch {
	case text != "" && text != was:
		m.cfg.Logger.Error("signing keys", "part", what, "trouble", text)
	case text == "" && was != "":
		m.cfg.Logger.Info("signing keys: over", "part", what, "trouble", was)
	}
	return err
}

// Fetched tells that a relying party has read the metadata of this instance while it
// listed the certificates with these IDs.
func (m *Manager) Fetched(party string, listed []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := m.fetched[party]
	if ids == nil {
		ids = map[string]bool{}
		m.fetched[party] = ids
	}
	for _, id := range listed {
		ids[id] = true
	}
}

// takeFetched returns what was fetched since the last time, for the caller alone.
func (m *Manager) takeFetched() map[string]map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.fetched
	m.fetched = map[string]map[string]bool{}
	return taken
}

func (m *Manager) seen() *Ledger { m.mu.Lock(); defer m.mu.Unlock(); return m.ledger }

func (m *Manager) parties() []Party {
	if m.cfg.Parties == nil {
		return nil
	}
	return m.cfg.Parties()
}

func (m *Manager) view(l *Ledger) View {
	return View{Ledger: l, Policy: m.cfg.Policy, Parties: m.parties(), Running: m.running(l), Now: m.cfg.Now()}
}

// Status is how the keys are, for readiness, metrics and logs.
type Status struct {
	// Ledger is the last one seen, nil before Start.
	Ledger *Ledger
	// Lacking is why this instance should not be asked for tokens: it does not have
	// the key that the fleet signs with. Empty when it has.
	Lacking string
	// Alarm is why an admin must act, empty when nobody must.
	Alarm string
	// Troubles are what fails now, sorted.
	Troubles []string
	// Plan is what happens next.
	Plan []Step
}

// Status returns how the keys are.
func (m *Manager) Status() Status {
	s := Status{Ledger: m.seen(), Lacking: m.Lacking()}
	if s.Ledger != nil {
		v := m.view(s.Ledger)
		s.Alarm, s.Plan = v.Alarm(), v.Plan()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for what, text := range m.trouble {
		s.Troubles = append(s.Troubles, what+": "+text)
	}
	slices.Sort(s.Troubles)
	return s
}
