package config

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"strings"
)

// PTA is the pass-through authentication agent, which answers sign-ins of managed
// (not federated) domains. Microsoft publishes no interface for agents of others:
// federation is the supported road.
type PTA struct {
	// Enabled runs the agent inside the service. A file that holds only directory,
	// lockout, pta, audit and ops runs the agent alone. Default false.
	Enabled bool `yaml:"enabled"`
	// StateDir holds the agent's key and certificate, mode 0700; sallyport pta
	// register fills it. Each host has its own. Required with enabled.
	StateDir string `yaml:"state_dir"`
	// Cloud is global or usgov. Default global.
	Cloud string `yaml:"cloud"`
	// Domains are the suffixes of user names that may sign in, for example
	// contoso.test. Default: the names and upn_suffixes of directory.domains.
	Domains []string `yaml:"domains"`
	// ProxyURL is an HTTP proxy for the way to the cloud, http://HOST:PORT. TLS goes
	// through it unread. Default: none; the environment is not asked.
	ProxyURL string `yaml:"proxy_url"`
	// ProxyUser is the name for the proxy. Default: none.
	ProxyUser string `yaml:"proxy_user"`
	// ProxyPasswordFile holds the password for the proxy. Default: none.
	ProxyPasswordFile string `yaml:"proxy_password_file"`
	// CAFile holds roots (PEM) that replace the system's for the cloud's certificates:
	// for a stand-in of the cloud only. Default: the system's.
	CAFile string `yaml:"ca_file"`
	// PKCS11 keeps the agent's private keys in a module that never gives them out. Default:
	// they are in state_dir.
	PKCS11 PKCS11 `yaml:"pkcs11"`
	// Concurrent bounds the requests that are judged at once. Default 512.
	Concurrent int `yaml:"concurrent"`
	// Agents are the ids of the organisation's other agents; this one is known. Any
	// other agent of the tenant is a stranger. Default: none.
	Agents []string `yaml:"agents"`
	// AgentNetworks are where the agents' heartbeats come from as the cloud sees them
	// (CIDR), for example the address of the way out. Default: anywhere.
	AgentNetworks []netip.Prefix `yaml:"agent_networks"`
	// InventoryTokenFile holds an access token of a person, kept fresh by something
	// else, with which the tenant's agents are listed at the start and once a day, and
	// compared with agents and agent_networks. Default: sallyport pta agents compares
	// by hand.
	InventoryTokenFile string `yaml:"inventory_token_file"`
}

// AgentAlone reports whether the settings are those of a pass-through authentication
// agent without federation: pta.enabled, and nothing besides directory, lockout, pta,
// audit and ops differs from what holds by itself.
func (c *Config) AgentAlone() bool {
	if !c.PTA.Enabled {
		return false
	}
	none := Default()
	none.Directory, none.Lockout, none.PTA, none.Audit, none.Ops = c.Directory, c.Lockout, c.PTA, c.Audit, c.Ops
	none.Path, none.dir, none.at = c.Path, c.dir, c.at
	return reflect.DeepEqual(c, none)
}

var guidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func (c *Config) validatePTA(p *problems) {
	s := c.PTA
	if s.Cloud != "" {
		choice(p, "pta.cloud", s.Cloud, []string{"global", "usgov"})
	}
	if s.Enabled && s.StateDir == "" {
		p.add("pta.state_dir", "is missing: name a directory of the agent's own, for example /var/lib/sallyport/pta, and fill it with sallyport pta register")
	}
	for i, d := range s.Domains {
		if d == "" || strings.ContainsAny(d, "@ /") {
			p.add(at("pta.domains", i), "%q is not what stands behind the @ of a user name, for example contoso.test", d)
		}
	}
	if _, err := s.Proxy(); err != nil && s.ProxyPasswordFile == "" {
		p.add("pta.proxy_url", "%s", err)
	}
	if (s.ProxyUser == "") != (s.ProxyPasswordFile == "") {
		p.add("pta.proxy_user", "and proxy_password_file belong together: write both or none")
	}
	s.PKCS11.validate(p, "pta.pkcs11")
	for i, id := range s.Agents {
		if !guidForm.MatchString(id) {
			p.add(at("pta.agents", i), "%s is no agent id: write the GUID that sallyport pta status prints", quote(id))
		}
	}
	if s.Concurrent < 0 || s.Concurrent > 10000 {
		p.add("pta.concurrent", "%d is not between 1 and 10000", s.Concurrent)
	}
}

// Proxy returns the proxy's address with its credentials, nil for none.
func (s PTA) Proxy() (*url.URL, error) {
	if s.ProxyURL == "" {
		return nil, nil
	}
	u, err := url.Parse(s.ProxyURL)
	if err != nil || u.Scheme != "http" || u.Host == "" || u.User != nil || (u.Path != "" && u.Path != "/") {
		return nil, fmt.Errorf("is not http://HOST:PORT; name and password go into proxy_user and proxy_password_file")
	}
	if s.ProxyPasswordFile != "" {
		password, err := Secret{File: s.ProxyPasswordFile}.Read()
		if err != nil {
			return nil, err
		}
		u.User = url.UserPassword(s.ProxyUser, string(password))
	}
	return u, nil
}

// Roots returns the certificates of ca_file, nil for the system's.
func (s PTA) Roots() (*x509.CertPool, error) { return roots(s.CAFile) }

// checkPTAFiles looks at the files that the pta section names.
func (c *Config) checkPTAFiles(check func(key string, err error)) {
	check("pta.pkcs11.pin_file", secretReadable(Secret{File: c.PTA.PKCS11.PINFile}))
	check("pta.proxy_password_file", secretReadable(Secret{File: c.PTA.ProxyPasswordFile}))
	_, err := c.PTA.Roots()
	check("pta.ca_file", err)
}

// PTASuffixes are what may stand behind the @ of a name that the agent judges.
func (c *Config) PTASuffixes() []string {
	if len(c.PTA.Domains) > 0 {
		return c.PTA.Domains
	}
	var list []string
	for _, d := range c.Directory.Domains {
		list = append(append(list, d.Name), d.UPNSuffixes...)
	}
	return list
}
