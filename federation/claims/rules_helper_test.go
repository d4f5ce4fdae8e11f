package claims_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/token"
)

// groupsAD is a directory of groups by NETBIOS\name. It counts questions.
type groupsAD struct {
	sids  map[string]string
	asked atomic.Int32
	err   error
}

var errDown = errors.New("no domain controller answers")

func (g *groupsAD) GroupSID(_ context.Context, name string) (string, error) {
	g.asked.Add(1)
	for n, sid := range g.sids {
		if strings.EqualFold(n, name) {
			return sid, g.err
		}
	}
	return "", g.err
}

func (g *groupsAD) GroupNames(_ context.Context, _ string, sids []string) (map[string]string, error) {
	g.asked.Add(1)
	names := map[string]string{}
	for n, sid := range g.sids {
		for _, s := range sids {
			if s == sid {
				names[s] = n
			}
		}
	}
	if g.err != nil {
		return nil, g.err
	}
	return names, nil
}

const (
	sidStaff  = "S-1-5-21-1-2-3-513"
	sidOwners = "S-1-5-21-1-2-3-1105"
	sidAppOne = "S-1-5-21-1-2-3-1106"
	sidAppTwo = "S-1-5-21-1-2-3-1107"
	sidGuests = "S-1-5-21-1-2-3-1108"
	sidEscape = "S-1-5-21-1-2-3-1109"
	sidForest = "S-1-5-21-7-7-7-1234" // of a domain that is not configured
)

func contosoGroups() *groupsAD {
	return &groupsAD{sids: map[string]string{
		`CONTOSO\Staff`: sidStaff, `CONTOSO\Site Owners`: sidOwners, `CONTOSO\App-One`: sidAppOne, `CONTOSO\app-two`: sidAppTwo,
		`CONTOSO\Guests`: sidGuests, `CONTOSO\Zugriff (a) + b, c`: sidEscape,
	}}
}

// member is alice with these groups and some attributes.
func member(groups ...string) *federation.Subject {
	return alice(func(s *federation.Subject) {
		s.Account.Groups, s.Account.GroupsRead = groups, true
		s.Account.Attributes = map[string][]string{"mail": {"Alice.Archer@contoso.test"}, "department": {"Sales"}, "proxyaddresses": {"smtp:b", "SMTP:A", "smtp:b"}}
	})
}

// intranet is a request of the party that has the rules under test.
func intranet() *federation.SignInRequest {
	req := owa()
	req.Party.Key = "intranet"
	return req
}

// withRules is an engine in which the party intranet has rules.
func withRules(t testing.TB, r claims.Rules, ad *groupsAD) *claims.Engine {
	t.Helper()
	if ad == nil {
		ad = contosoGroups()
	}
	return engine(t, func(c *claims.Config) {
		c.Rules, c.Groups = map[string]claims.Rules{"intranet": r}, claims.NewGroupIndex(ad, nil, nil)
	})
}

// attributesOf writes the claims of an assertion one a line.
func attributesOf(a *token.Assertion) string {
	if a == nil {
		return "none"
	}
	var b strings.Builder
	for _, at := range a.Attributes {
		fmt.Fprintf(&b, "%s|%s=%s\n", at.Namespace, at.Name, strings.Join(at.Values, ";"))
	}
	return b.String()
}

// why returns what the explanation says of the rule whose words begin so.
func why(steps []claims.Step, rule string) string {
	for _, s := range steps {
		if strings.HasPrefix(s.Rule, rule) {
			return fmt.Sprintf("%v %s", s.Fired, s.Why)
		}
	}
	return "no step " + rule
}
