package keystore

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"sync/atomic"

	"sallyport/certs"
)

// Mirror is a shared store with this instance's own copy on disk. The shared store
// decides; the copy lets an instance start while it is down, and gives back what it
// lost (a cache that was emptied, writes that a failover dropped). It is safe for
// concurrent use.
type Mirror struct {
	shared *Sealed
	ledger *certs.DirStore
	keys   *Files
	// down is why the last Load came from the copy.
	down atomic.Pointer[error]
}

var (
	_ certs.Store    = (*Mirror)(nil)
	_ certs.KeyStore = (*Mirror)(nil)
)

// NewMirror returns the mirror of shared in a directory of this instance's own.
func NewMirror(shared *Sealed, dir string, passphrase []byte) *Mirror {
	return &Mirror{shared: shared, ledger: certs.NewDirStore(dir), keys: NewFiles(dir, passphrase)}
}

// Down says why the latest Load returned this instance's own copy, which may be older
// than what the others have; nil when the shared store answered.
func (m *Mirror) Down() error {
	if err := m.down.Load(); err != nil {
		return *err
	}
	return nil
}

// Load implements [certs.Store]. With the shared store down it returns the copy;
// what Swap then says tells that nothing can be changed.
func (m *Mirror) Load(ctx context.Context) (*certs.Ledger, error) {
	own, ownErr := m.ledger.Load(ctx)
	if ownErr != nil && !errors.Is(ownErr, certs.ErrNoLedger) {
		return nil, ownErr
	}
	l, err := m.shared.Load(ctx)
	m.down.Store(nil)
	lost := errors.Is(err, certs.ErrNoLedger) || err == nil && ownErr == nil && l.Version < own.Version
	switch {
	case lost && ownErr == nil:
		if err := m.restore(ctx, own); err != nil {
			return nil, err
		}
		return own, nil
	case err != nil && !errors.Is(err, certs.ErrNoLedger) && ownErr == nil:
		m.down.Store(&err)
		return own, nil
	case err != nil:
		return nil, err
	}
	// On disk before it is active: who signs with a key must find it again after a
	// power cut, with the shared store gone as well.
	return l, m.ledger.Keep(ctx, l)
}

// restore gives the shared store back what it lost.
func (m *Mirror) restore(ctx context.Context, l *certs.Ledger) error {
	for i := range l.Entries {
		if e := &l.Entries[i]; e.State.Listed() {
			if _, err := m.shared.Open(ctx, e.Ref); !errors.Is(err, certs.ErrNoKey) {
				continue
			}
			key, err := m.keys.Open(ctx, e.Ref)
			if err != nil {
				continue // another instance may have it
			}
			if err := m.shared.Import(ctx, e.Ref, key); err != nil {
				return err
			}
		}
	}
	return m.shared.Restore(ctx, l)
}

// Swap implements [certs.Store].
func (m *Mirror) Swap(ctx context.Context, next *certs.Ledger) error {
	if err := m.shared.Swap(ctx, next); err != nil {
		return err
	}
	return m.ledger.Keep(ctx, next)
}

// Generate implements [certs.KeyStore].
func (m *Mirror) Generate(ctx context.Context, ref string, bits int) (crypto.Signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, err
	}
	return key, m.Import(ctx, ref, key)
}

// Import implements [certs.KeyStore].
func (m *Mirror) Import(ctx context.Context, ref string, key crypto.Signer) error {
	if err := m.shared.Import(ctx, ref, key); err != nil {
		return err
	}
	return m.keys.Import(ctx, ref, key)
}

// Open implements [certs.KeyStore].
func (m *Mirror) Open(ctx context.Context, ref string) (crypto.Signer, error) {
	key, err := m.keys.Open(ctx, ref)
	switch {
	case err == nil:
		return key, nil
	case !errors.Is(err, certs.ErrNoKey):
		return nil, fmt.Errorf("%w (if this copy is damaged, remove it: it is fetched from the shared store again)", err)
	}
	if key, err = m.shared.Open(ctx, ref); err != nil {
		return nil, err
	}
	return key, m.keys.Import(ctx, ref, key)
}

// Destroy implements [certs.KeyStore].
func (m *Mirror) Destroy(ctx context.Context, ref string) error {
	return errors.Join(m.keys.Destroy(ctx, ref), m.shared.Destroy(ctx, ref))
}
