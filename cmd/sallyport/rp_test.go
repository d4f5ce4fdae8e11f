package main

import (
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
	`<md:AttributeConsumingService index="0"><md:ServiceName xml:lang="en">Inter-library loans</md:ServiceName>` +
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
	if rp.Key != "inter-library-loans" || rp.Name != "" || rp.Protocol != "saml" || rp.SAML.NameIDFormat != "email" || rp.MetadataFile == "" || len(rp.Claims) != 2 ||
		rp.Claims[0].Attribute != "givenName" || rp.Claims[1].NameFormat != "basic" {
		t.Errorf("%+v\n%s", rp, out)
	}
	for _, want := range []string{"answers to https://library.fabrikam.test/acs (0, HTTP-POST)", `it is called as the metadata says: "Inter-library loans"`, "it also asks for urn:strange (strange)"} {
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

func TestRpAddPrintsWhatTheCatalogueKnows(t *testing.T) {
	_, out, _ := call(t, "", "rp", "add", metadataFile(t, "HOST", "signin.aws.amazon.com", "ENTITY", "urn:amazon:webservices"))
	if rp := added(t, out); !rp.SAML.IdPInitiated || len(rp.Claims) != 1 || !strings.Contains(out, "/SAML/Attributes/Role") {
		t.Errorf("AWS, which sends no requests: %+v", rp)
	}
	_, out, _ = call(t, "", "rp", "add", metadataFile(t, "HOST", "accounts.google.com", "ENTITY", "google.com"))
	if rp := added(t, out); rp.SAML.IdPInitiated || len(rp.Claims) != 1 || rp.SAML.NameIDFormat != "email" {
		t.Errorf("Google: %+v", rp)
	}
	_, out, _ = call(t, "", "rp", "add", metadataFile(t, "HOST/acs", "git.fabrikam.test/saml/consume"))
	if rp := added(t, out); rp.NameID.Attribute != "userPrincipalName" || rp.SAML.NameIDFormat != "persistent" ||
		!strings.Contains(out, "as of 2026-") || !strings.Contains(out, "#   https://docs.github.com/") {
		t.Errorf("GitHub, which wants names that people can read: %+v\n%s", rp, out)
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
