package token_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/beevik/etree"

	"sallyport/federation"
	"sallyport/federation/token"
)

func versions() map[string]func() *token.Assertion {
	return map[string]func() *token.Assertion{"SAML 1.1": entra11, "SAML 2.0": wiki20}
}

// Every assertion is judged by two verifiers that nobody here wrote, and the
// thing that they verified is the assertion itself.
func TestI02_AssertionIsSignedAndVerifiesElsewhere(t *testing.T) {
	for name, build := range versions() {
		t.Run(name, func(t *testing.T) {
			a := build()
			doc, err := newSigner(t).AppendAssertion(nil, a)
			if err != nil {
				t.Fatal(err)
			}
			idAttr := idAttribute(a.Version)
			root, err := verifyDSIG(doc, idAttr, ours().cert)
			if err != nil {
				t.Fatalf("goxmldsig: %v\n%s", err, doc)
			}
			if root.Tag != "Assertion" || root.SelectAttrValue(idAttr, "") != a.ID {
				t.Errorf("verified element is %s %s, want the assertion %s", root.Tag, root.SelectAttrValue(idAttr, ""), a.ID)
			}
			if n := bytes.Count(doc, []byte("<ds:Reference URI=\"#"+a.ID+`"`)); n != 1 {
				t.Errorf("%d references to the assertion's id, want 1", n)
			}
			if n := bytes.Count(doc, []byte(idAttr+`="`+a.ID+`"`)); n != 1 {
				t.Errorf("%d elements with the assertion's id, want 1", n)
			}
			if _, err := verifyDSIG(doc, idAttr, stranger().cert); err == nil {
				t.Error("goxmldsig accepts a stranger's certificate: the test proves nothing")
			}
			checkProfile(t, doc, a.Version)
		})
	}
}

func TestI02_XMLSecVerifies(t *testing.T) {
	for name, build := range versions() {
		t.Run(name, func(t *testing.T) {
			a := build()
			a.Attributes[0].Values = []string{"a\rb\nc\td & <é> \"'\U0001F511"}
			doc, err := newSigner(t).AppendAssertion(nil, a)
			if err != nil {
				t.Fatal(err)
			}
			if err := verifyXMLSec(t, doc, idAttribute(a.Version), ours().cert); err != nil {
				t.Fatalf("xmlsec1: %v\n%s", err, doc)
			}
			if verifyXMLSec(t, doc, idAttribute(a.Version), stranger().cert) == nil {
				t.Error("xmlsec1 accepts a stranger's certificate: the test proves nothing")
			}
			bad := bytes.Replace(doc, []byte("AttributeStatement><"), []byte("AttributeStatement> <"), 1)
			if verifyXMLSec(t, bad, idAttribute(a.Version), ours().cert) == nil {
				t.Error("xmlsec1 accepts a changed document: the test proves nothing")
			}
		})
	}
}

// checkProfile holds the signature against XML-DSIG as Entra wants it.
func checkProfile(t *testing.T, doc []byte, v federation.TokenType) {
	t.Helper()
	d := etree.NewDocument()
	if err := d.ReadFromBytes(doc); err != nil {
		t.Fatal(err)
	}
	children := d.Root().ChildElements()
	place := len(children) - 1
	if v == federation.SAML20 {
		place = 1
	}
	sig := children[place]
	if sig.Tag != "Signature" || sig.NamespaceURI() != "http://www.w3.org/2000/09/xmldsig#" {
		t.Fatalf("child %d is %s, want ds:Signature", place, sig.FullTag())
	}
	for path, want := range map[string]string{
		"SignedInfo/CanonicalizationMethod": "http://www.w3.org/2001/10/xml-exc-c14n#",
		"SignedInfo/SignatureMethod":        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
		"SignedInfo/Reference/DigestMethod": "http://www.w3.org/2001/04/xmlenc#sha256",
	} {
		if got := sig.FindElement("./"+path).SelectAttrValue("Algorithm", ""); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	var transforms []string
	for _, e := range sig.FindElements("./SignedInfo/Reference/Transforms/Transform") {
		transforms = append(transforms, e.SelectAttrValue("Algorithm", ""))
	}
	want := "http://www.w3.org/2000/09/xmldsig#enveloped-signature http://www.w3.org/2001/10/xml-exc-c14n#"
	if got := strings.Join(transforms, " "); got != want {
		t.Errorf("transforms are %s, want %s", got, want)
	}
	if sig.FindElement("./KeyInfo/X509Data/X509Certificate") == nil || len(sig.FindElement("./KeyInfo").ChildElements()) != 1 {
		t.Error("KeyInfo does not hold exactly the certificate")
	}
}

// The signature of a faulty computation must not leave: with CRT it gives the
// key away.
func TestC08_FaultySignatureDoesNotLeave(t *testing.T) {
	real := ours()
	var fault bool
	s, err := token.NewSigner(signerFunc{real.key.Public(), func(digest []byte) ([]byte, error) {
		sig, err := real.key.Sign(rand.Reader, digest, crypto.SHA256)
		if fault {
			sig[17] ^= 1
		}
		return sig, err
	}}, real.cert)
	if err != nil {
		t.Fatal(err)
	}
	dst := []byte("kept")
	if _, err := s.AppendAssertion(dst, entra11()); err != nil {
		t.Fatalf("without the fault: %v", err)
	}
	fault = true
	for name, sign := range map[string]func() ([]byte, error){
		"assertion": func() ([]byte, error) { return s.AppendAssertion(dst, entra11()) },
		"RSTR":      func() ([]byte, error) { return s.AppendRSTR(dst, entra11()) },
		"signature": func() ([]byte, error) { return s.AppendSignature(dst, "_m", [32]byte{}) },
	} {
		got, err := sign()
		if !errors.Is(err, token.ErrFault) {
			t.Errorf("%s: error %v, want ErrFault", name, err)
		}
		if string(got) != "kept" {
			t.Errorf("%s: %d bytes left the writer", name, len(got))
		}
	}
}

func TestSignerRefuses(t *testing.T) {
	weak := newIdentity(1024)
	for name, try := range map[string]func() (*token.Signer, error){
		"no key":         func() (*token.Signer, error) { return token.NewSigner(nil, ours().cert) },
		"no certificate": func() (*token.Signer, error) { return token.NewSigner(ours().key, nil) },
		"another key":    func() (*token.Signer, error) { return token.NewSigner(stranger().key, ours().cert) },
		"1024 bits":      func() (*token.Signer, error) { return token.NewSigner(weak.key, weak.cert) },
		"claims to be ours": func() (*token.Signer, error) {
			return token.NewSigner(signerFunc{ours().key.Public(), func(d []byte) ([]byte, error) {
				return stranger().key.Sign(rand.Reader, d, crypto.SHA256)
			}}, ours().cert)
		},
	} {
		if s, err := try(); err == nil || s != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
