package claims_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sallyport/authn"
	"sallyport/federation"
	"sallyport/federation/claims"
)

func TestBadRulesAreRefusedWithAdvice(t *testing.T) {
	good := claims.Rule{Type: "role", Constant: "x"}
	for _, c := range []struct {
		name, field, want string
		rules             claims.Rules
	}{
		{"no type", "claims[1].type", "is missing", claims.Rules{Claims: []claims.Rule{good, {Constant: "x"}}}},
		{"unknown type", "claims[0].type", "is not a claim type", claims.Rules{Claims: []claims.Rule{{Type: "rolle", Constant: "x"}}}},
		{"type without a name", "claims[0].type", "no name behind a last slash", claims.Rules{Claims: []claims.Rule{{Type: "http://x/y/", Constant: "x"}}}},
		{"type without a namespace", "claims[0].type", "no name behind a last slash", claims.Rules{Claims: []claims.Rule{{Type: "http://x", Constant: "x"}}}},
		{"blank in the type", "claims[0].type", "is not a claim type", claims.Rules{Claims: []claims.Rule{{Type: "urn:a b/c", Constant: "x"}}}},
		{"type without a slash", "claims[0].type", "no name behind a last slash", claims.Rules{Claims: []claims.Rule{{Type: "urn:oid:2.5.4.42", Constant: "x"}}}},
		{"plain name for SAML 1.1", "claims[0].name_format", "token_type: saml20", claims.Rules{Claims: []claims.Rule{{Type: "title", NameFormat: "basic", Constant: "x"}}}},
		{"plain name without a format", "claims[0].type", "is not a claim type", claims.Rules{SAML20: true, Claims: []claims.Rule{{Type: "title", Constant: "x"}}}},
		{"name format", "claims[0].name_format", "write basic, unspecified", claims.Rules{SAML20: true, Claims: []claims.Rule{{Type: "title", NameFormat: "uri", Constant: "x"}}}},
		{"blank in a plain name", "claims[0].type", "without blanks", claims.Rules{SAML20: true, Claims: []claims.Rule{{Type: "job title", NameFormat: "basic", Constant: "x"}}}},
		{"I06 constant plain name", "claims[0].type", "names the person", claims.Rules{SAML20: true, Claims: []claims.Rule{{Type: "Mail", NameFormat: "basic", Constant: "x"}}}},
		{"I06 constant uid", "claims[0].type", "names the person", claims.Rules{SAML20: true, Claims: []claims.Rule{{Type: "urn:oid:0.9.2342.19200300.100.1.1", Constant: "x"}}}},
		{"name by what people write", "name_id.attribute", "write of their own account", claims.Rules{NameID: claims.NameID{Attribute: "mobile"}}},
		{"name that many have", "name_id.attribute", "same for several people", claims.Rules{NameID: claims.NameID{Attribute: "displayName"}}},
		{"name that is one person's in a container", "name_id.attribute", "same for several people", claims.Rules{NameID: claims.NameID{Attribute: "cn"}}},
		{"name by an unknown attribute", "name_id.attribute", "is not an attribute", claims.Rules{NameID: claims.NameID{Attribute: "employeID"}}},
		{"name by a secret", "name_id.attribute", "secret", claims.Rules{NameID: claims.NameID{Attribute: "unicodePwd"}}},
		{"name by a secret that is listed", "name_id.attribute", "secret", claims.Rules{NameID: claims.NameID{Attribute: "unicodePwd"}, Attributes: []string{"unicodePwd"}}},
		{"case of a name", "name_id.case", "write lower, upper", claims.Rules{NameID: claims.NameID{Attribute: "mail", Case: "Lower"}}},
		{"case without a name", "name_id.attribute", "is missing", claims.Rules{NameID: claims.NameID{Case: "lower"}}},
		{"no source", "claims[0]", "exactly one source", claims.Rules{Claims: []claims.Rule{{Type: "role"}}}},
		{"two sources", "claims[0]", "exactly one source", claims.Rules{Claims: []claims.Rule{{Type: "role", Constant: "x", Attribute: "mail"}}}},
		{"I06 constant name", "claims[0].type", "names the person", claims.Rules{Claims: []claims.Rule{{Type: "upn", Constant: "admin@contoso.test"}}}},
		{"I06 constant name, other case", "claims[0].type", "names the person", claims.Rules{Claims: []claims.Rule{{Type: "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/UPN", Constant: "admin@contoso.test"}}}},
		{"I06 name by group", "claims[0].type", "names the person", claims.Rules{Claims: []claims.Rule{{Type: "emailaddress", Groups: []claims.GroupValue{{Group: `A\b`, Value: "x@y"}}}}}},
		{"name identifier", "claims[0].type", "subject of the token", claims.Rules{Claims: []claims.Rule{{Type: "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier", Attribute: "mail"}}}},
		{"ImmutableID", "claims[0].type", "belongs to Microsoft 365", claims.Rules{Claims: []claims.Rule{{Type: claims.TypeImmutableID, Attribute: "mail"}}}},
		{"unknown attribute", "claims[0].attribute", "is not an attribute", claims.Rules{Claims: []claims.Rule{{Type: "role", Attribute: "nosuch"}}}},
		{"password attribute", "claims[0].attribute", "secret", claims.Rules{Claims: []claims.Rule{{Type: "role", Attribute: "unicodePwd"}}}},
		{"LAPS", "claims[0].when.attribute", "secret", claims.Rules{Claims: []claims.Rule{{Type: "role", Constant: "1", When: claims.When{Attribute: "msLAPS-Password", Equals: []string{"x"}}}}}},
		{"memberOf", "claims[0].attribute", "all_groups", claims.Rules{Claims: []claims.Rule{{Type: "role", Attribute: "memberOf"}}}},
		{"attribute option", "claims[0].attribute", "is not an attribute", claims.Rules{Claims: []claims.Rule{{Type: "role", Attribute: "mail;range=0-1"}}}},
		{"all attributes", "claims[0].attribute", "is not an attribute", claims.Rules{Claims: []claims.Rule{{Type: "role", Attribute: "*"}}}},
		{"case", "claims[0].case", "write lower, upper", claims.Rules{Claims: []claims.Rule{{Type: "role", Attribute: "mail", Case: "Lower"}}}},
		{"case of a constant", "claims[0].case", "beside constant", claims.Rules{Claims: []claims.Rule{{Type: "role", Constant: "X", Case: "lower"}}}},
		{"all groups as", "claims[0].all_groups", "qualified_name", claims.Rules{Claims: []claims.Rule{{Type: "role", AllGroups: "names"}}}},
		{"match alone", "claims[0].match", "all_groups", claims.Rules{Claims: []claims.Rule{{Type: "role", Attribute: "mail", Match: []string{"a*"}}}}},
		{"match all", "claims[0].match[1]", "no pattern", claims.Rules{Claims: []claims.Rule{{Type: "role", AllGroups: "name", Match: []string{"a*", "**"}}}}},
		{"group without a domain", "claims[0].groups[0].group", "is not a group", claims.Rules{Claims: []claims.Rule{{Type: "role", Groups: []claims.GroupValue{{Group: "Editors"}}}}}},
		{"SID without a value", "claims[0].groups[0]", "without a value", claims.Rules{Claims: []claims.Rule{{Type: "role", Groups: []claims.GroupValue{{Group: sidStaff}}}}}},
		{"half a SID", "access.deny_groups[0]", "is not a SID", claims.Rules{DenyGroups: []string{"S-1-5"}}},
		{"SID with a leading zero", "access.deny_groups[0]", "is not a SID", claims.Rules{DenyGroups: []string{"S-1-5-21-01-2-3-513"}}},
		{"SID in small letters", "access.allow_groups[1]", "is not a SID", claims.Rules{AllowGroups: []string{sidStaff, "s-1-5-21-1-2-3-513"}}},
		{"wildcard group", "access.deny_groups[0]", "is not a group", claims.Rules{DenyGroups: []string{`CONTOSO\*`}}},
		{"DN", "access.deny_groups[0]", "is not a group", claims.Rules{DenyGroups: []string{"CN=Staff,DC=contoso,DC=test"}}},
		{"attribute without values", "claims[0].when.attribute", "equals", claims.Rules{Claims: []claims.Rule{{Type: "role", Constant: "1", When: claims.When{Attribute: "department"}}}}},
		{"values without attribute", "claims[0].when.equals", "attribute", claims.Rules{Claims: []claims.Rule{{Type: "role", Constant: "1", When: claims.When{Equals: []string{"x"}}}}}},
		{"network", "claims[0].when.network", "inside", claims.Rules{Claims: []claims.Rule{{Type: "role", Constant: "1", When: claims.When{Network: "internal"}}}}},
		{"cap", "max_groups", "1015", claims.Rules{MaxGroups: 1016}},
		{"control character", "claims[0].constant", "control", claims.Rules{Claims: []claims.Rule{{Type: "role", Constant: "a\nb"}}}},
	} {
		list := c.rules.Check()
		if len(list) != 1 || list[0].Field != c.field || !strings.Contains(list[0].Message, c.want) {
			t.Errorf("%s: %v, want %s: %q", c.name, list, c.field, c.want)
		}
		if _, err := claims.New(claims.Config{Issuer: "urn:x", Rules: map[string]claims.Rules{"p": c.rules}}); err == nil {
			t.Errorf("%s: an engine takes it", c.name)
		}
	}
	named := claims.Config{Issuer: "urn:x", Rules: map[string]claims.Rules{"p": {DenyGroups: []string{`CONTOSO\Guests`}}}}
	if _, err := claims.New(named); err == nil {
		t.Error("an engine takes names of groups that nobody can look up")
	}
}

func TestI05_RulesCannotClaimHowSomebodySignedIn(t *testing.T) {
	for _, uri := range []string{
		claims.TypeMethods, strings.ToUpper(claims.TypeMethods), claims.TypeInside, claims.TypePersistent, claims.TypeExpiryTime, claims.TypeChangeURL,
		"http://schemas.microsoft.com/claims/multipleauthn", "http://schemas.microsoft.com/claims/MultipleAuthn",
		"http://schemas.microsoft.com/ws/2008/06/identity/claims/authenticationmethod",
		"http://schemas.microsoft.com/ws/2008/06/identity/claims/authenticationinstant", "http://schemas.contoso.test/authnmethodsreferences",
		"urn:x:multipleauthn", "multipleauthn",
	} {
		for _, format := range []string{"", "basic"} {
			r := claims.Rules{SAML20: true, Claims: []claims.Rule{{Type: uri, NameFormat: format, Constant: "http://schemas.microsoft.com/claims/multipleauthn"}}}
			if list := r.Check(); len(list) == 0 || !strings.Contains(list[0].Message, "how or where the person signed in") && uri != "multipleauthn" {
				t.Errorf("%s: %v", uri, list)
			}
		}
	}
}

func TestAttributesOfASchemaExtensionMustBeListed(t *testing.T) {
	rules := claims.Rules{Claims: []claims.Rule{{Type: "urn:x/cost", Attribute: "CONTOSO-costcentre"}}}
	if list := rules.Check(); len(list) != 1 || list[0].Field != "claims[0].attribute" {
		t.Errorf("not listed: %v", list)
	}
	rules.Attributes = []string{"contoso-CostCentre"}
	if list := rules.Check(); len(list) != 0 {
		t.Fatalf("listed: %v", list)
	}
	if names, _ := rules.Needs(); !slices.Equal(names, []string{"contoso-CostCentre"}) {
		t.Errorf("reads %q", names)
	}
	sub := member()
	sub.Account.Attributes["contoso-costcentre"] = []string{"4711"}
	if a, err := withRules(t, rules, nil).For(t.Context(), intranet(), sub); err != nil || attributesOf(a) != "urn:x|cost=4711\n" {
		t.Errorf("%v %v", attributesOf(a), err)
	}
	for _, name := range []string{"", "*", "a b", "a;binary", "1a", "a=b", "unicodePwd", "ms-Mcs-AdmPwd", "msLAPS-Password", "contosoPasswordHint", "memberOf",
		"tokenGroups", "tokenGroupsGlobalAndUniversal", "msds-tokenGroupNames", "nTSecurityDescriptor", "mail", strings.Repeat("a", 129)} {
		if claims.ExtraAttribute(name) == "" {
			t.Errorf("%q may be listed", name)
		}
		listed := claims.Rules{Attributes: []string{name}, Claims: []claims.Rule{{Type: "urn:x/y", Attribute: name}}}
		if name != "mail" && len(listed.Check()) == 0 {
			t.Errorf("%q may be read once it is listed", name)
		}
	}
}

func TestNoAttributeThatRulesMayNameHoldsASecret(t *testing.T) {
	names := claims.AttributeNames()
	if len(names) < 60 {
		t.Fatalf("only %d attributes", len(names))
	}
	for _, n := range names {
		l := strings.ToLower(n)
		for _, part := range []string{"pwd", "pass", "secret", "credential", "laps", "hash", "key", "unicode", "descriptor", "photo", "certificate"} {
			if strings.Contains(l, part) {
				t.Errorf("%s may be named", n)
			}
		}
	}
}

// pick returns one of the values.
func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// anyRules makes rules at random, good ones and bad ones.
func anyRules(r *rand.Rand) claims.Rules {
	groups := func() (list []string) {
		for range r.IntN(3) {
			list = append(list, pick(r, sidStaff, sidOwners, sidGuests, `CONTOSO\Staff`, `contoso\guests`, `CONTOSO\Gone`, sidForest))
		}
		return list
	}
	var rules claims.Rules
	for range r.IntN(6) {
		c := claims.Rule{Type: pick(r, "upn", "name", "emailaddress", "role", "group", "urn:x/y", "primarysid", claims.TypeUPN365, claims.TypeMethods), Case: pick(r, "", "", "lower", "upper")}
		switch r.IntN(4) {
		case 0:
			c.Attribute = pick(r, "mail", "userPrincipalName", "displayName", "objectGUID", "department", "distinguishedName", "proxyAddresses", "unicodePwd")
		case 1:
			c.Constant, c.Case = "constant", ""
		case 2:
			for _, g := range groups() {
				c.Groups = append(c.Groups, claims.GroupValue{Group: g, Value: "value of " + g})
			}
		default:
			c.AllGroups = pick(r, "name", "qualified_name", "sid")
			if r.IntN(2) == 0 {
				c.Match = []string{pick(r, "App-*", "*a*", `CONTOSO\*`)}
			}
		}
		if r.IntN(3) == 0 {
			c.When = claims.When{MemberOf: groups(), NotMemberOf: groups(), Network: pick(r, "", "inside", "outside")}
		}
		rules.Claims = append(rules.Claims, c)
	}
	rules.AllowGroups, rules.DenyGroups, rules.MaxGroups = groups(), groups(), pick(r, 0, 1, 3)
	return rules
}

// somebody is one of many people, whose values all bear the same number.
func somebody(r *rand.Rand) (*federation.Subject, string) {
	n := fmt.Sprintf("n%04d", r.IntN(10000))
	sub := alice(func(s *federation.Subject) {
		a := s.Account
		a.ID = authn.GUID{byte(r.IntN(256)), byte(r.IntN(256)), 1}
		a.SID, a.UPN, a.SAMAccountName, a.DisplayName, a.DN = "S-1-5-21-1-2-3-9"+n[1:], n+"@contoso.test", n, "Display "+n, "CN="+n
		a.Attributes = map[string][]string{"mail": {n + "@mail.test"}, "department": {n}, "proxyaddresses": {"a" + n, "b" + n}}
		a.GroupsRead = true
		for _, g := range []string{sidStaff, sidOwners, sidAppOne, sidAppTwo, sidGuests, sidEscape, sidForest} {
			if r.IntN(2) == 0 {
				a.Groups = append(a.Groups, g)
			}
		}
		s.InsideNetwork = r.IntN(2) == 0
	})
	return sub, n
}

// TestI06_WhateverRulesSay is the property that matters: no claim of another
// account, no group that the person is not in, deny wins, and no more groups than
// allowed.
func TestI06_WhateverRulesSay(t *testing.T) {
	const seed = 20261201
	r := rand.New(rand.NewPCG(seed, 1))
	ad := contosoGroups()
	tokens, refusals := 0, 0
	for range 20000 {
		rules := anyRules(r)
		if len(rules.Check()) > 0 {
			continue
		}
		sub, n := somebody(r)
		a, err := withRules(t, rules, ad).For(t.Context(), intranet(), sub)
		in := func(g string) bool {
			for name, sid := range ad.sids {
				if strings.EqualFold(name, g) {
					g = sid
				}
			}
			return slices.Contains(sub.Account.Groups, g)
		}
		denied := slices.ContainsFunc(rules.DenyGroups, in) || slices.Contains(rules.DenyGroups, `CONTOSO\Gone`)
		outside := len(rules.AllowGroups) > 0 && !slices.ContainsFunc(rules.AllowGroups, in)
		if err != nil {
			refusals++
			if a != nil {
				t.Fatal("a token and an error")
			}
			continue
		}
		tokens++
		if denied || outside {
			t.Fatalf("a token for one who is denied (%v) or not allowed (%v): %+v", denied, outside, rules)
		}
		if a.NameID != sub.Account.UPN {
			t.Fatalf("name identifier %q", a.NameID)
		}
		seen := map[string]bool{}
		limit := rules.MaxGroups
		if limit == 0 {
			limit = claims.DefaultMaxGroups
		}
		for _, at := range a.Attributes {
			key, fromGroups := at.Namespace+"/"+at.Name, 0
			if seen[key] || len(at.Values) == 0 {
				t.Fatalf("%s twice or empty", key)
			}
			seen[key] = true
			for _, v := range at.Values {
				if group, ok := strings.CutPrefix(strings.ToLower(v), "value of "); ok {
					fromGroups++
					if !in(strings.ToUpper(group)) && !in(group) {
						t.Fatalf("%q for one who is not in it", v)
					}
					continue
				}
				if ofGroup(ad, v, sub.Account.Groups) {
					fromGroups++
					continue
				}
				if v != "constant" && !strings.Contains(strings.ToLower(v), n) && !strings.Contains(v, n[1:]) && !guidOf(sub, v) {
					t.Fatalf("%s says %q of %s: %+v", key, v, n, rules)
				}
				if v == "constant" && (at.Name == "upn" || at.Name == "name" || at.Name == "emailaddress" || at.Name == "primarysid" || at.Name == "UPN") {
					t.Fatalf("%s is constant", key)
				}
			}
			if fromGroups > limit {
				t.Fatalf("%s names %d groups, at most %d", key, fromGroups, limit)
			}
		}
	}
	if tokens < 1000 || refusals < 1000 {
		t.Errorf("%d tokens and %d refusals judge little", tokens, refusals)
	}
}

// ofGroup reports whether v names one of the groups, in any of the three forms
// and any case.
func ofGroup(ad *groupsAD, v string, mine []string) bool {
	for _, sid := range mine {
		if strings.EqualFold(v, sid) {
			return true
		}
		for name, s := range ad.sids {
			_, short, _ := strings.Cut(name, `\`)
			if s == sid && (strings.EqualFold(v, name) || strings.EqualFold(v, short)) {
				return true
			}
		}
	}
	return false
}

// guidOf reports whether v is the base64 of the person's GUID, in any case.
func guidOf(sub *federation.Subject, v string) bool {
	return strings.EqualFold(v, base64.StdEncoding.EncodeToString(sub.Account.ID[:]))
}

// FuzzRule holds the parser to its promises: a rule that is accepted can run, its
// claim can be written, and it names no secret and no method.
func FuzzRule(f *testing.F) {
	f.Add("role", "mail", "", "", "", "", "", "lower", "", "")
	f.Add("urn:x/y", "", "42", "", "", "", "", "", `CONTOSO\Staff`, "inside")
	f.Add("role", "", "", `CONTOSO\Site Owners`, "owners", "", "", "upper", sidStaff, "")
	f.Add("http://a/b", "", "", sidOwners, "x", "", "", "", "", "outside")
	f.Add("group", "", "", "", "", "name", "App-*", "", "", "")
	f.Add("upn", "unicodePwd", "", "", "", "", "", "", "", "")
	f.Add("http://schemas.microsoft.com/claims/multipleauthn", "", "1", "", "", "", "", "", "", "")
	f.Add("a:/b", "", "\xff", `a\b\c`, "", "sid", "***", "", `\`, "")
	f.Fuzz(func(t *testing.T, typ, attribute, constant, group, value, all, match, letters, memberOf, network string) {
		c := claims.Rule{Type: typ, Attribute: attribute, Constant: constant, AllGroups: all, Case: letters, When: claims.When{Network: network}}
		if group != "" {
			c.Groups = []claims.GroupValue{{Group: group, Value: value}}
		}
		if match != "" {
			c.Match = []string{match}
		}
		if memberOf != "" {
			c.When.MemberOf = []string{memberOf}
		}
		rules := claims.Rules{Claims: []claims.Rule{c}}
		if list := rules.Check(); len(list) > 0 {
			for _, fault := range list {
				if fault.Field == "" || fault.Message == "" {
					t.Errorf("fault without place or message: %+v", fault)
				}
			}
			return
		}
		for _, part := range []string{"pwd", "passw", "credential"} {
			if strings.Contains(strings.ToLower(attribute), part) {
				t.Errorf("attribute %q was accepted", attribute)
			}
		}
		if strings.Contains(strings.ToLower(typ), "multipleauthn") && strings.HasSuffix(strings.ToLower(typ), "/multipleauthn") {
			t.Errorf("type %q was accepted", typ)
		}
		a, err := withRules(t, rules, nil).For(t.Context(), intranet(), member(sidStaff, sidOwners, sidAppOne))
		if err != nil {
			return // too many, or a character that a token cannot carry
		}
		for _, at := range a.Attributes {
			if at.Name == "" || at.Namespace == "" || strings.Contains(at.Name, "/") || len(at.Values) == 0 {
				t.Errorf("claim %+v cannot be written", at)
			}
		}
	})
}
