package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Tell keeps the parties that are pushed to in step, proves that they accept the
// next key, and promotes it when nothing stands in the way any more.
func (m *Manager) Tell(ctx context.Context) error {
	l := m.seen()
	if l == nil {
		return nil
	}
	v := m.view(l)
	if !m.leads(v) {
		// What failed here is the leader's business now, and in its report.
		_, _ = m.note("parties", nil), m.note("promote", nil)
		return nil
	}
	err := m.tellAll(ctx, l, v.Parties)
	_ = m.note("parties", err)
	if m.cfg.Policy.Manual || m.holding() {
		return err
	}
	return errors.Join(err, m.note("promote", m.promoteDue(ctx, v.Parties)))
}

// promoteDue promotes the next key when its time has come and nothing stands in the
// way: what was just read back and proved is in the ledger now.
func (m *Manager) promoteDue(ctx context.Context, parties []Party) error {
	l, err := m.cfg.Store.Load(ctx)
	if err != nil {
		return err
	}
	v := m.view(l)
	v.Parties = parties
	steps := v.Plan()
	s := steps[len(steps)-1]
	if s.Action != NextPromote || len(s.Waits) > 0 || v.Now.Before(s.Due) {
		return nil
	}
	if _, err = m.hand.withParties(parties).Promote(ctx, s.ID, false); errors.Is(err, ErrRefused) {
		return nil // somebody changed something in between
	}
	return err
}

func (h Hand) withParties(p []Party) *Hand { h.Parties = p; return &h }

func (m *Manager) tellAll(ctx context.Context, l *Ledger, parties []Party) error {
	if m.cfg.Trust == nil {
		return nil
	}
	var errs []error
	for _, p := range parties {
		if !p.Pushed {
			continue
		}
		if err := m.tell(ctx, l, p.Key); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.Key, err))
		}
	}
	return errors.Join(errs...)
}

// tell brings one party in step and records what it holds.
func (m *Manager) tell(ctx context.Context, l *Ledger, party string) error {
	held, err := m.cfg.Trust.Slots(ctx, party)
	if err != nil {
		return fmt.Errorf("reading back: %w", err)
	}
	want, err := l.Wanted()
	if err != nil {
		return err
	}
	if !l.owns(held.Current) && !l.owns(held.Next) {
		// The party trusts somebody else: perhaps the service that is to be replaced, or
		// an intruder. Neither is for a loop to decide.
		return m.forget(ctx, l, party, errors.New("holds none of this service's certificates: sallyport domain show compares; nothing was changed there"))
	}
	if !satisfied(held, want) {
		if err := m.cfg.Trust.Push(ctx, party, want); err != nil {
			return fmt.Errorf("pushing: %w", err)
		}
		if held, err = m.cfg.Trust.Slots(ctx, party); err != nil {
			return fmt.Errorf("reading back: %w", err)
		}
		if !satisfied(held, want) {
			return m.forget(ctx, l, party, errors.New("was told the certificates and does not hold them yet"))
		}
	}
	var errs []error
	for _, e := range l.toProve() {
		errs = append(errs, m.prove(ctx, e, party, held))
	}
	return errors.Join(errs...)
}

// toProve are the keys of which it matters whether parties accept them: the next one,
// and the one that signs when it began before they could know it.
func (l *Ledger) toProve() []*Entry {
	var list []*Entry
	if e := l.Of(Signing); e.Hurried {
		list = append(list, e)
	}
	if e := l.Of(Published); e != nil {
		list = append(list, e)
	}
	return list
}

// prove tries a token signed by e's key with a party that was read back, and records
// what came of it.
func (m *Manager) prove(ctx context.Context, e *Entry, party string, held Slots) error {
	m.mu.Lock()
	key := m.loaded[e.ID]
	m.mu.Unlock()
	if key == nil {
		return nil // this instance is being waited for anyway
	}
	how := ReadBack
	proof := m.cfg.Prove(ctx, party, key, held)
	if proof == nil {
		how = Proved
	}
	if err := m.remember(ctx, e.ID, party, how); err != nil {
		return err
	}
	if proof != nil {
		return fmt.Errorf("a token signed by %s is not accepted: %w", short(e.ID), proof)
	}
	return nil
}

// satisfied reports whether a party holds what it should. An implementation that
// cannot empty a slot may have put the current certificate there.
func satisfied(held, want Slots) bool {
	if want.Next == nil && held.Next != nil {
		return same(held.Current, want.Current) && same(held.Next, want.Current)
	}
	return held.Equal(want)
}

// owns reports whether a certificate is, or was, one of this service's.
func (l *Ledger) owns(c *x509.Certificate) bool {
	if c == nil {
		return false
	}
	e, err := l.Find(Thumbprint(c))
	if err != nil {
		return false
	}
	own, err := e.X509()
	return err == nil && own.Equal(c)
}

// remember records what is known of a party; what was proved before and is only
// read back now counts as read back.
func (m *Manager) remember(ctx context.Context, id, party, how string) error {
	_, err := change(ctx, m.cfg.Store, func(l *Ledger) error {
		e, err := l.Find(id)
		if err != nil {
			return err
		}
		if was := e.Knows[party].How; was == Proved && how == ReadBack {
			delete(e.Knows, party)
		}
		if !e.know(party, how, m.cfg.Now()) {
			return errUnchanged
		}
		return nil
	})
	return err
}

// forget takes back what was known of a party and returns why.
func (m *Manager) forget(ctx context.Context, l *Ledger, party string, why error) error {
	if len(l.toProve()) == 0 {
		return why
	}
	_, err := change(ctx, m.cfg.Store, func(l *Ledger) error {
		err := errUnchanged
		for _, e := range l.toProve() {
			if _, known := e.Knows[party]; known {
				delete(e.Knows, party)
				err = nil
			}
		}
		return err
	})
	return errors.Join(why, err)
}

// Left returns how long the certificate that signs is still valid.
func (l *Ledger) Left(now time.Time) time.Duration {
	cert, err := l.Of(Signing).X509()
	if err != nil {
		return 0
	}
	return cert.NotAfter.Sub(now)
}
