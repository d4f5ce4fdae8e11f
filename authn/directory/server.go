package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// forcedPause is how long a DC is left alone after a failure that a retry does
// not mend: a refused certificate, a policy, a wrong server.
const forcedPause = time.Minute

// server is one DC of one domain.
type server struct {
	endpoint
	dm        *domain
	tier      atomic.Int64 // lower ones are asked while one of them works
	weight    atomic.Int64
	allowRODC bool
	ctx       context.Context // ends when the DC leaves the set
	cancel    context.CancelFunc

	br       breaker
	binds    *pool
	searches *pool
	meter    meter
	root     atomic.Pointer[rootDSE]
	m        serverMetrics

	mu      sync.Mutex
	lastErr error
	lastAt  time.Time
	offset  time.Duration // its clock minus ours
	offsetOK,
	warned bool
}

func newServer(dm *domain, ep endpoint, tier, weight int) *server {
	d := dm.d
	s := &server{endpoint: ep, dm: dm, allowRODC: dm.cfg.AllowRODC}
	s.place(tier, weight)
	s.ctx, s.cancel = context.WithCancel(d.base)
	s.m = d.metrics.server(dm.name, ep.name)
	slots := make(chan struct{}, 4)
	lim := d.cfg.Limits
	build := func(kind purpose, most, least int) *pool {
		return &pool{max: most, min: least, idleLimit: lim.Idle, age: lim.Age, wait: lim.Wait, slots: slots, base: s.ctx, spawn: d.spawn,
			lost: func() { s.m.errors[classStale].Inc() },
			open: func(ctx context.Context) (*conn, error) { return s.open(ctx, kind) }}
	}
	s.binds = build(forBinds, lim.BindMax, lim.BindMin)
	s.searches = build(forSearches, lim.ServiceMax, 1)
	return s
}

// place sets where the DC stands in the order of choice.
func (s *server) place(tier, weight int) {
	s.tier.Store(int64(tier))
	s.weight.Store(int64(max(weight, 1)))
}

func (s *server) pool(kind purpose) *pool {
	if kind == forBinds {
		return s.binds
	}
	return s.searches
}

// open makes a connection and, for searches, binds it as the service account.
func (s *server) open(ctx context.Context, kind purpose) (*conn, error) {
	d := s.dm.d
	if kind == forSearches {
		// Nothing is learned about the DC here, so its breaker hears nothing.
		if err := s.dm.service.admitted(ctx); err != nil {
			s.m.errors[classService].Inc()
			return nil, s.named(err)
		}
	}
	start := time.Now()
	dialCtx, cancel := context.WithTimeout(ctx, d.cfg.Limits.Dial)
	c, err := open(dialCtx, dialConfig{endpoint: s.endpoint, roots: d.roots.Load(), dial: d.cfg.Dial, limits: d.cfg.Limits, kind: kind})
	cancel()
	s.m.dials[kind].Inc()
	if err == nil {
		if err = c.root.judge(s.dm.nc, s.allowRODC); err != nil {
			c.drop(err)
			err = &failure{class: classWrong, err: err}
		}
	}
	if err != nil {
		err = s.named(err)
		s.failed(err)
		return nil, err
	}
	s.learn(c.root)
	s.m.seconds[opDial].Observe(time.Since(start).Seconds())
	if kind == forSearches {
		ctx, cancel := context.WithTimeout(ctx, 2*d.cfg.Limits.Bind)
		defer cancel()
		if err := s.dm.service.bind(ctx, c); err != nil {
			c.drop(err)
			err = s.named(err)
			s.failed(err)
			return nil, err
		}
	}
	s.recovered()
	return c, nil
}

// named puts this DC's name into a failure.
func (s *server) named(err error) error {
	var f *failure
	if errors.As(err, &f) {
		if f.dc == "" {
			return &failure{class: f.class, dc: s.name, err: f.err}
		}
		return err
	}
	return &failure{class: classOf(err), dc: s.name, err: err}
}

// learn keeps what the DC said about itself and its forest, and compares clocks.
func (s *server) learn(r *rootDSE) {
	s.root.Store(r)
	if r.configNC != "" {
		forest := strings.ToLower(r.configNC)
		s.dm.forest.Store(&forest)
	}
	s.learnClock(r.clock)
}

func (s *server) learnClock(clock time.Time) {
	if clock.IsZero() {
		return
	}
	offset := clock.Sub(s.dm.d.cfg.Now())
	s.mu.Lock()
	s.offset, s.offsetOK = offset, true
	off := offset.Abs() > time.Minute
	warn := off && !s.warned
	s.warned = off
	s.mu.Unlock()
	s.m.clock.Set(offset.Seconds())
	if warn {
		s.log().Warn("clock differs from the domain controller's", "offset", offset.Round(time.Second))
	}
}

func (s *server) log() *slog.Logger {
	return s.dm.d.cfg.Logger.With("domain", s.dm.name, "dc", s.name)
}

// failed counts a failure and lets the breaker decide. Alarms are for what a
// person must mend.
func (s *server) failed(err error) {
	c := classOf(err)
	s.m.errors[c].Inc()
	s.mu.Lock()
	s.lastErr, s.lastAt = err, time.Now()
	s.mu.Unlock()
	now := time.Now()
	opened := false
	switch c {
	case classTLSName, classRefused, classWrong:
		opened = s.br.force(now, forcedPause)
	case classDial, classTimeout, classBusy, classFault:
		opened = s.br.failure(now)
	case classService:
		// The DC answered; the account is what is wrong. That has its own alarm.
		s.recovered()
	}
	if opened {
		s.log().Error("domain controller is out of use", "alarm", true, "class", string(c), "error", err, "advice", s.advice(c, err))
	}
}

// pause leaves the DC alone for a minute after an answer that says our way of
// asking is refused (48, 53).
func (s *server) pause(err error) {
	s.failed(err)
	if s.br.force(time.Now(), forcedPause) {
		s.log().Error("domain controller refuses our way of asking", "alarm", true, "error", err)
	}
}

// recovered notes that the DC works.
func (s *server) recovered() {
	if s.br.success(time.Now()) {
		s.log().Info("domain controller is in use again")
	}
}

// usable reports that the DC has passed its checks and may be asked.
func (s *server) usable() bool { return s.root.Load() != nil && s.br.closed() }

func (s *server) String() string { return fmt.Sprintf("%s (%s)", s.name, s.address) }

// meter keeps what the choice between DCs looks at.
type meter struct {
	mu          sync.Mutex
	latency     float64 // seconds, moving average
	measured    time.Time
	outstanding int
	progress    time.Time // last answer, or when the first outstanding request began
}

// begin notes a request on its way to the DC.
func (m *meter) begin(now time.Time) {
	m.mu.Lock()
	if m.outstanding == 0 {
		m.progress = now
	}
	m.outstanding++
	m.mu.Unlock()
}

// end notes its answer; answered is false when there was none.
func (m *meter) end(now time.Time, took time.Duration, answered bool) {
	m.mu.Lock()
	m.outstanding--
	if answered {
		m.progress = now
		m.sampleLocked(now, took)
	}
	m.mu.Unlock()
}

func (m *meter) sampleLocked(now time.Time, took time.Duration) {
	if m.measured.IsZero() {
		m.latency = took.Seconds()
	} else {
		m.latency += 0.2 * (took.Seconds() - m.latency)
	}
	m.measured = now
}

func (m *meter) average() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Duration(m.latency * float64(time.Second))
}

// Figures of the score: differences below the floor are noise; an old
// measurement halves every half-life, so that a DC which was slow once is tried
// again; a DC that owes an answer for longer than stallAfter is avoided.
const (
	latencyFloor    = 0.002
	latencyHalfLife = 15.0
	stallAfter      = 300 * time.Millisecond
	stallPenalty    = 1e6
)

// score is the expected wait at this DC; less is better.
func (m *meter) score(now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	latency := m.latency
	if !m.measured.IsZero() {
		latency *= math.Exp2(-now.Sub(m.measured).Seconds() / latencyHalfLife)
	}
	score := max(latency, latencyFloor) * float64(m.outstanding+1)
	if m.outstanding > 0 && now.Sub(m.progress) > stallAfter+time.Duration(4*m.latency*float64(time.Second)) {
		score += stallPenalty
	}
	return score
}
