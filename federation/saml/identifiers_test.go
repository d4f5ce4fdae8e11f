package saml_test

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"crypto/x509"

	"sallyport/authn"
	"sallyport/federation"
	"sallyport/federation/saml"
)

// nameID signs in to the party p and returns the identifier.
func nameID(t *testing.T, entity, format string, edit func(*rig)) string {
	t.Helper()
	g := newRig(t, func(p []*saml.Party) { p[1].WantSigned = false })
	if edit != nil {
		edit(g)
	}
	if err := g.get(redirect(requestOf(entity, "", `<samlp:NameIDPolicy Format="`+format+`"/>`))); err != nil {
		t.Fatal(err)
	}
	e := g.answer().FindElement("./Assertion/Subject/NameID")
	if e == nil {
		return ""
	}
	if e.SelectAttrValue("Format", "") != format {
		t.Errorf("the format is %s instead of %s", e.SelectAttrValue("Format", ""), format)
	}
	return e.Text()
}

func TestNameIdentifiers(t *testing.T) {
	if got := nameID(t, wiki, saml.FormatEmail, nil); got != "alice.green@contoso.test" {
		t.Errorf("email %q", got)
	}
	if got := nameID(t, wiki, saml.FormatEmail, func(g *rig) { g.account.Attributes = nil }); got != "alice@contoso.test" {
		t.Errorf("email without mail %q", got)
	}
	if got := nameID(t, wiki, saml.FormatWindows, nil); got != `CONTOSO\alice` {
		t.Errorf("windows %q", got)
	}
	one := nameID(t, wiki, saml.FormatPersistent, nil)
	if again := nameID(t, wiki, saml.FormatPersistent, nil); one == "" || one != again {
		t.Errorf("persistent differs: %q %q", one, again)
	}
	if other := nameID(t, signer, saml.FormatPersistent, nil); other == one {
		t.Error("two parties get the same persistent identifier")
	}
	if other := nameID(t, wiki, saml.FormatPersistent, func(g *rig) { g.account.ID = authn.GUID{9} }); other == one {
		t.Error("two people get the same persistent identifier")
	}
	renamed := nameID(t, wiki, saml.FormatPersistent, func(g *rig) { g.account.UPN, g.account.SAMAccountName = "alice.green@contoso.test", "agreen" })
	if renamed != one {
		t.Error("a new name makes a new persistent identifier")
	}
	if other := nameID(t, wiki, saml.FormatPersistent, func(g *rig) {
		g.responder.Identifiers, _ = saml.NewIdentifiers([]byte("another secret of 32 bytes......"))
	}); other == one {
		t.Error("the secret does not count")
	}
	transient := nameID(t, wiki, saml.FormatTransient, nil)
	if other := nameID(t, signer, saml.FormatTransient, nil); other == transient || strings.Contains(transient, "0123456789abcdef") {
		t.Errorf("transient %q at two parties", transient)
	}
}

func TestPersistentIdentifiersNeedASecret(t *testing.T) {
	g := newRig(t)
	g.responder.Identifiers = saml.Identifiers{}
	if err := g.get(redirect(request("", `<samlp:NameIDPolicy Format="`+saml.FormatPersistent+`"/>`))); err != nil {
		t.Fatal(err)
	}
	if top, second := g.status(); top != "Requester" || second != "InvalidNameIDPolicy" || g.tokens() != 0 {
		t.Errorf("%s %s", top, second)
	}
}

// xmlsec1 decrypts what we encrypt, and what is inside verifies.
func TestI09_EncryptedAssertionIsReadByXmlsec(t *testing.T) {
	path, err := exec.LookPath("xmlsec1")
	if err != nil {
		if os.Getenv("SALLYPORT_LAB") == "1" {
			t.Fatal("xmlsec1 is not on PATH")
		}
		t.Skip("xmlsec1 is not on PATH: nobody decrypts")
	}
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
			dir := t.TempDir()
			key, in, out := filepath.Join(dir, "party.pem"), filepath.Join(dir, "in.xml"), filepath.Join(dir, "out.xml")
			der, err := x509.MarshalPKCS8PrivateKey(party.key)
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
			root := tree(t, string(plain))
			a := root.FindElement("//EncryptedAssertion/Assertion")
			if a == nil || a.FindElement("./Subject/NameID").Text() != "alice@contoso.test" {
				t.Fatalf("no assertion inside: %s", plain)
			}
			start, end := strings.Index(string(plain), "<saml:Assertion"), strings.LastIndex(string(plain), "</saml:Assertion>")
			inside := string(plain)[start:end] + "</saml:Assertion>"
			xmlsec1(t, g, `<samlp:Response xmlns:samlp="`+protocol+`" ID="_r">`+inside+`</samlp:Response>`, "Assertion")
		})
	}
}

func TestI01_ValuesThatDifferFromTheirCanonicalFormStaySigned(t *testing.T) {
	for _, sign := range []saml.Sign{saml.SignBoth, saml.SignResponse} {
		g := newRig(t, func(p []*saml.Party) { p[0].Sign, p[2].Sign = sign, sign })
		g.account.NetBIOS = "CON\nTOSO<>&\"'>" // a line feed in text is written as a reference
		if err := g.get(redirect(request("", ""))); err != nil {
			t.Fatal(err)
		}
		doc := message(t, g.answers[0])
		if !strings.Contains(doc, "&#xA;") {
			t.Error("the value with a line feed is not in the answer")
		}
		xmlsec1(t, g, doc, "Response")
		// Microsoft 365's set has a typed value, whose prefix is declared outside of
		// the canonical form.
		if err := g.get(redirect(requestOf(federation.MicrosoftOnline, "", ""))); err != nil {
			t.Fatal(err)
		}
		doc = message(t, g.answers[1])
		if !strings.Contains(doc, "xmlns:tn=") {
			t.Error("no typed value in the answer")
		}
		xmlsec1(t, g, doc, "Response")
	}
}

func TestSignInsThatBeginHere(t *testing.T) {
	for query, want := range map[string]string{
		"loginToRp=" + "https%3A%2F%2Fwiki.fabrikam.test%2Fsp":                                                                 "",
		"logintorp=" + "https%3A%2F%2Fwiki.fabrikam.test%2Fsp&RelayState=a%26b":                                                "a&b",
		"RelayState=RPID%3Dhttps%253A%252F%252Fwiki.fabrikam.test%252Fsp%26RelayState%3Dhttps%253A%252F%252Fx.test%252F%253Fq": "https://x.test/?q",
		"RelayState=RPID%3Dhttps%3A%2F%2Fwiki.fabrikam.test%2Fsp%26RelayState%3Dx":                                             "x",
	} {
		g := newRig(t, func(p []*saml.Party) { p[0].Unsolicited = true })
		if err := g.initiate(query); err != nil || g.tokens() != 1 {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if state, _ := relayState(g.answers[0]); state != want {
			t.Errorf("%s: RelayState %q", query, state)
		}
		if root := g.answer(); root.SelectAttr("InResponseTo") != nil || strings.Contains(message(t, g.answers[0]), "InResponseTo") {
			t.Error("the answer names a request")
		}
	}
	for _, query := range []string{"", "loginToRp=urn:other", "loginToRp=urn%3Afederation%3AMicrosoftOnline", "loginToRp=a&loginToRp=b", "RelayState=x",
		"loginToRp=https%3A%2F%2Fsp.fabrikam.test"} {
		g := newRig(t, func(p []*saml.Party) { p[0].Unsolicited = true })
		if err := g.initiate(query); err == nil {
			t.Errorf("%q accepted", query)
		}
		g.nothing(t)
	}
}
