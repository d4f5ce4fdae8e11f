package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/cmd/internal/config"
)

const rpMetadata = `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="ENTITY">` +
	`<md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` +
	`<md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress</md:NameIDFormat>` +
	`<md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://HOST/acs" index="0"></md:AssertionConsumerService>` +
	`<md:AttributeConsumingService index="0"><md:ServiceName xml:lang="en">x</md:ServiceName>` +
	`<md:RequestedAttribute Name="urn:oid:2.5.4.42" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri"></md:RequestedAttribute>` +
	`<md:RequestedAttribute Name="mail" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic"></md:RequestedAttribute>` +
	`<md:RequestedAttribute Name="urn:strange" FriendlyName="strange"></md:RequestedAttribute>` +
	`</md:AttributeConsumingService></md:SPSSODescriptor>CONTACT</md:EntityDescriptor>`

func metadataFile(t *testing.T, pairs ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sp.xml")
	text := strings.NewReplacer(append(pairs, "ENTITY", "https://library.fabrikam.test/sp", "HOST", "library.fabrikam.test", "CONTACT", "")...).Replace(rpMetadata)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// added puts what rp add prints into settings and reads them.
func added(t *testing.T, printed string) config.RelyingParty {
	t.Helper()
	p := newPlace(t)
	p.keys(t)
	p.change(t, "sessions: {store: memory}\n", "sessions: {store: memory}\nsaml: {persistent_id_secret_file: "+secretFile(t)+"}\nrelying_parties:\n"+printed)
	cfg, err := config.Load(p.conf)
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	if len(cfg.RelyingParties) != 1 {
		t.Fatalf("%d parties in\n%s", len(cfg.RelyingParties), printed)
	}
	return cfg.RelyingParties[0]
}

func secretFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(path, []byte("00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210\n"), 0o600))
	return path
}

func TestRpAddPrintsSettingsThatWork(t *testing.T) {
	status, out, errs := call(t, "", "rp", "add", metadataFile(t))
	if status != 0 || errs != "" {
		t.Fatalf("status %d: %s", status, errs)
	}
	rp := added(t, out)
	if rp.Key != "library-fabrikam-test-sp" || rp.Protocol != "saml" || rp.SAML.NameIDFormat != "email" || rp.MetadataFile == "" || len(rp.Claims) != 2 ||
		rp.Claims[0].Attribute != "givenName" || rp.Claims[1].NameFormat != "basic" {
		t.Errorf("%+v\n%s", rp, out)
	}
	for _, want := range []string{"answers to https://library.fabrikam.test/acs (0, HTTP-POST)", "it also asks for urn:strange (strange)"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestC08_RpAddKnowsWhoAsksForAPasswordClass(t *testing.T) {
	status, out, _ := call(t, "", "rp", "add", "--key", "snow", metadataFile(t, "HOST", "contoso.service-now.com"))
	rp := added(t, out)
	if status != 0 || rp.Key != "snow" || rp.Name != "ServiceNow" || !rp.SAML.IgnoreContext || rp.SAML.Encrypt != "never" {
		t.Errorf("status %d, %+v", status, rp)
	}
	_, out, _ = call(t, "", "rp", "add", metadataFile(t, "HOST", "contoso.slack.com", "ENTITY", "https://slack.com"))
	if rp = added(t, out); rp.SAML.NameIDFormat != "persistent" || rp.SAML.IgnoreContext || len(rp.Claims) != 3 || rp.Claims[0].Type != "User.Email" {
		t.Errorf("%+v", rp)
	}
}

// What a stranger writes into metadata stays text: it adds no key to the settings and
// does not steer the terminal.
func TestI01_MetadataCannotWriteSettings(t *testing.T) {
	evil := "x&#10;    saml: {allow_sha1: true}&#10;  - key: evil&quot;&#9;'}]\u202e"
	for name, pairs := range map[string][]string{
		"contact": {"CONTACT", `<md:ContactPerson contactType="technical"><md:EmailAddress>` + evil + `</md:EmailAddress></md:ContactPerson>`},
		"name": {"CONTACT", `<md:Organization><md:OrganizationName xml:lang="en">o</md:OrganizationName><md:OrganizationDisplayName xml:lang="en">` + evil +
			`</md:OrganizationDisplayName><md:OrganizationURL xml:lang="en">https://x.test/</md:OrganizationURL></md:Organization>`},
		"attribute": {"urn:oid:2.5.4.42", evil, "urn:strange", evil},
		"entity":    {"ENTITY", `urn:x:'}]&quot;#{a:b}:`},
	} {
		status, out, errs := call(t, "", "rp", "add", metadataFile(t, pairs...))
		if status != 0 {
			t.Fatalf("%s: %s", name, errs)
		}
		if rp := added(t, out); rp.SAML.AllowSHA1 || rp.MetadataFile == "" {
			t.Errorf("%s: %+v", name, rp)
		}
		if strings.ContainsAny(out+errs, "\u202e\x1b\t") {
			t.Errorf("%s: control characters are printed", name)
		}
	}
}

func TestRpAddWarnsAndRefuses(t *testing.T) {
	acs := `<md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" `
	for name, c := range map[string]struct {
		from, to string
		status   int
		text     string
	}{
		"http":       {acs, acs + `Location="http://library.fabrikam.test/old" index="5"/>` + acs, 0, "in the clear"},
		"wildcard":   {acs, acs + `Location="https://*.fabrikam.test/" index="5"/>` + acs, 0, "left out"},
		"format":     {"1.1:nameid-format:emailAddress", "9.9:nameid-format:none", 0, "is not offered"},
		"only http":  {"https://library.fabrikam.test/acs", "http://library.fabrikam.test/acs", 1, "no assertion consumer service"},
		"no key":     {"<md:SPSSODescriptor ", `<md:SPSSODescriptor AuthnRequestsSigned="true" `, 1, "no usable signing key"},
		"ended":      {"<md:SPSSODescriptor ", `<md:SPSSODescriptor validUntil="2020-01-01T00:00:00Z" `, 1, "validUntil was 2020-01-01"},
		"soon":       {"<md:SPSSODescriptor ", `<md:SPSSODescriptor validUntil="` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `" `, 0, "the metadata ends on"},
		"a provider": {"SPSSODescriptor", "IDPSSODescriptor", 1, "no SAML 2.0 service provider"},
		"nothing":    {"<md:EntityDescriptor", "<x", 1, "not well-formed"},
	} {
		path := metadataFile(t)
		data, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(data), c.from, c.to)), 0o600))
		status, out, errs := call(t, "", "rp", "add", path)
		if status != c.status || !strings.Contains(errs, c.text) || (status != 0 && out != "") {
			t.Errorf("%s: status %d\n%s\n%s", name, status, out, errs)
		}
	}
	for _, args := range [][]string{{"rp"}, {"rp", "remove"}, {"rp", "add"}, {"rp", "import"}, {"rp", "import", "--metadata", "x"}, {"rp", "add", "a", "b"}} {
		if status, _, _ := call(t, "", args...); status != exitUsage {
			t.Errorf("%v: status %d", args, status)
		}
	}
	if status, _, errs := call(t, "", "rp", "add", "http://library.fabrikam.test/metadata"); status != exitFailed || !strings.Contains(errs, "not an https address") {
		t.Errorf("an http address: %d %s", status, errs)
	}
}

// signedAggregate writes a federation of one, and the certificate that signs it.
func signedAggregate(t *testing.T) (aggregate, certificate string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	entity := strings.NewReplacer("ENTITY", "https://library.fabrikam.test/sp", "HOST", "library.fabrikam.test", "CONTACT", "").Replace(rpMetadata)
	open := `<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" ID="_all" validUntil="` + time.Now().Add(240*time.Hour).UTC().Format(time.RFC3339) + `">`
	// Written in canonical form but for this declaration, which the list has already.
	rest := strings.Replace(entity, ` xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"`, "", 1) + `</md:EntitiesDescriptor>`
	rest = strings.ReplaceAll(rest, `Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location`, `Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location`)
	rest = strings.ReplaceAll(rest, `Name="urn:strange" FriendlyName="strange"`, `FriendlyName="strange" Name="urn:strange"`)
	sum := sha256.Sum256([]byte(open + rest))
	const ds = "http://www.w3.org/2000/09/xmldsig#"
	info := `<ds:SignedInfo xmlns:ds="` + ds + `"><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod><ds:Reference URI="#_all"><ds:Transforms>` +
		`<ds:Transform Algorithm="` + ds + `enveloped-signature"></ds:Transform><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>` + base64.StdEncoding.EncodeToString(sum[:]) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	digest := sha256.Sum256([]byte(info))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	must(t, err)
	dir := t.TempDir()
	aggregate, certificate = filepath.Join(dir, "all.xml"), filepath.Join(dir, "federation.pem")
	must(t, os.WriteFile(aggregate, []byte(open+`<ds:Signature xmlns:ds="`+ds+`">`+info+`<ds:SignatureValue>`+base64.StdEncoding.EncodeToString(sig)+`</ds:SignatureValue></ds:Signature>`+rest), 0o600))
	must(t, os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return aggregate, certificate
}

func TestRpImportMakesFilesForTheSettings(t *testing.T) {
	aggregate, certificate := signedAggregate(t)
	out := t.TempDir()
	args := []string{"rp", "import", "--metadata", aggregate, "--cert", certificate, "--out", out, "--entity", "https://library.fabrikam.test/sp"}
	status, text, errs := call(t, "", args...)
	if status != 0 || !strings.Contains(errs, "peak memory of this process") {
		t.Fatalf("status %d\n%s%s", status, text, errs)
	}
	_, file, _ := strings.Cut(text, "metadata_file: ")
	file, _, _ = strings.Cut(file, "\n")
	status, printed, errs := call(t, "", "rp", "add", file)
	if status != 0 {
		t.Fatal(errs)
	}
	p := newPlace(t)
	p.keys(t)
	p.change(t, "sessions: {store: memory}\n", "sessions: {store: memory}\nrelying_parties:\n"+printed)
	status, listed, errs := call(t, "", "rp", "list", "--json", "--config", p.conf)
	var rows []rpRow
	if err := json.Unmarshal([]byte(listed), &rows); err != nil || status != 0 || len(rows) != 1 || rows[0].Until.Before(time.Now().Add(200*time.Hour)) || rows[0].Metadata != file {
		t.Errorf("status %d: %s%s", status, listed, errs)
	}
	if status, text, errs = call(t, "", append(args, "--entity", "https://nobody.test/")...); status != exitFailed || !strings.Contains(errs, "nobody.test") || !strings.Contains(text, file) {
		t.Errorf("an entity that is not there: %d\n%s%s", status, text, errs)
	}
	data, err := os.ReadFile(aggregate)
	must(t, err)
	must(t, os.WriteFile(aggregate, []byte(strings.Replace(string(data), "library.fabrikam.test/acs", "evil.fabrikam.test/acs", 1)), 0o600))
	if status, text, errs = call(t, "", args...); status != exitFailed || text != "" || !strings.Contains(errs, "not signed by one of the pinned certificates") {
		t.Errorf("a changed aggregate: %d\n%s%s", status, text, errs)
	}
}
