package app

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"time"

	"sallyport/certs"
	"sallyport/certs/keystore"
	"sallyport/cmd/internal/config"
	"sallyport/ptaagent"
)

// PTAKeys is the module of the pta section, nil where keys are in files.
func PTAKeys(cfg *config.Config) (ptaagent.KeyStore, error) {
	m := cfg.PTA.PKCS11
	if !m.On() {
		return nil, nil
	}
	pin, err := m.PIN()
	if err != nil {
		return nil, cfg.At("pta.pkcs11.pin_file", err)
	}
	store, err := keystore.OpenModule(keystore.ModuleConfig{Path: m.ModuleFile, Token: m.Token, PIN: string(pin)})
	if err != nil {
		return nil, cfg.At("pta.pkcs11", err)
	}
	module, ok := store.(decrypterStore)
	if !ok {
		return nil, fmt.Errorf("pta.pkcs11: %T makes no keys that decrypt", store)
	}
	return moduleKeys{module}, nil
}

// PTAIdentity loads the agent that is registered on this host.
func PTAIdentity(cfg *config.Config, now time.Time) (*ptaagent.Identity, error) {
	keys, err := PTAKeys(cfg)
	if err != nil {
		return nil, err
	}
	return ptaagent.LoadIdentity(cfg.PTA.StateDir, keys, now)
}

// decrypterStore is a module whose keys can decrypt.
type decrypterStore interface {
	certs.KeyStore
	GenerateDecrypter(ctx context.Context, ref string, bits int) (crypto.Signer, error)
}

// moduleKeys lets an agent use a module.
type moduleKeys struct{ store decrypterStore }

// Generate implements [ptaagent.KeyStore].
func (m moduleKeys) Generate(ctx context.Context, ref string) (ptaagent.Key, error) {
	return moduleKeyOf(m.store.GenerateDecrypter(ctx, ref, 2048))
}

// Open implements [ptaagent.KeyStore].
func (m moduleKeys) Open(ctx context.Context, ref string) (ptaagent.Key, error) {
	return moduleKeyOf(m.store.Open(ctx, ref))
}

// Destroy implements [ptaagent.KeyStore].
func (m moduleKeys) Destroy(ctx context.Context, ref string) error { return m.store.Destroy(ctx, ref) }

func moduleKeyOf(key crypto.Signer, err error) (ptaagent.Key, error) {
	if err != nil {
		return nil, err
	}
	k, ok := key.(ptaagent.Key)
	if !ok {
		return nil, fmt.Errorf("a key of the module is %T, which does not decrypt", key)
	}
	return moduleKey{k}, nil
}

// moduleKey tells a module that does not answer from a text that cannot be decrypted.
type moduleKey struct{ ptaagent.Key }

// Decrypt implements [crypto.Decrypter].
func (k moduleKey) Decrypt(random io.Reader, text []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	plain, err := k.Key.Decrypt(random, text, opts)
	if errors.Is(err, keystore.ErrModuleAway) {
		return nil, fmt.Errorf("%w: %w", ptaagent.ErrKeyAway, err)
	}
	return plain, err
}
