package testbed_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	"sallyport/deploy/testbed/lab"
)

// settings of one instance; Redis, both domain controllers, a proxy in front.
var settings = template.Must(template.New("settings").Parse(`issuer: http://sts.contoso.test/adfs/services/trust
public_url: https://sts.contoso.test
listen: {{.Listen}}
tls:
  certificate_file: {{.Lab.Dir}}/sts.pem
  key_file: {{.Lab.Dir}}/sts.key
proxy:
  trusted: [{{.Proxy}}/32]
networks:
  # The browser's own address; the proxy's is not inside, so that the claim
  # insidecorporatenetwork tells whether X-Forwarded-For was believed.
  inside: [127.0.0.1/32]
microsoft365:
  domains:
    - name: contoso.test
directory:
  domains:
    - name: corp.contoso.test
      netbios: CONTOSO
      upn_suffixes: [contoso.test]
      servers:
{{- range .Lab.DCs}}
        - url: {{.URL}}
          address: {{.Addr}}
{{- end}}
  ca_file: {{.Lab.CAFile}}
  service_account:
    name: {{.Lab.Service}}
    password_file: {{.Lab.ServicePasswordFile}}
sessions:
  store: redis
  redis:
    url: {{.RedisURL}}
    user: sallyport
    password_file: {{.Lab.RedisPasswordFile}}
    ca_file: {{.Lab.CAFile}}
  secret_file: {{.Dir}}/session-secret
signing:
  key_file: {{.Dir}}/keys/signing.key
  certificate_file: {{.Dir}}/keys/signing.crt
relying_parties:
  - key: party
    name: Testbed party
    protocol: wsfed
    identifiers: ["urn:contoso:testbed:party"]
    reply_urls: ["https://party.contoso.test/callback"]
    start_url: https://party.contoso.test/
  - key: portal
    name: Testbed portal
    protocol: wsfed
    identifiers: ["urn:contoso:testbed:portal"]
    reply_urls: ["https://party.contoso.test/portal/callback"]
    token_type: saml20
    access: {allow_groups: ['CONTOSO\Testbed staff']}
    claims:
      - {type: upn, attribute: userPrincipalName, case: upper}
      - {type: emailaddress, attribute: mail}
      - {type: role, groups: [{group: 'CONTOSO\Testbed staff', value: "<staff> & more"}]}
      - type: "http://schemas.contoso.test/claims/tenant"
        constant: "42"
        when: {member_of: ['CONTOSO\Zugriff (a)']}
{{.Parties}}saml:
  persistent_id_secret_file: {{.Dir}}/session-secret
signin_page:
  organisation: Contoso
audit:
  file: {{.Own}}/audit.jsonl
  required: true
ops:
  listen: {{.Ops}}
  control: {{.Own}}/control.sock
  drain_time: 1s
`))

// gateway is a fleet of instances of the real binary behind the lab's proxy.
type gateway struct {
	lab       *lab.Lab
	dir       string
	parties   string // further relying parties, as lines of the settings
	binary    string
	signing   *x509.Certificate
	instances []*instance
}

// binaryDir is where the binary lies once a test has needed it.
var binaryDir string

// built is the binary, made once for all tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sallyport-testbed-")
	if err != nil {
		return "", err
	}
	binaryDir = dir
	bin := filepath.Join(dir, "sallyport")
	cmd := exec.Command("go", "build", "-race", "-o", bin, "./cmd/sallyport")
	cmd.Dir = repo
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if binaryDir != "" {
		os.RemoveAll(binaryDir)
	}
	os.Exit(code)
}

// startGateway runs n instances with the same keys and secrets and waits until
// each is ready.
func startGateway(t *testing.T, l *lab.Lab, n int) *gateway {
	t.Helper()
	return startGatewayWith(t, l, n, "")
}

// startGatewayWith does the same with further relying parties.
func startGatewayWith(t *testing.T, l *lab.Lab, n int, parties string) *gateway {
	t.Helper()
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{lab: l, dir: t.TempDir(), binary: bin, parties: parties}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(g.dir, "session-secret"), []byte(hex.EncodeToString(secret)+"\n"))
	g.makeSigningKey(t)
	for i := range n {
		g.addInstance(t, i)
	}
	for _, in := range g.instances {
		in.start(t, g)
	}
	for _, in := range g.instances {
		in.waitReady(t)
	}
	return g
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// makeSigningKey makes what an administrator would export from AD FS: an RSA
// key and a self-signed certificate.
func (g *gateway) makeSigningKey(t *testing.T) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "ADFS Signing - sts.contoso.test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(365 * 24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if g.signing, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(g.dir, "keys/signing.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	write(t, filepath.Join(g.dir, "keys/signing.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (g *gateway) addInstance(t *testing.T, i int) {
	t.Helper()
	host, _, err := net.SplitHostPort(g.lab.GatewayAddrs[i])
	if err != nil {
		t.Fatal(err)
	}
	in := &instance{own: filepath.Join(g.dir, fmt.Sprintf("instance%d", i+1)), ops: host + ":9464"}
	in.config = filepath.Join(in.own, "sallyport.yaml")
	g.instances = append(g.instances, in)
	g.configure(t, in, i)
}

// configure writes an instance's settings.
func (g *gateway) configure(t *testing.T, in *instance, i int) {
	t.Helper()
	proxy, _, err := net.SplitHostPort(g.lab.ProxyAddr)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := settings.Execute(&text, map[string]any{
		"Lab": g.lab, "Dir": g.dir, "Own": in.own, "Listen": g.lab.GatewayAddrs[i], "Ops": in.ops, "Proxy": proxy,
		"Parties":  g.parties,
		"RedisURL": strings.Replace(g.lab.RedisURL, "sallyport@", "", 1),
	}); err != nil {
		t.Fatal(err)
	}
	write(t, in.config, text.Bytes())
}

// keep writes a file to the run's artefacts.
func keep(t *testing.T, l *lab.Lab, name, content string) {
	t.Helper()
	dir := filepath.Join(l.Artifacts, strings.ReplaceAll(t.Name(), "/", "_"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// jsonText is a record as text.
func jsonText(t *testing.T, record map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
