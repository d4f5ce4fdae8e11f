package domain_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"sync"
	"testing"
	"time"

	"sallyport/federation/domain"
	"sallyport/federation/domain/graphtest"
)

const (
	tenant   = "0f0f0f0f-1111-4222-8333-444444444444"
	clientID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
	secret   = "s3cr3t+/= value~"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pair is a key with its certificate; pairs are made once, since RSA is slow.
type pair struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

var (
	pairsMu sync.Mutex
	pairs   = map[string]pair{}
)

// keyOf returns the key of a name, always the same one.
func keyOf(t testing.TB, name string) pair {
	t.Helper()
	pairsMu.Lock()
	defer pairsMu.Unlock()
	if p, ok := pairs[name]; ok {
		return p
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(pairs) + 1)), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	pairs[name] = pair{key, cert}
	return pairs[name]
}

func certOf(t testing.TB, name string) *x509.Certificate { return keyOf(t, name).cert }

func base64Of(c *x509.Certificate) string { return base64.StdEncoding.EncodeToString(c.Raw) }

// pauses records waits instead of waiting.
type pauses struct {
	mu   sync.Mutex
	list []time.Duration
	// during, when set, happens in the first wait.
	during func()
}

func (p *pauses) sleep(ctx context.Context, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.during != nil {
		p.during()
		p.during = nil
	}
	p.list = append(p.list, d)
	return ctx.Err()
}

func (p *pauses) total() (sum time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.list {
		sum += d
	}
	return sum
}

// world is a tenant and a client for it.
type world struct {
	*graphtest.Server
	client *domain.Client
	pauses pauses
}

// newWorld starts a tenant with a managed contoso.test; change may edit it.
func newWorld(t testing.TB, change func(*graphtest.Config, *domain.Config)) *world {
	t.Helper()
	w := &world{}
	tenantConfig := graphtest.Config{
		Tenant: tenant,
		Apps:   []graphtest.App{{ClientID: clientID, Secret: secret, Roles: graphtest.ReadWrite()}},
		Domains: []graphtest.Domain{
			{Name: "contoso.onmicrosoft.test", Initial: true, Default: true}, {Name: "contoso.test"}, {Name: "fabrikam.test"},
		},
		Admins: []string{"root@contoso.onmicrosoft.test", "alice@contoso.test"},
	}
	cfg := domain.Config{
		Tenant: tenant, ClientID: clientID, Credential: domain.NewSecret(func() ([]byte, error) { return []byte(secret), nil }),
		Sleep: w.pauses.sleep,
	}
	if change != nil {
		change(&tenantConfig, &cfg)
	}
	w.Server = graphtest.Start(tenantConfig)
	t.Cleanup(w.Close)
	cfg.Cloud = domain.Cloud{Login: w.Login(), Graph: w.Graph()}
	cfg.Roots = w.Roots()
	client, err := domain.New(cfg)
	must(t, err)
	t.Cleanup(client.Close)
	w.client = client
	return w
}

// wanted is what the service at sts.contoso.test owns for a domain.
func wanted(t testing.TB, name string) *domain.Wanted {
	const host = "https://sts.contoso.test"
	return &domain.Wanted{
		Domain: name, DisplayName: "Contoso", Issuer: domain.MultiDomain(name),
		PassiveSignInURI: host + "/adfs/ls/", ActiveSignInURI: host + "/adfs/services/trust/2005/usernamemixed",
		MetadataExchangeURI: host + "/adfs/services/trust/mex", SignOutURI: host + "/adfs/ls/",
		Signing: certOf(t, "one"),
	}
}

// federated puts a domain into the tenant that is federated as w wants it.
func (w *world) federated(t testing.TB, want *domain.Wanted) {
	t.Helper()
	settings := map[string]any{
		"id": graphtest.SettingsID, "displayName": want.DisplayName, "issuerUri": want.Issuer,
		"passiveSignInUri": want.PassiveSignInURI, "activeSignInUri": want.ActiveSignInURI,
		"metadataExchangeUri": want.MetadataExchangeURI, "signOutUri": want.SignOutURI,
		"preferredAuthenticationProtocol": "wsFed", "signingCertificate": base64Of(want.Signing),
		"federatedIdpMfaBehavior": domain.MFAReject, "promptLoginBehavior": domain.PromptTranslate,
	}
	if want.Next != nil {
		settings["nextSigningCertificate"] = base64Of(want.Next)
	}
	w.Put(graphtest.Domain{Name: want.Domain, Federated: true, Settings: settings})
}

// view compares what the tenant holds now.
func (w *world) view(t testing.TB, want *domain.Wanted) domain.View {
	t.Helper()
	d, f, err := w.client.Read(t.Context(), want.Domain)
	must(t, err)
	return domain.Compare(want, d, f)
}
