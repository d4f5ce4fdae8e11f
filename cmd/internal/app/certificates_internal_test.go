package app

import (
	"bytes"
	"encoding/pem"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/authn/directory/directorytest"
	"sallyport/certs"
	"sallyport/cmd/internal/config"
	"sallyport/cmd/internal/telemetry"
)

// Every certificate that the service needs has its days counted, and is named by
// readiness and log before it ends.
func TestCertificatesThatEndAreNamedByMetricReadinessAndLog(t *testing.T) {
	t.Parallel()
	ad, err := directorytest.Start(directorytest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ad.Close() })
	dir := filepath.Join(t.TempDir(), "etc")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"ca.pem": string(ad.CAPEM()), "service": "x", "sallyport.yaml": `public_url: https://sts.contoso.test
listen: 127.0.0.1:0
tls: {generate: true}
microsoft365:
  domains: [{name: contoso.test}]
  graph:
    tenant: 0f0f0f0f-1111-4222-8333-444444444444
    client_id: aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee
    certificate_file: graph.crt
    key_file: graph.key
directory:
  domains: [{name: corp.contoso.test, netbios: CONTOSO, servers: ["ldaps://dc1.corp.contoso.test"]}]
  ca_file: ca.pem
  service_account: {name: svc@corp.contoso.test, password_file: service}
sessions: {store: memory}
signing: {key_dir: keys, generate: true}
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := certs.Load(certs.Config{KeyFile: filepath.Join(dir, "graph.key"), CertificateFile: filepath.Join(dir, "graph.crt"), Generate: true, Host: "graph"}); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(filepath.Join(dir, "sallyport.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(ad.CAPEM())
	if block == nil {
		t.Fatal("the directory has no root")
	}
	var by time.Duration
	a, err := New(cfg, Options{Logger: slog.New(slog.DiscardHandler), Stdout: io.Discard, Now: func() time.Time { return time.Now().Add(by) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.closeParts() })
	ends := map[string]time.Duration{}
	for _, u := range a.certificatesInUse() {
		ends[u.use] = time.Until(u.end)
	}
	if len(ends) != 4 || ends["graph"] == 0 || ends["ldap_ca"] == 0 || ends["listener"] == 0 || ends["signing"] == 0 {
		t.Fatalf("in use: %v", ends)
	}
	metrics := func() string {
		families, err := a.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		for _, f := range families {
			b.WriteString(f.String())
		}
		return b.String()
	}()
	for use := range ends {
		if !strings.Contains(metrics, `value:"`+use+`"`) {
			t.Errorf("no metric for %s", use)
		}
	}
	if len(a.certificateWarnings()) != 0 {
		t.Errorf("too early: %v", a.certificateWarnings())
	}
	for use, what := range map[string]string{"ldap_ca": "of directory.ca_file", "listener": "the listener's certificate", "graph": "microsoft365.graph.certificate_file"} {
		by = ends[use] - 5*24*time.Hour + time.Hour
		report := a.certificateHealth(t.Context())
		if report.State != telemetry.Degraded || !strings.Contains(report.Reason, what) || !strings.Contains(report.Reason, "in 4 days") {
			t.Errorf("five days before: %+v", report)
		}
		by = ends[use] + 24*time.Hour
		if got := strings.Join(a.certificateWarnings(), "\n"); !strings.Contains(got, what) || !strings.Contains(got, "ended on ") {
			t.Errorf("a day after: %s", got)
		}
	}
}
