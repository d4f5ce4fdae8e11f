package certs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// refresh reads the ledger and puts in force what it says.
func (m *Manager) refresh(ctx context.Context) error {
	l, err := m.cfg.Store.Load(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	if m.ledger == nil {
		m.audited = l.Instances[m.cfg.Instance].Audited
	}
	m.mu.Unlock()
	m.observe(l)
	m.load(ctx, l)
	if err := m.apply(l); err != nil {
		return err
	}
	m.mu.Lock()
	changed := m.ledger == nil || m.ledger.LastEvent != l.LastEvent
	m.ledger = l
	m.mu.Unlock()
	if changed {
		select {
		case m.kick <- struct{}{}:
		default:
		}
	}
	return nil
}

// load opens the keys that are listed and not open yet, and drops those that are
// gone, destroying this instance's copy.
func (m *Manager) load(ctx context.Context, l *Ledger) {
	var troubles []string
	for i := range l.Entries {
		e := &l.Entries[i]
		m.mu.Lock()
		_, have := m.loaded[e.ID]
		m.mu.Unlock()
		switch {
		case e.State == Gone && have:
			// The key in force stays loaded until apply has replaced it.
			if current := m.keys.now.Load(); current != nil && slices.ContainsFunc(current.published, func(k *Key) bool { return k.ID == e.ID }) {
				continue
			}
			m.mu.Lock()
			delete(m.loaded, e.ID)
			m.mu.Unlock()
			if err := m.cfg.Keys.Destroy(ctx, e.Ref); err != nil {
				troubles = append(troubles, "destroying "+short(e.ID)+": "+err.Error())
			}
		case !e.State.Listed() || have:
		default:
			k, err := m.open(ctx, e)
			if err != nil {
				troubles = append(troubles, fmt.Sprintf("%s (%s): %v", short(e.ID), e.State, err))
				continue
			}
			m.mu.Lock()
			m.loaded[e.ID] = k
			m.mu.Unlock()
		}
	}
	var err error
	if len(troubles) > 0 {
		err = errors.New(strings.Join(troubles, "; "))
	}
	_ = m.note("keys", err)
}

func (m *Manager) open(ctx context.Context, e *Entry) (*Key, error) {
	cert, err := e.X509()
	if err != nil {
		return nil, err
	}
	signer, err := m.cfg.Keys.Open(ctx, e.Ref)
	if err != nil {
		return nil, err
	}
	now := m.cfg.Now()
	if e.State == Retired && now.After(cert.NotAfter) {
		now = cert.NotAfter // it is listed and signs no more
	}
	k, _, err := New(signer, cert, now)
	return k, err
}

// apply puts in force what the ledger says as far as the keys are there.
func (m *Manager) apply(l *Ledger) error {
	var current *Key
	if c := m.keys.now.Load(); c != nil {
		current = c.published[0]
	}
	sign := m.signing(l, current)
	m.mu.Lock()
	key := m.loaded[sign.ID]
	var others []*Key
	for _, s := range []State{Published, Staged, Signing, Retired} {
		for i := range l.Entries {
			if k := m.loaded[l.Entries[i].ID]; k != nil && l.Entries[i].State == s && k != key {
				others = append(others, k)
			}
		}
	}
	m.mu.Unlock()
	if key == nil {
		if current != nil {
			return nil // it goes on with what it has, and Lacking says so
		}
		if key = m.anyListed(l); key == nil {
			return nil
		}
		others = slices.DeleteFunc(others, func(k *Key) bool { return k == key })
	}
	if c := m.keys.now.Load(); c != nil && slices.Equal(c.published, order(key, others)) {
		return nil
	}
	if err := m.cfg.Apply(key, others); err != nil {
		return fmt.Errorf("putting the keys in force: %w", err)
	}
	if m.keys.now.Load() == nil {
		m.keys.now.Store(&set{version: 1, published: order(key, others)})
	} else {
		m.keys.Replace(key, others...)
	}
	m.cfg.Logger.Info("signing keys in force", "signs", key.ID, "listed", len(others)+1, "ledger", l.Version)
	return nil
}

// anyListed is for a start without the key that signs: an earlier key lets the
// instance come up and say what it lacks.
func (m *Manager) anyListed(l *Ledger) *Key {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range l.Entries {
		if k := m.loaded[l.Entries[i].ID]; k != nil && l.Entries[i].State == Retired {
			return k
		}
	}
	return nil
}

// signing returns the entry that this instance is to sign with now: that of the
// ledger, but not before the instant at which all change over. It never goes back.
func (m *Manager) signing(l *Ledger, current *Key) *Entry {
	sign := l.Of(Signing)
	wait := sign.SignsFrom.Sub(m.cfg.Now())
	if current == nil || current.ID == sign.ID || wait <= 0 || wait > 2*switchDelay {
		return sign // also when the clocks differ by more than the delay
	}
	for i := range l.Entries {
		if e := &l.Entries[i]; e.ID == current.ID && e.State.Listed() {
			return e
		}
	}
	return sign
}

// Lacking says why this instance must not be asked for tokens: it does not sign with
// the fleet's key. Empty when it does.
func (m *Manager) Lacking() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ledger == nil {
		return "the ledger of signing keys has not been read yet: " + m.trouble["store"]
	}
	sign := m.ledger.Of(Signing)
	if m.loaded[sign.ID] != nil {
		return ""
	}
	return fmt.Sprintf("the fleet signs with %s, which this instance cannot load: %s", sign.ID, m.trouble["keys"])
}

// observe keeps what a ledger tells about other instances and the passing of time.
func (m *Manager) observe(l *Ledger) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.cfg.Steady()
	if m.ledger == nil || !l.Tick.Equal(m.tick) {
		m.tick, m.tickAt = l.Tick, at
	}
	now := m.cfg.Now()
	for name, i := range l.Instances {
		w, known := m.watched[name]
		if known && w.seen.Equal(i.Seen) {
			continue
		}
		w = watch{seen: i.Seen, at: at}
		if known {
			w.skew = i.Seen.Sub(now)
			if w.skew < 0 { // it may have been made at any time since the last look
				w.skew = min(0, w.skew+at-m.looked)
			}
		}
		m.watched[name] = w
	}
	m.looked = at
}

// running returns the instances whose reports keep coming, and this one.
func (m *Manager) running(l *Ledger) map[string]Instance {
	m.mu.Lock()
	defer m.mu.Unlock()
	running := map[string]Instance{m.cfg.Instance: m.report()}
	for name, i := range l.Instances {
		if w, known := m.watched[name]; name != m.cfg.Instance && (!known || m.cfg.Steady()-w.at <= m.cfg.Policy.Live) {
			running[name] = i
		}
	}
	return running
}

// maxTrouble bounds what an instance tells of its troubles, in bytes.
const maxTrouble = 1000

// report is what this instance says of itself. The caller holds mu.
func (m *Manager) report() Instance {
	i := Instance{Seen: m.cfg.Now(), Audited: m.audited}
	if c := m.keys.now.Load(); c != nil {
		i.Signs = c.published[0].ID
		for _, k := range c.published {
			i.Loaded = append(i.Loaded, k.ID)
		}
	}
	slices.Sort(i.Loaded)
	i.Trouble = m.trouble["keys"]
	for _, what := range []string{"stage", "parties", "promote"} { // an admin's list reads them here
		if text := m.trouble[what]; text != "" {
			i.Trouble = strings.TrimPrefix(i.Trouble+"; "+what+": "+text, "; ")
		}
	}
	i.Trouble = strings.ToValidUTF8(i.Trouble[:min(len(i.Trouble), maxTrouble)], "")
	return i
}

// tend reports this instance and takes the steps that follow from what all report.
func (m *Manager) tend(ctx context.Context) error {
	fetched := m.takeFetched()
	_, err := change(ctx, m.cfg.Store, func(l *Ledger) error {
		m.observe(l)
		running := m.running(l)
		own := running[m.cfg.Instance]
		m.mu.Lock()
		passed := m.cfg.Steady() - m.tickAt
		due := m.cfg.Steady()-m.reported >= m.cfg.Policy.Live/3 || m.ledger == nil
		m.mu.Unlock()
		was, reported := l.Instances[m.cfg.Instance]
		changed := due || !reported || !slices.Equal(was.Loaded, own.Loaded) || was.Signs != own.Signs || was.Trouble != own.Trouble || was.Audited != own.Audited
		now := m.cfg.Now()
		for party, ids := range fetched {
			for i := range l.Entries {
				if e := &l.Entries[i]; e.State.Listed() && ids[e.ID] {
					changed = e.know(party, Fetched, now) || changed
				}
			}
		}
		// Time is added before any step looks at it; steps are for what was reported.
		if changed {
			l.advance(now, passed)
		}
		if l.Instances == nil {
			l.Instances = map[string]Instance{}
		}
		l.Instances[m.cfg.Instance] = own
		changed = l.publish(running, now, m.cfg.Instance) || changed
		changed = l.bury(m.cfg.Policy, now, m.cfg.Instance) || changed
		for name, i := range l.Instances {
			if _, lives := running[name]; !lives && now.Sub(i.Seen) > 30*day {
				delete(l.Instances, name)
				changed = true
			}
		}
		if !changed {
			return errUnchanged
		}
		return nil
	})
	if err != nil {
		for party, ids := range fetched {
			m.Fetched(party, slices.Collect(maps.Keys(ids)))
		}
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cfg.Steady()-m.reported >= m.cfg.Policy.Live/3 {
		m.reported = m.cfg.Steady()
	}
	return nil
}

// watchClock notices a wall clock that jumped, or that is not that of the others,
// and holds automatic steps until it has been steady for a while.
func (m *Manager) watchClock() {
	m.mu.Lock()
	now, steady := m.cfg.Now(), m.cfg.Steady()
	moved := now.Sub(m.wall) - (steady - m.steady)
	m.wall, m.steady = now, steady
	var err error
	if moved.Abs() > jump {
		m.hold = steady + settle
	}
	for name, w := range m.watched {
		if name != m.cfg.Instance && w.skew.Abs() > jump && steady-w.at <= m.cfg.Policy.Live {
			m.hold = steady + settle
			err = fmt.Errorf("this machine's clock and that of %s are %s apart: no key is made or promoted by itself until they agree", name, w.skew.Abs().Round(time.Second))
		}
	}
	if err == nil && steady < m.hold {
		err = fmt.Errorf("the clock jumped: no key is made or promoted by itself until it has been steady for %s", settle)
	}
	m.mu.Unlock()
	_ = m.note("clock", err)
}

func (m *Manager) holding() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cfg.Steady() < m.hold
}

// audit writes the events that this instance's trail does not have yet.
func (m *Manager) audit(ctx context.Context) {
	l := m.seen()
	for _, e := range l.Events {
		m.mu.Lock()
		done := e.Number <= m.audited
		m.mu.Unlock()
		if done {
			continue
		}
		if m.cfg.Audit != nil {
			if err := m.cfg.Audit(ctx, e); err != nil {
				_ = m.note("audit", err)
				return
			}
		}
		m.mu.Lock()
		m.audited = e.Number
		m.mu.Unlock()
	}
	_ = m.note("audit", nil)
}
