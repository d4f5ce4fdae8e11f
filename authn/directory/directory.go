package directory

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn"
)

// Directory checks names and passwords against AD DS. It is safe for concurrent
// use. A Directory that was not started works too, but nothing watches its DCs.
type Directory struct {
	cfg     Config
	domains []*domain
	byName  map[string]*domain
	roots   atomic.Pointer[x509.CertPool]
	metrics *metrics
	diag    *diagnostics
	refusal refusals

	groupNames *groupNames

	base   context.Context // ends with Close
	cancel context.CancelFunc

	mu      sync.Mutex
	wg      sync.WaitGroup
	closed  bool
	started bool
	waiting bool // Close waits; nothing may be added to wg any more
}

// domain is one AD domain.
type domain struct {
	d        *Directory
	cfg      DomainConfig
	name     string // DNS name, lower case
	nc       string // DN of the domain
	baseDN   string
	suffixes map[string]bool
	service  *serviceAccount
	netbios  atomic.Pointer[string]
	hidden   atomic.Bool // a DC answered, and the service account may not read the NetBIOS name
	// forest is what a DC last named as configuration naming context, which all
	// domains of a forest share; nil until one was reached.
	forest atomic.Pointer[string]

	servers    atomic.Pointer[[]*server] // by tier
	discovered atomic.Int64              // unix nanoseconds of the last good discovery
	early      chan struct{}             // asks for a discovery now
}

// New checks the settings and builds a Directory. It opens nothing; see
// [Directory.Start].
func New(cfg Config) (*Directory, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Resolver == nil {
		cfg.Resolver = net.DefaultResolver
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	if cfg.DefaultDomain == "" {
		cfg.DefaultDomain = cfg.Domains[0].DNSName
	}
	d := &Directory{cfg: cfg, byName: map[string]*domain{}, diag: newDiagnostics(), groupNames: newGroupNames()}
	d.base, d.cancel = context.WithCancel(context.Background())
	d.roots.Store(cfg.Roots)
	d.metrics = newMetrics(d)
	shared := newServiceAccount(cfg.Service, cfg.Limits.Bind, d.diag, cfg.Logger)
	for _, dc := range cfg.Domains {
		dm, err := newDomain(d, dc, shared)
		if err != nil {
			return nil, err
		}
		d.domains = append(d.domains, dm)
		d.byName[dm.name] = dm
	}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(d.metrics); err != nil {
			return nil, fmt.Errorf("directory metrics: %w", err)
		}
	}
	return d, nil
}

func newDomain(d *Directory, dc DomainConfig, shared *serviceAccount) (*domain, error) {
	dm := &domain{d: d, cfg: dc, name: canonicalDNS(dc.DNSName), suffixes: map[string]bool{}, service: shared, early: make(chan struct{}, 1)}
	dm.nc = domainDN(dm.name)
	dm.baseDN = dc.BaseDN
	if dm.baseDN == "" {
		dm.baseDN = dm.nc
	}
	if dc.Service.Name != "" {
		dm.service = newServiceAccount(dc.Service, d.cfg.Limits.Bind, d.diag, d.cfg.Logger)
	}
	netbios := strings.ToUpper(dc.NetBIOS)
	dm.netbios.Store(&netbios)
	dm.suffixes[dm.name] = true
	for _, s := range dc.UPNSuffixes {
		dm.suffixes[canonicalDNS(s)] = true
	}
	servers := make([]*server, 0, len(dc.Servers))
	for _, sc := range dc.Servers {
		ep, err := sc.parse()
		if err != nil {
			return nil, err
		}
		servers = append(servers, newServer(dm, ep, 0, 1))
	}
	dm.servers.Store(&servers)
	return dm, nil
}

// Start begins probing, discovery and the warming of pools, and returns at once
// even when no DC answers. The background work ends with Close, not with ctx.
func (d *Directory) Start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.started {
		return errClosed
	}
	d.started = true
	for _, dm := range d.domains {
		if len(dm.cfg.Servers) == 0 {
			d.goLocked(dm.discoverLoop)
		}
		for _, s := range *dm.servers.Load() {
			d.goLocked(func() { s.probeLoop(s.ctx) })
		}
	}
	return nil
}

// spawn runs f in a goroutine that Close waits for.
func (d *Directory) spawn(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.goLocked(f)
}

func (d *Directory) goLocked(f func()) {
	if d.waiting {
		go f() // a goodbye of a request that outlived Close, bounded by drainTime
		return
	}
	d.wg.Add(1)
	go func() {
		defer d.wg.Done()
		f()
	}()
}

// Close ends all background work and connections and waits for both. Requests
// still running get Unavailable.
func (d *Directory) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	for _, dm := range d.domains {
		for _, s := range *dm.servers.Load() {
			s.binds.close()
			s.searches.close()
		}
	}
	d.mu.Lock()
	d.waiting = true
	d.mu.Unlock()
	d.wg.Wait()
	if d.cfg.Registerer != nil {
		d.cfg.Registerer.Unregister(d.metrics)
	}
	return nil
}

// Reload replaces the authorities that may issue DC certificates (nil means the
// system's); connections verified with the old ones are closed once idle.
func (d *Directory) Reload(roots *x509.CertPool) {
	d.roots.Store(roots)
	for _, dm := range d.domains {
		for _, s := range *dm.servers.Load() {
			s.binds.renew()
			s.searches.renew()
		}
	}
}

// domain returns the configured domain of that DNS name.
func (d *Directory) domain(name string) (*domain, error) {
	if dm := d.byName[canonicalDNS(name)]; dm != nil {
		return dm, nil
	}
	return nil, &authn.Error{Reason: authn.Misconfigured, Cause: fmt.Errorf("directory: domain %q is not configured", name)}
}

func (dm *domain) netbiosName() string { return *dm.netbios.Load() }

// eachServer walks the DCs of all domains.
func (d *Directory) eachServer(f func(dm *domain, s *server)) {
	for _, dm := range d.domains {
		for _, s := range *dm.servers.Load() {
			f(dm, s)
		}
	}
}

var _ prometheus.Collector = (*metrics)(nil)
