package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn/audit"
	"sallyport/authn/directory"
	"sallyport/authn/lockout"
	"sallyport/authn/password"
	"sallyport/authn/redisstore"
	"sallyport/authn/session"
	"sallyport/certs"
	"sallyport/cmd/internal/auditlog"
	"sallyport/cmd/internal/config"
	"sallyport/cmd/internal/telemetry"
	"sallyport/federation/claims"
	"sallyport/federation/metadata"
	"sallyport/federation/partner"
	"sallyport/federation/saml"
	"sallyport/federation/signin"
	"sallyport/federation/signin/pages"
	"sallyport/federation/token"
	"sallyport/federation/web"
	"sallyport/federation/wsfed"
	"sallyport/ptaagent"
)

// Options are what a caller may add to the settings. The zero value serves the
// settings as they are.
type Options struct {
	// Logger gets the log records. Default: JSON on standard error at the level of
	// ops.log_level, which then follows reloads.
	Logger *slog.Logger
	// Version is the release, for logs and metrics.
	Version string
	// Stdout is where audit.stdout writes. Default: standard output.
	Stdout io.Writer
	// Listener is used instead of listen, for tests on port 0.
	Listener net.Listener
	// Demo writes "demo" on every page.
	Demo bool
	// Load reads the settings again for a reload. Default: the file that the
	// settings came from.
	Load func() (*config.Config, error)
	// Key is used instead of the signing files, for load drivers that measure.
	Key *certs.Key
	// Now is the clock of tests. Default: [time.Now].
	Now func() time.Time
	// Steady is the clock of tests for how long something took in the life of keys.
	// Default: the process's own.
	Steady func() time.Duration
	// SigningPoll is how often the life cycle of the signing keys is looked at.
	// Default: as certs has it.
	SigningPoll time.Duration
	// PTAKeys keeps the agent's key in place of the settings' files or module.
	PTAKeys ptaagent.KeyStore
	// WrapSigning lets tests break the stores of the signing keys.
	WrapSigning func(certs.Store, certs.KeyStore) (certs.Store, certs.KeyStore)
	// Beside is for a command beside a running service: no key is made, no file that is
	// the service's is deleted.
	Beside bool
}

// App is the assembled service. Its methods are safe for concurrent use; each
// of Start and Stop is called once.
type App struct {
	opts  Options
	log   *slog.Logger
	level *slog.LevelVar
	now   func() time.Time

	registry     *prometheus.Registry
	health       *telemetry.Health
	audit        *auditlog.Log
	auditFile    *auditlog.File // nil without a file
	directory    *directory.Directory
	cache        *directory.Cache
	anchors      *claims.AnchorIndex
	groups       *claims.GroupIndex
	gate         *lockout.Memory
	passwords    *password.Pipeline
	pta          *ptaagent.Agent // nil where none runs
	ptaIdentity  *ptaagent.Identity
	sessions     session.Store
	store        *redisstore.Store // nil with memory
	revocations  *session.Revocations
	keys         *certs.Keys
	manager      *certs.Manager // nil with one fixed key
	graph        graphParts
	tls          *certs.Listener
	metadata     *metadata.Handler
	metadataSAML *metadata.Handler // the SAML 2.0 role alone
	flow         *signin.Flow
	saml         *saml.Handler
	edge         *web.Edge
	server       *web.Server
	listener     net.Listener
	ops          *telemetry.Ops
	control      *telemetry.Control

	live     atomic.Pointer[live]
	partners partners

	background sync.WaitGroup
	run        context.Context // of what runs in the background, since Start
	scanning   sync.Once
	cancel     context.CancelFunc
	served     chan error
	stopOnce   sync.Once

	reloading sync.Mutex   // one reload at a time
	swapping  sync.Mutex   // held while live is replaced
	inForce   []*certs.Key // signs and listed, the current one first; guarded by swapping

	mu             sync.Mutex
	cfg            *config.Config
	policyProblems map[string]string
	tlsProblem     error
}

// live is what a reload replaces in one step.
type live struct {
	settings *config.Config // those in force
	keeper   *partner.Keeper
	query    *partner.Query // nil: nobody is asked for unknown parties
	parties  *wsfed.Registry
	relying  []config.RelyingParty // what parties and claims were made from
	pages    *pages.Set
	claims   *claims.Engine
	signer   *token.Signer
	saml     *saml.Registry
	// samlIssuers are the entity ids by which SAML parties may know this service.
	samlIssuers []string
	active      active
	// keyParties are the parties that have to know the signing keys.
	keyParties []certs.Party
}

// New builds every part. It opens files and dials nobody but Redis, when that has
// the signing keys; every problem that can be found so is in the error.
func New(cfg *config.Config, opts Options) (*App, error) {
	a := &App{
		opts: opts, cfg: cfg, now: opts.Now, log: opts.Logger, level: new(slog.LevelVar),
		registry: telemetry.NewRegistry(opts.Version), health: &telemetry.Health{},
		policyProblems: map[string]string{}, served: make(chan error, 1), metadata: &metadata.Handler{}, metadataSAML: &metadata.Handler{},
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.opts.Stdout == nil {
		a.opts.Stdout = os.Stdout
	}
	if level, err := telemetry.ParseLevel(cfg.Ops.LogLevel); err == nil {
		a.level.Set(level)
	}
	if a.log == nil {
		a.log = telemetry.NewLogger(telemetry.LogConfig{Writer: os.Stderr, Level: a.level})
	}
	steps := []func() error{
		a.buildAudit, a.buildSessions, a.buildKeys, a.buildDirectory, a.buildPasswords, a.buildFront, a.buildHealth, a.buildFrontHealth, a.buildPTA, a.buildWatch,
	}
	if cfg.AgentAlone() {
		steps = []func() error{a.buildAudit, a.buildDirectory, a.buildPasswords, a.buildHealth, a.buildPTA}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, errors.Join(err, a.closeParts())
		}
	}
	return a, nil
}

// Start begins to serve. The directory and the session store may be down: the
// service then says so and waits for them.
func (a *App) Start(ctx context.Context) error {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a.cancel = cancel
	if err := a.directory.Start(run); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	a.run = run
	a.spawn(func() { a.watchPolicies(run) })
	a.spawn(func() { a.watchCertificates(run) })
	a.startPTA(run)
	if a.edge != nil {
		a.startFront(run)
		if err := a.listen(); err != nil {
			return err
		}
	}
	if err := a.startOperators(); err != nil {
		return err
	}
	if a.edge != nil {
		if err := a.serve(run); err != nil {
			return err
		}
	}
	a.health.SetStarted()
	a.record(audit.ServiceStarted, "", a.opts.Version)
	if a.edge == nil {
		a.log.Info("serving", "agent", "alone", "version", a.opts.Version)
		return nil
	}
	a.log.Info("serving", "address", a.listener.Addr().String(), "public_url", a.cfg.PublicURL, "version", a.opts.Version)
	return nil
}

// startFront starts what runs behind federation.
func (a *App) startFront(run context.Context) {
	a.spawn(func() { a.groups.Run(run, groupInterval) })
	a.watchAnchors(a.cfg)
	a.watchPartners(a.live.Load().keeper)
	a.spawn(func() { a.revocations.Run(run) })
	if a.graph.watch != nil {
		a.spawn(func() { a.graph.watch.Run(run) })
	}
	if a.manager != nil {
		a.spawn(func() { a.manager.Run(run) })
	}
	if a.tls != nil {
		a.spawn(func() { a.tls.Watch(run, 10*time.Second, a.tlsChanged) })
	}
}

// listen opens the public listener.
func (a *App) listen() error {
	if a.listener = a.opts.Listener; a.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", a.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	a.listener = l
	return nil
}

// startOperators opens what operators see.
func (a *App) startOperators() error {
	if a.cfg.Ops.Listen != "" {
		ops, err := telemetry.StartOps(telemetry.OpsConfig{Listen: a.cfg.Ops.Listen, Health: a.health, Gatherer: a.registry, Logger: a.log})
		if err != nil {
			return err
		}
		a.ops = ops
	}
	if a.cfg.Ops.Control == "" {
		return nil
	}
	cfg := telemetry.ControlConfig{
		Path: a.cfg.Ops.Control, Reload: a.Reload, Partial: ErrRestart, PTA: a.PTAStatus, Health: a.health, Pprof: a.cfg.Ops.Pprof, Logger: a.log,
	}
	if a.edge != nil {
		cfg.EndSessions = a.EndSessions
	}
	control, err := telemetry.StartControl(cfg)
	if err != nil {
		return err
	}
	a.control = control
	return nil
}

// serve answers on the public listener.
func (a *App) serve(run context.Context) error {
	cfg := web.ServerConfig{Drain: a.cfg.Ops.DrainTime, NotReady: a.health.SetDraining, ProxyProtocol: a.cfg.Proxy.ProxyProtocol}
	if a.tls != nil {
		cfg.TLS = web.TLSConfig(func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return a.tls.GetCertificate(h) })
		if a.cfg.TLS.ACME.On() {
			cfg.TLS.NextProtos = append(cfg.TLS.NextProtos, certs.ACMEProtocol)
		}
	}
	if err := a.startChallenge(run); err != nil {
		return err
	}
	a.server = a.edge.NewServer(cfg)
	go func() { a.served <- a.server.Serve(a.listener) }()
	return nil
}

// Served is closed with the listener's error when it ends by itself.
func (a *App) Served() <-chan error { return a.served }

// Addr is the public listener's address, after Start; nil for an agent alone.
func (a *App) Addr() net.Addr {
	if a.listener == nil {
		return nil
	}
	return a.listener.Addr()
}

// OpsAddr is the ops listener's address, nil when it is off.
func (a *App) OpsAddr() net.Addr {
	if a.ops == nil {
		return nil
	}
	return a.ops.Addr()
}

// SigningCertificates are the published certificates, the current one first; none for
// an agent alone.
func (a *App) SigningCertificates() []*certs.Key {
	if a.keys == nil {
		return nil
	}
	return a.keys.Published()
}

// Health is the service's readiness.
func (a *App) Health() *telemetry.Health { return a.health }

// Stop ends the service: readiness, listener, running requests, then the parts.
func (a *App) Stop(ctx context.Context) error {
	var err error
	a.stopOnce.Do(func() {
		a.health.SetDraining()
		if a.server != nil {
			err = a.server.Shutdown(ctx)
		}
		a.record(audit.ServiceStopped, "", "")
		if a.cancel != nil {
			a.cancel()
		}
		a.background.Wait()
		if a.control != nil {
			err = errors.Join(err, a.control.Stop(ctx))
		}
		if a.ops != nil {
			err = errors.Join(err, a.ops.Stop(ctx))
		}
		err = errors.Join(err, a.closeParts())
		a.log.Info("stopped")
	})
	return err
}

// closeParts ends what New opened.
func (a *App) closeParts() error {
	var errs []error
	if a.directory != nil {
		errs = append(errs, a.directory.Close())
	}
	if a.sessions != nil {
		a.sessions.Close()
	}
	if a.audit != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		errs = append(errs, a.audit.Close(ctx))
	}
	return errors.Join(errs...)
}

// watchAnchors begins the scans for shared source anchors once there is somebody
// to issue them for: at the start, or when a reload brings the first domain.
func (a *App) watchAnchors(cfg *config.Config) {
	if len(cfg.Microsoft365.Domains) == 0 || a.run == nil {
		return
	}
	a.scanning.Do(func() { a.spawn(func() { a.anchors.Run(a.run, anchorInterval) }) })
}

func (a *App) spawn(f func()) {
	a.background.Add(1)
	go func() { defer a.background.Done(); f() }()
}

// record writes an event of the service itself.
func (a *App) record(code audit.Code, reason, detail string) {
	if err := a.audit.Record(context.Background(), &audit.Event{Time: a.now(), Code: code, Reason: reason, Detail: detail}); err != nil {
		a.log.Error("audit event of the service itself was not recorded", "code", string(code), "error", err)
	}
}

// tlsChanged hears of changes of the listener's certificate files.
func (a *App) tlsChanged(err error) {
	a.mu.Lock()
	a.tlsProblem = err
	a.mu.Unlock()
	if err != nil {
		a.log.Warn("the listener's changed certificate cannot be used; the one before stays", "error", err)
		return
	}
	a.log.Info("listener certificate loaded", "thumbprint", a.tls.Thumbprint(), "not_after", a.tls.NotAfter())
}
