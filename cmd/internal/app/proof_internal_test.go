package app

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"sallyport/certs"
	"sallyport/certs/certstest"
	"sallyport/cmd/internal/config"
	"sallyport/federation/domain/graphtest"
	"sallyport/federation/verify"
)

const (
	proofTenant = "7f3c2f0e-2b53-4c53-9d0d-0a6d4d1f0001"
	proofApp    = "7f3c2f0e-2b53-4c53-9d0d-0a6d4d1f0002"
	proofSecret = "client-secret-of-this-test"
)

// breaker stands before the stores of one instance: it counts what changes them and
// ends the "machine" at a step, or makes the store unreachable.
type breaker struct {
	certs.Store
	certs.KeyStore
	steps, dieAt int
	away         bool
}

var (
	errDead = errors.New("this machine has lost its power")
	errAway = errors.New("the shared store cannot be reached")
)

func (b *breaker) step() error {
	b.steps++
	switch {
	case b.dieAt > 0 && b.steps >= b.dieAt:
		return errDead
	case b.away:
		return errAway
	}
	return nil
}

func (b *breaker) dead() bool { return b.dieAt > 0 && b.steps >= b.dieAt }

func (b *breaker) Load(ctx context.Context) (*certs.Ledger, error) {
	if b.dead() {
		return nil, errDead
	}
	if b.away {
		return nil, errAway
	}
	return b.Store.Load(ctx)
}

func (b *breaker) Swap(ctx context.Context, next *certs.Ledger) error {
	if err := b.step(); err != nil {
		return err
	}
	return b.Store.Swap(ctx, next)
}

func (b *breaker) Generate(ctx context.Context, ref string, bits int) (crypto.Signer, error) {
	if err := b.step(); err != nil {
		return nil, err
	}
	return (&certstest.Keys{KeyStore: b.KeyStore}).Generate(ctx, ref, bits)
}

func (b *breaker) Destroy(ctx context.Context, ref string) error {
	if err := b.step(); err != nil {
		return err
	}
	return b.KeyStore.Destroy(ctx, ref)
}

// instance is one app value of the fleet.
type instance struct {
	*App
	name string
	b    *breaker
}

// fleet is two instances that share a directory of keys, Microsoft's side as Graph
// shows it, and a party that reads the metadata on its own.
type fleet struct {
	t     *testing.T
	dir   string
	graph *graphtest.Server
	clock *certstest.Clock
	all   []*instance
	wiki  []string // base64 of the certificates that the party holds
	count int      // sign-ins
	// judged are the tokens of the day.
	judged map[string]bool
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: filepath.Join(t.TempDir(), "etc"), clock: certstest.NewClock(time.Now())}
	f.graph = graphtest.Start(graphtest.Config{
		Tenant: proofTenant, Apps: []graphtest.App{{ClientID: proofApp, Secret: proofSecret, Roles: graphtest.ReadWrite()}},
		Domains: []graphtest.Domain{{Name: "contoso.onmicrosoft.test", Initial: true, Default: true}, {Name: "contoso.test"}},
		Admins:  []string{"root@contoso.onmicrosoft.test"},
	})
	t.Cleanup(f.graph.Close)
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var roots []byte
	for _, c := range f.graph.Certificates() {
		roots = append(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	for name, content := range map[string]string{"roots.pem": string(roots), "secret": proofSecret, "service": "x", "sallyport.yaml": `public_url: https://sts.contoso.test
listen: 127.0.0.1:0
tls: {generate: true}
wstrust: everywhere
microsoft365:
  domains: [{name: contoso.test}]
  graph: {tenant: ` + proofTenant + `, client_id: ` + proofApp + `, client_secret_file: secret, login_url: "` + f.graph.Login() + `", graph_url: "` + f.graph.Graph() + `", ca_file: roots.pem, keep_in_step: true}
relying_parties:
  - {key: wiki, name: Wiki, identifiers: ["urn:wiki"], reply_urls: ["https://wiki.contoso.test/"], metadata_from: [192.0.2.80/32]}
directory:
  domains: [{name: corp.contoso.test, netbios: CONTOSO, servers: ["ldaps://dc1.corp.contoso.test"]}]
  service_account: {name: svc@corp.contoso.test, password_file: service}
sessions: {store: memory}
signing: {key_dir: keys, generate: true, instance: NAME}
`} {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.start("one")
	f.start("two")
	f.federate()
	f.wiki = certificatesIn(f.all[0].metadata.Document())
	return f
}

// start makes an instance, or one that died anew.
func (f *fleet) start(name string) *instance {
	f.t.Helper()
	cfg, err := config.Load(filepath.Join(f.dir, "sallyport.yaml"))
	if err != nil {
		f.t.Fatal(err)
	}
	cfg.Signing.Instance = name
	i := &instance{name: name, b: &breaker{}}
	i.App, err = New(cfg, Options{
		Logger: slog.New(slog.DiscardHandler), Stdout: io.Discard, Now: f.clock.Now, Steady: f.clock.Steady,
		WrapSigning: func(s certs.Store, k certs.KeyStore) (certs.Store, certs.KeyStore) {
			i.b.Store, i.b.KeyStore = s, k
			return i.b, i.b
		},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = i.closeParts() })
	for n, old := range f.all {
		if old.name == name {
			f.all[n] = i
			return i
		}
	}
	f.all = append(f.all, i)
	return i
}

// federate does what an admin does once.
func (f *fleet) federate() {
	f.t.Helper()
	cfg := f.all[0].cfg
	own, err := OwnCertificates(context.Background(), cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	client, err := GraphClient(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := client.Federate(f.t.Context(), DomainsWanted(cfg, own)[0]); err != nil {
		f.t.Fatal(err)
	}
}

// certificatesIn returns what a party finds in the metadata behind its signature.
func certificatesIn(document []byte) []string {
	var list []string
	_, rest, _ := bytes.Cut(document, []byte("</ds:Signature>"))
	for {
		_, after, found := bytes.Cut(rest, []byte("X509Certificate>"))
		if !found {
			return list
		}
		text, next, _ := bytes.Cut(after, []byte("</"))
		list = append(list, string(text))
		_, rest, _ = bytes.Cut(next, []byte(">"))
	}
}

// signedByHeld judges the signature of metadata as a careful poller does: by a
// certificate that it held before, and that is valid now.
func signedByHeld(document string, held []*x509.Certificate, now time.Time) error {
	d := etree.NewDocument()
	if err := d.ReadFromString(document); err != nil {
		return err
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: held})
	ctx.Clock = dsig.NewFakeClockAt(now)
	_, err := ctx.Validate(d.Root())
	return err
}

// decoded are certificates in base64.
func decoded(t *testing.T, list []string) (all []*x509.Certificate) {
	t.Helper()
	for _, text := range list {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// microsoft is what Microsoft judges tokens by: what Graph was told, nothing else.
func (f *fleet) microsoft() verify.Domain {
	f.t.Helper()
	d, err := heldAt(f.graph, "contoso.test")
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

// heldAt is what the stand-in of Microsoft holds for a domain.
func heldAt(graph *graphtest.Server, name string) (verify.Domain, error) {
	held := graph.Settings(name)
	d := verify.Domain{Name: name, Issuer: held["issuerUri"].(string)}
	for member, slot := range map[string]**x509.Certificate{"signingCertificate": &d.Current, "nextSigningCertificate": &d.Next} {
		text, _ := held[member].(string)
		if text == "" {
			continue
		}
		der, err := base64.StdEncoding.DecodeString(text)
		if err == nil {
			*slot, err = x509.ParseCertificate(der)
		}
		if err != nil {
			return d, err
		}
	}
	return d, nil
}

// signIn signs somebody in at each instance that lives: at Microsoft 365 and at the
// party that reads metadata.
func (f *fleet) signIn() {
	f.t.Helper()
	for _, i := range f.all {
		if i.b.dead() {
			continue
		}
		signer := i.live.Load().signer
		f.count++
		key := i.inForce[0]
		if !signer.Is(key.Certificate) {
			f.t.Fatalf("%s: signer and key set differ", i.name)
		}
		text := base64.StdEncoding.EncodeToString(key.Certificate.Raw)
		if !strings.Contains(strings.Join(f.wiki, " "), text) {
			f.t.Fatalf("%s, %s: the party that reads metadata does not know %s", f.clock.Now(), i.name, key.ID)
		}
		if first := certificatesIn(i.metadata.Document()); len(first) == 0 || first[0] != text {
			f.t.Fatalf("%s, %s: the metadata does not list first what signs", f.clock.Now(), i.name)
		}
		// On a laptop one token a day for each instance, key and view of Microsoft's is judged.
		held := f.microsoft()
		same := fmt.Sprint(i.name, key.ID, certs.Thumbprint(held.Current), slot(held.Next))
		if f.judged[same] && os.Getenv("SALLYPORT_LONG") != "1" {
			continue
		}
		f.judged[same] = true
		token, err := probe(f.t.Context(), i.cfg, "contoso.test", key, f.clock.Now())
		if err != nil {
			f.t.Fatal(err)
		}
		if v := verify.Token(token, verify.Want{Now: f.clock.Now(), Domains: []verify.Domain{held}}); !v.OK() {
			f.t.Fatalf("%s, %s: Microsoft refuses: %v", f.clock.Now(), i.name, v.Err())
		}
	}
}

// slot names a certificate that may be missing.
func slot(c *x509.Certificate) string {
	if c == nil {
		return "-"
	}
	return certs.Thumbprint(c)
}

// round is a day: what is due happens, people sign in in between.
func (f *fleet) round() {
	f.t.Helper()
	f.judged = map[string]bool{}
	for range 3 {
		for _, i := range f.all {
			_ = i.manager.Step(f.t.Context())
			f.signIn()
		}
		f.clock.Pass(10 * time.Second)
	}
	for _, i := range f.all {
		_ = i.manager.Tell(f.t.Context())
		f.signIn()
	}
	f.clock.Pass(20 * time.Second)
	for _, i := range f.all {
		_ = i.manager.Step(f.t.Context())
		f.signIn()
	}
	f.clock.Pass(24 * time.Hour)
}

// rotate runs from 46 days before the end of the first certificate until the second
// signs alone. each hears of every round before it begins.
func (f *fleet) rotate(each func(round int)) {
	f.t.Helper()
	first := f.all[0].inForce[0]
	f.clock.Pass(first.Certificate.NotAfter.Add(-46 * 24 * time.Hour).Sub(f.clock.Now()))
	for n := range 32 {
		each(n)
		if n%3 == 2 { // it reads rarely
			document := f.all[1].metadata.Document()
			if err := signedByHeld(string(document), decoded(f.t, f.wiki), f.clock.Now()); err != nil {
				f.t.Fatalf("%s: the party that reads metadata holds nothing that its signature is good by: %v", f.clock.Now(), err)
			}
			f.wiki = certificatesIn(document)
		}
		f.round()
	}
	l, err := f.all[1].b.Store.Load(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	old, err := l.Find(first.ID)
	if err != nil || old.State != certs.Gone || l.Of(certs.Signing).ID == first.ID || l.Next() != nil || l.Lease != nil {
		f.t.Fatalf("the rotation is not over: %v, %+v, troubles %v", err, l.Entries, f.all[1].manager.Status().Troubles)
	}
	for _, i := range f.all {
		if got := i.inForce[0].ID; got != l.Of(certs.Signing).ID {
			f.t.Errorf("%s signs with %s", i.name, got)
		}
	}
	if held := f.microsoft(); certs.Thumbprint(held.Current) != l.Of(certs.Signing).ID {
		f.t.Errorf("Microsoft holds %s", certs.Thumbprint(held.Current))
	}
}

func TestC04_WholeRotationWithoutOneFailedSignIn(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.rotate(func(int) {})
	t.Logf("%d sign-ins", f.count)
}

func TestC04_RotationLivesThroughAnUnreachableStore(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.rotate(func(n int) {
		for _, i := range f.all {
			i.b.away = n%2 == 1 && n < 30
		}
	})
	t.Logf("%d sign-ins", f.count)
}

func TestC04_RotationLivesThroughADeathAtEveryStep(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, at int) int {
		f := newFleet(t)
		one := f.all[0]
		begun := one.b.steps
		if at > 0 {
			one.b.dieAt = begun + at
		}
		f.rotate(func(int) {
			if one.b.dead() && f.all[0] == one {
				f.start("one")
			}
		})
		return one.b.steps - begun
	}
	total := run(t, 0)
	first, step := max(1, total/2), total // one death on a laptop, four in the lab
	switch {
	case os.Getenv("SALLYPORT_LONG") == "1": // deploy/testbed/run --long
		first, step = 1, 1
	case os.Getenv("CI") == "true" || os.Getenv("SALLYPORT_LAB") == "1":
		first, step = 1, max(1, total/3)
	}
	for at := first; at <= total; at += step {
		run(t, at)
	}
	t.Logf("%d steps that change the shared store", total)
}
