package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/cmd/internal/config"
	"sallyport/federation/claims"
)

func TestBadClaimRulesAreRefusedAtTheirPlace(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"short name misspelt", "    claims: [{type: rolle, constant: x}]\n", "claims[0].type: \"rolle\" is not known; did you mean role?"},
		{"attribute misspelt", "    claims: [{type: role, attribute: departmnt}]\n", "claims[0].attribute: \"departmnt\" is not known; did you mean department?"},
		{"attribute unknown", "    claims: [{type: role, attribute: shoeSizeOfTheCat}]\n", "is not an attribute that a claim may carry"},
		{"password", "    claims: [{type: role, attribute: unicodePwd}]\n", "may hold a secret"},
		{"key misspelt", "    claims: [{type: role, atribute: mail}]\n", "did you mean attribute?"},
		{"not a list", "    claims: names\n", "claims: needs a list"},
		{"no rule", "    claims: []\n", "claims: is an empty list"},
		{"rule as a word", "    claims: [mail]\n", "claims[0]: needs keys below it"},
		{"constant as a number", "    claims: [{type: role, constant: 42}]\n", "write a text, in quotes"},
		{"C09 the form of older examples", "    claims: [{type: role, groups: names}]\n", "groups: needs a list"},
		{"group without a domain", "    claims: [{type: role, groups: [Editors]}]\n", "claims[0].groups[0].group: \"Editors\" is not a group: write DOMAIN\\name"},
		{"group of another domain", "    claims: [{type: role, groups: ['FABRIKAM\\x']}]\n", "is in no configured domain: write CONTOSO"},
		{"denied group of another domain", "    access: {deny_groups: ['FABRIKAM\\x']}\n", "access.deny_groups[0]: \"FABRIKAM\\\\x\" is in no configured domain"},
		{"nobody is allowed", "    access: {allow_groups: []}\n", "allow_groups: is an empty list"},
		{"empty condition", "    claims: [{type: role, constant: x, when: {}}]\n", "when: is empty"},
		{"preset misspelt", "    preset: sharpoint\n", "did you mean sharepoint?"},
		{"no groups at all", "    max_groups: 0\n", "max_groups: 0 groups are none"},
		{"too many groups", "    max_groups: 2000\n", "max_groups: 2000 is not between"},
		{"second factor", "    claims: [{type: \"http://schemas.microsoft.com/claims/authnmethodsreferences\", constant: x}]\n", "only the sign-in itself can tell"},
		{"name misspelt", "    name_id: {attribute: emploeeID}\n", "name_id.attribute: \"emploeeID\" is not known; did you mean employeeID?"},
		{"name of many", "    name_id: {attribute: department}\n", "name_id.attribute: department may be the same for several people"},
		{"name as a word", "    name_id: mail\n", "name_id: needs keys below it"},
		{"one name for all", "    claims: [{type: upn, constant: admin@contoso.test}]\n", "names the person"},
	} {
		list := problemsOf(t, with(t, url, url+party+tt.text))
		got := strings.Join(list, "\n")
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: no %q in\n%s", tt.name, tt.want, got)
		}
		if len(list) != 1 || !strings.HasPrefix(list[0], "13:") && !strings.HasPrefix(list[0], "12:") && !strings.HasPrefix(list[0], "11:") && !strings.HasPrefix(list[0], "10:") && !strings.HasPrefix(list[0], "9:") {
			t.Errorf("%s: %d problems, or not at the line: %s", tt.name, len(list), got)
		}
	}
}

func TestAttributesOfASchemaExtensionAreJudged(t *testing.T) {
	const domains = "directory:\n"
	for list, want := range map[string]string{
		"[contoso-CostCentre]": "", "[unicodePwd]": "claim_attributes[0]: may hold a secret", "[a, \"b c\"]": "claim_attributes[1]: \"b c\" is not the name",
		"[mail]": "may be named without this", "[tokenGroups]": "no plain fact",
	} {
		_, err := config.Parse("f", []byte(with(t, url, url+party+"    claims: [{type: \"urn:x/y\", attribute: contoso-costcentre}]\n", domains, domains+"  claim_attributes: "+list+"\n")))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if want == "" && err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %v, want %q", list, err, want)
		}
	}
}

func TestRulesOfAPartyAreThoseOfItsPresetAndItsOwn(t *testing.T) {
	c, err := config.Parse("f", []byte(with(t, url, url+party+`    preset: exchange
    claims:
      - {type: role, groups: ['CONTOSO\Site Owners', {group: S-1-5-21-1-2-3-1105, value: editors}]}
    access: {deny_groups: ['CONTOSO\Guests']}
    max_groups: 7
`)))
	if err != nil {
		t.Fatal(err)
	}
	want := claims.Rules{
		Claims:     append(claims.Preset("exchange"), claims.Rule{Type: "role", Groups: []claims.GroupValue{{Group: `CONTOSO\Site Owners`}, {Group: "S-1-5-21-1-2-3-1105", Value: "editors"}}}),
		DenyGroups: []string{`CONTOSO\Guests`}, MaxGroups: 7,
	}
	if diff := cmp.Diff(want, c.Rules(&c.RelyingParties[0])); diff != "" {
		t.Error(diff)
	}
	if len(claims.Preset("exchange")) != 2 {
		t.Error("the preset itself has grown")
	}
}

func TestRulesThatBuildOnWhatPeopleWriteThemselvesGetAWarning(t *testing.T) {
	c, err := config.Parse("f", []byte(with(t, url, url+party+`    claims:
      - {type: role, attribute: physicalDeliveryOfficeName}
      - {type: mobilephone, attribute: mobile}
      - {type: "urn:x/y", constant: "1", when: {attribute: l, equals: [Berlin]}}
      - {type: role, attribute: department}
`)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range c.Warnings() {
		got = append(got, w.Key)
	}
	want := []string{"relying_parties[0].claims[0].attribute", "relying_parties[0].claims[2].when.attribute"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
