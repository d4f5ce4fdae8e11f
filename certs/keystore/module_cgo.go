//go:build pkcs11

package keystore

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"

	"sallyport/certs"
)

const (
	// moduleQueue is how many signatures may be under way; more wait.
	moduleQueue = 32
	// moduleTime is how long a signature may take, waiting included. A module that is
	// slow or gone fails tokens one by one and never stops the service (threats C09).
	moduleTime = 5 * time.Second
	// moduleOpens is how long a token may take to be opened, so that a start does not
	// hang without a word.
	moduleOpens = 30 * time.Second
	// moduleMakes is how long making a key may take: less than the lease for it lasts.
	moduleMakes = 5 * time.Minute
	// modulePause is how long a token that was opened again is not opened once more.
	modulePause = 10 * time.Second
)

// Module keeps keys in a PKCS#11 token, which makes them, or takes in one of AD FS, and
// never gives them out.
// It is safe for concurrent use.
type Module struct {
	cfg          ModuleConfig
	slot         chan struct{}
	limit, pause time.Duration // moduleTime and modulePause, but in tests

	mu    sync.Mutex
	ctx   *crypto11.Context // of the sessions in use
	tried time.Time         // when it was opened again last
	pin   error             // the token refused the PIN: another try could lock it for good
}

var _ certs.KeyStore = (*Module)(nil)

// OpenModule opens a token. The module stays open as long as the process lives.
func OpenModule(cfg ModuleConfig) (certs.KeyStore, error) {
	m := &Module{cfg: cfg, slot: make(chan struct{}, moduleQueue), limit: moduleTime, pause: modulePause}
	ctx, err := bounded(m, moduleOpens, func() (*crypto11.Context, error) { return openToken(cfg) })
	if errors.Is(err, ErrModuleAway) {
		err = fmt.Errorf("token %q in %s: %w", cfg.Token, cfg.Path, err)
	}
	if err != nil {
		return nil, err
	}
	m.ctx = ctx
	return m, nil
}

func openToken(cfg ModuleConfig) (*crypto11.Context, error) {
	ctx, err := crypto11.Configure(&crypto11.Config{Path: cfg.Path, TokenLabel: cfg.Token, Pin: cfg.PIN, MaxSessions: moduleQueue + 2})
	switch {
	case errors.Is(err, pkcs11.Error(pkcs11.CKR_PIN_INCORRECT)):
		return nil, fmt.Errorf("token %q in %s: %w: correct the PIN before the next try, since tokens lock after a few wrong ones", cfg.Token, cfg.Path, err)
	case err != nil:
		return nil, fmt.Errorf("token %q in %s: %w", cfg.Token, cfg.Path, err)
	}
	return ctx, nil
}

func (m *Module) token() *crypto11.Context {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ctx
}

// again opens new sessions in place of old's, unless somebody has: those of a module
// that was away do not come back by themselves.
func (m *Module) again(old *crypto11.Context) (*crypto11.Context, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx != old {
		return m.ctx, nil
	}
	if m.pin != nil {
		return nil, m.pin
	}
	if since := time.Since(m.tried); since < m.pause {
		return nil, fmt.Errorf("it was opened again %s ago", since.Round(time.Second))
	}
	m.tried = time.Now()
	next, err := openToken(m.cfg)
	if errors.Is(err, pkcs11.Error(pkcs11.CKR_PIN_INCORRECT)) || errors.Is(err, pkcs11.Error(pkcs11.CKR_PIN_LOCKED)) {
		m.pin = fmt.Errorf("%w (it is not tried again before a restart)", err)
		return nil, m.pin
	}
	if err != nil {
		return nil, err
	}
	m.ctx = next
	time.AfterFunc(2*m.limit, func() { _ = old.Close() }) // when nobody works with it any more
	return next, nil
}

// with lets work use the token, once more with new sessions when those are gone.
func (m *Module) with(work func(ctx *crypto11.Context) error) error {
	ctx := m.token()
	err := away(work(ctx))
	if !errors.Is(err, ErrModuleAway) {
		return err
	}
	next, aerr := m.again(ctx)
	if aerr != nil {
		return errors.Join(err, aerr)
	}
	return away(work(next))
}

// within is with in so much time: what does not come back is left to itself.
func (m *Module) within(limit time.Duration, work func(ctx *crypto11.Context) error) error {
	_, err := bounded(m, limit, func() (struct{}, error) { return struct{}{}, m.with(work) })
	return err
}

// Generate implements [certs.KeyStore].
func (m *Module) Generate(_ context.Context, ref string, bits int) (crypto.Signer, error) {
	return m.generate(ref, bits, false)
}

// GenerateDecrypter makes a key that decrypts besides: a [crypto.Decrypter].
func (m *Module) GenerateDecrypter(_ context.Context, ref string, bits int) (crypto.Signer, error) {
	return m.generate(ref, bits, true)
}

func (m *Module) generate(ref string, bits int, decrypts bool) (crypto.Signer, error) {
	attributes, err := crypto11.NewAttributeSetWithIDAndLabel([]byte(ref), []byte("sallyport "+ref))
	if err != nil {
		return nil, err
	}
	private := attributes.Copy()
	for attribute, value := range map[crypto11.AttributeType]bool{crypto11.CkaSensitive: true, crypto11.CkaExtractable: false, crypto11.CkaSign: true, crypto11.CkaDecrypt: decrypts} {
		if err := private.Set(attribute, value); err != nil {
			return nil, err
		}
	}
	err = m.within(moduleMakes, func(ctx *crypto11.Context) error {
		_, err := ctx.GenerateRSAKeyPairWithAttributes(attributes, private, bits)
		return err
	})
	if err != nil {
		return nil, err
	}
	return m.Open(context.Background(), ref)
}

// Open implements [certs.KeyStore].
func (m *Module) Open(_ context.Context, ref string) (crypto.Signer, error) {
	k := &moduleKey{m: m, ref: ref}
	if err := m.within(m.limit, k.find); err != nil {
		return nil, err
	}
	return k, nil
}

// Destroy implements [certs.KeyStore].
func (m *Module) Destroy(_ context.Context, ref string) error {
	return m.within(m.limit, func(ctx *crypto11.Context) error {
		found, err := ctx.FindKeyPairs([]byte(ref), nil)
		for _, key := range found {
			err = errors.Join(err, key.Delete())
		}
		return err
	})
}

// moduleKey bounds how long and how many at once sign or decrypt with a key of a module.
type moduleKey struct {
	m   *Module
	ref string

	mu  sync.Mutex
	ctx *crypto11.Context // in which key was found
	key crypto11.Signer
}

// find looks the key up; one that was known before must be the same.
func (k *moduleKey) find(ctx *crypto11.Context) error {
	found, err := ctx.FindKeyPairs([]byte(k.ref), nil)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("%w: the token has %d with the id %s", certs.ErrNoKey, len(found), k.ref)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if pub, ok := found[0].Public().(interface{ Equal(crypto.PublicKey) bool }); k.key != nil && (!ok || !pub.Equal(k.key.Public())) {
		return fmt.Errorf("%w: the token has another one with the id %s now", certs.ErrNoKey, k.ref)
	}
	k.ctx, k.key = ctx, found[0]
	return nil
}

// in returns the key as it is known in ctx.
func (k *moduleKey) in(ctx *crypto11.Context) (crypto11.Signer, error) {
	k.mu.Lock()
	key, same := k.key, k.ctx == ctx
	k.mu.Unlock()
	if same {
		return key, nil
	}
	if err := k.find(ctx); err != nil {
		return nil, err
	}
	return k.in(ctx)
}

// Public implements [crypto.Signer].
func (k *moduleKey) Public() crypto.PublicKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.key.Public()
}

// use lets work use the key.
func (k *moduleKey) use(work func(crypto11.Signer) ([]byte, error)) ([]byte, error) {
	return bounded(k.m, k.m.limit, func() (result []byte, err error) {
		err = k.m.with(func(ctx *crypto11.Context) error {
			key, err := k.in(ctx)
			if err == nil {
				result, err = work(key)
			}
			return err
		})
		return result, err
	})
}

// Sign implements [crypto.Signer].
func (k *moduleKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.use(func(key crypto11.Signer) ([]byte, error) { return key.Sign(random, digest, opts) })
}

// Decrypt implements [crypto.Decrypter] for keys of [Module.GenerateDecrypter].
func (k *moduleKey) Decrypt(random io.Reader, text []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	return k.use(func(key crypto11.Signer) ([]byte, error) {
		d, ok := key.(crypto.Decrypter)
		if !ok {
			return nil, errors.New("PKCS#11: the key does not decrypt")
		}
		return d.Decrypt(random, text, opts)
	})
}

// away tells an error of the module from one of the text: the codes with which a module
// says that the device, the session, the login or the key's handle is gone.
func away(err error) error {
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return err
	}
	switch code {
	case pkcs11.CKR_HOST_MEMORY, pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_DEVICE_MEMORY, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_KEY_HANDLE_INVALID,
		pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_SESSION_COUNT, pkcs11.CKR_SESSION_HANDLE_INVALID,
		pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_TOKEN_NOT_RECOGNIZED, pkcs11.CKR_USER_NOT_LOGGED_IN, pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED:
		return fmt.Errorf("%w: %w", ErrModuleAway, err)
	}
	return err
}

// bounded lets the module work, so many at once and each for so long. What a module does
// not come back from holds its place, so that no more than moduleQueue ever wait there.
func bounded[T any](m *Module, longest time.Duration, work func() (T, error)) (result T, err error) {
	limit := time.NewTimer(longest)
	defer limit.Stop()
	select {
	case m.slot <- struct{}{}:
	case <-limit.C:
		return result, fmt.Errorf("%w: it is too busy", ErrModuleAway)
	}
	type answer struct {
		result T
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		defer func() { <-m.slot }()
		r, err := work()
		done <- answer{r, err}
	}()
	select {
	case a := <-done:
		return a.result, a.err
	case <-limit.C:
		return result, fmt.Errorf("%w within %s", ErrModuleAway, longest)
	}
}
