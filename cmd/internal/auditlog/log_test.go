package auditlog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn/audit"
	"sallyport/cmd/internal/auditlog"
)

// sink is a sink whose state the test decides.
type sink struct {
	mu     sync.Mutex
	err    error
	gate   chan struct{} // when set, a write waits for it
	got    []string
	writes int
}

func (s *sink) Name() string { return "test" }

func (s *sink) Write(events [][]byte) error {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.err != nil {
		return s.err
	}
	for _, e := range events {
		s.got = append(s.got, string(e))
	}
	return nil
}

func (s *sink) Close() error { return nil }

func (s *sink) set(err error) { s.mu.Lock(); s.err = err; s.mu.Unlock() }

func (s *sink) tokens(t *testing.T) (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.got {
		var e audit.Event
		must(t, json.Unmarshal([]byte(g), &e))
		list = append(list, cmpOr(e.TokenID, string(e.Code)))
	}
	return list
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func token(i int) *audit.Event {
	return &audit.Event{Time: start, Code: audit.TokenIssued, TokenID: fmt.Sprint("t", i)}
}

func TestC02_RequiredTrailThatIsDeadRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		l, err := auditlog.New(auditlog.Config{Sinks: []auditlog.Sink{s}, Required: true})
		must(t, err)
		must(t, l.Record(t.Context(), token(0)))
		s.set(syscall.ENOSPC)
		for i := range 3 {
			if err := l.Record(t.Context(), token(1+i)); !errors.Is(err, auditlog.ErrNotRecorded) || !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("record %d: %v, want ErrNotRecorded with its cause", i, err)
			}
		}
		if l.Trouble() == nil {
			t.Error("no trouble reported")
		}
		s.set(nil)
		time.Sleep(3 * time.Second)
		if err := l.Record(t.Context(), token(9)); err != nil {
			t.Errorf("after recovery: %v", err)
		}
		if err := l.Trouble(); err != nil {
			t.Errorf("trouble stays: %v", err)
		}
		must(t, l.Close(t.Context()))
	})
}

func TestC02_RequiredAcceptsWhenOneOfTwoSinksDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, alive := &sink{err: syscall.EIO}, &sink{}
		l, err := auditlog.New(auditlog.Config{Sinks: []auditlog.Sink{dead, alive}, Required: true})
		must(t, err)
		for i := range 3 {
			must(t, l.Record(t.Context(), token(i)))
		}
		if got := alive.tokens(t); !slices.Equal(got, []string{"t0", "t1", "t2"}) {
			t.Errorf("recorded %v", got)
		}
		if err := l.Close(t.Context()); err == nil {
			t.Error("events of the dead sink are lost without a word")
		}
	})
}

func TestRequiredTrailThatHangsRefusesAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{gate: make(chan struct{})}
		l, err := auditlog.New(auditlog.Config{Sinks: []auditlog.Sink{s}, Required: true})
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Record(ctx, token(0)); !errors.Is(err, auditlog.ErrNotRecorded) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		close(s.gate)
		must(t, l.Close(t.Context()))
	})
}

// The pipeline records without the request's own end, so that nobody escapes the
// trail by hanging up: the trail itself must know when to give up.
func TestR07_RequiredTrailThatHangsRefusesWithoutADeadlineToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{gate: make(chan struct{})}
		l, err := auditlog.New(auditlog.Config{Sinks: []auditlog.Sink{s}, Required: true})
		must(t, err)
		started := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- l.Record(context.WithoutCancel(t.Context()), token(0)) }()
		select {
		case err := <-ended:
			if took := time.Since(started); !errors.Is(err, auditlog.ErrNotRecorded) || took > 10*time.Second {
				t.Errorf("after %v: %v", took, err)
			}
		case <-time.After(time.Minute):
			t.Error("the request waits for ever")
		}
		close(s.gate)
		must(t, l.Close(t.Context()))
	})
}

func TestDeadSinkBuffersCountsAndDrainsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{err: syscall.ENOSPC}
		reg := prometheus.NewRegistry()
		l, err := auditlog.New(auditlog.Config{Sinks: []auditlog.Sink{s}, Buffer: 5, Registerer: reg, Now: func() time.Time { return start }})
		must(t, err)
		began := time.Now()
		for i := range 8 {
			if err := l.Record(t.Context(), token(i)); err != nil {
				t.Errorf("sign-in would stop: %v", err)
			}
		}
		if took := time.Since(began); took > time.Millisecond {
			t.Errorf("a dead sink held sign-in up for %v", took)
		}
		if got := metric(t, reg, "sallyport_audit_events_waiting"); got != 5 {
			t.Errorf("%v events wait, want 5", got)
		}
		if got := metric(t, reg, "sallyport_audit_events_lost_total"); got != 3 {
			t.Errorf("%v events lost, want 3", got)
		}
		if got := metric(t, reg, "sallyport_audit_sink_broken"); got != 1 {
			t.Errorf("broken is %v", got)
		}
		s.set(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := s.tokens(t); !slices.Equal(got, []string{"t0", "t1", "t2", "t3", "t4", "SP402"}) {
			t.Errorf("recorded %v", got)
		}
		if got := metric(t, reg, "sallyport_audit_sink_broken"); got != 0 {
			t.Errorf("broken is %v", got)
		}
		must(t, l.Close(t.Context()))
	})
}

func metric(t *testing.T, g prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := g.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestSlowSinkHoldsUpSignInOnlySoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{gate: make(chan struct{})}
		l, err := auditlog.New(auditlog.Config{Sinks: []auditlog.Sink{s}, Wait: 300 * time.Millisecond})
		must(t, err)
		began := time.Now()
		must(t, l.Record(t.Context(), token(0)))
		if took := time.Since(began); took != 300*time.Millisecond {
			t.Errorf("took %v", took)
		}
		close(s.gate)
		must(t, l.Close(t.Context()))
		if got := s.tokens(t); !slices.Equal(got, []string{"t0"}) {
			t.Errorf("recorded %v", got)
		}
	})
}

func TestConcurrentEventsShareAnFsync(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	var f auditlog.Faults
	l, err := auditlog.New(auditlog.Config{Sinks: []auditlog.Sink{auditlog.NewFile(auditlog.WithFaults(auditlog.FileConfig{Path: path}, &f))}, Required: true})
	must(t, err)
	const workers, each = 64, 20
	var wg sync.WaitGroup
	var failed atomic.Int32
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				if l.Record(t.Context(), token(w*each+i)) != nil {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	must(t, l.Close(t.Context()))
	if failed.Load() != 0 {
		t.Errorf("%d events refused", failed.Load())
	}
	if n := len(ids(t, path)); n != workers*each {
		t.Errorf("%d events recorded, want %d", n, workers*each)
	}
	if f.Syncs > workers*each/4 {
		t.Errorf("%d fsyncs for %d events", f.Syncs, workers*each)
	}
	if _, err := auditlog.Verify([]string{path}, nil); err != nil {
		t.Error(err)
	}
}

func TestH10_OneLinePerAuditEvent(t *testing.T) {
	var out bytes.Buffer
	l, err := auditlog.New(auditlog.Config{Sinks: []auditlog.Sink{&auditlog.Stdout{Writer: &out}}})
	must(t, err)
	evil := []string{"a\r\nb", "\x00\x1b[2J", "\u2028\u2029\u0085", "\u202etxt.exe", "\U000e0041", "\xff", "<script>", strings.Repeat("é", 100_000), "Jörg 山田"}
	for _, e := range evil {
		must(t, l.Record(t.Context(), &audit.Event{Code: audit.SignInRefused, Typed: e, Detail: e, Party: e, UPN: e}))
	}
	must(t, l.Close(t.Context()))
	lines := bytes.Split(bytes.TrimSuffix(out.Bytes(), []byte("\n")), []byte("\n"))
	if len(lines) != len(evil) {
		t.Fatalf("%d lines for %d events", len(lines), len(evil))
	}
	for i, line := range lines {
		var e audit.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Errorf("%v in %s", err, line)
		}
		if want := strings.ToValidUTF8(evil[i], "\ufffd"); len(want) < 1000 && e.Typed != want {
			t.Errorf("typed %q, want %q", e.Typed, want)
		}
		if bytes.ContainsFunc(line, func(r rune) bool { return r == 0x202e || r == 0x85 || r == 0xe0041 || r < 0x20 }) {
			t.Errorf("raw control character in %s", line)
		}
		if len(line) > 32<<10 {
			t.Errorf("line of %d bytes", len(line))
		}
	}
}

// Texts that swell when they are written must not make a record that the trail
// itself takes for damage.
func TestH10_SwollenEventStaysARecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	swell := strings.Repeat("\x01", 100_000)
	for range 2 { // the second finds the end of what the first wrote
		l, err := auditlog.New(auditlog.Config{Sinks: []auditlog.Sink{auditlog.NewFile(auditlog.FileConfig{Path: path})}, Required: true})
		must(t, err)
		must(t, l.Record(t.Context(), &audit.Event{
			Code: audit.TokenIssued, Typed: swell, Detail: swell, Party: swell, UPN: swell, AccountName: swell, Subject: swell, Issuer: swell,
		}))
		must(t, l.Close(t.Context()))
	}
	sum, err := auditlog.Verify([]string{path}, nil)
	if err != nil || sum.Records != 3 {
		t.Errorf("%d records, want 3: %v", sum.Records, err)
	}
}

func TestEventGetsUTCTime(t *testing.T) {
	var out bytes.Buffer
	l, err := auditlog.New(auditlog.Config{Sinks: []auditlog.Sink{&auditlog.Stdout{Writer: &out}}, Now: func() time.Time { return start.In(time.FixedZone("x", 3600)) }})
	must(t, err)
	e := audit.Event{Code: audit.ServiceStarted}
	must(t, l.Record(t.Context(), &e))
	must(t, l.Close(t.Context()))
	if want := `{"log":"audit","time":"2026-12-01T09:00:00Z","code":"SP400"}` + "\n"; out.String() != want {
		t.Errorf("got %s", out.String())
	}
	if !e.Time.IsZero() {
		t.Error("the caller's event was changed")
	}
}

func BenchmarkRecord(b *testing.B) {
	e := &audit.Event{
		Time: start, Code: audit.TokenIssued, Reference: "K7QF-3M9D", Protocol: "wsfed", Party: "microsoft365",
		Account: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", AccountName: `CONTOSO\alice`, UPN: "alice@contoso.test", Client: "10.1.2.3", Method: "password",
		TokenID: "_7d0f4c1e9a5b4d6f8a7b6c5d4e3f2a1b", KeyID: "3AE28F2207BA26160F4E613E0C82451C9A855D0C", Subject: "rk/4HeOxDU22RQAAAMCRjg==",
		Issuer: "http://contoso.test/adfs/services/trust/",
	}
	for _, bb := range []struct {
		name     string
		noSync   bool
		parallel int
	}{{"fsync", false, 0}, {"fsync/parallel", false, 32}, {"nosync", true, 0}, {"nosync/parallel", true, 32}} {
		b.Run(bb.name, func(b *testing.B) {
			l, err := auditlog.New(auditlog.Config{Required: true, Sinks: []auditlog.Sink{
				auditlog.NewFile(auditlog.FileConfig{Path: filepath.Join(b.TempDir(), "a"), NoSync: bb.noSync, MaxSize: 100_000_000})}})
			must(b, err)
			b.ReportAllocs()
			if bb.parallel > 0 {
				b.SetParallelism(bb.parallel)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if l.Record(context.Background(), e) != nil {
							b.Error("refused")
						}
					}
				})
			} else {
				for b.Loop() {
					must(b, l.Record(context.Background(), e))
				}
			}
			must(b, l.Close(context.Background()))
		})
	}
}
