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
		return nil
	}
	err := m.tellAll(ctx, l, v.Parties)
	_ = m.note("parties", err)
	if m.cfg.Policy.Manual || m.holding() {
		return err
	}
	// What was just read back and proved is in the ledger now.
	switch _, perr := m.hand.withParties(v.Parties).Promote(ctx, "", false); {
	case errors.Is(perr, ErrRefused):
	case perr != nil:
		err = errors.Join(err, m.note("promote", perr))
	default:
		_ = m.note("promote", nil)
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
	next := l.Of(Published)
	if next == nil {
		return nil
	}
	m.mu.Lock()
	key := m.loaded[next.ID]
	m.mu.Unlock()
	if key == nil {
		return nil // this instance is being waited for anyway
	}
	how := ReadBack
	proof := m.cfg.Prove(ctx, party, key, held)
	if proof == nil {
		how = Proved
	}
	if err := m.remember(ctx, next.ID, party, how); err != nil {
		return err
	}
	if proof != nil {
		return fmt.Errorf("a token signed by %s is not accepted: %w", short(next.ID), proof)
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
	next := l.Of(Published)
	if next == nil {
		return why
	}
	_, err := change(ctx, m.cfg.Store, func(l *Ledger) error {
		e, err := l.Find(next.ID)
		if err != nil {
			return err
		}
		if _, known := e.Knows[party]; !known {
			return errUnchanged
		}
		delete(e.Knows, party)
		return nil
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
