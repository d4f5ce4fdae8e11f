package keystore

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"sallyport/certs"
	"sallyport/certs/internal/pemkey"
)

// Blobs is a store of small values that instances share. It is not trusted with
// anything but availability. It is safe for concurrent use.
type Blobs interface {
	// Blob returns the value under a name, nil when there is none.
	Blob(ctx context.Context, name string) ([]byte, error)
	// SwapBlob replaces old by next and reports whether it did: false when the value
	// is not old. A nil old means that there is none, a nil next removes it.
	SwapBlob(ctx context.Context, name string, old, next []byte) (bool, error)
}

// Sealed keeps the ledger and the private keys in a shared store, each value sealed
// with AES-256-GCM under a key-encryption key that the store never has and bound to
// its name. It is safe for concurrent use, by several processes too.
type Sealed struct {
	blobs Blobs
	aead  cipher.AEAD
}

var (
	_ certs.Store    = (*Sealed)(nil)
	_ certs.KeyStore = (*Sealed)(nil)
)

// ledgerBlob is the name of the ledger; keys lie under keyBlob and their reference.
const (
	ledgerBlob = "ledger"
	keyBlob    = "key/"
)

// NewSealed returns the store whose values secret seals: at least 32 random
// characters.
func NewSealed(blobs Blobs, secret []byte) (*Sealed, error) {
	if len(secret) < 32 {
		return nil, errors.New("the key-encryption secret has fewer than 32 characters")
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "sallyport sealed signing keys v1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &Sealed{blobs: blobs, aead: aead}, err
}

func (s *Sealed) seal(name string, plain []byte) []byte {
	return s.aead.Seal(nil, nil, plain, []byte(name))
}

func (s *Sealed) open(name string, sealed []byte) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("%s in the shared store does not open: signing.key_encryption_file differs between instances, or somebody changed it there", name)
	}
	return plain, nil
}

// Load implements [certs.Store].
func (s *Sealed) Load(ctx context.Context) (*certs.Ledger, error) {
	l, _, err := s.load(ctx)
	return l, err
}

func (s *Sealed) load(ctx context.Context) (*certs.Ledger, []byte, error) {
	sealed, err := s.blobs.Blob(ctx, ledgerBlob)
	if err != nil {
		return nil, nil, err
	}
	if sealed == nil {
		return nil, nil, certs.ErrNoLedger
	}
	plain, err := s.open(ledgerBlob, sealed)
	if err != nil {
		return nil, nil, err
	}
	l, err := certs.DecodeLedger(plain)
	return l, sealed, err
}

// Swap implements [certs.Store].
func (s *Sealed) Swap(ctx context.Context, next *certs.Ledger) error {
	return s.replace(ctx, next, func(version uint64) bool { return version == next.Version-1 })
}

// Restore puts an instance's own copy of the ledger back when the shared store has
// lost it, or what came after an earlier version.
func (s *Sealed) Restore(ctx context.Context, l *certs.Ledger) error {
	return s.replace(ctx, l, func(version uint64) bool { return version < l.Version })
}

func (s *Sealed) replace(ctx context.Context, next *certs.Ledger, may func(version uint64) bool) error {
	data, err := certs.EncodeLedger(next)
	if err != nil {
		return err
	}
	now, raw, err := s.load(ctx)
	version := uint64(0)
	switch {
	case errors.Is(err, certs.ErrNoLedger):
	case err != nil:
		return err
	default:
		version = now.Version
	}
	if !may(version) {
		return certs.ErrConflict
	}
	done, err := s.blobs.SwapBlob(ctx, ledgerBlob, raw, s.seal(ledgerBlob, data))
	if err == nil && !done {
		err = certs.ErrConflict
	}
	return err
}

// Generate implements [certs.KeyStore].
func (s *Sealed) Generate(ctx context.Context, ref string, bits int) (crypto.Signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, err
	}
	return key, s.Import(ctx, ref, key)
}

// Import implements [certs.KeyStore].
func (s *Sealed) Import(ctx context.Context, ref string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	defer clear(der)
	done, err := s.blobs.SwapBlob(ctx, keyBlob+ref, nil, s.seal(keyBlob+ref, der))
	if err == nil && !done {
		err = fmt.Errorf("there is a key under %s already", ref)
	}
	return err
}

// Open implements [certs.KeyStore].
func (s *Sealed) Open(ctx context.Context, ref string) (crypto.Signer, error) {
	sealed, err := s.blobs.Blob(ctx, keyBlob+ref)
	if err != nil {
		return nil, err
	}
	if sealed == nil {
		return nil, fmt.Errorf("%w: the shared store has none under %s", certs.ErrNoKey, ref)
	}
	der, err := s.open(keyBlob+ref, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	return pemkey.ParseDER(der)
}

// Destroy implements [certs.KeyStore].
func (s *Sealed) Destroy(ctx context.Context, ref string) error {
	sealed, err := s.blobs.Blob(ctx, keyBlob+ref)
	if err != nil || sealed == nil {
		return err
	}
	_, err = s.blobs.SwapBlob(ctx, keyBlob+ref, sealed, nil)
	return err
}
