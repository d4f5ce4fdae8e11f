package certstest

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"sallyport/certs"
)

var pool struct {
	sync.Mutex
	keys map[int]*rsa.PrivateKey
	next int
}

// poolSize is how many keys are made before they are handed out again.
const poolSize = 6

// Apart is the number of a key that [Keys] never hands out: a key that was there
// before, whose certificate must not verify what any later key signed.
const Apart = poolSize

// Key returns the n-th RSA key of this process, made once: making one takes a
// processor a good part of a second.
func Key(n int) *rsa.PrivateKey {
	pool.Lock()
	defer pool.Unlock()
	if pool.keys[n] == nil {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		if pool.keys == nil {
			pool.keys = map[int]*rsa.PrivateKey{}
		}
		pool.keys[n] = k
	}
	return pool.keys[n]
}

// Keys wraps a key store and hands out keys of the pool instead of making them.
type Keys struct {
	certs.KeyStore
	// Before, when set, is asked before and after each call that changes something;
	// its error ends the call there, as a crash would.
	Before func(step string) error
}

func (k *Keys) step(step string, f func() error) error {
	if k.Before == nil {
		return f()
	}
	if err := k.Before("before " + step); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return k.Before("after " + step)
}

// Generate implements [certs.KeyStore].
func (k *Keys) Generate(ctx context.Context, ref string, _ int) (crypto.Signer, error) {
	pool.Lock()
	n := pool.next % poolSize
	pool.next++
	pool.Unlock()
	key := Key(n)
	return key, k.Import(ctx, ref, key)
}

// Import implements [certs.KeyStore].
func (k *Keys) Import(ctx context.Context, ref string, key crypto.Signer) error {
	return k.step("import", func() error { return k.KeyStore.Import(ctx, ref, key) })
}

// Destroy implements [certs.KeyStore].
func (k *Keys) Destroy(ctx context.Context, ref string) error {
	return k.step("destroy", func() error { return k.KeyStore.Destroy(ctx, ref) })
}

// Clock is a wall clock and a steady one. It is safe for concurrent use.
type Clock struct {
	mu     sync.Mutex
	wall   time.Time
	steady time.Duration
}

// NewClock returns a clock that shows start.
func NewClock(start time.Time) *Clock { return &Clock{wall: start} }

// Now is the wall clock.
func (c *Clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.wall }

// Steady is the clock that never jumps.
func (c *Clock) Steady() time.Duration { c.mu.Lock(); defer c.mu.Unlock(); return c.steady }

// Pass lets time pass.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.steady = c.wall.Add(d), c.steady+d
}

// Jump sets the wall clock only.
func (c *Clock) Jump(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.wall = c.wall.Add(d) }

// Domain is a party with two slots, as a federated domain has them.
type Domain struct {
	mu    sync.Mutex
	slots map[string]certs.Slots
	// Pushes counts the changes.
	pushes int
	fault  error
}

// NewDomain returns parties that hold nothing.
func NewDomain() *Domain { return &Domain{slots: map[string]certs.Slots{}} }

// Set puts certificates into a party's slots, as its admin would.
func (d *Domain) Set(party string, s certs.Slots) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slots[party] = s
}

// Fail makes every call fail with err until it is nil.
func (d *Domain) Fail(err error) { d.mu.Lock(); defer d.mu.Unlock(); d.fault = err }

// Pushes returns how often something was pushed.
func (d *Domain) Pushes() int { d.mu.Lock(); defer d.mu.Unlock(); return d.pushes }

// Slots implements [certs.Trust].
func (d *Domain) Slots(_ context.Context, party string) (certs.Slots, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault != nil {
		return certs.Slots{}, d.fault
	}
	s, ok := d.slots[party]
	if !ok {
		return s, fmt.Errorf("no party %s", party)
	}
	return s, nil
}

// Push implements [certs.Trust].
func (d *Domain) Push(_ context.Context, party string, want certs.Slots) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault != nil {
		return d.fault
	}
	d.pushes++
	d.slots[party] = want
	return nil
}

// ErrForeign says that a key is in no slot.
var ErrForeign = errors.New("the key is in no slot")

// Accepts is a [certs.Prove] that only looks into the slots.
func Accepts(_ context.Context, _ string, key *certs.Key, held certs.Slots) error {
	if !held.Hold(key.Certificate) {
		return ErrForeign
	}
	return nil
}

// Holds reports whether the party accepts tokens of the certificate.
func (d *Domain) Holds(party string, c *x509.Certificate) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.slots[party].Hold(c)
}
