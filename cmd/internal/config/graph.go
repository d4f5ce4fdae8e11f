package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
)

// Graph is the application by which this service reads and writes the federated
// domains' settings at Microsoft (Microsoft Graph). Without it nothing is asked.
type Graph struct {
	// Tenant is the tenant's id (a GUID) or one of its verified domains. Required
	// with graph.
	Tenant string `yaml:"tenant"`
	// ClientID is the application's id (a GUID) in that tenant. Required with graph.
	ClientID string `yaml:"client_id"`
	// CertificateFile is the application's certificate (PEM), which is registered
	// with it. Required with graph, or client_secret_file instead.
	CertificateFile string `yaml:"certificate_file"`
	// KeyFile is its private key (PEM, RSA), mode 0600. It must be no other key of
	// this service. Required beside certificate_file.
	KeyFile string `yaml:"key_file"`
	// ClientSecretFile holds a client secret, used instead of a certificate. It is
	// read for each token, so a changed file counts at once. Default: none.
	ClientSecretFile string `yaml:"client_secret_file"`
	// ClientSecretEnv names an environment variable that holds it instead.
	ClientSecretEnv string `yaml:"client_secret_env"`
	// Watch compares Microsoft's view of every domain with this service's and raises
	// an alarm when a key, an issuer or an address there is not this service's.
	// Default true.
	Watch bool `yaml:"watch"`
	// WatchInterval is the time between two comparisons, 1m to 24h. Default 1h.
	WatchInterval time.Duration `yaml:"watch_interval"`
	// KeepInStep lets the service write the current and the next certificate of
	// every domain when its keys change, which needs the permission to write. A
	// certificate that is not its own is never overwritten. Default false: an admin
	// runs sallyport domain update.
	KeepInStep bool `yaml:"keep_in_step"`
	// LoginURL is the origin of the token endpoint. Default: the cloud's.
	LoginURL string `yaml:"login_url"`
	// GraphURL is the origin of Microsoft Graph; the American L5 cloud has
	// https://dod-graph.microsoft.us. Default: the cloud's.
	GraphURL string `yaml:"graph_url"`
	// ProxyURL is an HTTP proxy, http://HOST:PORT, through which both are reached.
	// Default: none, whatever the environment says.
	ProxyURL string `yaml:"proxy_url"`
	// CAFile holds the roots (PEM) for both, where a proxy breaks TLS open. Default:
	// the system's.
	CAFile string `yaml:"ca_file"`
}

// On reports whether Microsoft Graph is used at all.
func (g Graph) On() bool { return g.Tenant != "" }

// Secret returns the reference to the client secret.
func (g Graph) Secret() Secret { return Secret{g.ClientSecretFile, g.ClientSecretEnv} }

// Roots returns the certificates of ca_file, nil for the system's.
func (g Graph) Roots() (*x509.CertPool, error) { return roots(g.CAFile) }

// Certificate reads the application's certificate and its key.
func (g Graph) Certificate() (tls.Certificate, error) {
	f, err := openPrivate(g.KeyFile, groupMayRead)
	if err != nil {
		return tls.Certificate{}, err
	}
	defer f.Close()
	key, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return tls.Certificate{}, err
	}
	defer clear(key)
	cert, err := os.ReadFile(g.CertificateFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	if block, _ := pem.Decode(key); block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return tls.Certificate{}, fmt.Errorf("%s holds no PEM private key", g.KeyFile)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s and %s do not go together: %w", g.CertificateFile, g.KeyFile, err)
	}
	return pair, nil
}

var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func (c *Config) validateGraph(p *problems) {
	const key = "microsoft365.graph"
	g := c.Microsoft365.Graph
	if g == Default().Microsoft365.Graph {
		return
	}
	switch {
	case g.Tenant == "":
		p.add(key+".tenant", "is missing: write the tenant's id or one of its domains")
	case !guid.MatchString(g.Tenant) && dnsName(g.Tenant) != "":
		p.add(key+".tenant", "%s is neither a GUID nor a domain: write the tenant's id or one of its domains", quote(g.Tenant))
	}
	if g.ClientID == "" {
		p.add(key+".client_id", "is missing: write the application's id")
	} else if !guid.MatchString(g.ClientID) {
		p.add(key+".client_id", "%s is not a GUID: write the application (client) id, not its name", quote(g.ClientID))
	}
	c.validateGraphCredential(p, key)
	if g.WatchInterval < time.Minute || g.WatchInterval > 24*time.Hour {
		p.add(key+".watch_interval", "%s is outside 1m to 24h", g.WatchInterval)
	}
	for _, u := range []struct{ name, value string }{{"login_url", g.LoginURL}, {"graph_url", g.GraphURL}} {
		if msg := origin(u.value); u.value != "" && msg != "" {
			p.add(key+"."+u.name, "%s", msg)
		}
	}
	if u, err := url.Parse(g.ProxyURL); g.ProxyURL != "" {
		switch {
		case err != nil || u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || badPort(u.Port()):
			// The text may hold a password: it is not repeated.
			p.add(key+".proxy_url", "is not the address of a proxy: write http://HOST:PORT")
		case u.User != nil:
			p.add(key+".proxy_url", "holds a user or password, and a secret is never written in this file: let the proxy know this machine by its address")
		}
	}
	if len(c.Microsoft365.Domains) == 0 {
		p.add(key, "stands without microsoft365.domains: name the federated domains")
	}
}

func (c *Config) validateGraphCredential(p *problems, key string) {
	g := c.Microsoft365.Graph
	certificate, secret := g.CertificateFile != "" || g.KeyFile != "", !g.Secret().IsZero()
	oneRef(p, key+".client_secret", g.ClientSecretFile, g.ClientSecretEnv)
	switch {
	case certificate && secret:
		p.add(key+"."+strings.TrimPrefix(named("client_secret", g.ClientSecretFile), "."), "stands beside certificate_file: keep one of the two, better the certificate")
	case !certificate && !secret:
		p.add(key+".certificate_file", "is missing: name the application's certificate and key_file, or a client_secret_file")
	case certificate && g.KeyFile == "":
		p.add(key+".key_file", "is missing beside certificate_file: name the certificate's private key")
	case certificate && g.CertificateFile == "":
		p.add(key+".certificate_file", "is missing beside key_file: name the certificate that is registered with the application")
	}
	if g.KeyFile != "" && (g.KeyFile == c.Signing.KeyFile || g.KeyFile == c.TLS.KeyFile) {
		p.add(key+".key_file", "is another key of this service too: the application has a key of its own")
	}
}

// checkGraphFiles looks at the files that microsoft365.graph names.
func (c *Config) checkGraphFiles(check func(key string, err error)) {
	g := c.Microsoft365.Graph
	if !g.On() {
		return
	}
	const key = "microsoft365.graph"
	_, err := g.Roots()
	check(key+".ca_file", err)
	if g.KeyFile != "" {
		_, err := g.Certificate()
		var path *os.PathError
		name := ".key_file"
		if errors.As(err, &path) && path.Path == g.CertificateFile {
			name = ".certificate_file"
		}
		check(key+name, err)
		return
	}
	check(named(key+".client_secret", g.ClientSecretFile), secretReadable(g.Secret()))
}
