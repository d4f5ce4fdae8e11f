package lockout

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn"
)

// Config configures counting.
type Config struct {
	// Threshold is how many failures an account may have; 0 derives it from the
	// domain's policy, which is right nearly always.
	Threshold int
	// Window is how long failures count; never shorter than 30 minutes or than
	// the domain's own window. Default 30 minutes.
	Window time.Duration
	// LowestPolicy is the lowest lockoutThreshold that any password settings
	// object (PSO) sets; a directory does not tell it to ordinary accounts.
	// Default 0: there is no PSO with a lower threshold than the domain's.
	LowestPolicy int
	// Unsafe permits a Threshold that is not below AD's.
	Unsafe bool
	// Instances that count for themselves; thresholds are divided by it. Default 1.
	Instances int
	// Address and Network are the budgets of one address and of its /24 or /64.
	// Defaults: 4 failures, one more each 30 s; 16 failures, one more each 8 s.
	Address, Network Budget
	// MaxAccounts bounds memory, about 150 bytes each. Default 1,000,000.
	MaxAccounts int
	// AlarmPerMinute is the number of failures in a minute, over all accounts, at
	// which a warning is logged and the alarm metric is set. Default 300.
	AlarmPerMinute int
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Logger takes warnings. Default: none.
	Logger *slog.Logger
	// Registerer takes the metrics. Default: none.
	Registerer prometheus.Registerer
}

// Budget allows Burst failures at once and one more each Every.
type Budget struct {
	Burst int
	Every time.Duration
}

func (b Budget) or(d Budget) Budget {
	if b.Burst <= 0 {
		b.Burst = d.Burst
	}
	if b.Every <= 0 {
		b.Every = d.Every
	}
	return b
}

// Memory counts in this process. It is safe for concurrent use.
type Memory struct {
	cfg     Config
	seed    maphash.Seed
	metrics *metrics

	mu        sync.Mutex
	limits    map[string]Limits // by domain, lower case
	blind     Limits
	accounts  generations[authn.GUID, counter]
	places    generations[authn.GUID, places]
	names     []counter
	addresses budgets
	networks  budgets
	alarm     alarm
}

// nameCounters is fixed: other names never push one out. With a collision two
// unknown names share a count, which harms nobody.
const nameCounters = 1 << 16

// NewMemory returns counters at zero.
func NewMemory(cfg Config) *Memory {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxAccounts <= 0 {
		cfg.MaxAccounts = 1_000_000
	}
	if cfg.AlarmPerMinute <= 0 {
		cfg.AlarmPerMinute = 300
	}
	cfg.Address = cfg.Address.or(Budget{4, 30 * time.Second})
	cfg.Network = cfg.Network.or(Budget{16, 8 * time.Second})
	m := &Memory{
		cfg: cfg, seed: maphash.MakeSeed(), limits: make(map[string]Limits), blind: cfg.LimitsFor(nil),
		names:     make([]counter, nameCounters),
		addresses: newBudgets(1<<18, cfg.Address),
		networks:  newBudgets(1<<16, cfg.Network),
	}
	m.metrics = newMetrics(cfg.Registerer, m.tracked)
	return m
}

// SetPolicy tells a domain's policy, nil when it cannot be read now: then what was
// read before stays in force, since a directory that is slow for a moment has not
// become more lenient. Counts stay.
func (m *Memory) SetPolicy(domain string, p *Policy) Limits {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p == nil {
		return m.limitsOf(domain)
	}
	l := m.cfg.LimitsFor(p)
	m.limits[strings.ToLower(domain)] = l
	return l
}

func (m *Memory) limitsOf(domain string) Limits {
	if l, ok := m.limits[strings.ToLower(domain)]; ok {
		return l
	}
	return m.blind
}

// longest is the longest window of any domain: what has been idle for so long
// counts nowhere.
func (m *Memory) longest() time.Duration {
	longest := m.blind.Window
	for _, l := range m.limits {
		longest = max(longest, l.Window)
	}
	return longest
}

// Begin counts an attempt before it is made. A *[Refused] forbids it; every other
// outcome must be told to Settle.
//
// The budget of the address comes first: when it is used up every name gets the
// same answer, so that the answer tells nothing about a name. An attempt that the
// count of its name then forbids has spent it all the same: names and accounts
// have different counts, and whether the budget ran out would tell them apart.
func (m *Memory) Begin(_ context.Context, a Attempt) (Ticket, error) {
	now := m.cfg.Now()
	t := Ticket{attempt: a, scope: ScopeAccount, address: m.hashAddress(a.Client)}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accounts.turn(now, m.longest())
	m.places.turn(now, placeLife)
	t.familiar = !a.Account.IsZero() && m.isFamiliar(&t, now)
	t.instead = m.spend(&t, now)
	if t.instead != nil && !t.familiar {
		return Ticket{}, m.refuse(t.instead)
	}
	c, limit, window := m.counterOf(&t)
	if c == nil {
		return Ticket{}, m.refuse(&Refused{Scope: ScopeFull, RetryAfter: time.Minute})
	}
	if wait, ok := c.take(t.side, limit, now, window); !ok {
		return Ticket{}, m.refuse(cmp.Or(t.instead, &Refused{Scope: t.scope, RetryAfter: wait}))
	}
	t.epoch = c.epoch
	return t, nil
}

func (m *Memory) refuse(r *Refused) error {
	m.metrics.refuse(r.Scope)
	return r
}

// counterOf finds the counter of an attempt and what it may reach, nil when there
// is no room for it. The caller holds mu.
func (m *Memory) counterOf(t *Ticket) (c *counter, limit int, window time.Duration) {
	l := m.limitsOf(t.attempt.Domain)
	if t.attempt.Account.IsZero() {
		t.scope = ScopeName
		t.bucket = int(maphash.String(m.seed, NormalName(t.attempt.Name)) % nameCounters)
		return &m.names[t.bucket], l.Threshold, l.Window
	}
	c = m.accounts.find(t.attempt.Account)
	if c == nil && m.accounts.len() < m.cfg.MaxAccounts {
		c = m.accounts.add(t.attempt.Account)
	}
	if t.familiar && l.Familiar > 0 {
		t.side = own
		return c, l.Familiar, l.Window
	}
	return c, l.Threshold, l.Window
}

// spend takes one failure from the budgets of the client's address and network,
// or says why there is none. An account's own places spend nothing. The caller
// holds mu.
func (m *Memory) spend(t *Ticket, now time.Time) *Refused {
	if !t.attempt.Client.IsValid() {
		return nil
	}
	cost, network := costOf(t.attempt), m.hashNetwork(t.attempt.Client)
	if wait, ok := m.addresses.has(t.address, cost, now); !ok {
		return &Refused{Scope: ScopeAddress, RetryAfter: wait}
	}
	if wait, ok := m.networks.has(network, cost, now); !ok {
		return &Refused{Scope: ScopeNetwork, RetryAfter: wait}
	}
	if !t.familiar {
		m.addresses.give(t.address, -cost, now)
		m.networks.give(network, -cost, now)
		t.budgeted = true
	}
	return nil
}

// refund gives back what spend took. The caller holds mu.
func (m *Memory) refund(t *Ticket, now time.Time) {
	if !t.budgeted {
		return
	}
	t.budgeted = false
	m.addresses.give(t.address, costOf(t.attempt), now)
	m.networks.give(m.hashNetwork(t.attempt.Client), costOf(t.attempt), now)
}

// Settle tells how an attempt ended. It never fails here; a shared store may.
func (m *Memory) Settle(_ context.Context, t Ticket, o Outcome) error {
	if t.scope == "" {
		return fmt.Errorf("lockout: ticket without Begin")
	}
	now := m.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settleCount(&t, o, now)
	if o != Failed && o != Denied {
		m.refund(&t, now)
	}
	if o == Failed {
		m.metrics.failures.Inc()
		if m.alarm.failure(now, m.cfg.AlarmPerMinute) {
			m.metrics.alarms.Inc()
			m.cfg.Logger.Warn("many failed sign-ins over all accounts in the last minute", "failures", m.cfg.AlarmPerMinute)
		}
	}
	if o == Accepted && t.scope == ScopeAccount && t.attempt.Client.IsValid() && m.welcome(&t, now) {
		m.addresses.give(t.address, credit, now)
		m.networks.give(m.hashNetwork(t.attempt.Client), credit, now)
	}
	return nil
}

// settleCount moves the account's or name's counter. The caller holds mu.
func (m *Memory) settleCount(t *Ticket, o Outcome, now time.Time) {
	c := m.accounts.find(t.attempt.Account)
	if t.scope == ScopeName {
		c = &m.names[t.bucket]
	}
	switch {
	case c == nil: // the attempt took longer than every window
	case o == Failed:
		c.fail(t.side, t.epoch, now)
	default:
		c.release(t.side, t.epoch)
		if o == Accepted {
			c.reset() // as AD's own count of the account
		}
	}
}

// Counts tells where an account stands, for support and tests.
type Counts struct{ Strange, Own, Pending int }

// Peek returns the counts of an account within its window.
func (m *Memory) Peek(domain string, id authn.GUID) Counts {
	now := m.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.accounts.find(id)
	if c == nil {
		return Counts{}
	}
	c.expire(now, m.limitsOf(domain).Window)
	return Counts{
		Strange: int(c.sides[strange].failed), Own: int(c.sides[own].failed),
		Pending: int(c.sides[strange].pending) + int(c.sides[own].pending),
	}
}

func (m *Memory) tracked() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return float64(m.accounts.len())
}
