package app_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"sallyport/cmd/internal/demo"
	"sallyport/cmd/internal/trip"
)

const archive = "https://archive.fabrikam.test/sp"

// mdq is a metadata query service: it knows one party, and signs.
func mdq(t *testing.T) (server *httptest.Server, certificateFile string, asked *atomic.Int32) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	cert := selfSigned(t, key)
	certificateFile = filepath.Join(t.TempDir(), "federation.pem")
	if err := os.WriteFile(certificateFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600); err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromString(fmt.Sprintf(`<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" ID="_m1" entityID="%s" validUntil="%s">`+
		`<md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">`+
		`<md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://archive.fabrikam.test/acs" index="1"/>`+
		`</md:SPSSODescriptor></md:EntityDescriptor>`, archive, time.Now().Add(48*time.Hour).UTC().Format(time.RFC3339))); err != nil {
		t.Fatal(err)
	}
	ctx, err := dsig.NewSigningContext(key, [][]byte{cert})
	if err != nil {
		t.Fatal(err)
	}
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := ctx.SetSignatureMethod("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"); err != nil {
		t.Fatal(err)
	}
	signed, err := ctx.SignEnveloped(doc.Root())
	if err != nil {
		t.Fatal(err)
	}
	text, err := etree.NewDocumentWithRoot(signed).WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	// The schema wants the signature first.
	from, to := strings.Index(text, "<ds:Signature"), strings.Index(text, "</ds:Signature>")+len("</ds:Signature>")
	signature := text[from:to]
	text = strings.Replace(text[:from]+text[to:], "<md:SPSSODescriptor", signature+"<md:SPSSODescriptor", 1)
	asked = &atomic.Int32{}
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path != "/entities/"+archive {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/samlmetadata+xml")
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	return server, certificateFile, asked
}

// selfSigned is a certificate in DER.
func selfSigned(t *testing.T, key *rsa.PrivateKey) []byte {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// withQuery are settings with a metadata query service whose answers are kept in a
// folder, and with what more makes of it and of the file with its server's certificate.
func withQuery(t *testing.T, more func(server *httptest.Server, roots string) string) (settings func(string) string, kept string, asked *atomic.Int32) {
	t.Helper()
	server, certificate, asked := mdq(t)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	writeFile(t, roots, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	kept = filepath.Join(t.TempDir(), "metadata")
	if err := os.Mkdir(kept, 0o700); err != nil {
		t.Fatal(err)
	}
	return func(text string) string {
		return strings.Replace(text, "saml: {ecp: everywhere}", "saml: {ecp: everywhere, metadata_dir: "+kept+"}", 1) +
			"metadata_query: {url: \"" + server.URL + "\", certificate_file: " + certificate + ", ca_file: " + roots + ", private: true, " +
			"access: {allow_groups: ['CONTOSO\\Staff']}, claims: [{type: \"urn:oid:0.9.2342.19200300.100.1.1\", attribute: sAMAccountName}]}\n" +
			more(server, roots)
	}, kept, asked
}

// used waits until the copies in a folder say that their party is used.
func used(t *testing.T, kept string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		copies, err := filepath.Glob(kept + "/mdq-*.metadata")
		if err != nil || len(copies) != 1 {
			t.Fatal(copies, err)
		}
		text, err := os.ReadFile(copies[0])
		if err != nil {
			t.Fatal(err)
		}
		if head, _, _ := strings.Cut(string(text), "\n"); strings.Contains(head, `"used":`) {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the copy of the party does not say that somebody got a token for it")
		}
	}
}

// TestPartyIsFoundByItsFirstRequest: nobody has registered it, the metadata query
// service vouches for it, and the people that the settings name may sign in.
func TestPartyIsFoundByItsFirstRequest(t *testing.T) {
	settings, kept, asked := withQuery(t, func(*httptest.Server, string) string { return "" })
	h := open(t, demo.Options{Settings: settings})
	b := h.Browser()
	defer b.Close()
	u := h.User("alice")
	root, form := answered(t, named(t, b, h.open(t, b, h.SignInURL()+redirectQuery(authnRequest(archive, "_one", ""))), u.UPN, u.Password))
	if form.Action != "https://archive.fabrikam.test/acs" {
		t.Errorf("posted to %s", form.Action)
	}
	values := root.FindElements("./Assertion/AttributeStatement/Attribute/AttributeValue")
	if len(values) != 1 || values[0].Text() != "alice" {
		t.Errorf("claims: %v", values)
	}
	used(t, kept)
	if text := h.metrics(t); strings.Contains(text, archive) || !strings.Contains(text, `party="mdq"`) {
		t.Error("the label of a party that was found is not the common one")
	}
	answered(t, h.open(t, b, h.SignInURL()+redirectQuery(authnRequest(archive, "_two", ""))))
	if asked.Load() != 1 {
		t.Errorf("the service was asked %d times", asked.Load())
	}

	// Who is in none of the groups is told so by the party, and strangers stay unknown.
	other := h.Browser()
	defer other.Close()
	nobody := h.User("soon")
	root, _ = answered(t, named(t, other, h.open(t, other, h.SignInURL()+redirectQuery(authnRequest(archive, "_three", ""))), nobody.UPN, nobody.Password))
	if root.FindElement("./Assertion") != nil || !strings.Contains(etreeText(t, root), "RequestDenied") {
		t.Error("somebody outside the groups gets a token")
	}
	for range 3 {
		if p := h.open(t, b, h.SignInURL()+redirectQuery(authnRequest("https://stranger.test/sp", "_four", ""))); p.Status != 400 || p.AsksPassword(trip.English) {
			t.Errorf("a stranger: %d %q", p.Status, p.Heading())
		}
	}
	if asked.Load() != 2 {
		t.Errorf("the service was asked %d times, once for each entity is enough", asked.Load())
	}
}

// TestS12_RegisteredPartyIsNeverLookedFor: while a party's own metadata is missing,
// nobody signs in there. Were it found by a query instead, the rules of the settings
// would not hold for it, and the metadata that comes later would collide with it.
func TestS12_RegisteredPartyIsNeverLookedFor(t *testing.T) {
	settings, _, asked := withQuery(t, func(server *httptest.Server, roots string) string {
		return `relying_parties:
  - key: archive
    name: Archive
    protocol: saml
    identifiers: ["` + archive + `"]
    metadata_url: "` + server.URL + `/not/yet"
    metadata_unsigned: true
    metadata_private: true
    metadata_ca_file: ` + roots + `
    access: {allow_groups: ['CONTOSO\Archivists']}
`
	})
	h := open(t, demo.Options{Settings: settings})
	b := h.Browser()
	defer b.Close()
	before := asked.Load()
	if p := h.open(t, b, h.SignInURL()+redirectQuery(authnRequest(archive, "_one", ""))); p.Status != 400 || p.AsksPassword(trip.English) {
		t.Errorf("a party without its metadata: %d %q", p.Status, p.Heading())
	}
	if n := asked.Load() - before; n > 1 { // its own address may be tried meanwhile
		t.Errorf("the query service was asked %d times", n)
	}
}
