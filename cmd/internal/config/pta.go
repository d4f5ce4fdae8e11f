package config

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
)

// PTA is the pass-through authentication agent, which answers sign-ins of managed
// (not federated) domains. Microsoft publishes no interface for agents of others:
// federation is the supported road.
type PTA struct {
	// Enabled runs the agent inside the service. Default false.
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
	// Concurrent bounds the requests that are judged at once. Default 512.
	Concurrent int `yaml:"concurrent"`
}

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
