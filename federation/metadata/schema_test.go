package metadata_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sallyport/deploy/testbed/lab"
	"sallyport/federation/metadata"
)

// catalogue keeps xmllint off the network; Debian's packages opensaml-schemas and
// xmltooling-schemas hold the published schemas.
const (
	metadataSchema = "/usr/share/xml/opensaml/saml-schema-metadata-2.0.xsd"
	catalogue      = `<catalog xmlns="urn:oasis:names:tc:entity:xmlns:xml:catalog">` +
		`<rewriteSystem systemIdStartString="http://www.w3.org/TR/xmldsig-core/" rewritePrefix="file:///usr/share/xml/xmltooling/"/>` +
		`<rewriteSystem systemIdStartString="http://www.w3.org/TR/2002/REC-xmldsig-core-20020212/" rewritePrefix="file:///usr/share/xml/xmltooling/"/>` +
		`<rewriteSystem systemIdStartString="http://www.w3.org/TR/2002/REC-xmlenc-core-20021210/" rewritePrefix="file:///usr/share/xml/xmltooling/"/>` +
		`<rewriteSystem systemIdStartString="http://www.w3.org/2001/xml.xsd" rewritePrefix="file:///usr/share/xml/xmltooling/xml.xsd"/>` +
		`</catalog>`
)

// A reader that validates takes the document with the SAML 2.0 role alone. That it
// refuses the other one, for the role of WS-Federation, is why this one exists.
func TestI01_SAMLDocumentIsValidByTheSchemas(t *testing.T) {
	bin := lab.Program(t, "xmllint", "libxml2-utils")
	if _, err := os.Stat(metadataSchema); err != nil {
		lab.Without(t, "the schemas of SAML are missing (apt-get install -y opensaml-schemas xmltooling-schemas)")
	}
	dir := t.TempDir()
	file, cat := filepath.Join(dir, "doc.xml"), filepath.Join(dir, "catalogue.xml")
	if err := os.WriteFile(cat, []byte(catalogue), 0o600); err != nil {
		t.Fatal(err)
	}
	valid := func(doc []byte) (string, bool) {
		if err := os.WriteFile(file, doc, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), bin, "--nonet", "--noout", "--schema", metadataSchema, file)
		cmd.Env = append(os.Environ(), "XML_CATALOG_FILES="+cat)
		out, err := cmd.CombinedOutput()
		return string(out), err == nil
	}
	p := full(first(), second())
	both := build(t, p)
	if _, ok := valid(both); ok {
		t.Error("the document with both roles is valid too: one of the two will do")
	}
	p.SAMLOnly = true
	doc := build(t, p)
	if out, ok := valid(doc); !ok {
		t.Errorf("%s\n%s", out, doc)
	}
	if err := verify(doc, first().cert); err != nil {
		t.Error(err)
	}
	role := func(doc []byte) []byte {
		at := bytes.Index(doc, []byte("<IDPSSODescriptor"))
		if at < 0 {
			t.Fatalf("no role: %s", doc)
		}
		return doc[at:]
	}
	if !bytes.Equal(role(doc), role(both)) {
		t.Error("the two documents describe the SAML 2.0 role differently")
	}
	p.SAML = nil
	if _, err := metadata.Build(p); err == nil {
		t.Error("a document without any role")
	}
}
