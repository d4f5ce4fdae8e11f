package ptatest

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	suffix       = ".msappproxy.net"
	domain       = "servicebus.windows.net"
	loginHost    = "login.microsoftonline.com"
	graphHost    = "graph.microsoft.com"
	renewHost    = "his-eur1-weur1.renewtrust.msappproxy.net"
	instanceHost = "g17-prod-am3-006-sb.servicebus.windows.net"
	frontHost    = "vm1-proxy-pta-weur-ams01p-1.connector.his.msappproxy.net"
)

// Cloud is a running stand-in. Safe for concurrent use.
type Cloud struct {
	// Tenant is the tenant's GUID.
	Tenant string

	cfg    Config
	now    func() time.Time
	policy Policy
	pki    *pki
	diary  *diary

	tls   net.Listener
	proxy net.Listener
	web   *http.Server
	ctx   context.Context // ends with Close
	stop  context.CancelFunc
	work  sync.WaitGroup

	faults atomic.Pointer[Faults]

	mu       sync.Mutex
	settings Settings
	hosts    map[string]bool
	agents   map[string]*agent // by id
	enabled  bool
	tokens   map[string]grant // access tokens by text
	codes    map[string]code  // authorization codes
	devices  map[string]code  // device codes
	seen     map[string]bool  // request ids that must be fresh
	order    []string         // the same as a ring
	next     int              // where the ring is written
	conns    map[net.Conn]bool
	links    map[*link]bool
	meetings map[string]*meeting // by rendezvous id
	open     map[*relayed]bool
	pending  map[string]*waiting // by transaction
	sockets  int
	closed   bool
}

// Start opens the listeners and serves until Close.
func Start(cfg Config) (*Cloud, error) {
	if cfg.Tenant == "" {
		cfg.Tenant = newGUID()
	}
	if _, ok := parseGUID(cfg.Tenant); !ok {
		return nil, fmt.Errorf("tenant %q is no GUID in lower case", cfg.Tenant)
	}
	if cfg.NetBIOS == "" {
		cfg.NetBIOS = "CORP"
	}
	if cfg.Namespaces == 0 {
		cfg.Namespaces = 2
	}
	if cfg.Namespaces < 1 || cfg.Namespaces > 4 {
		return nil, fmt.Errorf("%d namespaces: 1 to 4 are possible", cfg.Namespaces)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Policy.defaults()
	c := &Cloud{
		Tenant: cfg.Tenant, cfg: cfg, now: cfg.Now, policy: cfg.Policy, diary: newDiary(cfg.Now), agents: map[string]*agent{},
		links: map[*link]bool{}, meetings: map[string]*meeting{}, open: map[*relayed]bool{}, pending: map[string]*waiting{},
		tokens: map[string]grant{}, codes: map[string]code{}, devices: map[string]code{}, seen: map[string]bool{}, conns: map[net.Conn]bool{},
	}
	c.settings = defaultSettings(cfg)
	if cfg.Settings != nil {
		cfg.Settings(&c.settings)
	}
	var err error
	if c.pki, err = newPKI(cfg.Now); err != nil {
		return nil, err
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.nameHosts()
	if err := c.listen(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func defaultSettings(cfg Config) Settings {
	s := Settings{
		Heartbeat: 10 * time.Minute, TrustCheck: 6 * time.Hour, AnswerBudget: 15 * time.Second, TokenTTL: time.Hour,
		ResultAttempts: 5, ResultPause: 200 * time.Millisecond, ConnectorState: "Ok", TrustRenewEndpoint: "https://" + renewHost + "/renewTrust",
	}
	group := newGUID()
	for _, ns := range []string{"his-eur1-weur1", "his-sb-pta-EUR-Neur", "his-eur1-frc1", "his-eur1-swe1"}[:cfg.Namespaces] {
		for _, reliable := range []bool{false, true} {
			e := Endpoint{Namespace: ns, Domain: domain, Path: cfg.Tenant + "_" + group, Reliable: reliable, Key: newKey(), KeyName: "Connector"}
			if reliable {
				e.Path += "_reliable"
			}
			s.Endpoints = append(s.Endpoints, e)
		}
	}
	return s
}

// newKey is the text of a shared access key: 44 characters.
func newKey() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// nameHosts lists the names that lead to the cloud.
func (c *Cloud) nameHosts() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hosts = map[string]bool{loginHost: true, graphHost: true, renewHost: true, instanceHost: true, frontHost: true}
	for _, label := range []string{".registration", ".bootstrap", ".pta.bootstrap.his", ".admin"} {
		c.hosts[c.Tenant+label+suffix] = true
	}
	for _, e := range c.settings.Endpoints {
		c.hosts[strings.ToLower(e.Host())] = true
	}
}

// knows reports whether addr (host:port) is one of the cloud's.
func (c *Cloud) knows(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port != "443" {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hosts[strings.ToLower(host)]
}

// DialContext takes the place of a net.Dialer's: it leads the cloud's names on
// port 443 to the stand-in. All else is refused and kept as a stray.
func (c *Cloud) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if !c.knows(addr) {
		c.diary.stray(addr)
		return nil, fmt.Errorf("%s is no host of the cloud", addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, c.tls.Addr().String())
}

// Addr is the TLS listener's address.
func (c *Cloud) Addr() string { return c.tls.Addr().String() }

// ProxyURL is the address of the CONNECT proxy, with the credentials that it asks.
func (c *Cloud) ProxyURL() string {
	user := ""
	if c.cfg.ProxyUser != "" {
		user = c.cfg.ProxyUser + ":" + c.cfg.ProxyPassword + "@"
	}
	return "http://" + user + c.proxy.Addr().String()
}

// Roots trusts the authority of the cloud's server certificates.
func (c *Cloud) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.pki.server.cert)
	return pool
}

// RootsPEM is the same as a file.
func (c *Cloud) RootsPEM() []byte { return c.pki.server.pem() }

// SetFaults misbehaves from now on; the zero value ends it.
func (c *Cloud) SetFaults(f Faults) {
	c.faults.Store(&f)
}

func (c *Cloud) fault() Faults {
	if f := c.faults.Load(); f != nil {
		return *f
	}
	return Faults{}
}

// Reconfigure changes what the next bootstrap tells. Links to an endpoint that
// was removed, or whose key changed, are cut.
func (c *Cloud) Reconfigure(change func(*Settings)) {
	c.mu.Lock()
	s := c.settings
	s.Endpoints = slices.Clone(s.Endpoints)
	c.mu.Unlock()
	change(&s)
	c.mu.Lock()
	c.settings = s
	c.mu.Unlock()
	c.nameHosts()
}

// Settings are those that the next bootstrap tells.
func (c *Cloud) Settings() Settings {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.settings
	s.Endpoints = slices.Clone(s.Endpoints)
	return s
}

// enter counts a handler that outlives its server's bookkeeping; false: too late.
func (c *Cloud) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.work.Add(1)
	}
	return !c.closed
}

// Close ends all connections and waits for what serves them.
func (c *Cloud) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	var errs []error
	if c.web != nil {
		errs = append(errs, c.web.Close())
	}
	for _, l := range []net.Listener{c.tls, c.proxy} {
		if l != nil {
			_ = l.Close()
		}
	}
	c.cutAll()
	c.work.Wait()
	return errors.Join(errs...)
}

// cutAll closes every connection at the TCP level.
func (c *Cloud) cutAll() {
	c.mu.Lock()
	conns := slices.Collect(maps.Keys(c.conns))
	c.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
	}
}
