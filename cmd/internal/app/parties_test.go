package app_test

import (
	"encoding/xml"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/demo"
	"sallyport/cmd/internal/trip"
)

// withParties adds relying parties to the demo's settings.
func withParties(yaml string) demo.Options {
	return demo.Options{Settings: func(s string) string {
		return strings.Replace(s, "directory:\n", "relying_parties:\n"+yaml+"directory:\n", 1)
	}}
}

const sharepoint = `  - key: sharepoint
    name: SharePoint portal
    identifiers: ["urn:sharepoint:portal"]
    reply_urls: ["https://portal.contoso.test/_trust/"]
    preset: sharepoint
`

// assertion11 is what a test reads of a SAML 1.1 token.
type assertion11 struct {
	AppliesTo  string `xml:"AppliesTo>EndpointReference>Address"`
	Audience   string `xml:"RequestedSecurityToken>Assertion>Conditions>AudienceRestrictionCondition>Audience"`
	Attributes []struct {
		Name   string   `xml:"AttributeName,attr"`
		Values []string `xml:"AttributeValue"`
	} `xml:"RequestedSecurityToken>Assertion>AttributeStatement>Attribute"`
}

func (a *assertion11) values(name string) (values []string, attributes int) {
	for _, at := range a.Attributes {
		if at.Name == name {
			values, attributes = append(values, at.Values...), attributes+1
		}
	}
	return values, attributes
}

// arrive opens the gateway with a query and signs the person in there.
func (h *house) arrive(t *testing.T, sam, query string) *trip.Page {
	t.Helper()
	b := h.Browser()
	t.Cleanup(b.Close)
	p := h.open(t, b, h.SignInURL()+"?"+query)
	if !p.AsksPassword(trip.English) {
		return p
	}
	u := h.User(sam)
	name := u.UPN
	if name == "" {
		name = h.Directory.NetBIOS + `\` + sam
	}
	p, err := b.Password(t.Context(), p, trip.English, name, u.Password)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// token reads the form that would go to a party.
func token(t *testing.T, p *trip.Page) (*trip.Form, *assertion11) {
	t.Helper()
	f, ok := p.HandedOver()
	if !ok {
		t.Fatalf("no token: %d %q %s", p.Status, p.Heading(), p.Text())
	}
	var a assertion11
	if err := xml.Unmarshal([]byte(f.Fields.Get("wresult")), &a); err != nil {
		t.Fatal(err)
	}
	return f, &a
}

func TestC09_SharePointGetsItsContextBackAndOneRoleClaim(t *testing.T) {
	h := open(t, withParties(sharepoint))
	const query = "wa=wsignin1.0&wtrealm=urn%3asharepoint%3aportal&wctx=https%3a%2f%2fportal.contoso.test%2f_layouts%2f15%2fAuthenticate.aspx%3fSource%3d%252Fsites%252FR%252526D%252FGeteilte%252520Dokumente%2526v%253D1"
	f, a := token(t, h.arrive(t, "jmueller (ext)", query))
	if f.Action != "https://portal.contoso.test/_trust/" {
		t.Errorf("post goes to %s", f.Action)
	}
	if got := f.Fields.Get("wctx"); got != "https://portal.contoso.test/_layouts/15/Authenticate.aspx?Source=%2Fsites%2FR%2526D%2FGeteilte%2520Dokumente%26v%3D1" {
		t.Errorf("wctx is %s", got)
	}
	if a.Audience != "urn:sharepoint:portal" || a.AppliesTo != a.Audience {
		t.Errorf("audience %q, AppliesTo %q", a.Audience, a.AppliesTo)
	}
	roles, attributes := a.values("role")
	slices.Sort(roles)
	// C13: the group whose name needs escaping, and the one around it.
	if diff := cmp.Diff([]string{"Alle Zugriffe", "Domain Users", "Users", "Zugriff (a)"}, roles); diff != "" || attributes != 1 {
		t.Errorf("%d role attributes: %s", attributes, diff)
	}
	if mail, _ := a.values("emailaddress"); cmp.Diff([]string{"j.o'mueller@contoso.test"}, mail) != "" {
		t.Errorf("mail %q", mail)
	}
}

func TestC10_ExchangeIsKnownByBothSpellings(t *testing.T) {
	h := open(t, withParties(`  - key: owa
    name: Outlook
    identifiers: ["https://mail.contoso.test/owa/", "https://mail.contoso.test/owa"]
    reply_urls: ["https://mail.contoso.test/owa/"]
    preset: exchange
  - key: ecp
    name: Exchange admin center
    identifiers: ["https://mail.contoso.test/ecp/"]
    reply_urls: ["https://mail.contoso.test/ecp/"]
    preset: exchange
`))
	for _, c := range []struct{ query, realm, reply, wctx string }{
		{"wa=wsignin1.0&wtrealm=https%3a%2f%2fmail.contoso.test%2fecp%2f&wctx=rm%3d0%26id%3dpassive%26ru%3d%252fecp%252f%253fexsvurl%253d1%2526p%253dO%252527Brien", "https://mail.contoso.test/ecp/", "https://mail.contoso.test/ecp/", "%2527"},
		{"wa=wsignin1.0&wtrealm=https%3a%2f%2fmail.contoso.test%2fowa%2f&wctx=rm%3d0%26id%3dpassive%26ru%3d%252fowa%252f", "https://mail.contoso.test/owa/", "https://mail.contoso.test/owa/", "%2fowa%2f"},
		{"wa=wsignin1.0&wtrealm=https%3a%2f%2fmail.contoso.test%2fowa&wctx=rm%3d0%26id%3dpassive%26ru%3d%252fowa", "https://mail.contoso.test/owa", "https://mail.contoso.test/owa/", "%2fowa"},
	} {
		f, a := token(t, h.arrive(t, "alice", c.query))
		if f.Action != c.reply || a.Audience != c.realm || a.AppliesTo != c.realm || !strings.Contains(f.Fields.Get("wctx"), c.wctx) {
			t.Errorf("%s: to %s, audience %s, AppliesTo %s, wctx %s", c.realm, f.Action, a.Audience, a.AppliesTo, f.Fields.Get("wctx"))
		}
		upn, _ := a.values("upn")
		sid, _ := a.values("primarysid")
		if len(upn) != 1 || len(sid) != 1 || upn[0] != "alice@contoso.test" || !strings.HasPrefix(sid[0], "S-1-5-21-") || len(a.Attributes) != 2 {
			t.Errorf("%s: claims %v", c.realm, a.Attributes)
		}
	}
	p := h.arrive(t, "alice", "wa=wsignin1.0&wtrealm=https%3a%2f%2fmail.contoso.test%2fOWA%2f&wctx=rm%3d0")
	if _, ok := p.HandedOver(); ok || p.AsksPassword(trip.English) || p.Status < 400 {
		t.Errorf("another case is taken: %d %q", p.Status, p.Heading())
	}
	if !strings.Contains(h.log.String(), "https://mail.contoso.test/owa/") {
		t.Error("the log does not say which identifier is nearest")
	}
}

func TestThreeHundredGroupsAreRefusedFilteredOrComplete(t *testing.T) {
	party := func(key, rest string) string {
		return "  - {key: " + key + ", name: " + key + ", identifiers: [\"urn:" + key + "\"], reply_urls: [\"https://" + key + ".test/\"], " + rest + "}\n"
	}
	h := open(t, withParties(party("cut", "claims: [{type: role, all_groups: name}]")+
		party("some", "claims: [{type: role, all_groups: name, match: ['Team 00*', 'CONTOSO\\*299']}]")+
		party("all", "max_groups: 400, claims: [{type: groupsid, all_groups: sid}, {type: role, all_groups: name}]")))
	p := h.arrive(t, "olivia", "wa=wsignin1.0&wtrealm=urn%3acut")
	if _, ok := p.HandedOver(); ok || p.Heading() != "Your account is not set up for cut" {
		t.Errorf("%d %q", p.Status, p.Heading())
	}
	e := h.event(t, map[string]any{"code": "SP201", "account_name": `CONTOSO\olivia`, "reason": "not_ready"})
	if detail, _ := e["detail"].(string); !strings.Contains(detail, "302 groups, at most 200") {
		t.Errorf("the audit record says %q", detail)
	}
	_, a := token(t, h.arrive(t, "olivia", "wa=wsignin1.0&wtrealm=urn%3asome"))
	if roles, n := a.values("role"); len(roles) != 11 || n != 1 {
		t.Errorf("filtered: %d attributes with %q", n, roles)
	}
	_, a = token(t, h.arrive(t, "olivia", "wa=wsignin1.0&wtrealm=urn%3aall"))
	roles, _ := a.values("role")
	sids, _ := a.values("groupsid")
	if len(roles) != 302 || len(sids) != 302 || !slices.Contains(roles, "Team 299") {
		t.Errorf("complete: %d roles, %d SIDs", len(roles), len(sids))
	}
	// A small circle is served by the same settings.
	if _, a = token(t, h.arrive(t, "alice", "wa=wsignin1.0&wtrealm=urn%3acut")); len(a.Attributes) != 1 {
		t.Errorf("alice: %v", a.Attributes)
	}
}

func TestDenyGroupsKeepPeopleOutOfOnePartyOnly(t *testing.T) {
	h := open(t, withParties(sharepoint+"    access: {allow_groups: ['CONTOSO\\Domain Users'], deny_groups: ['CONTOSO\\Alle Zugriffe']}\n"))
	const query = "wa=wsignin1.0&wtrealm=urn%3asharepoint%3aportal"
	p := h.arrive(t, "jmueller (ext)", query)
	if _, ok := p.HandedOver(); ok || !strings.Contains(p.Text(), "SharePoint portal") {
		t.Errorf("%d %q", p.Status, p.Heading())
	}
	e := h.event(t, map[string]any{"code": "SP201", "account_name": `CONTOSO\jmueller (ext)`, "reason": "not_allowed"})
	if detail, _ := e["detail"].(string); !strings.Contains(detail, `CONTOSO\Alle Zugriffe`) {
		t.Errorf("the audit record says %q", detail)
	}
	token(t, h.arrive(t, "alice", query))
	h.signIn(t, h.Browser(), "jmueller (ext)")
}

func TestReloadThatReadsMoreLeavesThePartiesUntilARestart(t *testing.T) {
	h := open(t, withParties(strings.Replace(sharepoint, "preset: sharepoint", "claims: [{type: emailaddress, attribute: mail}]", 1)))
	const query = "wa=wsignin1.0&wtrealm=urn%3asharepoint%3aportal"
	claimsOf := func() string {
		_, a := token(t, h.arrive(t, "alice", query))
		var names []string
		for _, at := range a.Attributes {
			names = append(names, at.Name)
		}
		return strings.Join(names, " ")
	}
	h.rewrite(t, "claims: [{type: emailaddress, attribute: mail}]", "claims: [{type: name, attribute: mail}, {type: upn, attribute: userPrincipalName}]")
	if err := h.Gateway.Reload(t.Context()); err != nil || claimsOf() != "name upn" {
		t.Errorf("rules that read nothing new: %v, claims %s", err, claimsOf())
	}
	h.rewrite(t, "{type: upn, attribute: userPrincipalName}", "{type: givenname, attribute: givenName}")
	err := h.Gateway.Reload(t.Context())
	if !errors.Is(err, app.ErrRestart) || !strings.Contains(err.Error(), "relying_parties") {
		t.Errorf("rules that read a new attribute: %v", err)
	}
	if got := claimsOf(); got != "name upn" {
		t.Errorf("claims %s: rules are in force whose attribute is not read", got)
	}
	h.rewrite(t, "{type: givenname, attribute: givenName}", "{type: role, all_groups: name}")
	if err := h.Gateway.Reload(t.Context()); !errors.Is(err, app.ErrRestart) || claimsOf() != "name upn" {
		t.Errorf("rules that read groups: %v, claims %s", err, claimsOf())
	}
}
