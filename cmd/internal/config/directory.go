package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"sallyport/federation/claims"
)

// Directory is Active Directory Domain Services.
type Directory struct {
	// Domains are the AD domains whose users sign in. Required.
	Domains []Domain `yaml:"domains"`
	// AllowBareNames lets people sign in with a name that has neither a domain
	// nor an @. Default false.
	AllowBareNames bool `yaml:"allow_bare_names"`
	// DefaultDomain is the domain of bare names. Default: the only domain.
	DefaultDomain string `yaml:"default_domain"`
	// LoginAttribute is a further attribute, for example mail, whose value people
	// may type in the form of an address. It must be indexed. Default: none.
	LoginAttribute string `yaml:"login_attribute"`
	// ClaimAttributes are attributes of a schema extension of one's own that claim
	// rules may name, by their lDAPDisplayName. Default: none; the usual attributes
	// need not be listed.
	ClaimAttributes []string `yaml:"claim_attributes"`
	// CAFile holds the roots (PEM) that the domain controllers' certificates are
	// verified against. Default: the system's roots. Verification has no switch.
	CAFile string `yaml:"ca_file"`
	// ServiceAccount reads accounts. It needs no right to write. Required.
	ServiceAccount ServiceAccount `yaml:"service_account"`
	// Limits are the sizes and times of the connection pools for each DC.
	Limits Limits `yaml:"limits"`
}

// Domain is one AD domain.
type Domain struct {
	// Name is the DNS name, for example corp.contoso.test. Required.
	Name string `yaml:"name"`
	// NetBIOS is the short name, for example CONTOSO. Required.
	NetBIOS string `yaml:"netbios"`
	// Servers are the domain controllers, as URLs by the name in their
	// certificates: ldaps://dc1.corp.contoso.test, or ldap+starttls:// where port
	// 636 is closed. Default: found by DNS.
	Servers []Server `yaml:"servers"`
	// Site is the AD site whose domain controllers are preferred when they are
	// found by DNS. Default: none is preferred.
	Site string `yaml:"site"`
	// BaseDN is where accounts are looked for. Default: the domain's root.
	BaseDN string `yaml:"base_dn"`
	// UPNSuffixes are what stands behind the @ in this domain's user principal
	// names, besides Name. Default: none. A suffix that several domains list, or
	// none, is looked for in several: while one of them does not answer, names with
	// it are an outage unless the owner is found in the same forest. List each
	// suffix with the domains that use it.
	UPNSuffixes []string `yaml:"upn_suffixes"`
	// AllowRODC lets read-only domain controllers check passwords. Default false.
	AllowRODC bool `yaml:"allow_rodc"`
}

// Server is one domain controller: in the file a URL alone, or url and address.
type Server struct {
	// URL is ldaps://NAME[:PORT] or ldap+starttls://NAME[:PORT]. Required.
	URL string `yaml:"url"`
	// Address is dialled instead of the name, ADDRESS:PORT; the certificate is
	// still judged by the name. Default: the name is looked up.
	Address string `yaml:"address"`
}

// ServiceAccount is the account that searches.
type ServiceAccount struct {
	// Name is a user principal name, DOMAIN\name or a DN. Required.
	Name string `yaml:"name"`
	// PasswordFile holds its password. One of the two is required.
	PasswordFile string `yaml:"password_file"`
	// PasswordEnv names an environment variable that holds it instead.
	PasswordEnv string `yaml:"password_env"`
	// PreviousPasswordFile holds the password before, so that a change needs no
	// minute in which neither works. Default: none.
	PreviousPasswordFile string `yaml:"previous_password_file"`
}

// Limits are pool sizes and times for each domain controller. The defaults stay
// below what Windows allows; see the settings reference.
type Limits struct {
	// BindMax is how many user binds run at once. Default 16.
	BindMax int `yaml:"bind_max"`
	// BindMin is how many bind connections are kept ready. Default 2.
	BindMin int `yaml:"bind_min"`
	// ServiceMax is how many searches run at once. Default 4.
	ServiceMax int `yaml:"service_max"`
	// Idle closes a connection that nobody used for so long; below the 300 s that
	// hardened DCs use. Default 240s.
	Idle time.Duration `yaml:"idle"`
	// Age closes a connection of that age, ±10 %. Default 60m.
	Age time.Duration `yaml:"age"`
	// Dial bounds TCP and TLS. Default 2s.
	Dial time.Duration `yaml:"dial"`
	// Bind bounds one bind. Default 3s.
	Bind time.Duration `yaml:"bind"`
	// Search bounds one search. Default 3s.
	Search time.Duration `yaml:"search"`
	// Wait bounds the wait for a free connection. Default 1s.
	Wait time.Duration `yaml:"wait"`
	// Attempt bounds all of it together. Default 5s.
	Attempt time.Duration `yaml:"attempt"`
}

func (c *Config) validateDirectory(p *problems) {
	d := c.Directory
	if len(d.Domains) == 0 {
		p.add("directory.domains", "is missing: name the Active Directory domain whose users sign in")
	}
	names := map[string]bool{}
	for i, dom := range d.Domains {
		key := at("directory.domains", i)
		validateDomain(p, key, dom)
		for _, n := range []struct{ field, value string }{{"name", dom.Name}, {"netbios", strings.ToUpper(dom.NetBIOS)}} {
			if n.value != "" && names[n.value] {
				p.add(key+"."+n.field, "%s is listed twice", n.value)
			}
			names[n.value] = true
		}
	}
	if d.DefaultDomain != "" && !names[strings.ToLower(d.DefaultDomain)] {
		p.add("directory.default_domain", "%s is not one of directory.domains", quote(d.DefaultDomain))
	}
	if d.AllowBareNames && d.DefaultDomain == "" {
		p.add("directory.default_domain", "is missing: with several domains, say which one a name without domain belongs to")
	}
	for i, name := range d.ClaimAttributes {
		if msg := claims.ExtraAttribute(name); msg != "" {
			p.add(at("directory.claim_attributes", i), "%s", msg)
		}
	}
	if d.LoginAttribute != "" && !attribute.MatchString(d.LoginAttribute) {
		p.add("directory.login_attribute", "%s: write one LDAP attribute name, for example mail", quote(d.LoginAttribute))
	}
	validateServiceAccount(p, d.ServiceAccount)
	validateLimits(p, d.Limits)
}

var (
	siteName  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)
	attribute = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,127}$`)
)

var netbios = regexp.MustCompile(`^[A-Za-z0-9!#$%&'()^_{}~-]{1,15}$`)

func validateDomain(p *problems, key string, dom Domain) {
	if msg := dnsName(dom.Name); msg != "" {
		p.add(key+".name", "%s", msg)
	}
	switch {
	case dom.NetBIOS == "":
		p.add(key+".netbios", "is missing: write the short name, the part before \\ in CONTOSO\\alice")
	case !netbios.MatchString(dom.NetBIOS):
		p.add(key+".netbios", "%s: write 1 to 15 letters, digits or -, no dot", quote(dom.NetBIOS))
	}
	if dom.Site != "" && !siteName.MatchString(dom.Site) {
		p.add(key+".site", "%s: write the name of an AD site, letters, digits, - and _", quote(dom.Site))
	}
	seen := map[string]bool{}
	for j, s := range dom.Servers {
		k := at(key+".servers", j)
		if msg := serverURL(s.URL); msg != "" {
			p.add(k, "%s", msg)
		}
		if seen[strings.ToLower(s.URL)+" "+s.Address] {
			p.add(k, "%s is listed twice", quote(s.URL))
		}
		seen[strings.ToLower(s.URL)+" "+s.Address] = true
		if s.Address != "" {
			if ap, err := netip.ParseAddrPort(s.Address); err != nil || ap.Port() == 0 {
				p.add(k+".address", "%s: write an IP address and a port, for example 10.1.2.3:636", quote(s.Address))
			}
		}
	}
	if dom.BaseDN != "" && !strings.Contains(dom.BaseDN, "=") {
		p.add(key+".base_dn", "%s is not a DN: write for example OU=People,DC=corp,DC=contoso,DC=test", quote(dom.BaseDN))
	}
	for j, s := range dom.UPNSuffixes {
		if msg := dnsName(s); msg != "" {
			p.add(at(key+".upn_suffixes", j), "%s", msg)
		}
	}
}

func serverURL(raw string) string {
	const help = "write the name that stands in the domain controller's certificate, for example ldaps://dc1.corp.contoso.test"
	if raw == "" {
		return "url is missing: " + help
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "" || u.Host == "":
		return quote(raw) + " is not an address: " + help
	case u.User != nil:
		return "holds a user: the service account has its own section"
	case u.Scheme == "ldap":
		return quote(raw) + " would send passwords in the clear: write ldaps://, or ldap+starttls:// where port 636 is closed"
	case u.Scheme != "ldaps" && u.Scheme != "ldap+starttls":
		return quote(raw) + ": " + help
	case (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "":
		return quote(raw) + " has something behind the name: " + help
	case u.Port() == "3268" || (u.Port() == "389" && u.Scheme == "ldaps"):
		return "port " + u.Port() + " is not an LDAPS port: leave it out for 636"
	case badPort(u.Port()):
		return "port " + u.Port() + " is not between 1 and 65535"
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return quote(raw) + " is an IP address, for which no certificate stands: " + help + " and put the address into address"
	}
	if msg := dnsName(u.Hostname()); msg != "" {
		return msg
	}
	return ""
}

func validateServiceAccount(p *problems, a ServiceAccount) {
	const key = "directory.service_account"
	switch {
	case a.Name == "":
		p.add(key+".name", "is missing: write the account that reads the directory, for example svc-sallyport@corp.contoso.test")
	case !strings.ContainsAny(a.Name, `@\=`):
		p.add(key+".name", "%s has no domain: write name@domain, DOMAIN\\name or a DN", quote(a.Name))
	}
	if a.PasswordFile == "" && a.PasswordEnv == "" {
		p.add(key+".password_file", "is missing: name the file that holds the account's password")
	}
	oneRef(p, key+".password", a.PasswordFile, a.PasswordEnv)
}

func validateLimits(p *problems, l Limits) {
	const key = "directory.limits."
	for _, n := range []struct {
		name             string
		value, low, high int
	}{
		{"bind_max", l.BindMax, 1, 64}, {"bind_min", l.BindMin, 0, 64}, {"service_max", l.ServiceMax, 1, 32},
	} {
		if n.value < n.low || n.value > n.high {
			p.add(key+n.name, "%d is outside %d to %d", n.value, n.low, n.high)
		}
	}
	if l.BindMin > l.BindMax {
		p.add(key+"bind_min", "%d is above bind_max (%d)", l.BindMin, l.BindMax)
	}
	for _, d := range []struct {
		name             string
		value, low, high time.Duration
	}{
		{"idle", l.Idle, 10 * time.Second, 290 * time.Second}, {"age", l.Age, time.Minute, 24 * time.Hour},
		{"dial", l.Dial, 100 * time.Millisecond, 30 * time.Second}, {"bind", l.Bind, 100 * time.Millisecond, 30 * time.Second},
		{"search", l.Search, 100 * time.Millisecond, 30 * time.Second}, {"wait", l.Wait, 10 * time.Millisecond, 30 * time.Second},
		{"attempt", l.Attempt, time.Second, time.Minute},
	} {
		if d.value < d.low || d.value > d.high {
			p.add(key+d.name, "%s is outside %s to %s", d.value, short(d.low), short(d.high))
		}
	}
	if l.Attempt < l.Bind {
		p.add(key+"attempt", "%s is shorter than bind (%s)", l.Attempt, l.Bind)
	}
}

// short writes 1h0m0s as 1h.
func short(d time.Duration) string {
	s := d.String()
	s = strings.TrimSuffix(s, "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	if s == "" || !strings.ContainsAny(s[len(s)-1:], "hms") {
		return fmt.Sprint(d)
	}
	return s
}
