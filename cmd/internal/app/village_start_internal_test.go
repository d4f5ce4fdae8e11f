package app

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/authn/directory/directorytest"
	"sallyport/certs"
	"sallyport/certs/certstest"
	"sallyport/cmd/internal/trip"
	"sallyport/deploy/testbed/lab"
	"sallyport/federation/domain/graphtest"
)

// village is two instances behind HAProxy that share Redis, the stand-ins of Active
// Directory and of Microsoft Graph, and three parties: a domain that learns keys
// through Graph alone, one whose Microsoft polls the metadata and may not be written
// to, and a foreign service provider of SAML that refreshes the metadata by itself.
type village struct {
	t     *testing.T
	lab   *lab.Lab
	dir   string
	clock *ahead
	graph *graphtest.Server
	ad    *directorytest.Directory
	users map[string]directorytest.User // by domain
	all   []*villager

	// world is held for reading by a sign-in, for writing by a leap in time: nobody
	// types for days.
	world sync.RWMutex
	// stop ends the clients, working waits for them.
	stop    context.CancelFunc
	working sync.WaitGroup
	clients []*client

	mu sync.Mutex
	// fate decides at each step of an instance; nil lets all pass.
	fate   func(n *villager, step string) error
	deaths int
	first  *x509.Certificate
	polled int
}

// stepped is called before and after each step that changes what instances share.
func (v *village) stepped(n *villager, step string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fate == nil {
		return nil
	}
	return v.fate(n, step)
}

const villageSettings = `issuer: http://sts.contoso.test/adfs/services/trust
public_url: https://sts.contoso.test
listen: %[1]s
tls: {certificate_file: %[2]s/sts.pem, key_file: %[2]s/sts.key}
proxy: {trusted: [%[3]s/32]}
microsoft365:
  domains: [{name: contoso.test}, {name: fabrikam.test}]
  graph: {tenant: %[4]s, client_id: %[5]s, client_secret_file: secret, login_url: "%[6]s", graph_url: "%[7]s", ca_file: roots.pem, keep_in_step: true, watch: false}
relying_parties:
  - key: pysaml2
    name: Foreign service provider
    protocol: saml
    identifiers: ["https://pysaml2.contoso.test/metadata"]
    saml:
      acs: [{url: "https://pysaml2.contoso.test/acs"}]
      signed_requests: true
      request_certificates_file: %[8]s/pysaml2/sp.pem
      name_id_format: transient
    claims: [{type: upn, attribute: userPrincipalName}]
directory:
  domains:
    - name: corp.contoso.test
      netbios: CONTOSO
      upn_suffixes: [contoso.test, fabrikam.test]
      servers: [{url: "%[9]s", address: "%[10]s"}]
  ca_file: directory.pem
  service_account: {name: %[11]s, password_file: service}
sessions:
  store: redis
  secret_file: sessions
  redis: {url: "rediss://%[12]s", user: sallyport, password_file: %[13]s, ca_file: %[14]s, server_name: redis.contoso.test, key_prefix: "sallyport:%[15]s:"}
signing: {key_dir: keys-%[16]s, share: redis, key_encryption_file: kek, instance: %[16]s, key_file: first/key.pem, certificate_file: first/cert.pem}
audit: {file: audit-%[16]s.jsonl}
ops: {listen: "127.0.0.1:0", drain_time: 1ms}
`

// newVillage starts everything, 46 days before the end of the certificate that signs.
func newVillage(t *testing.T) *village {
	t.Helper()
	l := lab.Require(t)
	v := &village{t: t, lab: l, dir: filepath.Join(t.TempDir(), "etc"), users: map[string]directorytest.User{
		"contoso.test":  {SAM: "alice", UPN: "alice@contoso.test", Password: "Passw0rd-alice", PasswordNeverExpires: true},
		"fabrikam.test": {SAM: "bob", UPN: "bob@fabrikam.test", Password: "Passw0rd-bob", PasswordNeverExpires: true},
	}}
	v.clock = &ahead{begun: time.Now(), file: filepath.Join(l.SAMLDir, "pysaml2/run/ahead")}
	v.clock.Pass(t, 0)
	v.startMicrosoft()
	var err error
	if v.ad, err = directorytest.Start(directorytest.Config{
		Users: []directorytest.User{v.users["contoso.test"], v.users["fabrikam.test"]}, UPNSuffixes: []string{"contoso.test", "fabrikam.test"}, Now: v.clock.Now,
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.ad.Close() })
	v.writeFiles()
	t.Cleanup(v.close)
	for i, name := range []string{"one", "two"} {
		n := &villager{name: name, address: l.GatewayAddrs[i], line: newLine(t, strings.TrimPrefix(l.RedisURL, "rediss://sallyport@"))}
		v.settings(n)
		v.launch(n)
		v.all = append(v.all, n)
	}
	v.federate()
	v.eventually("HAProxy has found the instances", func() bool {
		b := v.browser()
		defer b.Close()
		p, err := b.Open(t.Context(), signInAddress)
		return err == nil && p.Status == 200 && v.all[0].served.n.Load() > 0 && v.all[1].served.n.Load() > 0
	})
	l.Control(t, "start", "refresher")
	return v
}

func (v *village) startMicrosoft() {
	v.graph = graphtest.Start(graphtest.Config{
		Tenant: proofTenant, Apps: []graphtest.App{{ClientID: proofApp, Secret: proofSecret, Roles: graphtest.ReadWrite()}},
		Domains: []graphtest.Domain{{Name: "contoso.onmicrosoft.test", Initial: true, Default: true}, {Name: "contoso.test"}, {Name: "fabrikam.test"}},
		Admins:  []string{"root@contoso.onmicrosoft.test"}, Now: v.clock.Now,
	})
	v.t.Cleanup(v.graph.Close)
}

func (v *village) writeFiles() {
	v.t.Helper()
	t := v.t
	if err := os.MkdirAll(filepath.Join(v.dir, "first"), 0o700); err != nil {
		t.Fatal(err)
	}
	var roots []byte
	for _, c := range v.graph.Certificates() {
		roots = append(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	key := certstest.Key(certstest.Apart)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(46), Subject: pkix.Name{CommonName: "ADFS Signing - sts.contoso.test"},
		NotBefore: v.clock.Now().Add(-time.Hour), NotAfter: v.clock.Now().Add(46 * 24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err == nil {
		v.first, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"roots.pem": roots, "secret": []byte(proofSecret), "service": []byte(v.ad.ServicePassword), "directory.pem": v.ad.CAPEM(),
		"first/key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		"first/cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	} {
		if err := os.WriteFile(filepath.Join(v.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secretFile(t, filepath.Join(v.dir, "sessions"))
	secretFile(t, filepath.Join(v.dir, "kek"))
}

// settings writes the file of one instance.
func (v *village) settings(n *villager) {
	v.t.Helper()
	l, dc := v.lab, v.ad.DCs[0]
	prefix := "proof-" + hex.EncodeToString([]byte(filepath.Base(v.t.Name())))
	text := fmt.Sprintf(villageSettings, n.address, l.Dir, hostOf(l.HAProxyAddr), proofTenant, proofApp, v.graph.Login(), v.graph.Graph(), l.SAMLDir,
		dc.URL, dc.Addr, v.ad.ServiceName, n.line.ln.Addr(), l.RedisPasswordFile, l.CAFile, prefix+fmt.Sprint(v.clock.begun.UnixNano()), n.name)
	if err := os.WriteFile(filepath.Join(v.dir, n.name+".yaml"), []byte(text), 0o600); err != nil {
		v.t.Fatal(err)
	}
}

// federate does what an admin does once; from then on Microsoft does not let the
// application write the settings of contoso.test.
func (v *village) federate() {
	v.t.Helper()
	cfg := v.all[0].cfg
	client, err := GraphClient(cfg)
	if err != nil {
		v.t.Fatal(err)
	}
	own, err := OwnOf(v.ledger())
	if err != nil {
		v.t.Fatal(err)
	}
	for _, w := range DomainsWanted(cfg, own) {
		if _, err := client.Federate(v.t.Context(), w); err != nil {
			v.t.Fatal(err)
		}
	}
	v.graph.Fail(
		graphtest.Fault{Method: "PATCH", Path: "domains/contoso.test/", Status: 403, Times: 1 << 30, Message: "Insufficient privileges to complete the operation."},
		graphtest.Fault{Method: "PATCH", Path: "domains/fabrikam.test/", Status: 429, RetryAfter: "1"},
		graphtest.Fault{Method: "GET", Path: "domains/fabrikam.test/", Status: 503, RetryAfter: "1"},
	)
}

func (v *village) ledger() *certs.Ledger {
	v.t.Helper()
	for _, n := range v.all {
		if l := n.manager.Status().Ledger; l != nil && !n.mains.dead.Load() {
			return l
		}
	}
	v.t.Fatal("no instance has read the ledger")
	return nil
}

func (v *village) close() {
	if v.stop != nil {
		v.stop()
	}
	v.working.Wait()
	for _, n := range v.all {
		if n.App != nil {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			_ = n.Stop(ctx)
			cancel()
		}
		n.served.keep(v.t, filepath.Join(v.lab.Artifacts, v.t.Name(), n.name+".log"))
	}
}

// browser is somebody's browser, whose name server leads to HAProxy.
func (v *village) browser() *trip.Browser {
	return trip.At(v.lab.Roots(v.t), map[string]string{
		"sts.contoso.test:443": v.lab.HAProxyAddr, "pysaml2.contoso.test:443": v.lab.SAMLAddrs["pysaml2"],
	})
}

// eventually waits for a state that the servers reach by themselves, on a busy machine too.
func (v *village) eventually(what string, ok func() bool) {
	v.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			v.t.Fatalf("not within two minutes: %s", what)
		}
	}
}

// foreign asks the service provider which certificates it holds.
func (v *village) foreign() []string {
	b := v.browser()
	defer b.Close()
	p, err := b.Open(v.t.Context(), "https://pysaml2.contoso.test/holds")
	if err != nil || p.Status != 200 {
		return nil
	}
	return strings.Fields(p.Body)
}

func text64(c *x509.Certificate) string { return base64.StdEncoding.EncodeToString(c.Raw) }
