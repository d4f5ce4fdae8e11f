package app

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"

	"sallyport/authn/redisstore"
	"sallyport/certs"
	"sallyport/certs/keystore"
	"sallyport/cmd/internal/config"
	"sallyport/federation/domain"
	"sallyport/federation/metadata"
	"sallyport/federation/saml"
	"sallyport/federation/wstrust"
)

// GraphClient makes the client of Microsoft Graph that the settings describe. It
// asks nobody yet.
func GraphClient(cfg *config.Config) (*domain.Client, error) {
	g := cfg.Microsoft365.Graph
	if !g.On() {
		return nil, errors.New("microsoft365.graph is missing in the settings: it names the application by which Microsoft Graph is asked (see deploy/docs/microsoft365.md); sallyport domain script works without")
	}
	cloud, err := domain.CloudNamed(cfg.Microsoft365.Cloud)
	if err != nil {
		return nil, err
	}
	if g.LoginURL != "" {
		cloud.Login = g.LoginURL
	}
	if g.GraphURL != "" {
		cloud.Graph = g.GraphURL
	}
	roots, err := g.Roots()
	if err != nil {
		return nil, cfg.At("microsoft365.graph.ca_file", err)
	}
	out := domain.Config{Cloud: cloud, Tenant: g.Tenant, ClientID: g.ClientID, Roots: roots, Credential: domain.NewSecret(g.Secret().Read)}
	if g.ProxyURL != "" {
		if out.Proxy, err = url.Parse(g.ProxyURL); err != nil {
			return nil, errors.New("microsoft365.graph.proxy_url is not an address")
		}
	}
	if g.KeyFile != "" {
		pair, err := g.Certificate()
		if err != nil {
			return nil, cfg.At("microsoft365.graph.key_file", err)
		}
		signer, ok := pair.PrivateKey.(crypto.Signer)
		if !ok {
			return nil, errors.New("microsoft365.graph.key_file: the key cannot sign")
		}
		if out.Credential, err = domain.NewCertificate(signer, pair.Leaf); err != nil {
			return nil, cfg.At("microsoft365.graph.certificate_file", err)
		}
	}
	return domain.New(out)
}

// graphClient returns the client of the settings and keeps the application's certificate,
// which is read at the start only.
func (a *App) graphClient() (*domain.Client, error) {
	client, err := GraphClient(a.cfg)
	if g := a.cfg.Microsoft365.Graph; err == nil && g.KeyFile != "" {
		pair, perr := g.Certificate()
		if perr != nil {
			return nil, a.cfg.At("microsoft365.graph.key_file", perr)
		}
		a.graph.cert = pair.Leaf
	}
	return client, err
}

// Own are the token-signing certificates of this service by what they are for.
type Own struct {
	// Signing signs now, Next (nil when there is none) will.
	Signing, Next *x509.Certificate
	// Staged is the next one before every instance lists it, when nobody is told yet.
	Staged *x509.Certificate
	// Retiring are listed still, since their tokens may be on their way.
	Retiring []*x509.Certificate
	// Gone were retired for good.
	Gone []*x509.Certificate
}

// All returns every certificate of the service, those that are gone included.
func (o Own) All() []*x509.Certificate {
	list := append([]*x509.Certificate{o.Signing}, o.Retiring...)
	if o.Next != nil {
		list = append(list, o.Next)
	}
	return append(list, o.Gone...)
}

// OwnOf sorts the certificates of a ledger.
func OwnOf(l *certs.Ledger) (Own, error) {
	var o Own
	wanted, err := l.Wanted()
	if err != nil {
		return o, fmt.Errorf("ledger of signing keys: %w", err)
	}
	o.Signing = wanted.Current
	for i := range l.Entries {
		e := &l.Entries[i]
		c, err := e.X509()
		switch {
		case err != nil:
			return o, fmt.Errorf("ledger of signing keys: %w", err)
		case e.State == certs.Published:
			// Of the published ones that which is to be pushed; a key that is only staged
			// is not on every instance yet.
			o.Next = c
		case e.State == certs.Staged:
			o.Staged = c
			o.Retiring = append(o.Retiring, c)
		case e.State == certs.Retired:
			o.Retiring = append(o.Retiring, c)
		case e.State == certs.Gone:
			o.Gone = append(o.Gone, c)
		}
	}
	return o, nil
}

// OwnCertificates returns the certificates of the settings, for commands that run
// beside the service: of the record of the keys' life that instances share, or of the
// one fixed pair. An instance's own copy of the record is not enough: where the service
// is stopped it is an old one, and a key that was given up since would be made known to
// Microsoft again.
func OwnCertificates(ctx context.Context, cfg *config.Config) (Own, error) {
	if !cfg.Signing.Living() {
		return OwnOfFile(cfg.Signing.CertificateFile)
	}
	if cfg.Signing.Share != "redis" {
		l, err := certs.NewDirStore(cfg.Signing.KeyDir).Load(ctx)
		if err != nil {
			return Own{}, err
		}
		return OwnOf(l)
	}
	rc, err := RedisConfig(cfg)
	if err != nil {
		return Own{}, err
	}
	shared, err := redisstore.New(rc)
	if err != nil {
		return Own{}, err
	}
	defer shared.Close()
	store, _, err := SigningStores(cfg, shared)
	if err != nil {
		return Own{}, err
	}
	l, err := store.Load(ctx)
	if m, ok := store.(*keystore.Mirror); ok && err == nil && m.Down() != nil {
		err = fmt.Errorf("which keys there are is recorded in Redis, which cannot be used now: %w", m.Down())
	}
	if err != nil {
		return Own{}, err
	}
	return OwnOf(l)
}

// OwnOfFile reads the certificate of settings whose keys have no life cycle.
func OwnOfFile(path string) (Own, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Own{}, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return Own{}, fmt.Errorf("%s holds no PEM certificate", path)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return Own{}, fmt.Errorf("%s: %w", path, err)
	}
	return Own{Signing: c}, nil
}

// DomainsWanted says what Microsoft should hold for each federated domain of the
// settings, in their order.
func DomainsWanted(cfg *config.Config, own Own) []*domain.Wanted {
	var list []*domain.Wanted
	for _, d := range cfg.Microsoft365.Domains {
		active, off := wstrust.Feb2005.Path(), cfg.WSTrust == "off" // what AD FS registers
		if d.Protocol == "saml" {
			active, off = saml.ECPPath, cfg.SAML.ECP == "off"
		}
		list = append(list, &domain.Wanted{
			Domain: d.Name, DisplayName: cfg.SigninPage.Organisation, Issuer: d.Issuer,
			PassiveSignInURI: cfg.PublicURL + metadata.DefaultPassivePath, SignOutURI: cfg.PublicURL + metadata.DefaultPassivePath,
			ActiveSignInURI: cfg.PublicURL + active, MetadataExchangeURI: cfg.PublicURL + wstrust.MexPath,
			SAML: d.Protocol == "saml", ActiveOff: off,
			Signing: own.Signing, Next: own.Next, Retiring: own.Retiring, Gone: own.Gone,
		})
	}
	return list
}
