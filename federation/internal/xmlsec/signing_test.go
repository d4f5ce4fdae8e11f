package xmlsec_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

const (
	ds       = "http://www.w3.org/2000/09/xmldsig#"
	more     = "http://www.w3.org/2001/04/xmldsig-more#"
	enc      = "http://www.w3.org/2001/04/xmlenc#"
	exc      = "http://www.w3.org/2001/10/xml-exc-c14n#"
	protocol = "urn:oasis:names:tc:SAML:2.0:protocol"
	saml2    = "urn:oasis:names:tc:SAML:2.0:assertion"
)

// party is a relying party with keys of every kind.
type party struct {
	rsa  *rsa.PrivateKey
	cert *x509.Certificate
}

func newParty(bits int) party {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "wiki.fabrikam.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return party{key, cert}
}

var (
	registered = sync.OnceValue(func() party { return newParty(2048) })
	stranger   = sync.OnceValue(func() party { return newParty(2048) })
	ecKeys     = sync.OnceValue(func() map[string]*ecdsa.PrivateKey {
		m := map[string]*ecdsa.PrivateKey{}
		for name, c := range map[string]elliptic.Curve{"P-224": elliptic.P224(), "P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
			k, err := ecdsa.GenerateKey(c, rand.Reader)
			if err != nil {
				panic(err)
			}
			m[name] = k
		}
		return m
	})
)

func keys(p party) []crypto.PublicKey { return []crypto.PublicKey{p.rsa.Public()} }

// The messages that are signed below. SIGNATURE stands where the signature goes.
const (
	authnRequest = `<samlp:AuthnRequest xmlns:samlp="` + protocol + `" AssertionConsumerServiceURL="https://wiki.fabrikam.test/saml/acs" ` +
		`Destination="https://sts.contoso.test/adfs/ls/" ID="_req1" IssueInstant="2031-03-04T09:15:00Z" Version="2.0">` +
		`<saml:Issuer xmlns:saml="` + saml2 + `">https://wiki.fabrikam.test/saml</saml:Issuer>SIGNATURE` +
		`<samlp:NameIDPolicy AllowCreate="true"></samlp:NameIDPolicy></samlp:AuthnRequest>`
	logoutRequest = `<samlp:LogoutRequest xmlns:samlp="` + protocol + `" ID="_req2" IssueInstant="2031-03-04T09:15:00Z" Version="2.0">` +
		`<saml:Issuer xmlns:saml="` + saml2 + `">https://wiki.fabrikam.test/saml</saml:Issuer>SIGNATURE` +
		`<saml:NameID xmlns:saml="` + saml2 + `">alice</saml:NameID><samlp:SessionIndex>_s1</samlp:SessionIndex></samlp:LogoutRequest>`
	entityDescriptor = `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" ID="_req3" entityID="https://wiki.fabrikam.test/saml">` +
		`SIGNATURE<SPSSODescriptor protocolSupportEnumeration="` + protocol + `"></SPSSODescriptor></EntityDescriptor>`
)

// recipe says how a message is signed; the zero value fills in what the profile
// wants.
type recipe struct {
	method, digest, c14n string
	uri                  *string
	transforms           string
	keyInfo, object      string
	sign                 func(t testing.TB, octets []byte) []byte
	hash                 crypto.Hash
	prefixes             string
	edit                 func(signedInfo string) string // before it is signed
}

func transform(algorithm string) string {
	return `<ds:Transform Algorithm="` + algorithm + `"></ds:Transform>`
}

var goodTransforms = transform(ds+"enveloped-signature") + transform(exc)

func rsaSign(p party, h crypto.Hash) func(testing.TB, []byte) []byte {
	return func(t testing.TB, octets []byte) []byte {
		d := h.New()
		d.Write(octets)
		sig, err := rsa.SignPKCS1v15(nil, p.rsa, h, d.Sum(nil))
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
}

func ecSign(key *ecdsa.PrivateKey, h crypto.Hash) func(testing.TB, []byte) []byte {
	return func(t testing.TB, octets []byte) []byte {
		d := h.New()
		d.Write(octets)
		r, s, err := ecdsa.Sign(rand.Reader, key, d.Sum(nil))
		if err != nil {
			t.Fatal(err)
		}
		n := (key.Curve.Params().N.BitLen() + 7) / 8
		sig := make([]byte, 2*n)
		r.FillBytes(sig[:n])
		s.FillBytes(sig[n:])
		return sig
	}
}

func hmacSign(secret []byte, h crypto.Hash) func(testing.TB, []byte) []byte {
	return func(_ testing.TB, octets []byte) []byte {
		m := hmac.New(h.New, secret)
		m.Write(octets)
		return m.Sum(nil)
	}
}

// canonical is the exclusive canonical form of a document, made by goxmldsig.
func canonical(t testing.TB, doc, prefixes string) []byte {
	t.Helper()
	d := etree.NewDocument()
	if err := d.ReadFromString(doc); err != nil {
		t.Fatal(err)
	}
	b, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(prefixes).Canonicalize(d.Root())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// signature returns the ds:Signature for the message with SIGNATURE taken out.
func (r recipe) signature(t testing.TB, message string) string {
	t.Helper()
	plain := strings.Replace(message, "SIGNATURE", "", 1)
	d := etree.NewDocument()
	if err := d.ReadFromString(plain); err != nil {
		t.Fatal(err)
	}
	or := func(s *string, def string) {
		if *s == "" {
			*s = def
		}
	}
	or(&r.method, more+"rsa-sha256")
	or(&r.digest, enc+"sha256")
	or(&r.c14n, exc)
	or(&r.transforms, goodTransforms)
	if r.uri == nil {
		uri := "#" + d.Root().SelectAttrValue("ID", "")
		r.uri = &uri
	}
	if r.hash == 0 {
		r.hash = crypto.SHA256
	}
	if r.sign == nil {
		r.sign = rsaSign(registered(), crypto.SHA256)
	}
	h := r.hash.New()
	h.Write(canonical(t, plain, r.prefixes))
	info := `<ds:SignedInfo xmlns:ds="` + ds + `"><ds:CanonicalizationMethod Algorithm="` + r.c14n + `"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="` + r.method + `"></ds:SignatureMethod><ds:Reference URI="` + *r.uri + `"><ds:Transforms>` + r.transforms +
		`</ds:Transforms><ds:DigestMethod Algorithm="` + r.digest + `"></ds:DigestMethod><ds:DigestValue>` +
		base64.StdEncoding.EncodeToString(h.Sum(nil)) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	if r.edit != nil {
		info = r.edit(info)
	}
	value := base64.StdEncoding.EncodeToString(r.sign(t, canonical(t, info, "")))
	return `<ds:Signature xmlns:ds="` + ds + `">` + info + `<ds:SignatureValue>` + value + `</ds:SignatureValue>` + r.keyInfo + r.object + `</ds:Signature>`
}

func (r recipe) signed(t testing.TB, message string) string {
	return strings.Replace(message, "SIGNATURE", r.signature(t, message), 1)
}
