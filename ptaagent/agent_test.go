package ptaagent_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
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
	id, err := ptaagent.LoadIdentity(dir, time.Now())
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

func TestASignInOverEachModeAndSession(t *testing.T) {
	h := open(t, ptatest.Config{})
	for _, mode := range []ptatest.Mode{ptatest.Connect, ptatest.Direct, ptatest.TrustedParty} {
		for _, session := range []ptatest.Session{ptatest.Plain, ptatest.Reliable} {
			for range 2 { // the second one on the same relayed connection
				v, err := h.signIn(t, ptatest.SignIn{Mode: mode, Session: session})
				if err != nil || !v.OK || v.UPN != "alice@contoso.test" {
					t.Fatalf("%s over %s: %+v, %v\n%s\n%v", mode, session, v, err, h.log, h.cloud.Refusals())
				}
			}
		}
	}
	h.well(t)
	if s := h.agent.Status(); len(s.Links) != 4 || len(s.Recent) < 11 || s.CloudState != "Ok" || h.agent.Trouble() != nil {
		t.Errorf("%d links, %d requests, %s, %v", len(s.Links), len(s.Recent), s.CloudState, h.agent.Trouble())
	}
	if strings.Contains(h.log.String(), "ssw0rd") {
		t.Error("the password is in the log")
	}
}

func TestP11_EveryReasonHasItsNumber(t *testing.T) {
	h := open(t, ptatest.Config{})
	for reason, number := range map[authn.Reason]int{
		authn.WrongPassword: 1326, authn.UnknownUser: 1326, authn.Ambiguous: 1326, authn.LockedOut: 1909, authn.Throttled: 1909,
		authn.Restricted: 1327, authn.LogonHours: 1328, authn.Workstation: 1329, authn.PasswordExpired: 1330, authn.Disabled: 1331,
		authn.TooManyGroups: 1384, authn.AccountExpired: 1793, authn.MustChange: 1907, authn.BadInput: 1326, authn.Rejected: 1326,
		authn.Unavailable: 1311, authn.Busy: 1311, authn.Misconfigured: 1311, authn.NoVerdict: 1311,
	} {
		v, err := h.signIn(t, ptatest.SignIn{Password: reason.String()})
		if err != nil || v.OK || v.Reason != number {
			t.Errorf("%s: %+v, %v", reason, v, err)
		}
	}
	h.well(t)
}

func TestP02_ARepeatedRequestIsJudgedOnce(t *testing.T) {
	h := open(t, ptatest.Config{})
	for _, mode := range []ptatest.Mode{ptatest.Direct, ptatest.Connect} {
		before := h.people.count()
		v, err := h.signIn(t, ptatest.SignIn{Mode: mode, Faults: &ptatest.Faults{Repeats: 100}})
		if err != nil || !v.OK {
			t.Fatalf("%+v, %v", v, err)
		}
		if v, err = h.signIn(t, ptatest.SignIn{Mode: mode}); err != nil || !v.OK {
			t.Fatalf("the next one: %+v, %v", v, err)
		}
		if n := h.people.count() - before; n != 2 {
			t.Errorf("%s: %d passwords were judged, not 2", mode, n)
		}
	}
}

func TestP03_NoHostOutsideTheCloudIsSpokenTo(t *testing.T) {
	t.Parallel()
	h := open(t, ptatest.Config{})
	var all sync.WaitGroup
	for _, host := range []string{
		"evil.test", "x.connector.his.msappproxy.net.evil.test", "127.0.0.1", "user@x.connector.his.msappproxy.net", "x.connector.his.msappproxy.net:8443",
		"evil.test/x.connector.his.msappproxy.net", "xconnector.his.msappproxy.net",
	} {
		for _, s := range []ptatest.SignIn{
			{Mode: ptatest.Direct, Faults: &ptatest.Faults{ReturnHost: host}}, {Mode: ptatest.Connect, Faults: &ptatest.Faults{ReturnHost: host}},
			{Faults: &ptatest.Faults{InstanceHost: host}},
		} {
			s.Budget = 300 * time.Millisecond
			all.Go(func() {
				if v, err := h.signIn(t, s); err == nil {
					t.Errorf("%s: %+v", host, v)
				}
			})
		}
	}
	all.Wait()
	if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || !v.OK {
		t.Errorf("afterwards: %+v, %v", v, err)
	}
	if h.people.count() != 1 || !h.trail.has("pta_foreign_host") || len(h.cloud.Strays()) > 0 {
		t.Errorf("%d judged, strays %v", h.people.count(), h.cloud.Strays())
	}
}

func TestP04_NoAnswerTellsWhyAPasswordWasNotRead(t *testing.T) {
	h := open(t, ptatest.Config{}, func(c *ptaagent.Config) { c.Floor = 20 * time.Millisecond })
	for name, f := range map[string]ptatest.Faults{
		"no entry": {OmitKey: true}, "another key": {ForeignKey: true}, "bad cipher": {BadCipher: true}, "bad JSON": {Plaintext: []byte("x")},
		"another type": {Plaintext: []byte(`{"Password":1}`)}, "half a pair": {Plaintext: []byte(`{"Password":"\ud800"}`)},
	} {
		v, err := h.signIn(t, ptatest.SignIn{Faults: &f})
		if err != nil || v.OK || v.Reason != 1326 || v.Text != "" {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
		if v.Took < 20*time.Millisecond {
			t.Errorf("%s took %s", name, v.Took)
		}
	}
	if h.people.count() != 0 || !h.trail.has("pta_undecryptable") {
		t.Errorf("%d judged", h.people.count())
	}
	h.well(t)
}

func TestP05_RequestsOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t, ptatest.Config{}, func(c *ptaagent.Config) { c.Floor = time.Millisecond })
	for _, mode := range []ptatest.Mode{ptatest.Direct, ptatest.Connect} {
		if v, err := h.signIn(t, ptatest.SignIn{Mode: mode, Budget: 100 * time.Millisecond, Faults: &ptatest.Faults{Tenant: "99999999-9999-4999-8999-999999999999"}}); err == nil {
			t.Errorf("%+v", v)
		}
		v, err := h.signIn(t, ptatest.SignIn{Mode: mode, UPN: "alice@fabrikam.test"})
		if err != nil || v.OK || v.Reason != 1326 {
			t.Errorf("another suffix: %+v, %v", v, err)
		}
	}
	if h.people.count() != 0 || !h.trail.has("pta_foreign_tenant") || !h.trail.has("pta_foreign_user") {
		t.Errorf("%d judged", h.people.count())
	}
}
