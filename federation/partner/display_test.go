package partner_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/federation"
	"sallyport/federation/partner"
	"sallyport/federation/saml"
)

func displayNames(texts ...string) string {
	s := `<md:Extensions><mdui:UIInfo xmlns:mdui="urn:oasis:names:tc:SAML:metadata:ui">`
	for i := 0; i < len(texts); i += 2 {
		s += `<mdui:DisplayName xml:lang="` + texts[i] + `">` + texts[i+1] + `</mdui:DisplayName>`
	}
	return s + `</mdui:UIInfo></md:Extensions>`
}

func TestNamesForPeopleAreOfOneKindAndOneLine(t *testing.T) {
	service := `<md:AttributeConsumingService index="1"><md:ServiceName xml:lang="fr">Prêt</md:ServiceName><md:RequestedAttribute Name="mail"/></md:AttributeConsumingService>`
	organisation := `<md:Organization><md:OrganizationName xml:lang="en">F</md:OrganizationName><md:OrganizationDisplayName xml:lang="en">Fabrikam</md:OrganizationDisplayName>` +
		`<md:OrganizationURL xml:lang="en">https://fabrikam.test/</md:OrganizationURL></md:Organization></md:EntityDescriptor>`
	long := strings.Repeat("é", 100)
	for what, c := range map[string]struct {
		role, content string
		organisation  bool
		name          string
		names         map[string]string
	}{
		"English wins": {displayNames("de", "Leihverkehr", "en", "\n Inter\u202Elibrary\n loan "), "", false,
			"Interlibrary loan", map[string]string{"de": "Leihverkehr", "en": "Interlibrary loan"}},
		"regions and repetitions": {displayNames("nl-BE", "Leen", "nl", "Ander", "de-CH", "Leihe"), "", false,
			"Leen", map[string]string{"nl": "Leen", "de": "Leihe"}},
		"no language, odd ones, blanks": {displayNames("", "First", "en_GB", "Odd", "x", "Short", "es", "  "), "", false, "First", nil},
		"display names before the organisation's": {displayNames("de", "Leihverkehr"), service, true,
			"Leihverkehr", map[string]string{"de": "Leihverkehr"}},
		"the organisation's before the service's": {"", service, true, "Fabrikam", map[string]string{"en": "Fabrikam"}},
		"the service's": {"", service, false, "Prêt", map[string]string{"fr": "Prêt"}},
		"a long one":    {displayNames("en", long), "", false, long[:120], map[string]string{"en": long[:120]}},
		"none":          {"", "", false, "", nil},
	} {
		doc := describe(wiki, "", "", c.role)
		if c.content != "" { // behind the endpoints, as the schema has it
			doc = strings.Replace(doc, "</md:SPSSODescriptor>", c.content+"</md:SPSSODescriptor>", 1)
		}
		if c.organisation {
			doc = strings.Replace(doc, "</md:EntityDescriptor>", organisation, 1)
		}
		e := read(t, doc)
		if diff := cmp.Diff(c.names, e.Names); diff != "" || e.Name != c.name {
			t.Errorf("%s: %q %s", what, e.Name, diff)
		}
	}
}

// No person reads an entity id where there is anything better.
func TestPartyIsCalledByItsNameOrItsHost(t *testing.T) {
	called := func(id, role, hand string) (string, string) {
		t.Helper()
		p, err := read(t, describe(id, "", "", role)).Party(&saml.Party{RelyingParty: federation.RelyingParty{Key: "x", Name: hand, Identifiers: []string{id}}}, partner.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return p.NameIn("de"), p.NameIn("nl")
	}
	both := displayNames("en", "Loan", "de", "Leihe")
	for _, c := range []struct{ id, role, hand, german, dutch string }{
		{wiki, both, "", "Leihe", "Loan"},
		{wiki, both, "By hand", "By hand", "By hand"},
		{"https://shibboleth.contoso.test/shibboleth", "", "", "shibboleth.contoso.test", "shibboleth.contoso.test"},
		{"urn:mace:fabrikam.test:sp", "", "", "wiki.fabrikam.test", "wiki.fabrikam.test"},
	} {
		if german, dutch := called(c.id, c.role, c.hand); german != c.german || dutch != c.dutch {
			t.Errorf("%s by hand %q: %q and %q", c.id, c.hand, german, dutch)
		}
	}
}
