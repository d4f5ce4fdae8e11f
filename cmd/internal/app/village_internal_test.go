package app

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/certs/certstest"
	"sallyport/cmd/internal/config"
)

// ahead is a clock that runs, some time ahead of the machine's. The lab's foreign
// service provider follows it by a file.
type ahead struct {
	mu    sync.Mutex
	by    time.Duration
	begun time.Time
	file  string
}

func (a *ahead) Now() time.Time { a.mu.Lock(); defer a.mu.Unlock(); return time.Now().Add(a.by) }

func (a *ahead) Steady() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Since(a.begun) + a.by
}

// Pass puts the clock forward, everybody's at once.
func (a *ahead) Pass(t *testing.T, d time.Duration) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.by += d
	next := a.file + ".next"
	if err := os.WriteFile(next, fmt.Appendf(nil, "%+d\n", int64(a.by.Seconds())), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, a.file); err != nil {
		t.Fatal(err)
	}
}

// mains stands before the signing stores of one instance and tells the test of each
// step before and after it.
type mains struct {
	certs.Store
	certs.KeyStore
	step func(name string) error
	dead atomic.Bool

	mu   sync.Mutex
	last *certs.Ledger
}

func (m *mains) around(name string, f func() error) error {
	if m.dead.Load() {
		return errDead
	}
	if err := m.step("before " + name); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return m.step("after " + name)
}

func (m *mains) Load(ctx context.Context) (*certs.Ledger, error) {
	if m.dead.Load() {
		return nil, errDead
	}
	l, err := m.Store.Load(ctx)
	if err == nil {
		m.mu.Lock()
		m.last = &certs.Ledger{LastEvent: l.LastEvent, Lease: l.Lease, Entries: append([]certs.Entry(nil), l.Entries...)}
		for i := range m.last.Entries {
			m.last.Entries[i].Knows = map[string]certs.Sighting{}
			for k, v := range l.Entries[i].Knows {
				m.last.Entries[i].Knows[k] = v
			}
		}
		m.mu.Unlock()
	}
	return l, err
}

// name says what the swap is for.
func (m *mains) name(next *certs.Ledger) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.last == nil:
		return "first"
	case next.LastEvent != m.last.LastEvent:
		return next.Events[len(next.Events)-1].Action
	case next.Lease != nil && m.last.Lease == nil:
		return "lease"
	}
	for i := range next.Entries {
		if i < len(m.last.Entries) && len(next.Entries[i].Knows) != len(m.last.Entries[i].Knows) {
			return "knows"
		}
	}
	return "report"
}

func (m *mains) Swap(ctx context.Context, next *certs.Ledger) error {
	return m.around(m.name(next), func() error { return m.Store.Swap(ctx, next) })
}

func (m *mains) Generate(ctx context.Context, ref string, bits int) (key crypto.Signer, err error) {
	err = m.around("generate", func() error {
		key, err = (&certstest.Keys{KeyStore: m.KeyStore}).Generate(ctx, ref, bits)
		return err
	})
	return key, err
}

func (m *mains) Destroy(ctx context.Context, ref string) error {
	return m.around("destroy", func() error { return m.KeyStore.Destroy(ctx, ref) })
}

// doors is a listener whose connections can be cut off.
type doors struct {
	net.Listener
	mu   sync.Mutex
	open map[net.Conn]bool
	shut bool
}

func (d *doors) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	d.open[c] = true
	return &door{c, d}, nil
}

type door struct {
	net.Conn
	of *doors
}

func (d *door) Close() error {
	d.of.mu.Lock()
	delete(d.of.open, d.Conn)
	d.of.mu.Unlock()
	return d.Conn.Close()
}

// kill ends everything at once, as a machine without power does.
func (d *doors) kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = true
	_ = d.Listener.Close()
	for c := range d.open {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

// line is an instance's way to Redis, which can be cut.
type line struct {
	ln  net.Listener
	to  string
	mu  sync.Mutex
	cut bool
	all map[net.Conn]bool
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{ln: ln, to: to, all: map[net.Conn]bool{}}
	t.Cleanup(func() { _ = ln.Close(); l.set(true) })
	go l.serve()
	return l
}

func (l *line) serve() {
	for {
		c, err := l.ln.Accept()
		if err != nil {
			return
		}
		go l.carry(c)
	}
}

func (l *line) carry(c net.Conn) {
	there, err := net.Dial("tcp", l.to)
	if err != nil {
		_ = c.Close()
		return
	}
	l.mu.Lock()
	if l.cut {
		l.mu.Unlock()
		_ = errors.Join(c.Close(), there.Close())
		return
	}
	l.all[c], l.all[there] = true, true
	l.mu.Unlock()
	go func() { _, _ = io.Copy(there, c); _ = errors.Join(c.Close(), there.Close()) }()
	_, _ = io.Copy(c, there)
	_ = errors.Join(c.Close(), there.Close())
	l.mu.Lock()
	delete(l.all, c)
	delete(l.all, there)
	l.mu.Unlock()
}

// set cuts the line, or mends it.
func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	for c := range l.all {
		if cut {
			_ = c.Close()
		}
	}
}

// journal is an instance's log, which counts its sign-in requests.
type journal struct {
	n  atomic.Int64
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.n.Add(int64(bytes.Count(p, []byte(`"route":"ls"`))))
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

// keep puts the log where the run's artefacts lie.
func (j *journal) keep(t *testing.T, file string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, j.b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// villager is one instance of the fleet.
type villager struct {
	*App
	name    string
	address string
	doors   *doors
	mains   *mains
	line    *line
	served  journal
}

// launch makes the instance, and makes it anew after its death.
func (v *village) launch(n *villager) {
	v.t.Helper()
	cfg, err := config.Load(filepath.Join(v.dir, n.name+".yaml"))
	if err != nil {
		v.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", n.address)
	if err != nil {
		v.t.Fatal(err)
	}
	n.doors = &doors{Listener: ln, open: map[net.Conn]bool{}}
	n.mains = &mains{step: func(name string) error { return v.stepped(n, name) }}
	n.line.set(false)
	n.App, err = New(cfg, Options{
		Logger: slog.New(slog.NewJSONHandler(&n.served, nil)), Stdout: io.Discard, Listener: n.doors,
		Now: v.clock.Now, Steady: v.clock.Steady, SigningPoll: 50 * time.Millisecond,
		WrapSigning: func(s certs.Store, k certs.KeyStore) (certs.Store, certs.KeyStore) {
			n.mains.Store, n.mains.KeyStore = s, k
			return n.mains, n.mains
		},
	})
	if err != nil {
		v.t.Fatal(err)
	}
	if err := n.Start(v.t.Context()); err != nil {
		v.t.Fatal(err)
	}
}

// die ends the instance in the middle of what it does.
func (n *villager) die() {
	n.mains.dead.Store(true)
	n.line.set(true)
	n.doors.kill()
}

// secretFile writes a file of one random secret.
func secretFile(t *testing.T, file string) {
	t.Helper()
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(hex.EncodeToString(b)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// hostOf is the address without its port.
func hostOf(address string) string { return address[:strings.LastIndex(address, ":")] }
