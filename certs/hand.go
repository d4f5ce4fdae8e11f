package certs

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// leaseTime is how long making a key may take; a module with a slow processor
	// needs a minute for a large one.
	leaseTime = 10 * time.Minute
	// switchDelay is how long before its first signature a promoted key is announced,
	// so that all instances change over at the same instant.
	switchDelay = 15 * time.Second
	// keepGone is how many records of keys that are gone stay in the ledger.
	keepGone = 16
)

// Hand carries out the steps of the life cycle, for the loop and for admins alike.
// Each method leaves the ledger in a good state wherever it is interrupted, and can
// be called again. It is safe for concurrent use, by several processes too.
type Hand struct {
	Store Store
	Keys  KeyStore
	// Policy and Parties decide what a promotion has to wait for.
	Policy  Policy
	Parties []Party
	// Host is the service's name in the subject of a certificate.
	Host string
	// By is who acts: an instance, or a user and host. Required.
	By string
	// Now is the clock. Default [time.Now].
	Now func() time.Time
	// Running tells which instances count. Default: the recent reports.
	Running func(*Ledger) map[string]Instance
}

func (h *Hand) now() time.Time {
	if h.Now == nil {
		return time.Now()
	}
	return h.Now()
}

// View returns what a plan for the ledger is made from.
func (h *Hand) View(l *Ledger) View {
	running := h.Running
	if running == nil {
		running = func(l *Ledger) map[string]Instance { return l.Running(h.Policy, h.now()) }
	}
	return View{Ledger: l, Policy: h.Policy, Parties: h.Parties, Running: running(l), Now: h.now()}
}

// First makes the first key of all, which signs at once. If there is a ledger
// already, it returns [ErrRefused].
func (h *Hand) First(ctx context.Context) (*Entry, error) {
	ref := newRef(h.now())
	e, err := h.generate(ctx, ref, h.Policy.WithDefaults().Validity)
	if err != nil {
		return nil, err
	}
	return h.begin(ctx, e, ActionStaged)
}

// begin makes the first ledger, in which e signs.
func (h *Hand) begin(ctx context.Context, e *Entry, action string) (*Entry, error) {
	now := h.now()
	e.enter(Signing, now)
	e.SignsFrom = now
	l := &Ledger{Version: 1, Entries: []Entry{*e}, Tick: now}
	l.note(Event{At: now, By: h.By, Action: action, ID: e.ID, Detail: "the first key"})
	l.note(Event{At: now, By: h.By, Action: ActionPromoted, ID: e.ID, Detail: "the first key"})
	switch err := h.Store.Swap(ctx, l); {
	case errors.Is(err, ErrConflict):
		return nil, errors.Join(fmt.Errorf("%w: there are signing keys already", ErrRefused), h.Keys.Destroy(ctx, e.Ref))
	case err != nil:
		return nil, err
	}
	return e, nil
}

// generate makes a key under ref and its self-signed certificate.
func (h *Hand) generate(ctx context.Context, ref string, validity time.Duration) (*Entry, error) {
	key, err := h.Keys.Generate(ctx, ref, h.Policy.WithDefaults().Bits)
	if err != nil {
		return nil, fmt.Errorf("making a signing key: %w", err)
	}
	now := h.now()
	cert, err := selfSigned(signingTemplate(h.Host, now, validity), key)
	if err != nil {
		return nil, fmt.Errorf("making a signing certificate: %w", err)
	}
	if _, _, err := New(key, cert, now); err != nil {
		return nil, err
	}
	return &Entry{ID: Thumbprint(cert), Ref: ref, Certificate: cert.Raw, Origin: Generated}, nil
}

func signingTemplate(host string, now time.Time, validity time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: commonName("Sallyport Signing - " + host)},
		NotBefore: now.Add(-5 * time.Minute), // clocks of relying parties run apart
		NotAfter:  now.Add(validity),
		KeyUsage:  x509.KeyUsageDigitalSignature,
	}
}

// lease announces the keys that are about to be made. Another's lease that has not
// ended is respected, unless force is set.
func (h *Hand) lease(ctx context.Context, refs []string, force bool) error {
	var orphans []string
	_, err := change(ctx, h.Store, func(l *Ledger) error {
		orphans = nil
		if old := l.Lease; old != nil {
			if !force && old.Holder != h.By && h.now().Before(old.Until) {
				return fmt.Errorf("%w: %s is making a key just now: try again after %s", ErrRefused, old.Holder, old.Until.UTC().Format(time.TimeOnly))
			}
			orphans = append(slices.Clone(old.Orphans), old.Refs...)
		}
		if next := l.Next(); next != nil && !force {
			return fmt.Errorf("%w: %s is %s already: promote or retire it first", ErrRefused, short(next.ID), next.State)
		}
		l.Lease = &Lease{Holder: h.By, Refs: refs, Until: h.now().Add(leaseTime), Orphans: orphans}
		return nil
	})
	if err != nil {
		return err
	}
	for _, ref := range orphans {
		if err := h.Keys.Destroy(ctx, ref); err != nil {
			return fmt.Errorf("removing a key that was never finished: %w", err)
		}
	}
	return nil
}

// redeem makes entries of what a lease announced; f changes the ledger. When the
// lease has gone to somebody else, the keys are destroyed.
func (h *Hand) redeem(ctx context.Context, refs []string, f func(*Ledger) error) error {
	_, err := change(ctx, h.Store, func(l *Ledger) error {
		if l.Lease == nil || !slices.Equal(l.Lease.Refs, refs) {
			return fmt.Errorf("%w: somebody else began to make a key in the meantime: sallyport certs list shows what came of it", ErrRefused)
		}
		l.Lease = nil
		return f(l)
	})
	if errors.Is(err, ErrRefused) {
		for _, ref := range refs {
			err = errors.Join(err, h.Keys.Destroy(ctx, ref))
		}
	}
	return err
}

// Stage makes the next key. It signs after it has been promoted.
func (h *Hand) Stage(ctx context.Context) (*Entry, error) {
	refs := []string{newRef(h.now())}
	if err := h.lease(ctx, refs, false); err != nil {
		return nil, err
	}
	e, err := h.generate(ctx, refs[0], h.Policy.WithDefaults().Validity)
	if err != nil {
		return nil, err
	}
	return e, h.redeem(ctx, refs, func(l *Ledger) error {
		if next := l.Next(); next != nil {
			return fmt.Errorf("%w: %s is %s already: promote or retire it first", ErrRefused, short(next.ID), next.State)
		}
		l.add(e, Staged, h.now())
		l.note(Event{At: h.now(), By: h.By, Action: ActionStaged, ID: e.ID})
		return nil
	})
}

func (l *Ledger) add(e *Entry, s State, now time.Time) {
	e.enter(s, now)
	l.Entries = append(l.Entries, *e)
	gone := 0
	for i := len(l.Entries) - 1; i >= 0; i-- {
		if l.Entries[i].State != Gone {
			continue
		}
		if gone++; gone > keepGone {
			l.Entries = slices.Delete(l.Entries, i, i+1)
		}
	}
}

// ErrKnown says that a key is in the ledger already; nothing was changed.
var ErrKnown = errors.New("this key is there already")

// Import takes over a key that was made elsewhere. It becomes the next key, or the
// one that signs when there is none yet.
func (h *Hand) Import(ctx context.Context, key crypto.Signer, cert *x509.Certificate) (*Entry, error) {
	now := h.now()
	if _, _, err := New(key, cert, now); err != nil {
		return nil, err
	}
	id, ref := Thumbprint(cert), newRef(now)
	l, err := h.Store.Load(ctx)
	switch {
	case errors.Is(err, ErrNoLedger):
		if err := h.Keys.Import(ctx, ref, key); err != nil {
			return nil, fmt.Errorf("storing the key: %w", err)
		}
		return h.begin(ctx, &Entry{ID: id, Ref: ref, Certificate: cert.Raw, Origin: Imported}, ActionImported)
	case err != nil:
		return nil, err
	}
	if known, err := l.knows(key, id); err != nil {
		return known, err
	}
	refs := []string{ref}
	if err := h.lease(ctx, refs, false); err != nil {
		return nil, err
	}
	if err := h.Keys.Import(ctx, ref, key); err != nil {
		return nil, fmt.Errorf("storing the key: %w", err)
	}
	e := &Entry{ID: id, Ref: ref, Certificate: cert.Raw, Origin: Imported}
	return e, h.redeem(ctx, refs, func(l *Ledger) error {
		l.add(e, Staged, h.now())
		l.note(Event{At: h.now(), By: h.By, Action: ActionImported, ID: e.ID})
		return nil
	})
}

// knows refuses a certificate or a key that the ledger has already.
func (l *Ledger) knows(key crypto.Signer, id string) (*Entry, error) {
	pub, ok := key.Public().(*rsa.PublicKey)
	for i := range l.Entries {
		e := &l.Entries[i]
		c, err := e.X509()
		if err != nil {
			return nil, err
		}
		switch {
		case e.ID == id && e.State != Gone:
			return e, fmt.Errorf("%w: %s, %s", ErrKnown, e.ID, e.State)
		case e.Stolen && ok && pub.Equal(c.PublicKey):
			return nil, fmt.Errorf("%w: an emergency rotation gave this key (%s) up for stolen", ErrRefused, short(e.ID))
		case e.ID == id:
			return nil, fmt.Errorf("%w: %s has been used and is gone: make a new key", ErrRefused, short(e.ID))
		}
	}
	return nil, nil
}
