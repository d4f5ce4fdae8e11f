package ptaagent

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/ptaagent/internal/enroll"
	"sallyport/ptaagent/internal/relay"
)

// Passwords is the one password pipeline. It counts, records and wipes; its refusals
// are delayed by a schedule of its own.
type Passwords interface {
	Verify(ctx context.Context, at authn.Attempt, c authn.Credentials) authn.Result
}

// Machine is what the cloud shows of an agent's host.
type Machine = enroll.Machine

// Config configures an [Agent].
type Config struct {
	// Identity is the registered agent; see [LoadIdentity]. Required.
	Identity *Identity
	// Passwords judges. Required.
	Passwords Passwords
	// Audit takes refused requests; the pipeline records verdicts itself. Required.
	Audit audit.Recorder
	// Suffixes are what may stand behind the @ of a user's name, in any case; other
	// users are refused without a look at the directory. Required.
	Suffixes []string
	// Cloud is whose hosts are spoken to. Zero: [Global].
	Cloud Cloud
	// Network is how they are reached.
	Network Network
	// Machine is what is told about this host. Zero: its name, and the version of the
	// agent whose messages are public.
	Machine Machine
	// Inspection looks for agents of the tenant that nobody here knows. Zero: off.
	Inspection Inspection
	// Concurrent bounds the requests that are under way at once, and as many wait.
	// When more come, the oldest that waits is told that nobody could judge it.
	// Default 512.
	Concurrent int
	// Delay waits as long as a refused bind takes; a request that cannot be decrypted
	// must not be told by its speed. Default: no wait beyond Floor.
	Delay func(ctx context.Context) error
	// Floor is the pipeline's time of a refusal at least; see [password.Schedule].
	Floor time.Duration
	// Logger, Registerer and Now have the usual defaults.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time

	timing relay.Timing // for tests, whose time is short
}

// Agent answers the cloud's requests. It is safe for concurrent use.
type Agent struct {
	cfg     Config
	mutual  *http.Client // presents the certificate in force
	dial    func(ctx context.Context, host, path, protocol string) (connection, error)
	metrics *metrics
	links   *relay.Metrics
	seen    *memory

	plan  atomic.Pointer[enroll.Plan]
	line  *line           // in which requests wait for their turn
	crew  crew            // that answers them
	late  relay.Semaphore // requests that were turned away and are being told so
	again chan struct{}   // wants an extra bootstrap

	closing bool           // guarded by mu: no more signals are taken
	work    sync.WaitGroup // signals and requests under way; counted up under mu, or by who is counted

	run   context.Context // of requests; ends after the listeners
	serve context.Context // ends when the agent is to stop

	relayed relay.Semaphore
	sockets relay.Semaphore

	mu        sync.Mutex
	listeners map[string]*listening
	status    Status
	recent    []Request // ring
	next      int
}

// New returns an agent; [Agent.Run] starts it.
func New(cfg Config) (*Agent, error) {
	if cfg.Identity == nil || cfg.Passwords == nil || cfg.Audit == nil {
		return nil, errors.New("ptaagent: identity, passwords and audit are required")
	}
	if len(cfg.Suffixes) == 0 {
		return nil, errors.New("ptaagent: no suffix of user names is allowed, so nobody could sign in")
	}
	if cfg.Cloud == (Cloud{}) {
		cfg.Cloud = Global()
	}
	if cfg.Machine == (Machine{}) {
		cfg.Machine = enroll.ThisMachine()
	}
	if cfg.Concurrent <= 0 {
		cfg.Concurrent = 512
	}
	if cfg.Inspection.Every <= 0 {
		cfg.Inspection.Every = 24 * time.Hour
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	a := &Agent{
		cfg: cfg, mutual: cfg.Network.client(cfg.Identity.inForce), metrics: newMetrics(cfg.Registerer), links: relay.NewMetrics(cfg.Registerer),
		seen: newMemory(), again: make(chan struct{}, 1), listeners: map[string]*listening{},
		line: newLine(cfg.Concurrent, cfg.Concurrent), crew: make(crew), late: make(relay.Semaphore, 256),
		relayed: make(relay.Semaphore, 256), sockets: make(relay.Semaphore, 256),
	}
	a.dial = dialer(cfg.Network.client(nil))
	a.plan.Store(&enroll.Plan{Budget: 15 * time.Second, Posts: 5, Pause: 200 * time.Millisecond, Factor: 2, ResponsePath: "/subscriber/connection", TokenLife: time.Hour})
	a.status = Status{Tenant: cfg.Identity.Tenant(), Agent: cfg.Identity.Agent()}
	return a, nil
}

// Run serves until ctx ends. The links then close, requests that have been
// acknowledged are finished within the budget, and signals that still come are told
// that this agent is closing.
func (a *Agent) Run(ctx context.Context) {
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.run, a.serve = run, ctx
	defer stop()
	var loops sync.WaitGroup
	loops.Go(func() { a.heartbeat(ctx) })
	loops.Go(func() { a.renewals(ctx) })
	loops.Go(func() { a.watchClock(ctx) })
	loops.Go(func() { a.inspections(ctx) })
	<-ctx.Done()
	a.mu.Lock()
	a.closing = true
	a.mu.Unlock()
	loops.Wait()
	done := make(chan struct{})
	go func() { a.work.Wait(); close(done) }()
	t := time.NewTimer(a.plan.Load().Budget)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
	stop()
	<-done
	a.waitListeners()
}

// begin counts a signal as under way; false when the agent is closing.
func (a *Agent) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closing {
		a.work.Add(1)
	}
	return !a.closing
}

// Signal implements [relay.Handler]: it acknowledges and answers in the background.
func (a *Agent) Signal(_ context.Context, c relay.Call) (relay.Reply, error) {
	if !a.begin() {
		return relay.Reply{}, closingFault()
	}
	defer a.work.Done()
	if c.Action != actionSignal {
		a.metrics.refused["pta_malformed"].Inc()
		return relay.Reply{}, errRequest
	}
	r, err := readSignal(c.Body)
	if err != nil {
		a.refuse(a.run, "pta_malformed", "", err)
		return relay.Reply{}, err
	}
	switch r.protocol {
	case protocolPassword:
		a.accept(a.run, r, c.Received)
	case protocolConnect:
		a.connect(r, c.Received)
	default:
		a.refuse(a.run, "pta_protocol", r.transaction, errRequest)
	}
	return acknowledgement(a.cfg.Identity.Agent(), time.Since(c.Received).Milliseconds()), nil
}

// connect fetches the requests of a Connect signal in the background.
func (a *Agent) connect(r *request, received time.Time) {
	if !a.belongs(a.run, r) {
		return
	}
	if _, err := authn.ParseGUID(r.connection); err != nil || len(r.connection) != 36 {
		a.refuse(a.run, "pta_malformed", r.transaction, errRequest)
		return
	}
	if !a.seen.first("connection "+r.connection, received) {
		a.refuse(a.run, "pta_repeated", r.transaction, errRequest)
		return
	}
	if !a.sockets.Try() {
		a.refuse(a.run, "pta_overload", r.transaction, errOverload)
		return
	}
	a.work.Go(func() {
		defer a.sockets.Free()
		if err := a.fetch(r, received); err != nil && a.run.Err() == nil {
			a.metrics.errors.Inc()
			a.cfg.Logger.Warn("pta: request was not fetched", "correlation_id", r.transaction, "error", err.Error())
		}
	})
}
