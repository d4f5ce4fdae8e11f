package token_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/deploy/testbed/lab"
)

// The published schemas as Debian packages them (opensaml-schemas,
// xmltooling-schemas), with a catalogue that keeps xmllint off the network.
const (
	schemaDir = "/usr/share/xml/opensaml/"
	catalogue = `<catalog xmlns="urn:oasis:names:tc:entity:xmlns:xml:catalog">` +
		`<rewriteSystem systemIdStartString="http://www.w3.org/TR/xmldsig-core/" rewritePrefix="file:///usr/share/xml/xmltooling/"/>` +
		`<rewriteSystem systemIdStartString="http://www.w3.org/TR/2002/REC-xmldsig-core-20020212/" rewritePrefix="file:///usr/share/xml/xmltooling/"/>` +
		`<rewriteSystem systemIdStartString="http://www.w3.org/TR/2002/REC-xmlenc-core-20021210/" rewritePrefix="file:///usr/share/xml/xmltooling/"/>` +
		`</catalog>`
)

// Tokens are valid by the OASIS schemas, hostile values included. AD FS's mark
// OriginalIssuer is the one thing that the schema of SAML 1.1 does not know.
func TestI01_SchemaValid(t *testing.T) {
	bin := lab.Program(t, "xmllint", "libxml2-utils")
	if _, err := os.Stat(schemaDir + "cs-sstc-schema-assertion-1.1.xsd"); err != nil {
		lab.Without(t, "the schemas of SAML are missing (apt-get install -y opensaml-schemas xmltooling-schemas)")
	}
	dir := t.TempDir()
	file, cat := filepath.Join(dir, "doc.xml"), filepath.Join(dir, "catalogue.xml")
	if err := os.WriteFile(cat, []byte(catalogue), 0o600); err != nil {
		t.Fatal(err)
	}
	valid := func(schema string, doc []byte) (string, bool) {
		if err := os.WriteFile(file, doc, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), bin, "--nonet", "--noout", "--schema", schemaDir+schema, file)
		cmd.Env = append(os.Environ(), "XML_CATALOG_FILES="+cat)
		out, err := cmd.CombinedOutput()
		return string(out), err == nil
	}
	s := newSigner(t)
	for _, value := range []string{"alice@contoso.test", "a\rb\nc\td", `<&>"']]><!--x--></saml:Issuer>`, " \U0001F511 "} {
		for schema, a := range map[string]func() []byte{
			"cs-sstc-schema-assertion-1.1.xsd": func() []byte {
				a := entra11()
				a.NameID, a.Attributes[0].Values[0], a.Attributes[2].OriginalIssuer = value, value, ""
				doc, err := s.AppendAssertion(nil, a)
				if err != nil {
					t.Fatal(err)
				}
				return doc
			},
			"saml-schema-assertion-2.0.xsd": func() []byte {
				a := wiki20()
				a.NameID, a.Attributes[0].Values[0], a.Attributes[1].OriginalIssuer = value, value, value
				doc, err := s.AppendAssertion(nil, a)
				if err != nil {
					t.Fatal(err)
				}
				return doc
			},
		} {
			doc := a()
			if out, ok := valid(schema, doc); !ok {
				t.Errorf("%q: %s", value, out)
			}
			broken := strings.Replace(string(doc), "<saml:Conditions", "<saml:Condition5", 1)
			broken = strings.Replace(broken, "</saml:Conditions", "</saml:Condition5", 1)
			if _, ok := valid(schema, []byte(broken)); ok {
				t.Error("a document with an unknown element is valid: the test proves nothing")
			}
		}
	}
}
