package app_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/cmd/internal/demo"
	"sallyport/federation/domain/graphtest"
)

// microsoft is Graph's stand-in with contoso.test, for the demo's gateway.
type microsoft struct {
	*graphtest.Server
	dir string
}

func newMicrosoft(t *testing.T, domains ...graphtest.Domain) *microsoft {
	t.Helper()
	m := &microsoft{dir: t.TempDir(), Server: graphtest.Start(graphtest.Config{
		Tenant: "contoso.test", Domains: domains,
		Apps: []graphtest.App{{ClientID: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", Secret: "application-secret", Roles: graphtest.ReadWrite()}},
	})}
	t.Cleanup(m.Close)
	var roots []byte
	for _, c := range m.Certificates() {
		roots = append(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	for name, content := range map[string][]byte{"roots.pem": roots, "secret": []byte("application-secret")} {
		if err := os.WriteFile(filepath.Join(m.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// settings gives the gateway an application at the stand-in.
func (m *microsoft) settings(text string) string {
	return strings.Replace(text, "microsoft365:\n", `microsoft365:
  graph:
    tenant: contoso.test
    client_id: aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee
    client_secret_file: `+filepath.Join(m.dir, "secret")+`
    ca_file: `+filepath.Join(m.dir, "roots.pem")+`
    login_url: `+m.Login()+`
    graph_url: `+m.Graph()+`
    keep_in_step: true
`, 1)
}

func inSlot(c *x509.Certificate) string { return base64.StdEncoding.EncodeToString(c.Raw) }

// A key that is not the service's stands at Microsoft: the running service says so
// in log, metric, readiness and audit trail, and goes on signing people in.
func TestForeignKeyAtMicrosoftIsAnAlarm(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "stranger")
	stranger, _, err := certs.Load(certs.Config{KeyFile: filepath.Join(dir, "k"), CertificateFile: filepath.Join(dir, "c"), Generate: true, Host: "evil.test"})
	if err != nil {
		t.Fatal(err)
	}
	m := newMicrosoft(t, graphtest.Domain{Name: "contoso.test", Federated: true, Settings: map[string]any{
		"id": graphtest.SettingsID, "issuerUri": "urn:evil", "nextSigningCertificate": inSlot(stranger.Certificate),
	}})
	h := open(t, demo.Options{Settings: m.settings, Gateway: new(briskly).gateway})
	eventually(t, "the alarm", 20*time.Second, func() bool {
		audited, _ := os.ReadFile(filepath.Join(h.Dir, "audit.jsonl"))
		return strings.Contains(h.log.String(), "ALARM: a federated domain trusts") && strings.Contains(string(audited), "SP520")
	})
	status, body := h.readiness(t)
	if status != 200 || !strings.Contains(body, "degraded") || !strings.Contains(body, "nextSigningCertificate: a key that is not") {
		t.Errorf("readiness %d %s", status, body)
	}
	h.event(t, map[string]any{"code": "SP520", "reason": "foreign"})
	_, metrics := get(t, http.DefaultClient, "http://"+h.Gateway.OpsAddr().String()+"/metrics")
	if !strings.Contains(metrics, `sallyport_domain_difference{domain="contoso.test"} 4`) {
		t.Error("the metric does not tell")
	}
	if n := len(m.Writes()); n != 0 {
		t.Errorf("%d changes: a foreign key was overwritten", n)
	}
	b := h.Browser()
	defer b.Close()
	h.signIn(t, b, "alice")
	if strings.Contains(h.log.String(), "application-secret") {
		t.Error("the log tells the secret")
	}
}

// After a key is staged the running service puts it into the domain by itself,
// reads both slots back, and proves it with a token.
func TestDomainIsKeptInStepWithTheKeys(t *testing.T) {
	t.Parallel()
	m := newMicrosoft(t, graphtest.Domain{Name: "contoso.test"})
	h := open(t, demo.Options{Settings: func(text string) string { return m.settings(living(text)) }, Gateway: new(briskly).gateway})
	first := h.Gateway.SigningCertificates()[0]
	m.Put(graphtest.Domain{Name: "contoso.test", Federated: true, Settings: map[string]any{
		"id": graphtest.SettingsID, "issuerUri": "urn:x", "signingCertificate": inSlot(first.Certificate),
	}})
	staged, err := h.hand().Stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the domain holds both certificates", 40*time.Second, func() bool {
		s := m.Settings("contoso.test")
		return s["signingCertificate"] == inSlot(first.Certificate) && s["nextSigningCertificate"] == base64.StdEncoding.EncodeToString(staged.Certificate)
	})
	eventually(t, "the proof", 20*time.Second, func() bool {
		l, err := h.hand().Store.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		e, err := l.Find(staged.ID)
		return err == nil && e.Knows["contoso.test"].How == certs.Proved
	})
}
