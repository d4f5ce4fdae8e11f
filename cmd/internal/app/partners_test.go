package app_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/cmd/internal/demo"
)

// libraryMetadata describes the test's service provider with two addresses.
func libraryMetadata(more string) string {
	return `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://library.fabrikam.test/sp" ` + more + `>
  <md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress</md:NameIDFormat>
    <md:AssertionConsumerService index="1" Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://library.fabrikam.test/acs"/>
    <md:AssertionConsumerService index="2" Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://library.fabrikam.test/mobile"/>
  </md:SPSSODescriptor>
</md:EntityDescriptor>`
}

// withLibrary adds a party by metadata.
func withLibrary(t *testing.T, more string) (options demo.Options, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "library.xml")
	writeFile(t, file, libraryMetadata(""))
	return demo.Options{Settings: func(s string) string {
		return s + `relying_parties:
  - key: library
    name: Library
    protocol: saml
    identifiers: ["https://library.fabrikam.test/sp"]
    metadata_file: ` + file + "\n" + more
	}}, file
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPartyByMetadataSignsIn(t *testing.T) {
	options, file := withLibrary(t, "    saml: {acs: [{url: \"https://library.fabrikam.test/mobile\"}]}\n")
	h := open(t, options)
	b := h.Browser()
	defer b.Close()
	u := h.User("alice")
	root, form := answered(t, named(t, b, h.open(t, b, h.SignInURL()+redirectQuery(authnRequest("https://library.fabrikam.test/sp", "_m1", ""))), u.UPN, u.Password))
	if form.Action != "https://library.fabrikam.test/mobile" {
		t.Errorf("posted to %s, which is not the chosen address", form.Action)
	}
	if id := root.FindElement("./Assertion/Subject/NameID"); id.SelectAttrValue("Format", "") != "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress" {
		t.Error("the format is not the one of the metadata")
	}
	p := h.open(t, b, h.SignInURL()+redirectQuery(authnRequest("https://library.fabrikam.test/sp", "_m2",
		`AssertionConsumerServiceURL="https://library.fabrikam.test/acs"`)))
	if _, ok := p.FormWith("SAMLResponse"); ok || p.Status < 400 {
		t.Errorf("an address that the settings did not choose: %d %q", p.Status, p.Heading())
	}
	writeFile(t, file, strings.ReplaceAll(libraryMetadata(""), "/mobile", "/elsewhere"))
	if err := h.Gateway.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "not in the metadata") {
		t.Errorf("metadata without the chosen address is taken: %v", err)
	}
	answered(t, h.open(t, b, h.SignInURL()+redirectQuery(authnRequest("https://library.fabrikam.test/sp", "_m3", ""))))
}

func TestS12_EndedMetadataStopsTheStart(t *testing.T) {
	options, file := withLibrary(t, "")
	writeFile(t, file, libraryMetadata(`validUntil="2024-01-01T00:00:00Z"`))
	_, err := demo.Start(t.Context(), options)
	if err == nil || !strings.Contains(err.Error(), "validUntil was 2024-01-01") || !strings.Contains(err.Error(), url.PathEscape("library")) {
		t.Errorf("%v", err)
	}
}

// A party without a name in the settings is called as its metadata says, in the
// person's language, on every page; by its host where the metadata says nothing.
func TestPagesCallAPartyByTheNameInItsMetadata(t *testing.T) {
	t.Parallel()
	options, file := withLibrary(t, "")
	settings := options.Settings
	options.Settings = func(s string) string { return strings.Replace(settings(s), "    name: Library\n", "", 1) }
	named := `<md:Extensions><mdui:UIInfo xmlns:mdui="urn:oasis:names:tc:SAML:metadata:ui"><mdui:DisplayName xml:lang="en">The library</mdui:DisplayName>` +
		`<mdui:DisplayName xml:lang="de">Die Bibliothek</mdui:DisplayName></mdui:UIInfo></md:Extensions>`
	writeFile(t, file, strings.Replace(libraryMetadata(""), "    <md:NameIDFormat>", named+"<md:NameIDFormat>", 1))
	h := open(t, options)
	u := h.User("alice")
	const entity = "https://library.fabrikam.test/sp"
	trips := 0
	visit := func(language, name string) {
		t.Helper()
		b := h.Browser()
		defer b.Close()
		b.Header.Set("Accept-Language", language)
		trips++
		page := h.open(t, b, h.SignInURL()+redirectQuery(authnRequest(entity, fmt.Sprintf("_n%d", trips), "")))
		pages := []string{page.Body}
		f, _ := page.FormWith("password")
		f.Fields.Set("username", u.UPN)
		f.Fields.Set("password", u.Password)
		handed, err := b.Submit(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		answered(t, handed)
		pages = append(pages, handed.Body, h.open(t, b, h.SignInURL()+"?wa=wsignout1.0").Body)
		for i, body := range pages {
			if !strings.Contains(body, name) || strings.Contains(body, entity) {
				t.Errorf("%s: page %d does not call the party %q", language, i, name)
			}
		}
	}
	visit("en", "The library")
	visit("de", "Die Bibliothek")
	visit("nl", "The library") // English for whom the metadata has nothing
	writeFile(t, file, libraryMetadata(""))
	if err := h.Gateway.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	visit("en", "library.fabrikam.test")
}
