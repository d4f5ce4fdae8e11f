package token_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"sallyport/deploy/testbed/lab"
	"sallyport/federation"
	"sallyport/federation/token"
)

var instant = time.Date(2031, 3, 4, 9, 15, 0, 0, time.UTC)

// identity is a key with its self-signed certificate.
type identity struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

func newIdentity(bits int) identity {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ADFS Signing - sts.contoso.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return identity{key, cert}
}

var (
	ours     = sync.OnceValue(func() identity { return newIdentity(2048) })
	stranger = sync.OnceValue(func() identity { return newIdentity(2048) })
)

func newSigner(t testing.TB) *token.Signer {
	t.Helper()
	s, err := token.NewSigner(ours().key, ours().cert)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signerFunc is a crypto.Signer that misbehaves as told.
type signerFunc struct {
	pub  crypto.PublicKey
	sign func(digest []byte) ([]byte, error)
}

func (f signerFunc) Public() crypto.PublicKey { return f.pub }
func (f signerFunc) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return f.sign(digest)
}

// entra11 is the token that Microsoft 365 gets.
func entra11() *token.Assertion {
	const anchor = "Z1dQ0m5xkkq0i9h0n7m2Ag=="
	return &token.Assertion{
		Version: federation.SAML11, Issuer: "http://contoso.test/adfs/services/trust/",
		IssueInstant: instant, NotBefore: instant, NotOnOrAfter: instant.Add(time.Hour),
		Audience: federation.MicrosoftOnline,
		NameID:   anchor, NameIDFormat: "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
		AuthnMethod:  "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
		AuthnInstant: instant.Add(-1690 * time.Millisecond),
		Attributes: []token.Attribute{
			{Namespace: "http://schemas.xmlsoap.org/claims", Name: "UPN", Values: []string{"alice@contoso.test"}},
			{Namespace: "http://schemas.microsoft.com/LiveID/Federation/2008/05", Name: "ImmutableID", Values: []string{anchor}},
			{
				Namespace: "http://schemas.microsoft.com/ws/2012/01", Name: "insidecorporatenetwork",
				Values: []string{"false"}, OriginalIssuer: "CLIENT CONTEXT", Boolean: true,
			},
			{
				Namespace: "http://schemas.microsoft.com/claims", Name: "authnmethodsreferences",
				Values: []string{"urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport", "second"},
			},
		},
	}
}

// wiki20 is a SAML 2.0 token with everything that the writer can write.
func wiki20() *token.Assertion {
	return &token.Assertion{
		Version: federation.SAML20, Issuer: "http://sts.contoso.test/adfs/services/trust",
		IssueInstant: instant, NotBefore: instant.Add(-time.Second), NotOnOrAfter: instant.Add(time.Hour),
		Audience: "https://wiki.fabrikam.test/saml", NameID: "alice@contoso.test",
		NameIDFormat: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
		AuthnMethod:  "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport", AuthnInstant: instant,
		Recipient: "https://wiki.fabrikam.test/saml/acs?a=1&b=2", InResponseTo: "_request1",
		SessionIndex: "_s1", SubjectNotOnOrAfter: instant.Add(5 * time.Minute),
		Attributes: []token.Attribute{
			{Name: "IDPEmail", Values: []string{"alice@contoso.test"}},
			{
				Name: "urn:oid:2.5.4.42", Format: "urn:oasis:names:tc:SAML:2.0:attrname-format:uri", FriendlyName: "givenName",
				Values: []string{"Zoë & <b>\"Ann\"</b>", ""}, OriginalIssuer: "AD AUTHORITY",
			},
			{Name: "inside", Values: []string{"true"}, Boolean: true},
		},
	}
}

func idAttribute(v federation.TokenType) string {
	if v == federation.SAML11 {
		return "AssertionID"
	}
	return "ID"
}

// verifyDSIG checks an assertion with goxmldsig and returns the verified element.
func verifyDSIG(doc []byte, idAttr string, cert *x509.Certificate) (*etree.Element, error) {
	d := etree.NewDocument()
	if err := d.ReadFromBytes(doc); err != nil {
		return nil, err
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}})
	ctx.IdAttribute = idAttr
	return ctx.Validate(d.Root())
}

// verifyXMLSec checks with xmlsec1. Only raw certificates count as key data:
// without that option xmlsec1 accepts a key that the message brings along. The
// id attribute is named, and the caller checks what the reference points at.
func verifyXMLSec(t testing.TB, doc []byte, idAttr string, cert *x509.Certificate) error {
	t.Helper()
	bin := lab.Program(t, "xmlsec1", "xmlsec1")
	dir := t.TempDir()
	file, pemFile := filepath.Join(dir, "doc.xml"), filepath.Join(dir, "cert.pem")
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if err := os.WriteFile(pemFile, block, 0o600); err != nil {
		t.Fatal(err)
	}
	ns := "urn:oasis:names:tc:SAML:2.0:assertion"
	if idAttr == "AssertionID" {
		ns = "urn:oasis:names:tc:SAML:1.0:assertion"
	}
	out, err := exec.CommandContext(t.Context(), bin, "--verify", "--enabled-key-data", "raw-x509-cert",
		"--pubkey-cert-pem", pemFile, "--id-attr:"+idAttr, ns+":Assertion", file).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
