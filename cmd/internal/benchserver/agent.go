//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"sallyport/ptaagent"
)

// agentKeys opens the key of the pass-through agent that the driver registered, a
// PKCS#8 file in dir, and can be told to decrypt without RSA.
type agentKeys struct {
	dir  string
	null atomic.Bool // Decrypt answers with what it decrypted last
	key  atomic.Pointer[agentKey]
}

// Generate implements [ptaagent.KeyStore].
func (a *agentKeys) Generate(context.Context, string) (ptaagent.Key, error) {
	return nil, errors.New("benchserver: the driver makes the agent's key")
}

// Destroy implements [ptaagent.KeyStore].
func (a *agentKeys) Destroy(context.Context, string) error { return nil }

// Open implements [ptaagent.KeyStore].
func (a *agentKeys) Open(_ context.Context, ref string) (ptaagent.Key, error) {
	der, err := os.ReadFile(filepath.Join(a.dir, ref))
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	k, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("benchserver: the agent's key is not RSA")
	}
	a.key.Store(&agentKey{PrivateKey: k, keys: a})
	return a.key.Load(), nil
}

// sample is the key, and a password encrypted to it.
func (a *agentKeys) sample() (*rsa.PrivateKey, []byte, error) {
	k := a.key.Load()
	if k == nil {
		return nil, nil, errors.New("benchserver: no agent runs here")
	}
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, &k.PublicKey, []byte(`{"Password":"0123456789abcdef"}`), nil)
	return k.PrivateKey, sealed, err
}

// agentKey is the key with the null decrypter of the budget: all people of the driver
// have one password, so that an old plaintext leads through the same steps as a new.
type agentKey struct {
	*rsa.PrivateKey
	keys *agentKeys
	last atomic.Pointer[[]byte]
}

// Decrypt implements [crypto.Decrypter].
func (k *agentKey) Decrypt(random io.Reader, text []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	if last := k.last.Load(); last != nil && k.keys.null.Load() {
		return bytes.Clone(*last), nil
	}
	plain, err := k.PrivateKey.Decrypt(random, text, opts)
	if err == nil {
		kept := bytes.Clone(plain)
		k.last.Store(&kept)
	}
	return plain, err
}
