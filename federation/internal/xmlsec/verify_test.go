package xmlsec_test

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"sallyport/deploy/testbed/lab"
	"sallyport/federation/internal/xmlsec"
)

func verify(doc string, ks []crypto.PublicKey, p xmlsec.Profile) (*xmlsec.Verified, error) {
	d, err := xmlsec.Parse([]byte(doc), xmlsec.Message(samlMax))
	if err != nil {
		return nil, err
	}
	return d.Verify(ks, p)
}

// wantVerified is how every negative test starts: from what is accepted.
func wantVerified(t *testing.T, doc string, ks []crypto.PublicKey, p xmlsec.Profile) *xmlsec.Verified {
	t.Helper()
	v, err := verify(doc, ks, p)
	if err != nil {
		t.Fatalf("refused: %v\n%s", err, doc)
	}
	return v
}

// wantRefused checks that neither the gate nor the verifier lets doc pass, and
// that nothing of it is handed out.
func wantRefused(t *testing.T, doc string, ks []crypto.PublicKey, p xmlsec.Profile) {
	t.Helper()
	v, err := verify(doc, ks, p)
	if err == nil || v != nil {
		t.Errorf("accepted:\n%s", doc)
		return
	}
	var g *xmlsec.GateError
	if !errors.Is(err, xmlsec.ErrSignature) && !errors.As(err, &g) {
		t.Errorf("error %v is of no known kind", err)
	}
}

func messages() map[string]string {
	return map[string]string{"AuthnRequest": authnRequest, "LogoutRequest": logoutRequest, "metadata": entityDescriptor}
}

func TestX04_VerifyReturnsTheSignedTreeOnly(t *testing.T) {
	for name, m := range messages() {
		t.Run(name, func(t *testing.T) {
			doc := recipe{keyInfo: "<ds:KeyInfo><ds:KeyName>hint</ds:KeyName></ds:KeyInfo>"}.signed(t, m)
			v := wantVerified(t, doc, []crypto.PublicKey{stranger().rsa.Public(), registered().rsa.Public()}, xmlsec.Profile{})
			if v.Key != 1 {
				t.Errorf("key %d, want 1", v.Key)
			}
			plain := accept(t, strings.Replace(m, "SIGNATURE", "", 1), xmlsec.Message(samlMax))
			if got, want := flat(v.Root), flat(plain.Unverified()); got != want {
				t.Errorf("verified tree:\n%s\nwant:\n%s", got, want)
			}
			if v.Root.Parent() != nil && v.Root.Parent().Parent() != nil {
				t.Error("the verified tree hangs in another one")
			}
		})
	}
}

func TestSigned(t *testing.T) {
	plain := strings.Replace(authnRequest, "SIGNATURE", "", 1)
	sig := recipe{}.signature(t, authnRequest)
	for name, c := range map[string]struct {
		doc  string
		want bool
	}{
		"unsigned":               {plain, false},
		"signed":                 {recipe{}.signed(t, authnRequest), true},
		"signed somewhere deep":  {strings.Replace(plain, "</samlp:NameIDPolicy>", "<x>"+sig+"</x></samlp:NameIDPolicy>", 1), true},
		"a piece of a signature": {strings.Replace(plain, "</samlp:NameIDPolicy>", `<x:SignedInfo xmlns:x="`+ds+`"/></samlp:NameIDPolicy>`, 1), true},
		"another namespace":      {strings.Replace(plain, "</samlp:NameIDPolicy>", `<Signature/></samlp:NameIDPolicy>`, 1), false},
		"metadata with a key":    {`<KeyDescriptor><KeyInfo xmlns="` + ds + `"><KeyName>x</KeyName></KeyInfo></KeyDescriptor>`, false},
	} {
		if got := accept(t, c.doc, xmlsec.Message(samlMax)).Signed(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Messages signed by goxmldsig and by xmlsec1, with other prefixes, white space
// and order of attributes than ours, verify.
func TestVerifyForeignSigners(t *testing.T) {
	t.Run("goxmldsig", func(t *testing.T) {
		for name, m := range messages() {
			d := etree.NewDocument()
			if err := d.ReadFromString(strings.Replace(m, "SIGNATURE", "", 1)); err != nil {
				t.Fatal(err)
			}
			ctx, err := dsig.NewSigningContext(registered().rsa, [][]byte{registered().cert.Raw})
			if err != nil {
				t.Fatal(err)
			}
			ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
			signed, err := ctx.SignEnveloped(d.Root())
			if err != nil {
				t.Fatal(err)
			}
			// It appends the signature; SAML wants it in front. Read again, since its
			// tree does not know its own parents.
			appended, err := etree.NewDocumentWithRoot(signed).WriteToBytes()
			if err != nil {
				t.Fatal(err)
			}
			d = etree.NewDocument()
			if err := d.ReadFromBytes(appended); err != nil {
				t.Fatal(err)
			}
			signed = d.Root()
			children := signed.ChildElements()
			sig := children[len(children)-1]
			signed.RemoveChild(sig)
			at := 0
			if name != "metadata" {
				at = 1
			}
			signed.InsertChildAt(at, sig)
			text, err := d.WriteToString()
			if err != nil {
				t.Fatal(err)
			}
			wantVerified(t, text, keys(registered()), xmlsec.Profile{})
			wantRefused(t, strings.Replace(text, "fabrikam", "evil", 1), keys(registered()), xmlsec.Profile{})
		}
	})
	t.Run("xmlsec1", func(t *testing.T) {
		bin := lab.Program(t, "xmlsec1", "xmlsec1")
		dir := t.TempDir()
		der, err := x509.MarshalPKCS8PrivateKey(registered().rsa)
		if err != nil {
			t.Fatal(err)
		}
		keyFile, in := filepath.Join(dir, "key.pem"), filepath.Join(dir, "in.xml")
		tmpl := "<Signature xmlns=\"" + ds + "\">\n <SignedInfo>\n  <CanonicalizationMethod Algorithm='" + exc + "'/>\n  <SignatureMethod Algorithm='" + more +
			"rsa-sha256'/>\n  <Reference URI='#_req1'><Transforms><Transform Algorithm='" + ds + "enveloped-signature'/><Transform Algorithm='" + exc +
			"'><ec:InclusiveNamespaces xmlns:ec='" + exc + "' PrefixList='xs'/></Transform></Transforms>\n<DigestMethod Algorithm='" + enc +
			"sha256'/><DigestValue/></Reference>\n </SignedInfo>\n <SignatureValue/>\n</Signature>"
		doc := `<?xml version="1.0"?>` + "\n" + strings.Replace(strings.Replace(authnRequest, "SIGNATURE", "\n"+tmpl+"\n", 1),
			"<samlp:AuthnRequest ", "<samlp:AuthnRequest\n  xmlns:xs='http://www.w3.org/2001/XMLSchema' xmlns:unused='urn:unused' ProviderName='a&#10;b &quot;&amp;&#13;é'\n", 1)
		if err := errors.Join(os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600),
			os.WriteFile(in, []byte(doc), 0o600)); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), bin, "--sign", "--privkey-pem", keyFile, "--id-attr:ID", protocol+":AuthnRequest", in).Output()
		if err != nil {
			t.Fatalf("xmlsec1: %v", err)
		}
		v := wantVerified(t, string(out), keys(registered()), xmlsec.Profile{})
		if got, _ := xmlsec.Attr(v.Root, "ProviderName"); got != "a\nb \"&\ré" {
			t.Errorf("ProviderName is %q", got)
		}
		wantRefused(t, strings.Replace(string(out), "ProviderName", "ProviderNam", 1), keys(registered()), xmlsec.Profile{})
	})
}
