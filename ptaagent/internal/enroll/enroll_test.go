package enroll_test

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/ptaagent/internal/enroll"
	"sallyport/ptaagent/ptatest"
)

// cloud is the stand-in with an agent that is about to exist.
type cloud struct {
	*ptatest.Cloud
	t   *testing.T
	key *rsa.PrivateKey
}

func start(t *testing.T) *cloud {
	t.Helper()
	c, err := ptatest.Start(ptatest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	key, err := enroll.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return &cloud{c, t, key}
}

// client reaches the cloud's hosts, with a certificate when there is one.
func (c *cloud) client(cert *x509.Certificate) *http.Client {
	cfg := &tls.Config{RootCAs: c.Roots(), MinVersion: tls.VersionTLS12}
	if cert != nil {
		cfg.Certificates = []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: c.key}}
	}
	tr := &http.Transport{DialContext: c.DialContext, TLSClientConfig: cfg}
	c.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

func (c *cloud) registration(token string) enroll.Registration {
	return enroll.Registration{
		URL: "https://" + c.Tenant + ".registration.msappproxy.net", Tenant: c.Tenant, Token: token,
		Machine: enroll.Machine{Name: "gw1.corp.contoso.test", Version: enroll.DefaultVersion},
	}
}

func (c *cloud) register() (*x509.Certificate, string) {
	c.t.Helper()
	cert, err := enroll.Register(c.t.Context(), c.client(nil), c.registration(c.AdminToken()), c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	agent, err := enroll.CheckCertificate(cert, c.key.Public(), c.Tenant, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	return cert, agent
}

// clean fails the test when the stand-in has refused anything.
func (c *cloud) clean() {
	c.t.Helper()
	for _, r := range c.Refusals() {
		c.t.Errorf("the stand-in refused: %+v", r)
	}
}

func TestAgentRegistersBootsAndRenews(t *testing.T) {
	c := start(t)
	cert, agent := c.register()
	if list := c.Agents(); len(list) != 1 || list[0].ID != agent {
		t.Errorf("agents of the tenant: %+v, ours is %s", list, agent)
	}
	mutual := c.client(cert)
	plan, err := enroll.Bootstrap(t.Context(), mutual, enroll.State{
		URL: "https://" + c.Tenant + ".bootstrap.msappproxy.net", Tenant: c.Tenant, Agent: agent,
		RequestID: "0a1b2c3d-0000-4000-8000-000000000001", Machine: c.registration("").Machine, First: true, Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Endpoints) == 0 || plan.Heartbeat != 10*time.Minute || plan.Budget != 15*time.Second || plan.RenewEndpoint == "" || plan.Signing {
		t.Errorf("plan: %+v", plan)
	}
	next, err := enroll.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := enroll.Renew(t.Context(), mutual, plan.RenewEndpoint, c.registration("").Machine, next)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := enroll.CheckCertificate(renewed, next.Public(), c.Tenant, time.Now()); err != nil || again != agent {
		t.Errorf("the renewed certificate is of %s, ours is %s: %v", again, agent, err)
	}
	c.clean()
}

func TestRegistrationThatTheCloudRefuses(t *testing.T) {
	for name, token := range map[string]func(*cloud) string{
		"no administrator": func(c *cloud) string { return c.Token(c.Tenant, false) },
		"another tenant":   func(c *cloud) string { return c.Token("00000000-0000-4000-8000-00000000ffff", true) },
		"no token":         func(*cloud) string { return "" },
	} {
		c := start(t)
		cert, err := enroll.Register(t.Context(), c.client(nil), c.registration(token(c)), c.key)
		if err == nil || cert != nil || len(c.Agents()) != 0 {
			t.Errorf("%s: %v, %d agents", name, err, len(c.Agents()))
		}
		if err != nil && token(c) != "" && strings.Contains(err.Error(), token(c)) {
			t.Errorf("%s: the token stands in the error", name)
		}
	}
}

// TestCertificateOfAnotherIsNotTaken: what the service sends is checked again.
func TestCertificateOfAnotherIsNotTaken(t *testing.T) {
	c := start(t)
	cert, _ := c.register()
	other, err := enroll.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, check := range map[string]func() (string, error){
		"another key":    func() (string, error) { return enroll.CheckCertificate(cert, other.Public(), c.Tenant, time.Now()) },
		"another tenant": func() (string, error) { return enroll.CheckCertificate(cert, c.key.Public(), "x", time.Now()) },
		"expired": func() (string, error) {
			return enroll.CheckCertificate(cert, c.key.Public(), c.Tenant, cert.NotAfter.Add(time.Minute))
		},
		"not yet": func() (string, error) {
			return enroll.CheckCertificate(cert, c.key.Public(), c.Tenant, cert.NotBefore.Add(-time.Hour))
		},
	} {
		if agent, err := check(); !errors.Is(err, enroll.ErrCertificate) || agent != "" {
			t.Errorf("%s: %q, %v", name, agent, err)
		}
	}
}

func TestOnlyTheCloudsHostsAreSpokenTo(t *testing.T) {
	c := start(t)
	r := c.registration(c.AdminToken())
	r.URL = "https://registration.evil.test"
	if _, err := enroll.Register(context.Background(), c.client(nil), r, c.key); err == nil {
		t.Error("a stranger's address was spoken to")
	}
}
