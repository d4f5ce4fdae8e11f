package saml_test

import (
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	crewjam "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"sallyport/deploy/testbed/lab"
	"sallyport/federation/saml"
)

// xmlsec1 verifies one signature with the certificate that we publish, by id.
func xmlsec1(t *testing.T, g *rig, document, element string) {
	t.Helper()
	path := lab.Program(t, "xmlsec1", "xmlsec1")
	dir := t.TempDir()
	cert, doc := filepath.Join(dir, "own.pem"), filepath.Join(dir, "doc.xml")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.signer.Certificate().Raw})
	if err := os.WriteFile(cert, block, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(doc, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	root := tree(t, document)
	id := root.SelectAttrValue("ID", "")
	if element == "Assertion" {
		id = root.FindElement("./Assertion").SelectAttrValue("ID", "")
	}
	args := []string{"--verify", "--pubkey-cert-pem", cert, "--enabled-key-data", "rsa",
		"--id-attr:ID", protocol + ":" + root.Tag, "--id-attr:ID", names + ":Assertion",
		"--node-xpath", `//*[local-name()="Signature"][parent::*[@ID="` + id + `"]]`, doc}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Errorf("xmlsec1 refuses the signature of %s: %v\n%s\n%s", element, err, out, document)
	}
}

// serviceProvider is the second judge: another library's service provider.
func serviceProvider(t *testing.T, g *rig) *crewjam.ServiceProvider {
	t.Helper()
	acs, _ := url.Parse(wikiACS)
	meta, _ := url.Parse(wiki)
	cert := base64.StdEncoding.EncodeToString(g.signer.Certificate().Raw)
	idp := &crewjam.EntityDescriptor{}
	if err := xml.Unmarshal([]byte(`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="`+issuer+`"><IDPSSODescriptor protocolSupportEnumeration="`+protocol+
		`"><KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>`+cert+
		`</X509Certificate></X509Data></KeyInfo></KeyDescriptor><SingleSignOnService Binding="`+saml.BindingRedirect+`" Location="`+address+`"/></IDPSSODescriptor></EntityDescriptor>`), idp); err != nil {
		t.Fatal(err)
	}
	return &crewjam.ServiceProvider{EntityID: wiki, AcsURL: *acs, MetadataURL: *meta, IDPMetadata: idp, Clock: dsig.NewFakeClockAt(g.clock())}
}

// accept lets the other library judge the last answer.
func accept(t *testing.T, g *rig, id string) (*crewjam.Assertion, error) {
	t.Helper()
	form := url.Values{}
	for _, f := range g.answers[len(g.answers)-1].Fields {
		form.Set(f.Name, f.Value)
	}
	r := httptest.NewRequest("POST", wikiACS, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := r.ParseForm(); err != nil {
		t.Fatal(err)
	}
	return serviceProvider(t, g).ParseResponse(r, []string{id})
}

func TestResponseSatisfiesTwoForeignVerifiers(t *testing.T) {
	for name, sign := range map[string]saml.Sign{"both": saml.SignBoth, "assertion": saml.SignAssertion, "response": saml.SignResponse} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, func(p []*saml.Party) { p[0].Sign = sign })
			if err := g.get(redirect(request(`ID="_first"`, ""), "&RelayState=a%20b")); err != nil {
				t.Fatal(err)
			}
			doc := message(t, g.answers[0])
			if sign != saml.SignAssertion {
				xmlsec1(t, g, doc, "Response")
			}
			if sign != saml.SignResponse {
				xmlsec1(t, g, doc, "Assertion")
			} else if strings.Count(doc, "<ds:Signature ") != 1 {
				t.Error("the assertion is signed too")
			}
			a, err := accept(t, g, "_first")
			if err != nil {
				t.Fatalf("the other library refuses the answer: %v", err)
			}
			if a.Subject.NameID.Value != "alice@contoso.test" || a.Issuer.Value != issuer {
				t.Errorf("subject %q of %q", a.Subject.NameID.Value, a.Issuer.Value)
			}
			if state, ok := relayState(g.answers[0]); !ok || state != "a b" {
				t.Errorf("RelayState %q %v", state, ok)
			}
		})
	}
}
