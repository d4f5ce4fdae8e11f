package directory

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/prometheus/client_golang/prometheus"
)

// Config is everything a [Directory] needs. Fields without a remark are
// required.
type Config struct {
	// Domains are the AD domains whose users may sign in, at least one.
	Domains []DomainConfig
	// DefaultDomain is the DNS name of the domain that bare names mean; empty
	// means the first domain.
	DefaultDomain string
	// AllowBareNames lets people type alice instead of CONTOSO\alice. Off by
	// default: with several domains a bare name can mean the wrong person.
	AllowBareNames bool
	// LoginAttribute is a further attribute whose value people may type in the
	// form of an address, for example mail. It must be indexed. Empty: none.
	LoginAttribute string
	// Roots are the authorities that may issue DC certificates; nil means the
	// system's. There is no way to switch verification off.
	Roots *x509.CertPool
	// Service is the account that searches.
	Service Service
	// Limits bound connections and waiting; zero fields get the defaults.
	Limits Limits
	// Attributes are further user attributes to read with every account.
	Attributes []string
	// ReadGroups reads each account's nested groups (tokenGroups) too, which
	// costs one more search per sign-in.
	ReadGroups bool
	// Logger gets state changes and alarms; nil discards them.
	Logger *slog.Logger
	// Registerer gets the metrics; nil keeps them private.
	Registerer prometheus.Registerer
	// Now is the calendar for account state and clock comparison; nil means
	// time.Now. Durations always use the monotonic clock.
	Now func() time.Time
	// Resolver finds DCs of domains without servers; nil means the system's.
	Resolver Resolver
	// Dial opens TCP connections; nil means a plain net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// DomainConfig is one AD domain.
type DomainConfig struct {
	// DNSName is the domain's DNS name, for example corp.contoso.test.
	DNSName string
	// NetBIOS is the name before the backslash in CONTOSO\alice; empty means
	// that it is read from the directory.
	NetBIOS string
	// Servers are the DCs; empty means that DNS is asked (SRV records).
	Servers []ServerConfig
	// Site restricts discovery to the DCs of an AD site while one of them works.
	Site string
	// BaseDN is where accounts are searched; empty means the whole domain.
	BaseDN string
	// UPNSuffixes are the suffixes after @ which this domain's users have
	// besides DNSName. A suffix that no domain lists is looked for in all, and
	// then names nobody while a domain of another forest is away.
	UPNSuffixes []string
	// AllowRODC admits read-only DCs, which may not know every password.
	AllowRODC bool
	// Service overrides Config.Service for this domain when its Name is set.
	Service Service
	// MinLockoutThreshold is the lowest threshold of any password settings
	// object that the service account cannot read; 0 when there is none.
	MinLockoutThreshold int
}

// ServerConfig is one DC.
type ServerConfig struct {
	// URL is ldaps://HOST[:PORT] or ldap+starttls://HOST[:PORT]. HOST must be
	// the DC's full name: the certificate is checked against it.
	URL string
	// Address, host:port, is dialled instead of URL's host; the certificate is
	// still checked against URL's host. For test beds and port forwards.
	Address string
}

// endpoint is a server's parsed address.
type endpoint struct {
	name     string // the name its certificate must have
	address  string // host:port to dial
	startTLS bool
}

func (sc ServerConfig) parse() (endpoint, error) {
	u, err := url.Parse(sc.URL)
	if err != nil {
		return endpoint{}, fmt.Errorf("directory server %q: %w", sc.URL, err)
	}
	var ep endpoint
	port := u.Port()
	switch u.Scheme {
	case "ldaps":
		if port == "" {
			port = "636"
		}
	case "ldap+starttls":
		ep.startTLS = true
		if port == "" {
			port = "389"
		}
	case "ldap":
		return endpoint{}, fmt.Errorf("directory server %q: passwords never travel in clear; write ldaps:// or ldap+starttls://", sc.URL)
	default:
		return endpoint{}, fmt.Errorf("directory server %q: the address must begin with ldaps:// or ldap+starttls://", sc.URL)
	}
	ep.name = strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	switch {
	case ep.name == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "":
		return endpoint{}, fmt.Errorf("directory server %q: only a host name and a port may follow the scheme", sc.URL)
	case net.ParseIP(ep.name) != nil:
		return endpoint{}, fmt.Errorf("directory server %q: write the DC's full name, not an IP address: its certificate is checked against the name", sc.URL)
	}
	ep.address = net.JoinHostPort(ep.name, port)
	if sc.Address != "" {
		if _, _, err := net.SplitHostPort(sc.Address); err != nil {
			return endpoint{}, fmt.Errorf("directory server %q: address %q is not host:port", sc.URL, sc.Address)
		}
		ep.address = sc.Address
	}
	return ep, nil
}

// Service is the account that searches. It needs read access only.
type Service struct {
	// Name is sent as the bind name: a DN, a UPN or NETBIOS\name.
	Name string
	// Passwords returns the current password and, during a rotation, the
	// previous one. It is called for every new service connection. A refused
	// password is not offered again until the set changes, or after a pause.
	Passwords func() [][]byte
}

// Limits bound what one instance does to each DC.
type Limits struct {
	BindMax    int           // connections for user binds; default 16
	BindMin    int           // of which are kept open; default 2
	ServiceMax int           // connections for searches; default 4
	Idle       time.Duration // a connection unused this long is closed; default 240 s, below AD's 900 s and hardened DCs' 300 s
	Age        time.Duration // a connection this old is replaced, ± 10 %; default 60 min
	Dial       time.Duration // TCP and TLS together; default 2 s
	Bind       time.Duration // answer to a bind; default 3 s
	Search     time.Duration // answer to a search; default 3 s
	Wait       time.Duration // for a free connection; default 1 s
	Attempt    time.Duration // one Resolve or Bind with all its fail-overs; default 5 s
}

func (l Limits) withDefaults() Limits {
	setInt := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	set := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	setInt(&l.BindMax, 16)
	setInt(&l.BindMin, 2)
	setInt(&l.ServiceMax, 4)
	l.BindMin = min(l.BindMin, l.BindMax)
	set(&l.Idle, 240*time.Second)
	set(&l.Age, time.Hour)
	set(&l.Dial, 2*time.Second)
	set(&l.Bind, 3*time.Second)
	set(&l.Search, 3*time.Second)
	set(&l.Wait, time.Second)
	set(&l.Attempt, 5*time.Second)
	return l
}

// Resolver is the part of [net.Resolver] that discovery uses. It is safe for
// concurrent use.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// Validate reports every problem of the settings at once.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Domains) == 0 {
		bad("directory: at least one domain is needed")
	}
	names, netbios := map[string]bool{}, map[string]bool{}
	for _, dc := range c.Domains {
		name := canonicalDNS(dc.DNSName)
		if !validDNS(name) {
			bad("directory: %q is not a DNS domain name", dc.DNSName)
		}
		if names[name] {
			bad("directory: domain %s is listed twice", name)
		}
		names[name] = true
		if nb := strings.ToUpper(dc.NetBIOS); nb != "" {
			if netbios[nb] || strings.ContainsAny(nb, `\@/ `) || len(nb) > 15 {
				bad("directory: NetBIOS name %q of %s is used twice or is not one", dc.NetBIOS, name)
			}
			netbios[nb] = true
		}
		if dc.BaseDN != "" {
			if _, err := ldap.ParseDN(dc.BaseDN); err != nil {
				bad("directory: base DN %q of %s: %w", dc.BaseDN, name, err)
			}
		}
		for _, sc := range dc.Servers {
			if _, err := sc.parse(); err != nil {
				errs = append(errs, err)
			}
		}
		if c.Service.Name == "" && dc.Service.Name == "" {
			bad("directory: %s has no service account; sign-in needs one to find accounts", name)
		}
	}
	if c.DefaultDomain != "" && !names[canonicalDNS(c.DefaultDomain)] {
		bad("directory: default domain %q is not one of the domains", c.DefaultDomain)
	}
	for _, a := range append([]string{c.LoginAttribute}, c.Attributes...) {
		if a != "" && !validAttribute(a) {
			bad("directory: %q is not an attribute that may be read here", a)
		}
	}
	return errors.Join(errs...)
}

func canonicalDNS(s string) string { return strings.TrimSuffix(strings.ToLower(s), ".") }

func validDNS(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// validAttribute admits one plain attribute name: no *, no +, no options.
func validAttribute(s string) bool {
	if len(s) > 128 {
		return false
	}
	for i, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || (c != '-' && (c < '0' || c > '9'))) {
			return false
		}
	}
	lower := strings.ToLower(s)
	switch lower {
	case "", "ntsecuritydescriptor":
		return false
	}
	// Whoever may read secrets with the service account must not get them here; and
	// tokenGroups lets any search but one of a single object fail.
	for _, part := range []string{"pwd", "passw", "secret", "credential", "keypackage", "laps", "tokengroup"} {
		if strings.Contains(lower, part) {
			return false
		}
	}
	return true
}
