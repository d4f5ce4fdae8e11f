//go:build pkcs11

package keystore

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ThalesGroup/crypto11"

	"sallyport/certs"
)

const (
	// moduleQueue is how many signatures may be under way; more wait.
	moduleQueue = 32
	// moduleTime is how long a signature may take, waiting included. A module that is
	// slow or gone fails tokens one by one and never stops the service (threats C09).
	moduleTime = 5 * time.Second
)

// Module keeps keys in a PKCS#11 token, which makes them and never gives them out.
// It is safe for concurrent use.
type Module struct {
	ctx  *crypto11.Context
	slot chan struct{}
}

var _ certs.KeyStore = (*Module)(nil)

// OpenModule opens a token. The module stays open as long as the process lives.
func OpenModule(cfg ModuleConfig) (certs.KeyStore, error) {
	ctx, err := crypto11.Configure(&crypto11.Config{Path: cfg.Path, TokenLabel: cfg.Token, Pin: cfg.PIN, MaxSessions: moduleQueue + 2})
	if err != nil {
		return nil, fmt.Errorf("token %q in %s: %w", cfg.Token, cfg.Path, err)
	}
	return &Module{ctx: ctx, slot: make(chan struct{}, moduleQueue)}, nil
}

// Generate implements [certs.KeyStore].
func (m *Module) Generate(_ context.Context, ref string, bits int) (crypto.Signer, error) {
	attributes, err := crypto11.NewAttributeSetWithIDAndLabel([]byte(ref), []byte("sallyport "+ref))
	if err != nil {
		return nil, err
	}
	private := attributes.Copy()
	for attribute, value := range map[crypto11.AttributeType]bool{crypto11.CkaSensitive: true, crypto11.CkaExtractable: false, crypto11.CkaSign: true, crypto11.CkaDecrypt: false} {
		if err := private.Set(attribute, value); err != nil {
			return nil, err
		}
	}
	key, err := m.ctx.GenerateRSAKeyPairWithAttributes(attributes, private, bits)
	if err != nil {
		return nil, err
	}
	return &moduleKey{m, key}, nil
}

// Import implements [certs.KeyStore]: a key that was outside is no key of a module.
func (m *Module) Import(context.Context, string, crypto.Signer) error {
	return errors.New("a key that exists as a file cannot be brought into the module here: let the module make the next key (sallyport certs stage), or use the maker's own tool")
}

// Open implements [certs.KeyStore].
func (m *Module) Open(_ context.Context, ref string) (crypto.Signer, error) {
	found, err := m.ctx.FindKeyPairs([]byte(ref), nil)
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%w: the token has %d with the id %s", certs.ErrNoKey, len(found), ref)
	}
	return &moduleKey{m, found[0]}, nil
}

// Destroy implements [certs.KeyStore].
func (m *Module) Destroy(_ context.Context, ref string) error {
	found, err := m.ctx.FindKeyPairs([]byte(ref), nil)
	for _, key := range found {
		err = errors.Join(err, key.Delete())
	}
	return err
}

// moduleKey bounds how long and how many at once sign with a key of a module.
type moduleKey struct {
	m   *Module
	key crypto11.Signer
}

// Public implements [crypto.Signer].
func (k *moduleKey) Public() crypto.PublicKey { return k.key.Public() }

// Sign implements [crypto.Signer].
func (k *moduleKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	limit := time.NewTimer(moduleTime)
	defer limit.Stop()
	select {
	case k.m.slot <- struct{}{}:
	case <-limit.C:
		return nil, errors.New("PKCS#11: the module is too busy")
	}
	type answer struct {
		signature []byte
		err       error
	}
	done := make(chan answer, 1)
	go func() {
		defer func() { <-k.m.slot }()
		s, err := k.key.Sign(random, digest, opts)
		done <- answer{s, err}
	}()
	select {
	case a := <-done:
		return a.signature, a.err
	case <-limit.C:
		return nil, fmt.Errorf("PKCS#11: the module did not sign within %s", moduleTime)
	}
}
