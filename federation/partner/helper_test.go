package partner_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"sallyport/deploy/testbed/lab"
	"sallyport/federation/partner"
)

// now is when these tests happen.
var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

type signer struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

func newSigner(bits int) signer {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "metadata"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return signer{key, cert}
}

var (
	publisher = sync.OnceValue(func() signer { return newSigner(2048) })
	stranger  = sync.OnceValue(func() signer { return newSigner(2048) })
	weak      = sync.OnceValue(func() signer { return newSigner(1024) })
)

func (s signer) base64() string { return base64.StdEncoding.EncodeToString(s.cert.Raw) }

// sign puts a signature by s behind the root's start tag.
func (s signer) sign(t testing.TB, doc string) string {
	t.Helper()
	d := etree.NewDocument()
	if err := d.ReadFromString(doc); err != nil {
		t.Fatal(err)
	}
	id := d.Root().SelectAttrValue("ID", "")
	uri := ""
	if id != "" {
		uri = "#" + id
	}
	c14n := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	canonical, err := c14n.Canonicalize(d.Root())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(canonical)
	const ds = "http://www.w3.org/2000/09/xmldsig#"
	info := `<ds:SignedInfo xmlns:ds="` + ds + `"><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod><ds:Reference URI="` + uri + `"><ds:Transforms>` +
		`<ds:Transform Algorithm="` + ds + `enveloped-signature"></ds:Transform><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>` + base64.StdEncoding.EncodeToString(sum[:]) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	h := sha256.Sum256([]byte(info))
	sig, err := rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, h[:])
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(doc, ">") + 1
	if strings.HasPrefix(doc, "<?") {
		at += strings.Index(doc[at:], ">") + 1
	}
	return doc[:at] + `<ds:Signature xmlns:ds="` + ds + `">` + info + `<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(sig) + `</ds:SignatureValue></ds:Signature>` + doc[at:]
}

const (
	post     = `Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"`
	redirect = `Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"`
	wiki     = "https://wiki.fabrikam.test/sp"
)

// describe writes an EntityDescriptor with attributes and an SP role with
// attributes and content; an address is in it.
func describe(id, attributes, role, content string) string {
	return `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + id + `" ` + attributes + `>` +
		`<md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol" ` + role + `>` + content +
		`<md:AssertionConsumerService ` + post + ` Location="https://wiki.fabrikam.test/acs" index="0"></md:AssertionConsumerService>` +
		`</md:SPSSODescriptor></md:EntityDescriptor>`
}

func keyDescriptor(use string, s signer, methods ...string) string {
	more := ""
	for _, m := range methods {
		more += `<md:EncryptionMethod Algorithm="` + m + `"></md:EncryptionMethod>`
	}
	return `<md:KeyDescriptor ` + use + `><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>` + s.base64() +
		`</ds:X509Certificate></ds:X509Data></ds:KeyInfo>` + more + `</md:KeyDescriptor>`
}

func list(attributes, content string) string {
	return `<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" ID="_all" ` + attributes + `>` + content + `</md:EntitiesDescriptor>`
}

func read(t testing.TB, doc string) *partner.Entity {
	t.Helper()
	d, err := partner.Read([]byte(doc), partner.Trust{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Entities) != 1 {
		t.Fatalf("%d entities", len(d.Entities))
	}
	return d.Entities[0]
}

// folder returns the folder that an environment variable names. It is not part of the
// project: without it the test is skipped aloud on a laptop and fails where the lab
// must be complete.
func folder(t testing.TB, variable string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		lab.Without(t, variable+" names no folder")
	}
	return dir
}

// server answers for a metadata server, without a network.
type server struct {
	mu      sync.Mutex
	asked   []*http.Request
	respond func(*http.Request) (int, string, http.Header, error)
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked = append(s.asked, r)
	respond := s.respond
	s.mu.Unlock()
	status, body, header, err := respond(r)
	if err != nil {
		return nil, err
	}
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader([]byte(body))), Request: r}, nil
}

func (s *server) answer(status int, body string, header http.Header, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.respond = func(*http.Request) (int, string, http.Header, error) { return status, body, header, err }
}

func (s *server) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.asked...)
}

func (s signer) pem(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
