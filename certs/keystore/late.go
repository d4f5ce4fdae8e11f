package keystore

import (
	"context"
	"crypto"
	"sync"

	"sallyport/certs"
)

// Late is a key store that is opened when a key is needed: what is known of keys can be
// read while their module is away. It is safe for concurrent use.
type Late struct {
	open func() (certs.KeyStore, error)
}

var _ certs.KeyStore = (*Late)(nil)

// NewLate returns the key store that open returns, which is called once at most.
func NewLate(open func() (certs.KeyStore, error)) *Late { return &Late{sync.OnceValues(open)} }

// Ready opens the key store.
func (l *Late) Ready() error {
	_, err := l.open()
	return err
}

// Generate implements [certs.KeyStore].
func (l *Late) Generate(ctx context.Context, ref string, bits int) (crypto.Signer, error) {
	keys, err := l.open()
	if err != nil {
		return nil, err
	}
	return keys.Generate(ctx, ref, bits)
}

// Import implements [certs.KeyStore].
func (l *Late) Import(ctx context.Context, ref string, key crypto.Signer) error {
	keys, err := l.open()
	if err != nil {
		return err
	}
	return keys.Import(ctx, ref, key)
}

// Open implements [certs.KeyStore].
func (l *Late) Open(ctx context.Context, ref string) (crypto.Signer, error) {
	keys, err := l.open()
	if err != nil {
		return nil, err
	}
	return keys.Open(ctx, ref)
}

// Destroy implements [certs.KeyStore].
func (l *Late) Destroy(ctx context.Context, ref string) error {
	keys, err := l.open()
	if err != nil {
		return err
	}
	return keys.Destroy(ctx, ref)
}
