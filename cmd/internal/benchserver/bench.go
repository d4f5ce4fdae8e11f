//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/authn"
	"sallyport/authn/directory"
	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
)

// signer counts the signatures of the gateway's key, and can be told to make none
// (the null signer of the budget): it then answers with one signature that was made
// at its start, over a digest that is no token's. A token with it is as long as any
// and verifies nowhere.
type signer struct {
	crypto.Signer
	stale []byte
	null  atomic.Bool
	count atomic.Int64
}

func newSigner(key crypto.Signer) (*signer, error) {
	digest := sha256.Sum256([]byte("benchserver: the signature that the null signer repeats"))
	stale, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	return &signer{Signer: key, stale: stale}, err
}

// SelfVerifying says that the key below, crypto/rsa's, verifies what it signs.
func (s *signer) SelfVerifying() {}

// Sign implements [crypto.Signer].
func (s *signer) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if s.null.Load() {
		return s.stale, nil
	}
	s.count.Add(1)
	return s.Signer.Sign(random, digest, opts)
}

// processCPU is user and system time of this process (getrusage).
func processCPU() (int64, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return u.Utime.Nano() + u.Stime.Nano(), nil
}

// residentSize is the resident set in bytes.
func residentSize() (int64, error) {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		return 0, err
	}
	return resident * int64(os.Getpagesize()), nil
}

// bench carries out the driver's commands.
type bench struct {
	cfg    *config.Config
	signer *signer
	agent  *agentKeys

	directory *directory.Directory
	account   *authn.Account
	profiled  *os.File
}

// profile writes a CPU profile to a file until it is called without one; then the
// allocations since the start of the process go to a file beside it.
func (b *bench) profile(file string) error {
	if file == "" {
		pprof.StopCPUProfile()
		allocations, err := os.Create(b.profiled.Name() + ".allocs")
		if err != nil {
			return err
		}
		return errors.Join(pprof.Lookup("allocs").WriteTo(allocations, 0), allocations.Close(), b.profiled.Close())
	}
	var err error
	if b.profiled, err = os.Create(file); err != nil {
		return err
	}
	return pprof.StartCPUProfile(b.profiled)
}

func (b *bench) do(ctx context.Context, c command) (reply, error) {
	switch c.Do {
	case "usage":
		return b.usage(0)
	case "sign":
		b.signer.null.Store(c.Null)
		return reply{}, nil
	case "profile":
		return reply{}, b.profile(c.File)
	case "rsa":
		return b.measure(c, func(int) error {
			digest := sha256.Sum256([]byte("raw signature"))
			_, err := b.signer.Signer.Sign(rand.Reader, digest[:], crypto.SHA256)
			return err
		})
	case "oaep":
		key, sealed, err := b.agent.sample()
		if err != nil {
			return reply{}, err
		}
		return b.measure(c, func(int) error {
			_, err := key.Decrypt(nil, sealed, &rsa.OAEPOptions{Hash: crypto.SHA1})
			return err
		})
	case "decrypt":
		b.agent.null.Store(c.Null)
		return reply{}, nil
	case "bind":
		if err := b.ready(ctx, c.User); err != nil {
			return reply{}, err
		}
		return b.measure(c, func(int) error {
			return b.directory.Bind(ctx, b.account, authn.NewPassword([]byte(c.Password)))
		})
	default:
		return reply{}, fmt.Errorf("unknown command %q", c.Do)
	}
}

func (b *bench) usage(n int) (reply, error) {
	cpu, err1 := processCPU()
	rss, err2 := residentSize()
	return reply{CPU: cpu, Signs: b.signer.count.Load(), RSS: rss, N: n}, errors.Join(err1, err2)
}

// measure runs f N times on so many workers and answers with the process's CPU
// for all of it.
func (b *bench) measure(c command, f func(int) error) (reply, error) {
	before, err := processCPU()
	if err != nil {
		return reply{}, err
	}
	workers := max(c.Workers, 1)
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(c.N); i = next.Add(1) {
				if err := f(int(i)); err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	wg.Wait()
	after, err := processCPU()
	return reply{CPU: after - before, N: c.N}, errors.Join(append(errs, err)...)
}

// ready opens a directory of its own, so that the gateway's pools stay as they are.
func (b *bench) ready(ctx context.Context, user string) error {
	if b.directory != nil {
		return nil
	}
	cfg, err := app.DirectoryConfig(b.cfg)
	if err != nil {
		return err
	}
	d, err := directory.New(cfg)
	if err != nil {
		return err
	}
	if err := d.Start(ctx); err != nil {
		return err
	}
	if b.account, err = d.Resolve(ctx, user); err != nil {
		return errors.Join(err, d.Close())
	}
	b.directory = d
	return nil
}

// floor is what any Go server with TLS pays for a request: 10 KB from net/http.
type floor struct {
	server  *http.Server
	address string
}

func startFloor(certificate, key string) (*floor, error) {
	cert, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	body := bytes.Repeat([]byte("0123456789abcdef"), 10240/16)
	f := &floor{address: ln.Addr().String(), server: &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Content-Length", "10240")
			_, _ = w.Write(body)
		}),
	}}
	go func() { _ = f.server.ServeTLS(ln, "", "") }()
	return f, nil
}

// Close ends the server.
func (f *floor) Close() { _ = f.server.Close() }
