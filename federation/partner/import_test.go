package partner_test

import (
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/deploy/testbed/lab"
	"sallyport/federation/partner"
)

func importer(ids ...string) *partner.Importer {
	return &partner.Importer{Certificates: []*x509.Certificate{publisher().cert}, Entities: ids, Now: now}
}

func federationOf(attributes string) string {
	return list(attributes, "\n  "+describe("https://a.test/", "", "", "")+`<md:EntitiesDescriptor cacheDuration="PT1H">`+
		describe(wiki, `ID="_w" validUntil="2027-01-01T00:00:00Z"`, "", keyDescriptor("", publisher()))+`</md:EntitiesDescriptor>`+"\n")
}

func TestImportKeepsWhatTheAggregateSays(t *testing.T) {
	doc := publisher().sign(t, federationOf(`validUntil="2026-12-06T00:00:00Z"`))
	got, err := importer(wiki).Import(strings.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, err := got[0].Write(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e := read(t, string(data))
	if e.ID != wiki || len(e.Signing) != 1 || e.ValidUntil.Format("2006-01-02") != "2026-12-06" || e.CacheDuration.Hours() != 1 {
		t.Errorf("%+v", e)
	}
	// The file is not replaced by an older one; by a newer one it is.
	older, err := importer(wiki).Import(strings.NewReader(publisher().sign(t, federationOf(`validUntil="2026-12-05T00:00:00Z"`))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := older[0].Write(dir, now); !errors.Is(err, partner.ErrOlder) {
		t.Errorf("an older one: %v", err)
	}
	newer, err := importer(wiki).Import(strings.NewReader(publisher().sign(t, federationOf(`validUntil="2026-12-07T00:00:00Z"`))))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := newer[0].Write(dir, now); err != nil || again != path {
		t.Errorf("a newer one: %s, %v", again, err)
	}
	some, err := importer("https://a.test/", "https://none.test/").Import(strings.NewReader(doc))
	if !errors.Is(err, partner.ErrAbsent) || len(some) != 1 || !strings.Contains(err.Error(), "none.test") {
		t.Errorf("%d, %v", len(some), err)
	}
}

func TestS12_ImportRefuses(t *testing.T) {
	good := federationOf(`validUntil="2026-12-06T00:00:00Z"`)
	signed := publisher().sign(t, good)
	for name, c := range map[string]struct {
		doc  string
		want error
	}{
		"a stranger's":      {stranger().sign(t, good), partner.ErrUntrusted},
		"unsigned":          {good, partner.ErrUntrusted},
		"changed":           {strings.Replace(signed, "https://wiki.fabrikam.test/acs", "https://evil.test/acs", 1), partner.ErrUntrusted},
		"another end":       {strings.Replace(signed, "2026-12-06", "2036-12-06", 1), partner.ErrUntrusted},
		"no end":            {publisher().sign(t, federationOf("")), partner.ErrExpired},
		"the end of year 1": {publisher().sign(t, federationOf(`validUntil="0001-01-01T00:00:00Z"`)), partner.ErrExpired},
		"ended":             {publisher().sign(t, federationOf(`validUntil="2026-11-26T00:00:00Z"`)), partner.ErrExpired},
		"described twice":   {publisher().sign(t, list(`validUntil="2026-12-06T00:00:00Z"`, strings.Repeat(describe(wiki, "", "", ""), 2))), partner.ErrNotMetadata},
		"no registration":   {publisher().sign(t, list(`validUntil="2026-12-06T00:00:00Z"`, describe(wiki, "", `AuthnRequestsSigned="true"`, ""))), partner.ErrNotMetadata},
		"one entity only":   {publisher().sign(t, describe(wiki, `ID="_d" validUntil="2026-12-06T00:00:00Z"`, "", "")), nil},
	} {
		got, err := importer(wiki).Import(strings.NewReader(c.doc))
		if err == nil || got != nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What xmlsec1 signed, another stack's signature over another serialisation, is taken.
func TestImportOfWhatXmlsec1Signed(t *testing.T) {
	bin := lab.Program(t, "xmlsec1", "xmlsec1")
	dir := t.TempDir()
	template := `<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><SignedInfo><CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>` +
		`<SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"/><Reference URI="#_all"><Transforms><Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>` +
		`<Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></Transforms><DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><DigestValue/></Reference></SignedInfo><SignatureValue/></Signature>`
	doc := federationOf(`validUntil="2026-12-06T00:00:00Z" Name='a "federation"&#10;'`)
	doc = "<?xml version='1.0'?>\r\n<!-- made by nobody -->\r\n" + strings.Replace(doc, "\n  <md:", "\r\n"+template+"\r\n<!-- first --><md:", 1)
	in := filepath.Join(dir, "in.xml")
	if err := errors.Join(os.WriteFile(in, []byte(doc), 0o600), os.WriteFile(filepath.Join(dir, "key.pem"), publisher().pem(t), 0o600)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), bin, "--sign", "--privkey-pem", filepath.Join(dir, "key.pem"), "--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:metadata:EntitiesDescriptor", in).Output()
	if err != nil {
		t.Fatalf("xmlsec1: %v", err)
	}
	got, err := importer(wiki, "https://a.test/").Import(strings.NewReader(string(out)))
	if err != nil || len(got) != 2 {
		t.Fatalf("%d, %v", len(got), err)
	}
}

func TestFileNamesAreReadableAndDifferent(t *testing.T) {
	names := map[string]string{}
	for _, id := range []string{wiki, wiki + "/", strings.ToUpper(wiki), "urn:x:../../etc/passwd", "..", "/", strings.Repeat("ä/", 500), "https://" + strings.Repeat("a", 900), "HTTPS://a", "a"} {
		name := partner.FileName(id)
		if other, taken := names[name]; taken {
			t.Errorf("%q and %q are both %s", id, other, name)
		}
		if names[name] = id; filepath.Base(name) != name || strings.HasPrefix(name, ".") || len(name) > 100 {
			t.Errorf("%q is %s", id, name)
		}
	}
	if got := partner.FileName(wiki); !strings.HasPrefix(got, "wiki.fabrikam.test-sp-") {
		t.Error(got)
	}
}
