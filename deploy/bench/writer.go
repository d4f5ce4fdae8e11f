//go:build linux

package main

import (
	"crypto"
	"crypto/sha256"
	"errors"
	"io"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/certs"
	"sallyport/federation/token"
)

// repeating signs each digest once and gives the same signature again. The token
// that it meets is the same each time, so writing it costs everything but the
// signature; a signature over anything else still needs the key.
type repeating struct {
	crypto.Signer
	digest [sha256.Size]byte
	sig    []byte
}

// Sign implements [crypto.Signer].
func (r *repeating) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if string(digest) == string(r.digest[:]) && r.sig != nil {
		return r.sig, nil
	}
	sig, err := r.Signer.Sign(random, digest, opts)
	if err == nil {
		r.digest, r.sig = [sha256.Size]byte(digest), sig
	}
	return sig, err
}

// SelfVerifying says that the key below, crypto/rsa's, verifies what it signs.
func (r *repeating) SelfVerifying() {}

// cost is what one call takes.
type cost struct{ nanoseconds, allocations float64 }

// weighCalls runs f n times on one thread.
func weighCalls(n int, f func() error) (cost, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after runtime.MemStats
	var t0, t1 unix.Timespec
	runtime.ReadMemStats(&before)
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t0)
	for range n {
		if err := f(); err != nil {
			return cost{}, err
		}
	}
	err = errors.Join(err, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t1))
	runtime.ReadMemStats(&after)
	return cost{float64(t1.Nano()-t0.Nano()) / float64(n), float64(after.Mallocs-before.Mallocs) / float64(n)}, err
}

// writer measures line 11.
func writer(t *table) error {
	key, cert, err := certs.Generate(host, 2048, time.Now())
	if err != nil {
		return err
	}
	signer := &repeating{Signer: key}
	s, err := token.NewSigner(signer, cert)
	if err != nil {
		return err
	}
	a := sample(time.Now())
	a.ID = token.NewID()
	var buf []byte
	write := func() error {
		buf, err = s.AppendAssertion(buf[:0], a)
		return err
	}
	if err := write(); err != nil {
		return err
	}
	var times, allocations []float64
	for range 15 {
		w, err := weighCalls(1000, write)
		if err != nil {
			return err
		}
		times = append(times, w.nanoseconds/1e3)
		allocations = append(allocations, w.allocations)
	}
	t.add("11", "token writer without signer, µs", "%.1f", most(15), most(30), times...)
	t.add("11", "its allocations", "%.0f", most(5), most(10), allocations...)
	return nil
}
