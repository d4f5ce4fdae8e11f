package ptaagent_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

// people stands in for the pipeline: it judges by the password's text.
type people struct {
	mu    sync.Mutex
	calls int
	seen  []string
	block chan struct{}
}

const right = `Pässw0rd/"\€𝄞`

func (p *people) Verify(ctx context.Context, _ authn.Attempt, c authn.Credentials) authn.Result {
	p.mu.Lock()
	p.calls++
	p.seen = append(p.seen, c.Name)
	block := p.block
	p.mu.Unlock()
	defer c.Password.Wipe()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return authn.Result{Reason: authn.Unavailable}
		}
	}
	pw := string(c.Password.Bytes())
	if pw == right {
		return authn.Result{Reason: authn.Accepted}
	}
	for _, r := range authn.Reasons() {
		if r != authn.Accepted && pw == r.String() {
			return authn.Result{Reason: r}
		}
	}
	return authn.Result{Reason: authn.WrongPassword}
}

// hold lets nobody be judged until release.
func (p *people) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.block = make(chan struct{})
}

func (p *people) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.block)
	p.block = nil
}

func (p *people) names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

func (p *people) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

type trail struct {
	mu     sync.Mutex
	events []audit.Event
}

func (t *trail) Record(_ context.Context, e *audit.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, *e)
	return nil
}

func (t *trail) has(reason string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.events {
		if e.Reason == reason {
			return true
		}
	}
	return false
}

// count is how many events have the reason.
func (t *trail) count(reason string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.events {
		if e.Reason == reason {
			n++
		}
	}
	return n
}

func (t *trail) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = nil
}

// house is a cloud and a registered, running agent.
type house struct {
	cloud  *ptatest.Cloud
	agent  *ptaagent.Agent
	id     *ptaagent.Identity
	people *people
	trail  *trail
	log    *syncBuffer
	dir    string
	stop   func()
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// quick is a relay's time in tests.
var quick = ptaagent.Timing{
	Pauses: []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond}, Steady: 10 * time.Millisecond,
	Drain: 200 * time.Millisecond, Resend: 100 * time.Millisecond, Rendezvous: 2 * time.Second,
}

func open(t testing.TB, cfg ptatest.Config, change ...func(*ptaagent.Config)) *house {
	t.Helper()
	cloud, err := ptatest.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	h := &house{cloud: cloud, people: &people{}, trail: &trail{}, log: &syncBuffer{}, dir: t.TempDir() + "/pta"}
	h.agent, h.id, h.stop = h.start(t, h.dir, change...)
	return h
}

// another starts one more agent and returns what stops it.
func (h *house) another(t testing.TB, change ...func(*ptaagent.Config)) (stop func()) {
	t.Helper()
	_, _, stop = h.start(t, t.TempDir()+"/pta", change...)
	return stop
}

// start registers and runs an agent, and waits until it listens.
func (h *house) start(t testing.TB, dir string, change ...func(*ptaagent.Config)) (*ptaagent.Agent, *ptaagent.Identity, func()) {
	t.Helper()
	network := ptaagent.Network{Dial: h.cloud.DialContext, Roots: h.cloud.Roots()}
	_, err := ptaagent.Register(t.Context(), ptaagent.Registration{Tenant: h.cloud.Tenant, Token: h.cloud.AdminToken(), Dir: dir, Network: network})
	if err != nil {
		t.Fatal(err)
	}
	id, err := ptaagent.LoadIdentity(dir, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := ptaagent.Config{
		Identity: id, Passwords: h.people, Audit: h.trail, Suffixes: []string{"contoso.test"}, Network: network,
		Logger: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	c.SetTiming(quick)
	for _, f := range change {
		f(&c)
	}
	agent, err := ptaagent.New(c)
	if err != nil {
		t.Fatal(err)
	}
	before := h.cloud.Stats().Links
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); agent.Run(ctx) }()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	wait, cancelWait := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancelWait()
	if err := h.cloud.WaitListening(wait, before+len(h.cloud.Settings().Endpoints)); err != nil {
		t.Fatalf("%v\n%s\n%v", err, h.log, h.cloud.Refusals())
	}
	return agent, id, stop
}

func (h *house) signIn(t testing.TB, s ptatest.SignIn) (ptatest.Verdict, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if s.UPN == "" {
		s.UPN = "alice@contoso.test"
	}
	if s.Password == "" {
		s.Password = right
	}
	return h.cloud.SignIn(ctx, s)
}

func (h *house) well(t testing.TB) {
	t.Helper()
	for _, r := range h.cloud.Refusals() {
		t.Errorf("the cloud refused: %v", r)
	}
	if s := h.cloud.Strays(); len(s) > 0 {
		t.Errorf("connections elsewhere: %v", s)
	}
}
