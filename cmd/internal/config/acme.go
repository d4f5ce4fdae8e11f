package config

import (
	"crypto/x509"
	"net/mail"
)

// ACME is how the listener gets its certificate by itself, instead of the two files.
// The authority reaches this service from the internet under the host of public_url:
// at port 443 (TLS-ALPN-01, nothing may end TLS before it), or at port 80 (HTTP-01).
type ACME struct {
	// AgreeTerms says that you agree to the authority's terms of service. Required in
	// acme.
	AgreeTerms bool `yaml:"agree_terms"`
	// CacheDir keeps account and certificates, mode 0700; all instances share it, so
	// that the authority may reach any of them. Required in acme.
	CacheDir string `yaml:"cache_dir"`
	// Email is where the authority writes when something is wrong. Default: none.
	Email string `yaml:"email"`
	// DirectoryURL is the authority's ACME address. Default: Let's Encrypt.
	DirectoryURL string `yaml:"directory_url"`
	// CAFile holds the roots (PEM) for the authority's own certificate. Default: the
	// system's.
	CAFile string `yaml:"ca_file"`
	// HTTPListen is an address for plain HTTP (":80") that answers the authority and
	// sends everybody else to HTTPS. Default: none, TLS-ALPN-01 only.
	HTTPListen string `yaml:"http_listen"`
}

// On reports whether the section is there.
func (a ACME) On() bool { return a != ACME{} }

// Roots are the roots of CAFile, nil for the system's.
func (a ACME) Roots() (*x509.CertPool, error) { return roots(a.CAFile) }

func (c *Config) validateACME(p *problems) {
	a := c.TLS.ACME
	if !a.On() {
		return
	}
	if !a.AgreeTerms {
		p.add("tls.acme.agree_terms", "is missing: read the authority's terms of service and write true")
	}
	if a.CacheDir == "" {
		p.add("tls.acme.cache_dir", "is missing: name a directory that all instances share")
	}
	if a.Email != "" {
		if _, err := mail.ParseAddress(a.Email); err != nil {
			p.add("tls.acme.email", "is not an address of the form admin@contoso.test")
		}
	}
	if a.DirectoryURL != "" {
		if msg := httpsURL(a.DirectoryURL); msg != "" {
			p.add("tls.acme.directory_url", "%s", msg)
		}
	}
	if a.HTTPListen != "" {
		if msg := listenAddress(a.HTTPListen); msg != "" {
			p.add("tls.acme.http_listen", "%s", msg)
		}
	}
}
