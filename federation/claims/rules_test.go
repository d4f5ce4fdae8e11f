package claims_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/authn"
	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/token"
)

func TestEachFormOfRuleGivesItsClaim(t *testing.T) {
	e := withRules(t, claims.Rules{Claims: []claims.Rule{
		{Type: "emailaddress", Attribute: "mail", Case: "lower"},
		{Type: "upn", Attribute: "userPrincipalName", Case: "upper"},
		{Type: "name", Attribute: "WINDOWSACCOUNTNAME"},
		{Type: "urn:x/proxies", Attribute: "proxyAddresses"},
		{Type: "role", Groups: []claims.GroupValue{{Group: `contoso\site owners`, Value: "owners"}, {Group: sidAppOne, Value: "editors"}, {Group: `CONTOSO\Guests`}}},
		{Type: "role", Groups: []claims.GroupValue{{Group: `CONTOSO\Staff`}}},
		{Type: "urn:x/tenant", Constant: "42", When: claims.When{MemberOf: []string{`CONTOSO\Guests`, sidStaff}, NotMemberOf: []string{`CONTOSO\Guests`},
			Attribute: "department", Equals: []string{"Marketing", "SALES"}, Network: "outside"}},
		{Type: "urn:x/inside", Constant: "1", When: claims.When{Network: "inside"}},
		{Type: "urn:x/dept", Constant: "1", When: claims.When{Attribute: "department", Equals: []string{"Legal"}}},
		{Type: "urn:x/guest", Constant: "1", When: claims.When{MemberOf: []string{`CONTOSO\Guests`}}},
		{Type: "urn:x/nostaff", Constant: "1", When: claims.When{NotMemberOf: []string{`CONTOSO\Staff`}}},
		{Type: "givenname", Attribute: "givenName"},
	}}, nil)
	a, steps, err := e.Explain(t.Context(), intranet(), member(sidStaff, sidOwners, sidAppOne))
	if err != nil {
		t.Fatal(err)
	}
	want := `http://schemas.xmlsoap.org/ws/2005/05/identity/claims|emailaddress=alice.archer@contoso.test
http://schemas.xmlsoap.org/ws/2005/05/identity/claims|upn=ALICE@CONTOSO.TEST
http://schemas.xmlsoap.org/ws/2005/05/identity/claims|name=CONTOSO\alice
urn:x|proxies=smtp:b;SMTP:A
http://schemas.microsoft.com/ws/2008/06/identity/claims|role=owners;editors;Staff
urn:x|tenant=42
`
	if diff := cmp.Diff(want, attributesOf(a)); diff != "" {
		t.Error(diff)
	}
	for rule, want := range map[string]string{
		"emailaddress": "true ", `urn:x/inside`: "false the request did not come from inside", "urn:x/dept": `false department is none of ["Legal"]`,
		"urn:x/guest": `false the person is in none of CONTOSO\Guests`, "urn:x/nostaff": `false the person is in CONTOSO\Staff`,
		"givenname": "false the account has no givenName",
	} {
		if got := why(steps, rule); got != want {
			t.Errorf("%s: %q, want %q", rule, got, want)
		}
	}
	if len(steps) != 12 {
		t.Errorf("%d steps", len(steps))
	}
	// Whoever asks for nothing but the token gets the same.
	plain, err := e.For(t.Context(), intranet(), member(sidStaff, sidOwners, sidAppOne))
	if err != nil || cmp.Diff(a, plain) != "" {
		t.Errorf("For and Explain differ: %v\n%s", err, cmp.Diff(a, plain))
	}
}

func TestC09_RolesAreOneAttributeWithAValueForEachGroup(t *testing.T) {
	e := withRules(t, claims.Rules{Claims: claims.Preset("sharepoint")}, nil)
	req := intranet()
	req.Party.Identifiers, req.Realm = []string{"urn:sharepoint:portal"}, "urn:sharepoint:portal"
	a, err := e.For(t.Context(), req, member(sidStaff, sidOwners, sidAppOne, sidEscape))
	if err != nil {
		t.Fatal(err)
	}
	roles := 0
	for _, at := range a.Attributes {
		if at.Name == "role" {
			roles++
			if diff := cmp.Diff([]string{"Staff", "Site Owners", "App-One", "Zugriff (a) + b, c"}, at.Values); diff != "" {
				t.Error(diff)
			}
		}
	}
	if roles != 1 || a.Audience != "urn:sharepoint:portal" || a.Version != federation.SAML11 {
		t.Errorf("%d role attributes, audience %q, version %v", roles, a.Audience, a.Version)
	}
}

func TestC10_AudienceIsTheIdentifierOfTheRequest(t *testing.T) {
	e := withRules(t, claims.Rules{Claims: claims.Preset("exchange")}, nil)
	for _, realm := range []string{"https://mail.contoso.test/owa/", "https://mail.contoso.test/owa"} {
		req := intranet()
		req.Realm = realm
		a, err := e.For(t.Context(), req, member())
		if err != nil || a.Audience != realm || types(a) != "primarysid upn" {
			t.Errorf("%s: %v %v", realm, a, err)
		}
	}
}

func TestPresetsGiveWhatTheirPartiesNeed(t *testing.T) {
	const c5, c8 = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims|", "http://schemas.microsoft.com/ws/2008/06/identity/claims|"
	want := map[string]string{
		"sharepoint": c5 + "emailaddress=Alice.Archer@contoso.test\n" + c5 + "upn=alice@contoso.test\n" + c8 + "role=Staff;Site Owners\n",
		"exchange":   c8 + "primarysid=S-1-5-21-1-2-3-1104\n" + c5 + "upn=alice@contoso.test\n",
		"dynamics":   c5 + "upn=alice@contoso.test\n" + c8 + "primarysid=S-1-5-21-1-2-3-1104\n" + c5 + `name=CONTOSO\alice` + "\n",
	}
	for _, name := range claims.PresetNames() {
		a, err := withRules(t, claims.Rules{Claims: claims.Preset(name)}, nil).For(t.Context(), intranet(), member(sidStaff, sidOwners))
		if err != nil || want[name] == "" {
			t.Errorf("%s: %v, or nothing is expected of it", name, err)
		}
		if diff := cmp.Diff(want[name], attributesOf(a)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if claims.Preset("nothing") != nil {
		t.Error("a preset without a name")
	}
}

func TestC13_ValuesArriveExactly(t *testing.T) {
	const display = `Müller, Jörg (Extern) + Lager\2 <j@x> & "Söhne"`
	e := withRules(t, claims.Rules{Claims: []claims.Rule{{Type: "commonname", Attribute: "displayName"}, {Type: "role", Groups: []claims.GroupValue{{Group: `CONTOSO\Zugriff (a) + b, c`}}}}}, nil)
	sub := member(sidEscape)
	sub.Account.DisplayName = display
	a, err := e.For(t.Context(), intranet(), sub)
	if err != nil {
		t.Fatal(err)
	}
	if got := claim(a, "CommonName"); cmp.Diff([]string{display}, got) != "" {
		t.Errorf("name %q", got)
	}
	if got := claim(a, "role"); cmp.Diff([]string{"Zugriff (a) + b, c"}, got) != "" {
		t.Errorf("role %q", got)
	}
}

func TestDenyWinsAndAllowNeedsOne(t *testing.T) {
	for _, c := range []struct {
		name        string
		allow, deny []string
		groups      []string
		cause       error
		problem     federation.Problem
	}{
		{"nothing set", nil, nil, nil, nil, ""},
		{"in an allowed one", []string{`CONTOSO\Guests`, sidStaff}, nil, []string{sidStaff}, nil, ""},
		{"in none", []string{`CONTOSO\Guests`}, nil, []string{sidStaff}, claims.ErrNotAllowed, federation.ProblemNotAllowed},
		{"in a denied one", nil, []string{`contoso\GUESTS`}, []string{sidStaff, sidGuests}, claims.ErrDenied, federation.ProblemNotAllowed},
		{"in both", []string{sidStaff}, []string{sidGuests}, []string{sidStaff, sidGuests}, claims.ErrDenied, federation.ProblemNotAllowed},
		{"the same group in both", []string{sidStaff}, []string{`CONTOSO\Staff`}, []string{sidStaff}, claims.ErrDenied, federation.ProblemNotAllowed},
		{"not in the denied one", nil, []string{sidGuests}, []string{sidStaff}, nil, ""},
		{"allowed one does not exist", []string{`CONTOSO\Nobody`}, nil, []string{sidStaff}, claims.ErrNotAllowed, federation.ProblemNotAllowed},
		{"denied one does not exist", nil, []string{`CONTOSO\Nobody`}, []string{sidStaff}, claims.ErrUnknownGroup, federation.ProblemNotReady},
		{"longer SID", []string{sidStaff}, nil, []string{sidStaff + "1"}, claims.ErrNotAllowed, federation.ProblemNotAllowed},
	} {
		e := withRules(t, claims.Rules{AllowGroups: c.allow, DenyGroups: c.deny}, nil)
		a, err := e.For(t.Context(), intranet(), member(c.groups...))
		if c.cause == nil {
			if err != nil || types(a) != "upn name primarysid" {
				t.Errorf("%s: %v %v", c.name, a, err)
			}
			continue
		}
		if a != nil {
			t.Errorf("%s: a token", c.name)
		}
		refused(t, err, c.problem, c.cause)
		var fe *federation.Error
		if !errors.As(err, &fe) || fe.Party == nil || fe.Party.Key != "intranet" {
			t.Errorf("%s: the error does not name the party: %v", c.name, err)
		}
	}
}

func TestGroupsThatAreNotKnownAreNotNone(t *testing.T) {
	unread := func() *federation.Subject {
		s := member()
		s.Account.GroupsRead = false
		return s
	}
	for name, r := range map[string]claims.Rules{
		"allow": {AllowGroups: []string{sidStaff}}, "deny": {DenyGroups: []string{sidStaff}},
		"groups":     {Claims: []claims.Rule{{Type: "role", Groups: []claims.GroupValue{{Group: `CONTOSO\Staff`}}}}},
		"all groups": {Claims: []claims.Rule{{Type: "groupsid", AllGroups: "sid"}}},
		"member":     {Claims: []claims.Rule{{Type: "urn:x/y", Constant: "1", When: claims.When{MemberOf: []string{sidStaff}}}}},
		"not member": {Claims: []claims.Rule{{Type: "urn:x/y", Constant: "1", When: claims.When{NotMemberOf: []string{sidStaff}}}}},
	} {
		_, err := withRules(t, r, nil).For(t.Context(), intranet(), unread())
		refused(t, err, federation.ProblemDirectory, claims.ErrNoGroups)
		if _, groups := r.Needs(); !groups {
			t.Errorf("%s: the directory is not asked for groups", name)
		}
	}
	// Rules that need none do not care.
	if _, err := withRules(t, claims.Rules{Claims: claims.Preset("exchange")}, nil).For(t.Context(), intranet(), unread()); err != nil {
		t.Error(err)
	}
}

func TestDirectoryTroubleRefusesInsteadOfGuessing(t *testing.T) {
	for _, r := range []claims.Rules{
		{AllowGroups: []string{`CONTOSO\Staff`}}, {DenyGroups: []string{`CONTOSO\Guests`}},
		{Claims: []claims.Rule{{Type: "role", AllGroups: "name"}}},
		{Claims: []claims.Rule{{Type: "role", AllGroups: "sid", Match: []string{"App-*"}}}},
		{Claims: []claims.Rule{{Type: "role", Groups: []claims.GroupValue{{Group: `CONTOSO\Staff`}}}}},
		{Claims: []claims.Rule{{Type: "urn:x/y", Constant: "1", When: claims.When{NotMemberOf: []string{`CONTOSO\Guests`}}}}},
	} {
		ad := contosoGroups()
		ad.err = errDown
		_, err := withRules(t, r, ad).For(t.Context(), intranet(), member(sidStaff))
		refused(t, err, federation.ProblemDirectory, errDown)
	}
	// SIDs are compared without asking anybody.
	ad := contosoGroups()
	ad.err = errDown
	if _, err := withRules(t, claims.Rules{AllowGroups: []string{sidStaff}, Claims: []claims.Rule{{Type: "groupsid", AllGroups: "sid"}}}, ad).For(t.Context(), intranet(), member(sidStaff)); err != nil || ad.asked.Load() != 0 {
		t.Errorf("%v, asked %d times", err, ad.asked.Load())
	}
}

// numbered are n groups App-0… with their directory.
func numbered(n int) ([]string, *groupsAD) {
	ad := contosoGroups()
	var sids []string
	for i := range n {
		sid := fmt.Sprintf("S-1-5-21-1-2-3-%d", 2000+i)
		sids = append(sids, sid)
		ad.sids[fmt.Sprintf(`CONTOSO\Team %03d`, i)] = sid
	}
	return sids, ad
}

func TestHundredsOfGroupsArriveCompleteOrFilteredOrNotAtAll(t *testing.T) {
	sids, ad := numbered(300)
	for _, c := range []struct {
		name string
		rule claims.Rule
		max  int
		want int // 0: refused
	}{
		{"default cap", claims.Rule{Type: "role", AllGroups: "name"}, 0, 0},
		{"cap of one less", claims.Rule{Type: "groupsid", AllGroups: "sid"}, 299, 0},
		{"cap of all", claims.Rule{Type: "groupsid", AllGroups: "sid"}, 300, 300},
		{"names, cap of all", claims.Rule{Type: "role", AllGroups: "qualified_name"}, 300, 300},
		{"filtered", claims.Rule{Type: "role", AllGroups: "name", Match: []string{"team 00*", `contoso\TEAM 299`}}, 0, 11},
		{"filtered SIDs", claims.Rule{Type: "groupsid", AllGroups: "sid", Match: []string{"*9"}}, 30, 30},
		{"filtered, still too many", claims.Rule{Type: "groupsid", AllGroups: "sid", Match: []string{"*9"}}, 29, 0},
	} {
		e := withRules(t, claims.Rules{Claims: []claims.Rule{c.rule}, MaxGroups: c.max}, ad)
		a, err := e.For(t.Context(), intranet(), member(sids...))
		if c.want == 0 {
			refused(t, err, federation.ProblemNotReady, claims.ErrTooManyGroups)
			if a != nil || err == nil || !strings.Contains(err.Error(), "max_groups") {
				t.Errorf("%s: %v does not say what to do", c.name, err)
			}
			continue
		}
		if err != nil || len(a.Attributes) != 1 || len(a.Attributes[0].Values) != c.want {
			t.Errorf("%s: %v %v", c.name, a, err)
		}
	}
	// Two rules that fill one claim are counted together.
	half := claims.Rules{MaxGroups: 19, Claims: []claims.Rule{{Type: "role", AllGroups: "name", Match: []string{"Team 00*"}}, {Type: "role", AllGroups: "name", Match: []string{"Team 01*"}}}}
	_, err := withRules(t, half, ad).For(t.Context(), intranet(), member(sids...))
	refused(t, err, federation.ProblemNotReady, claims.ErrTooManyGroups)
}

func TestGroupWithoutANameIsToldByItsSID(t *testing.T) {
	rules := claims.Rules{Claims: []claims.Rule{{Type: "role", AllGroups: "name"}, {Type: "group", AllGroups: "name", Match: []string{"App-*", "S-1-*"}}}}
	a, steps, err := withRules(t, rules, nil).Explain(t.Context(), intranet(), member(sidAppOne, sidForest, sidAppTwo))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"App-One", sidForest, "app-two"}, claim(a, "role")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"App-One", "app-two"}, claim(a, "Group")); diff != "" {
		t.Error(diff)
	}
	if got := why(steps, "group"); !strings.Contains(got, "1 of the groups have no name") {
		t.Errorf("explanation %q", got)
	}
}

func TestRuleOfAMissingGroupGivesNothingAndSaysSo(t *testing.T) {
	rules := claims.Rules{Claims: []claims.Rule{
		{Type: "role", Groups: []claims.GroupValue{{Group: `CONTOSO\Gone`}}},
		{Type: "urn:x/a", Constant: "1", When: claims.When{NotMemberOf: []string{`CONTOSO\Gone`}}},
		{Type: "urn:x/b", Constant: "1", When: claims.When{MemberOf: []string{`CONTOSO\Gone`}}},
	}}
	a, steps, err := withRules(t, rules, nil).Explain(t.Context(), intranet(), member(sidStaff))
	if err != nil || len(a.Attributes) != 0 {
		t.Fatalf("%v %v", a, err)
	}
	for _, rule := range []string{"role", "urn:x/a"} {
		if got := why(steps, rule); !strings.HasPrefix(got, "false") || !strings.Contains(got, `no group is called CONTOSO\Gone`) {
			t.Errorf("%s: %s", rule, got)
		}
	}
}

func TestI01_ValueThatXMLCannotCarryIsLeftOutUnlessItNamesThePerson(t *testing.T) {
	sub := member()
	sub.Account.Attributes["mail"] = []string{"bad\x01value"}
	sub.Account.Attributes["department"] = []string{"bad\ufffe", "good"}
	a, steps, err := withRules(t, claims.Rules{Claims: []claims.Rule{{Type: "urn:x/department", Attribute: "department"}, {Type: "urn:x/mail", Attribute: "mail"}}}, nil).Explain(t.Context(), intranet(), sub)
	if err != nil || attributesOf(a) != "urn:x|department=good\n" || !strings.Contains(why(steps, "urn:x/mail"), "character") {
		t.Errorf("%s %v %v", attributesOf(a), steps, err)
	}
	a, err = withRules(t, claims.Rules{Claims: []claims.Rule{{Type: "emailaddress", Attribute: "mail"}}}, nil).For(t.Context(), intranet(), sub)
	refused(t, err, federation.ProblemNotReady, token.ErrCharacter)
	if a != nil {
		t.Error("a token without the name")
	}
	sub.Account.UPN = "a\x02@contoso.test"
	_, err = withRules(t, claims.Rules{Claims: []claims.Rule{{Type: "urn:x/department", Attribute: "department"}}}, nil).For(t.Context(), intranet(), sub)
	refused(t, err, federation.ProblemNotReady, claims.ErrUPN)
}

func TestI03_RulesChangeNothingThatRestrictsTheToken(t *testing.T) {
	plain, err := engine(t, nil).For(t.Context(), owa(), member(sidStaff))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range claims.PresetNames() {
		a, err := withRules(t, claims.Rules{Claims: claims.Preset(name), AllowGroups: []string{sidStaff}}, nil).For(t.Context(), intranet(), member(sidStaff))
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Attributes) == 0 {
			t.Errorf("%s: no claim", name)
		}
		a.Attributes = plain.Attributes
		if diff := cmp.Diff(plain, a); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	req := intranet()
	req.Party.TokenType = federation.SAML20
	a, err := withRules(t, claims.Rules{Claims: []claims.Rule{{Type: "role", AllGroups: "name"}}}, nil).For(t.Context(), req, member(sidStaff))
	if err != nil || a.Recipient != req.ReplyTo || a.SubjectNotOnOrAfter.Sub(now) > 5*time.Minute ||
		a.Attributes[0].Name != "http://schemas.microsoft.com/ws/2008/06/identity/claims/role" || a.Attributes[0].Namespace != "" || !strings.HasSuffix(a.Attributes[0].Format, ":uri") {
		t.Errorf("SAML 2.0: %+v %v", a, err)
	}
}

func TestNamesOfSAML20AttributesAreAsThePartyKnowsThem(t *testing.T) {
	e := withRules(t, claims.Rules{SAML20: true, Claims: []claims.Rule{
		{Type: "urn:oid:2.5.4.42", Attribute: "department"}, {Type: "displayName", NameFormat: "basic", Attribute: "displayName"},
		{Type: "displayName", NameFormat: "unspecified", Constant: "x"}, {Type: "displayName", NameFormat: "basic", Constant: "y"}, {Type: "upn", Attribute: "userPrincipalName"},
	}}, nil)
	req := intranet()
	req.Party.TokenType = federation.SAML20
	a, err := e.For(t.Context(), req, member())
	if err != nil {
		t.Fatal(err)
	}
	const format = "urn:oasis:names:tc:SAML:2.0:attrname-format:"
	want := []token.Attribute{
		{Name: "urn:oid:2.5.4.42", Format: format + "uri", Values: []string{"Sales"}},
		{Name: "displayName", Format: format + "basic", Values: []string{"Alice Example", "y"}},
		{Name: "displayName", Format: format + "unspecified", Values: []string{"x"}},
		{Name: claims.TypeUPN, Format: format + "uri", Values: []string{"alice@contoso.test"}},
	}
	if diff := cmp.Diff(want, a.Attributes); diff != "" {
		t.Error(diff)
	}
}

func TestI10_RulesDoNotOutrankTheAccountsState(t *testing.T) {
	e := withRules(t, claims.Rules{AllowGroups: []string{sidStaff}}, nil)
	sub := member(sidStaff)
	sub.Account.State = authn.StateDisabled
	_, err := e.For(t.Context(), intranet(), sub)
	refused(t, err, federation.ProblemDisabled, nil)
}

func TestMicrosoft365HasNoRules(t *testing.T) {
	e := engine(t, func(c *claims.Config) {
		c.Rules = map[string]claims.Rules{"microsoft365": {Claims: []claims.Rule{{Type: "urn:x/y", Constant: "1"}}, DenyGroups: []string{sidStaff}}}
	})
	a, err := e.For(t.Context(), microsoft365(), member(sidStaff))
	if err != nil || claim(a, "y") != nil {
		t.Errorf("%v %v", a, err)
	}
}
