package saml_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sallyport/authn"
	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/saml"
)

// nameID signs in to the party p and returns the identifier.
func nameID(t *testing.T, entity, format string, edit func(*rig)) string {
	t.Helper()
	g := newRig(t, func(p []*saml.Party) { p[1].WantSigned = false })
	if edit != nil {
		edit(g)
	}
	if err := g.get(redirect(requestOf(entity, "", `<samlp:NameIDPolicy Format="`+format+`"/>`))); err != nil {
		t.Fatal(err)
	}
	e := g.answer().FindElement("./Assertion/Subject/NameID")
	if e == nil {
		return ""
	}
	if e.SelectAttrValue("Format", "") != format {
		t.Errorf("the format is %s instead of %s", e.SelectAttrValue("Format", ""), format)
	}
	return e.Text()
}

func TestNameIdentifiers(t *testing.T) {
	if got := nameID(t, wiki, saml.FormatEmail, nil); got != "alice.green@contoso.test" {
		t.Errorf("email %q", got)
	}
	if got := nameID(t, wiki, saml.FormatEmail, func(g *rig) { g.account.Attributes = nil }); got != "alice@contoso.test" {
		t.Errorf("email without mail %q", got)
	}
	if got := nameID(t, wiki, saml.FormatWindows, nil); got != `CONTOSO\alice` {
		t.Errorf("windows %q", got)
	}
	one := nameID(t, wiki, saml.FormatPersistent, nil)
	if again := nameID(t, wiki, saml.FormatPersistent, nil); one == "" || one != again {
		t.Errorf("persistent differs: %q %q", one, again)
	}
	if other := nameID(t, signer, saml.FormatPersistent, nil); other == one {
		t.Error("two parties get the same persistent identifier")
	}
	if other := nameID(t, wiki, saml.FormatPersistent, func(g *rig) { g.account.ID = authn.GUID{9} }); other == one {
		t.Error("two people get the same persistent identifier")
	}
	renamed := nameID(t, wiki, saml.FormatPersistent, func(g *rig) { g.account.UPN, g.account.SAMAccountName = "alice.green@contoso.test", "agreen" })
	if renamed != one {
		t.Error("a new name makes a new persistent identifier")
	}
	if other := nameID(t, wiki, saml.FormatPersistent, func(g *rig) {
		g.responder.Identifiers, _ = saml.NewIdentifiers([]byte("another secret of 32 bytes......"))
	}); other == one {
		t.Error("the secret does not count")
	}
	transient := nameID(t, wiki, saml.FormatTransient, nil)
	if other := nameID(t, signer, saml.FormatTransient, nil); other == transient || strings.Contains(transient, "0123456789abcdef") {
		t.Errorf("transient %q at two parties", transient)
	}
}

// An attribute that the settings chose names people in each format that holds it.
func TestNameOfTheSettingsInEachFormat(t *testing.T) {
	for format, want := range map[string]string{
		saml.FormatUnspecified: "4711@hr.test", saml.FormatEmail: "4711@hr.test", saml.FormatPersistent: "4711@hr.test", saml.FormatWindows: `CONTOSO\alice`,
	} {
		if got := nameID(t, wiki, format, func(g *rig) { ownName(g, "4711@hr.test") }); got != want {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
	if got := nameID(t, wiki, saml.FormatTransient, func(g *rig) { ownName(g, "4711@hr.test") }); strings.Contains(got, "4711") {
		t.Errorf("transient: %q", got)
	}
	for format, name := range map[string]string{saml.FormatEmail: "4711", saml.FormatPersistent: strings.Repeat("x", 257)} {
		g := newRig(t)
		ownName(g, name)
		if err := g.get(redirect(request("", `<samlp:NameIDPolicy Format="`+format+`"/>`))); err != nil {
			t.Fatal(err)
		}
		if top, second := g.status(); top != "Requester" || second != "InvalidNameIDPolicy" {
			t.Errorf("%.10q as %s: %s %s", name, format, top, second)
		}
	}
	// The party signs the person out by that name.
	g := newRig(t, withLogout(""))
	ownName(g, "4711@hr.test")
	if _, err := g.getTo(signedQuery(t, keyOf(t, "party", 2048), logoutRequest(nameElement("4711@hr.test", `Format="`+saml.FormatPersistent+`"`), ""), "")); err != nil || g.account != nil {
		t.Errorf("signed out by its own name: %v, the session lives: %v", err, g.account != nil)
	}
}

// ownName lets the rules of all parties take the name from employeeID, and gives the
// person one.
func ownName(g *rig, value string) {
	rules := map[string]claims.Rules{}
	for _, p := range g.registry.All() {
		p.OwnNames, rules[p.Key] = true, claims.Rules{NameID: claims.NameID{Attribute: "employeeID"}}
	}
	engine, err := claims.New(claims.Config{Issuer: issuer, Now: g.clock, Rules: rules})
	if err != nil {
		g.t.Fatal(err)
	}
	g.responder.Claims = func() saml.Claims { return engine }
	g.account.Attributes["employeeid"] = []string{value}
}

func TestPersistentIdentifiersNeedASecret(t *testing.T) {
	g := newRig(t)
	g.responder.Identifiers = saml.Identifiers{}
	if err := g.get(redirect(request("", `<samlp:NameIDPolicy Format="`+saml.FormatPersistent+`"/>`))); err != nil {
		t.Fatal(err)
	}
	if top, second := g.status(); top != "Requester" || second != "InvalidNameIDPolicy" || g.tokens() != 0 {
		t.Errorf("%s %s", top, second)
	}
}

func TestI01_ValuesThatDifferFromTheirCanonicalFormStaySigned(t *testing.T) {
	for _, sign := range []saml.Sign{saml.SignBoth, saml.SignResponse} {
		g := newRig(t, func(p []*saml.Party) { p[0].Sign, p[2].Sign = sign, sign })
		g.account.NetBIOS = "CON\nTOSO<>&\"'>" // a line feed in text is written as a reference
		if err := g.get(redirect(request("", ""))); err != nil {
			t.Fatal(err)
		}
		doc := message(t, g.answers[0])
		if !strings.Contains(doc, "&#xA;") {
			t.Error("the value with a line feed is not in the answer")
		}
		xmlsec1(t, g, doc, "Response")
		// Microsoft 365's set has a typed value, whose prefix is declared outside of
		// the canonical form.
		if err := g.get(redirect(requestOf(federation.MicrosoftOnline, "", ""))); err != nil {
			t.Fatal(err)
		}
		doc = message(t, g.answers[1])
		if !strings.Contains(doc, "xmlns:tn=") {
			t.Error("no typed value in the answer")
		}
		xmlsec1(t, g, doc, "Response")
	}
}

func TestSignInsThatBeginHere(t *testing.T) {
	for query, want := range map[string]string{
		"loginToRp=" + "https%3A%2F%2Fwiki.fabrikam.test%2Fsp":                                                                 "",
		"logintorp=" + "https%3A%2F%2Fwiki.fabrikam.test%2Fsp&RelayState=a%26b":                                                "a&b",
		"RelayState=RPID%3Dhttps%253A%252F%252Fwiki.fabrikam.test%252Fsp%26RelayState%3Dhttps%253A%252F%252Fx.test%252F%253Fq": "https://x.test/?q",
		"RelayState=RPID%3Dhttps%3A%2F%2Fwiki.fabrikam.test%2Fsp%26RelayState%3Dx":                                             "x",
	} {
		g := newRig(t, func(p []*saml.Party) { p[0].Unsolicited = true })
		if err := g.initiate(query); err != nil || g.tokens() != 1 {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if state, _ := relayState(g.answers[0]); state != want {
			t.Errorf("%s: RelayState %q", query, state)
		}
		if root := g.answer(); root.SelectAttr("InResponseTo") != nil || strings.Contains(message(t, g.answers[0]), "InResponseTo") {
			t.Error("the answer names a request")
		}
	}
	// Old bookmarks, and people who look whether the service works.
	g := newRig(t, func(p []*saml.Party) { p[0].Unsolicited = true })
	if w := g.begin("/adfs/ls/IdpInitiatedSignOn.htm", "LoginToRP=https%3A%2F%2Fwiki.fabrikam.test%2Fsp"); w.Code != http.StatusOK || g.tokens() != 1 {
		t.Errorf("AD FS's older address: %d", w.Code)
	}
	if w := g.begin("/adfs/ls/idpinitiatedsignon.aspx", ""); w.Code != http.StatusSeeOther || w.Header().Get("Location") != address {
		t.Errorf("without a party: %d to %q", w.Code, w.Header().Get("Location"))
	}
	// A request that comes to that address is a request.
	p := keyOf(t, "party", 2048)
	at := `Destination="https://sts.contoso.test/adfs/ls/IdpInitiatedSignOn.aspx?logintoRP=sp.fabrikam.test"`
	for name, send := range map[string]func(*rig){
		"redirect": func(g *rig) {
			g.begin("/adfs/ls/idpinitiatedsignon.aspx", "logintoRP=sp.fabrikam.test&"+signedQuery(t, p, requestOf(signer, at, ""), "a b"))
		},
		"post": func(g *rig) {
			g.form("/adfs/ls/idpinitiatedsignon.aspx?logintoRP=sp.fabrikam.test", url.Values{"SAMLRequest": posted(signedXML(t, p, requestOf(signer, at, "")))["SAMLRequest"], "RelayState": {"a b"}})
		},
	} {
		g := newRig(t)
		if send(g); g.tokens() != 1 || g.answer().SelectAttrValue("InResponseTo", "") == "" {
			t.Errorf("a request by %s: %d tokens", name, g.tokens())
		} else if state, _ := relayState(g.answers[0]); state != "a b" {
			t.Errorf("by %s: RelayState %q", name, state)
		}
	}
	for _, bad := range []string{"https://sts.contoso.test/adfs/ls/IdpInitiatedSignOn.aspx#x?y", "https://evil.test/adfs/ls/idpinitiatedsignon.aspx?x", "https://sts.contoso.test/adfs/ls/?x", "https://sts.contoso.test/adfs/ls/other.aspx?x"} {
		g := newRig(t)
		if err := g.get(signedQuery(t, p, requestOf(signer, `Destination="`+bad+`"`, ""), "")); !local(err, federation.ProblemBadRequest) {
			t.Errorf("for %s: %v", bad, err)
		}
	}
	for _, query := range []string{"x=y", "loginToRp=urn:other", "loginToRp=urn%3Afederation%3AMicrosoftOnline", "loginToRp=a&loginToRp=b", "RelayState=x",
		"loginToRp=https%3A%2F%2Fsp.fabrikam.test"} {
		g := newRig(t, func(p []*saml.Party) { p[0].Unsolicited = true })
		if err := g.initiate(query); err == nil {
			t.Errorf("%q accepted", query)
		}
		g.nothing(t)
	}
}
