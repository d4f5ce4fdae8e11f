package testbed_test

import (
	"encoding/pem"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/deploy/testbed/lab"
)

func TestMetadataIsJudgedByXMLSec1(t *testing.T) {
	l := lab.Require(t)
	g := startGateway(t, l, 2)
	p := newPerson(t, l)
	pg := p.open("https://sts.contoso.test/federationmetadata/2007-06/FederationMetadata.xml")
	if pg.status != http.StatusOK {
		t.Fatalf("status %d\n%s", pg.status, pg.body)
	}
	for range 4 {
		if again := p.open(pg.url.String()); again.body != pg.body {
			t.Fatal("two instances publish different metadata")
		}
	}
	dir := t.TempDir()
	file, cert := filepath.Join(dir, "metadata.xml"), filepath.Join(dir, "signing.pem")
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.signing.Raw}))
	verify := func(text string) ([]byte, error) {
		write(t, file, []byte(text))
		return exec.Command(l.XMLSec1, "--verify", "--enabled-key-data", "raw-x509-cert", "--pubkey-cert-pem", cert,
			"--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:metadata:EntityDescriptor", file).CombinedOutput()
	}
	if out, err := verify(pg.body); err != nil {
		t.Errorf("xmlsec1 refuses the metadata: %v\n%s", err, out)
	}
	if out, err := verify(strings.Replace(pg.body, "/adfs/ls/", "/adfs/lx/", 1)); err == nil {
		t.Errorf("xmlsec1 accepts changed metadata; it proves nothing\n%s", out)
	}
}

// TestL01_GatewayStaysBelowTheDirectorysLockout guesses as often as it takes to
// lock an account of this domain, and looks whether the domain has locked it.
func TestL01_GatewayStaysBelowTheDirectorysLockout(t *testing.T) {
	l := lab.Require(t)
	g := startGateway(t, l, 1)
	u := l.User(t, "lockable")
	for range 14 {
		if newPerson(t, l).signInAt(partyQuery, u.UPN, "Aa1.guessed").hasToken() {
			t.Fatal("a guess got in")
		}
	}
	pg := newPerson(t, l).signInAt(partyQuery, u.UPN, u.Password)
	if pg.hasToken() {
		t.Error("after fourteen guesses the gateway still takes the right password")
	}
	records := g.instances[0].audit(t)
	if got := records[len(records)-1]; !strings.Contains(strings.ToLower(jsonText(t, got)), "throttled") {
		t.Errorf("audit says %v, want throttled", got)
	}
	// At the domain itself the account is free.
	d := openDirectory(t, l, nil)
	signsInWithin(t, 10*time.Second, d, u)
	acc, err := d.Resolve(t.Context(), u.UPN)
	if err != nil || acc.State&authn.StateLocked != 0 {
		t.Errorf("the domain has locked the account: %+v, %v", acc, err)
	}
}

// TestDisabledAccountEndsItsSession changes the account at dc1; an instance
// that has not read it before must not let its session in.
func TestDisabledAccountEndsItsSession(t *testing.T) {
	l := lab.Require(t)
	for _, change := range []struct{ name, do, undo string }{
		{"disabled", "disable", "enable"},
		{"password changed", "password", ""},
	} {
		t.Run(change.name, func(t *testing.T) {
			g := startGateway(t, l, 1)
			u := l.User(t, "changeable")
			p := newPerson(t, l)
			p.signInAt(partyQuery, u.UPN, u.Password).token(t)
			silently := func() *page { return p.open("https://sts.contoso.test/adfs/ls/?" + partyQuery.Encode()) }
			restart := func() { // a new process has no copy of the account
				g.instances[0].stop(t)
				if err := g.instances[0].launch(g); err != nil {
					t.Fatal(err)
				}
				g.instances[0].waitReady(t)
			}
			restart()
			if !silently().hasToken() {
				t.Fatal("no session")
			}
			l.Account(t, change.do, u)
			if change.undo != "" {
				t.Cleanup(func() { l.Account(t, change.undo, u) })
			}
			restart()
			if pg := silently(); pg.hasToken() {
				t.Errorf("the session outlived the account's change:\n%s", pg.body)
			}
		})
	}
}

func TestHeadersThroughTheProxy(t *testing.T) {
	l := lab.Require(t)
	startGateway(t, l, 1)
	p := newPerson(t, l)
	get := func(path, header, value string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://sts.contoso.test"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(header, value)
		return p.do(req).status
	}
	ticket := "Negotiate " + strings.Repeat("A", 88*1024)
	if got := get("/adfs/ls/?"+partyQuery.Encode(), "Authorization", ticket); got != http.StatusOK {
		t.Errorf("a ticket of 88 KB at the sign-in page: status %d, want 200", got)
	}
	if got := get("/FederationMetadata/2007-06/FederationMetadata.xml", "Authorization", ticket); got < 400 {
		t.Errorf("a header of 88 KB at the metadata: status %d, want a refusal", got)
	}
	// Nobody but the proxy says who the client is: the claim stays "inside", as
	// the proxy saw it, whatever the browser sends.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://sts.contoso.test/adfs/ls/?"+microsoftQuery.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", "203.0.113.9")
	req.Header.Set("X-Forwarded-Host", "elsewhere.test")
	u := l.BySAM(t, "alice")
	if !p.signIn(p.do(req), u.UPN, u.Password).hasToken() {
		t.Error("forged forwarding headers broke the sign-in")
	}
}

func TestBadRequestsThroughTheProxy(t *testing.T) {
	l := lab.Require(t)
	g := startGateway(t, l, 1)
	p := newPerson(t, l)
	for _, tc := range []struct {
		name, path string
		status     int
	}{
		{"unknown wtrealm", "/adfs/ls/?wa=wsignin1.0&wtrealm=urn:nobody", http.StatusBadRequest},
		{"foreign wreply", "/adfs/ls/?" + partyQuery.Encode() + "&wreply=https%3A%2F%2Felsewhere.test%2F", http.StatusBadRequest},
		{"no wtrealm", "/adfs/ls/?wa=wsignin1.0", http.StatusBadRequest},
		{"doubled wtrealm", "/adfs/ls/?" + partyQuery.Encode() + "&wtrealm=urn:contoso:testbed:party", http.StatusBadRequest},
		{"unknown wa", "/adfs/ls/?wa=wsomething1.0&wtrealm=urn:contoso:testbed:party", http.StatusBadRequest},
		{"other case", "/ADFS/LS/?" + partyQuery.Encode(), http.StatusOK},
		{"doubled slashes", "//adfs//ls//?" + partyQuery.Encode(), http.StatusOK},
		{"no such page", "/adfs/nothing", http.StatusNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pg := p.open("https://sts.contoso.test" + tc.path)
			if pg.status != tc.status {
				t.Errorf("status %d, want %d\n%s", pg.status, tc.status, pg.body)
			}
			if pg.hasToken() || strings.Contains(pg.body, "elsewhere.test") || strings.Contains(pg.body, "urn:nobody") {
				t.Error("the page repeats what the request said, or hands out a token")
			}
		})
	}
	u := l.BySAM(t, "alice")
	first := p.open("https://sts.contoso.test/adfs/ls/?" + partyQuery.Encode())
	stranger := newPerson(t, l)
	if pg := stranger.signIn(first, u.UPN, u.Password); pg.hasToken() {
		t.Error("a sign-in page of one browser works in another")
	}
	if records := g.instances[0].audit(t); len(records) == 0 {
		t.Error("no audit record of any refusal")
	}
	if pg := p.submit(first, url.Values{"username": {u.UPN}, "password": {u.Password}, "t": {first.form.fields.Get("t") + "A"}}); pg.hasToken() {
		t.Error("a changed sign-in page still works")
	}
}
