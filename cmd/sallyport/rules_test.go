package main

import (
	"encoding/json"
	"strings"
	"testing"

	"sallyport/authn/directory/directorytest"
)

const ruledParties = `sessions: {store: memory}
relying_parties:
  - key: portal
    name: Portal
    identifiers: ["urn:portal"]
    reply_urls: ["https://portal.contoso.test/"]
    preset: exchange
    claims:
      - {type: role, groups: ['CONTOSO\Site Owners', 'CONTOSO\Nobody Here']}
      - {type: givenname, attribute: givenName}
      - {type: "urn:contoso/tenant", constant: "42", when: {network: inside}}
    access: {allow_groups: ['CONTOSO\Staff'], deny_groups: ['CONTOSO\Guests']}
  - key: wiki
    name: Wiki
    protocol: saml
    identifiers: ["https://wiki.contoso.test/sp"]
    saml: {acs: [{url: "https://wiki.contoso.test/acs"}]}
    claims: [{type: role, all_groups: name}]
`

// ruled is a place with parties that have rules.
func ruled(t *testing.T) *place {
	t.Helper()
	p := newPlace(t)
	must(t, p.dirs.Update("alice", func(u *directorytest.User) { u.Groups = []string{"Site Owners", "Staff"} }))
	must(t, p.dirs.Add(directorytest.User{SAM: "gus", UPN: "gus@contoso.test", Password: "Passw0rd-gus", Groups: []string{"Staff", "Guests"}}))
	p.keys(t)
	p.change(t, "sessions: {store: memory}\n", ruledParties)
	return p
}

func TestSigninExplainsEachRule(t *testing.T) {
	p := ruled(t)
	status, out, errs := call(t, "Passw0rd-alice\n", "signin", "alice@contoso.test", "--rp", "portal", "--config", p.conf)
	if status != 0 {
		t.Fatalf("status %d\n%s%s", status, out, errs)
	}
	for _, want := range []string{
		`deny_groups: CONTOSO\Guests: no, the person is no member`, `allow_groups: CONTOSO\Staff: yes`,
		"primarysid from attribute objectSid: yes, 1 values", `role from groups CONTOSO\Site Owners, CONTOSO\Nobody Here: yes, 1 values (no group is called CONTOSO\Nobody Here)`,
		"givenname from attribute givenName: no, the account has no givenName", `urn:contoso/tenant is "42": no, the request did not come from inside`,
		"http://schemas.microsoft.com/ws/2008/06/identity/claims/role", "Site Owners", "size of the token",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	status, out, _ = call(t, "Passw0rd-alice\n", "signin", "alice@contoso.test", "--rp", "https://wiki.contoso.test/sp", "--json", "--config", p.conf)
	var o struct {
		Party string
		Rules []rule
		Size  int `json:"token_bytes"`
	}
	if err := json.Unmarshal([]byte(out), &o); err != nil || status != 0 {
		t.Fatalf("%d %v\n%s", status, err, out)
	}
	if o.Party != "wiki" || o.Size < 1500 || len(o.Rules) != 1 || !o.Rules[0].Fired || len(o.Rules[0].Values) != 4 {
		t.Errorf("%+v", o)
	}
}

func TestSigninSaysWhoseAccessListRefused(t *testing.T) {
	p := ruled(t)
	status, out, _ := call(t, "Passw0rd-gus\n", "signin", "gus@contoso.test", "--rp", "portal", "--config", p.conf)
	if status != 1 || !strings.Contains(out, "no token") || !strings.Contains(out, `deny_groups: CONTOSO\Guests: yes (the person is a member)`) {
		t.Errorf("status %d\n%s", status, out)
	}
}

func TestCheckLooksForTheGroupsOfTheRules(t *testing.T) {
	p := ruled(t)
	status, out, _ := call(t, "", "check", "--config", p.conf)
	if status != 0 {
		t.Errorf("status %d\n%s", status, out)
	}
	for _, want := range []string{`warn  group CONTOSO\Nobody Here`, "there is no such security group (party portal, claims[0].groups[1])", "3 groups of the claim rules exist"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
