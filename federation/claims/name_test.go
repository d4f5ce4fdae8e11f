package claims_test

import (
	"errors"
	"strings"
	"testing"

	"sallyport/federation"
	"sallyport/federation/claims"
)

func TestNameIDIsTheAttributeOfTheRules(t *testing.T) {
	for _, c := range []struct {
		rule claims.NameID
		want string
	}{
		{claims.NameID{}, "alice@contoso.test"},
		{claims.NameID{Attribute: "samaccountname", Case: "upper"}, "ALICE"},
		{claims.NameID{Attribute: "windowsAccountName"}, `CONTOSO\alice`},
		{claims.NameID{Attribute: "mail", Case: "lower"}, "alice.archer@contoso.test"},
		{claims.NameID{Attribute: "contoso-PersonnelNumber"}, "4711"},
	} {
		e := withRules(t, claims.Rules{NameID: c.rule, Attributes: []string{"contoso-PersonnelNumber"}}, nil)
		who := member()
		who.Account.Attributes["contoso-personnelnumber"] = []string{"4711"}
		a, steps, err := e.Explain(t.Context(), intranet(), who)
		if err != nil || a.NameID != c.want {
			t.Errorf("%+v: %v, %v", c.rule, a, err)
			continue
		}
		if c.rule.Attribute != "" && !strings.HasPrefix(why(steps, "name_id from attribute"), "true") {
			t.Errorf("%+v is not explained: %+v", c.rule, steps)
		}
	}
	needs := claims.Rules{NameID: claims.NameID{Attribute: "employeeid"}}
	if attributes, _ := needs.Needs(); len(attributes) != 1 || attributes[0] != "employeeID" {
		t.Errorf("read of an account: %q", attributes)
	}
}

// Who is not named gets no token: neither an empty name, nor one of several, nor the
// user principal name instead, which may be somebody else's number.
func TestI06_WhoeverIsNotNamedGetsNoToken(t *testing.T) {
	e := withRules(t, claims.Rules{NameID: claims.NameID{Attribute: "employeeID"}}, nil)
	for name, values := range map[string][]string{"none": nil, "two": {"1", "2"}, "blank": {" "}, "empty": {""}, "a control character": {"1\x01"}} {
		who := member()
		who.Account.Attributes["employeeid"] = values
		if a, err := e.For(t.Context(), intranet(), who); !errors.Is(err, claims.ErrNoName) || federation.ProblemOf(err) != federation.ProblemNotReady {
			t.Errorf("%s: %v, %v", name, a, err)
		}
	}
	// A user principal name is needed only where it names the person.
	who := member()
	who.Account.UPN, who.Account.Attributes["employeeid"] = "", []string{"4711"}
	a, err := e.For(t.Context(), intranet(), who)
	if err != nil || a.NameID != "4711" || strings.Contains(attributesOf(a), "upn") {
		t.Errorf("without a user principal name: %v, %v", attributesOf(a), err)
	}
}
