package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"sallyport/authn/session"
)

// Config configures a [Store].
type Config struct {
	// Addresses are host:port. One is a single server; several are a cluster, or
	// with MasterName the sentinels. Required.
	Addresses  []string
	MasterName string
	// Username is the ACL user; see [ACL]. Required: the default user of Redis may
	// do everything.
	Username string
	// Password is asked at each new connection, so that it can be replaced in a
	// running system. Required.
	Password func() (string, error)
	// TLS holds the roots and, where certificates have names that are not in
	// Addresses, the server name. It may be nil only for loopback addresses.
	// InsecureSkipVerify is refused.
	TLS *tls.Config
	// Database is the number of the database. Default 0.
	Database int
	// Prefix begins every key. Default "sallyport:".
	Prefix string
	// Masters are the deployment's master secrets; the first seals. Required.
	Masters [][]byte
	// Documents says that the store keeps documents too ([Store.SwapDocument]), so
	// that the self-test asks for [DocumentCommands] as well.
	Documents bool
	// Lifetimes are the limits of sessions.
	Lifetimes session.Lifetimes
	// Timeout bounds each wait: for a connection of the pool, for a write, for a
	// reply. Default 250 ms.
	Timeout time.Duration
	// ProbeEvery is the time between health probes while Redis answers; while it
	// does not, probes come at a tenth of it. Default 5 s.
	ProbeEvery time.Duration
	// PoolSize is the most connections to one server. Default 32.
	PoolSize int
	// Now is the clock for the instants in records. Default time.Now.
	Now func() time.Time
	// Logger takes outages and recoveries. Default: none.
	Logger *slog.Logger
	// Registerer takes the metrics. Default: none.
	Registerer prometheus.Registerer
}

// DefaultPrefix begins every key unless the settings say otherwise.
const DefaultPrefix = "sallyport:"

// ParseURL reads rediss://user@host:port/database into a Config that lacks
// password, roots and masters. redis:// (no TLS) is for loopback only. A password
// in the URL is refused: it belongs in a file.
func ParseURL(text string) (Config, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Config{}, errors.New("redisstore: address is not a URL of the form rediss://user@host:port")
	}
	var cfg Config
	switch {
	case u.Scheme != "rediss" && u.Scheme != "redis":
		return Config{}, fmt.Errorf("redisstore: scheme %q, want rediss", u.Scheme)
	case u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		return Config{}, errors.New("redisstore: address must have the form rediss://user@host:port/database")
	}
	if _, has := u.User.Password(); has {
		return Config{}, errors.New("redisstore: a password must not stand in the address; name a password file")
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	cfg.Addresses = []string{net.JoinHostPort(u.Hostname(), port)}
	cfg.Username = u.User.Username()
	if u.Scheme == "rediss" {
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if cfg.Database, err = strconv.Atoi(db); err != nil || cfg.Database < 0 {
			return Config{}, fmt.Errorf("redisstore: %q is not a database number", db)
		}
	}
	return cfg, nil
}

// check fills in defaults and returns everything that is wrong.
func (c *Config) check() error {
	var errs []error
	if len(c.Addresses) == 0 {
		errs = append(errs, errors.New("redisstore: no address given"))
	}
	for _, a := range c.Addresses {
		if _, _, err := net.SplitHostPort(a); err != nil {
			errs = append(errs, fmt.Errorf("redisstore: address %q is not host:port", a))
		}
		if c.TLS == nil && !loopback(a) {
			errs = append(errs, fmt.Errorf("redisstore: %s is not on this machine and needs TLS (rediss://)", a))
		}
	}
	if c.TLS != nil && c.TLS.InsecureSkipVerify {
		errs = append(errs, errors.New("redisstore: certificates must be verified; set the server name or the CA file instead"))
	}
	if c.Username == "" || c.Password == nil {
		errs = append(errs, errors.New("redisstore: an ACL user and its password are needed; the default user may do everything"))
	}
	if strings.ContainsAny(c.Prefix, "{}*?[]\\ \r\n") {
		errs = append(errs, fmt.Errorf("redisstore: prefix %q has a character with a meaning of its own", c.Prefix))
	}
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	if c.Timeout <= 0 {
		c.Timeout = 250 * time.Millisecond
	}
	if c.ProbeEvery <= 0 {
		c.ProbeEvery = 5 * time.Second
	}
	if c.PoolSize <= 0 {
		c.PoolSize = 32
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Lifetimes = c.Lifetimes.WithDefaults()
	return errors.Join(errs...)
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// options are go-redis's. What differs from its defaults, and why: deadlines are
// obeyed (they are not by default); nothing is retried, neither commands nor
// dials (a one-time key must not be tried twice, and an outage must be noticed
// within a call); RESP2 and no notifications, so that a connection carries replies
// and nothing else; no CLIENT commands, which an ACL may deny; pipelines share
// the one pool, whose size is a hard limit.
func (c *Config) options() *redis.UniversalOptions {
	tlsConfig := c.TLS
	if tlsConfig != nil {
		tlsConfig = tlsConfig.Clone()
		tlsConfig.MinVersion = max(tlsConfig.MinVersion, tls.VersionTLS12)
	}
	return &redis.UniversalOptions{
		Addrs: c.Addresses, MasterName: c.MasterName, DB: c.Database, TLSConfig: tlsConfig,
		CredentialsProviderContext: func(context.Context) (string, string, error) {
			pw, err := c.Password()
			return c.Username, pw, err
		},
		Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		ContextTimeoutEnabled:    true,
		MaxRetries:               -1, DialerRetries: 1,
		DialTimeout: 2 * c.Timeout, ReadTimeout: c.Timeout, WriteTimeout: c.Timeout, PoolTimeout: c.Timeout,
		PoolSize: c.PoolSize, MaxActiveConns: c.PoolSize, MaxConcurrentDials: 4, PipelinePoolSize: -1,
		ConnMaxIdleTime: 4 * time.Minute, ConnMaxLifetime: time.Hour, ConnMaxLifetimeJitter: 6 * time.Minute,
		ReadBufferSize: 4096, WriteBufferSize: 4096,
	}
}
