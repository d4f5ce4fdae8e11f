package saml_test

import (
	"testing"

	"sallyport/authn"
	"sallyport/federation"
	"sallyport/federation/saml"
)

// The request comes back from the sign-in page, and the registry may have changed
// meanwhile: what is registered then decides.
func TestS06_TheRegistryDecidesAgainWhenTheAnswerIsMade(t *testing.T) {
	for name, change := range map[string]func([]*saml.Party) []*saml.Party{
		"party gone":   func(p []*saml.Party) []*saml.Party { return p[1:] },
		"address gone": func(p []*saml.Party) []*saml.Party { p[0].Consumers = p[0].Consumers[:1]; return p },
		"entity gone":  func(p []*saml.Party) []*saml.Party { p[0].Identifiers = []string{"urn:other"}; return p },
	} {
		g := newRig(t)
		g.account = nil // the page is shown
		if err := g.get(redirect(request("", ""))); err != nil || len(g.begun) != 1 {
			t.Fatal(err)
		}
		registry, err := saml.NewRegistry(change(parties(t))...)
		if err != nil {
			t.Fatal(err)
		}
		g.registry = registry
		if err := g.respond(g.begun[0], alice(), authn.MethodPassword, noon); !local(err, federation.ProblemUnknownParty) || g.tokens() != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A request that was found good is not answered for ever.
func TestS05_AnAnswerHasItsTime(t *testing.T) {
	g := newRig(t)
	g.account = nil
	if err := g.get(redirect(request("", ""))); err != nil {
		t.Fatal(err)
	}
	g.now = g.now.Add(2*60*60*1e9 + 1e9)
	if err := g.respond(g.begun[0], alice(), authn.MethodPassword, g.now); !local(err, federation.ProblemStale) || g.tokens() != 0 {
		t.Errorf("%v", err)
	}
}
