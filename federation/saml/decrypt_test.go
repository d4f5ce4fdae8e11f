package saml_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/deploy/testbed/lab"
	"sallyport/federation/saml"
)

// decrypted is a document with its one EncryptedData replaced by what xmlsec1 finds
// inside.
func decrypted(t *testing.T, doc string, with *pair) string {
	t.Helper()
	path := lab.Program(t, "xmlsec1", "xmlsec1")
	dir := t.TempDir()
	key, in, out := filepath.Join(dir, "party.pem"), filepath.Join(dir, "in.xml"), filepath.Join(dir, "out.xml")
	der, err := x509.MarshalPKCS8PrivateKey(with.key)
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string][]byte{key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), in: []byte(doc)} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := exec.Command(path, "--decrypt", "--privkey-pem", key, "--output", out, in).CombinedOutput(); err != nil {
		t.Fatalf("xmlsec1 cannot decrypt: %v\n%s", err, text)
	}
	plain, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// assertionOf cuts the assertion out and puts it into a Response of its own.
func assertionOf(doc string) string {
	start, end := strings.Index(doc, "<saml:Assertion"), strings.LastIndex(doc, "</saml:Assertion>")
	return `<samlp:Response xmlns:samlp="` + protocol + `" ID="_r">` + doc[start:end] + `</saml:Assertion></samlp:Response>`
}

// xmlsec1 decrypts what we encrypt, and what is inside verifies.
func TestI09_EncryptedAssertionIsReadByXmlsec(t *testing.T) {
	party := keyOf(t, "party", 2048)
	for name, sign := range map[string]saml.Sign{"both": saml.SignBoth, "assertion": saml.SignAssertion} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, func(p []*saml.Party) { p[0].Encrypt, p[0].Sign = party.cert, sign })
			if err := g.get(redirect(request("", ""))); err != nil {
				t.Fatal(err)
			}
			doc := message(t, g.answers[0])
			if strings.Contains(doc, "alice") || strings.Contains(doc, "<saml:Assertion") {
				t.Fatal("the assertion is not encrypted")
			}
			if sign == saml.SignBoth {
				xmlsec1(t, g, doc, "Response")
			}
			plain := decrypted(t, doc, party)
			a := tree(t, plain).FindElement("//EncryptedAssertion/Assertion")
			if a == nil || a.FindElement("./Subject/NameID").Text() != "alice@contoso.test" {
				t.Fatalf("no assertion inside: %s", plain)
			}
			xmlsec1(t, g, assertionOf(plain), "Assertion")
		})
	}
}

// A party that asks for an encrypted identifier gets one, under the assertion's
// signature, beside whatever else is encrypted.
func TestEncryptedIDIsReadByXmlsec(t *testing.T) {
	party := keyOf(t, "party", 2048)
	g := newRig(t, func(p []*saml.Party) { p[0].Encrypt, p[0].NameIDFormat = party.cert, saml.FormatPersistent })
	if err := g.get(redirect(request("", `<samlp:NameIDPolicy Format="urn:oasis:names:tc:SAML:2.0:nameid-format:encrypted"/>`))); err != nil {
		t.Fatal(err)
	}
	outer := decrypted(t, message(t, g.answers[0]), party)
	subject := tree(t, outer).FindElement("//EncryptedAssertion/Assertion/Subject")
	if subject == nil || subject.FindElement("./NameID") != nil || subject.FindElement("./EncryptedID/EncryptedData") == nil {
		t.Fatalf("no EncryptedID: %s", outer)
	}
	inner := assertionOf(outer)
	xmlsec1(t, g, inner, "Assertion")
	id := tree(t, decrypted(t, inner, party)).FindElement("//Subject/EncryptedID/NameID")
	if id == nil {
		t.Fatal("no NameID inside")
	}
	plain := newRig(t, func(p []*saml.Party) { p[0].NameIDFormat = saml.FormatPersistent })
	if err := plain.get(redirect(request("", ""))); err != nil {
		t.Fatal(err)
	}
	want := plain.answer().FindElement("//Subject/NameID")
	if id.Text() != want.Text() || id.SelectAttrValue("Format", "") != saml.FormatPersistent {
		t.Errorf("%q of %s inside, want %q", id.Text(), id.SelectAttrValue("Format", ""), want.Text())
	}
}
