package saml_test

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"crypto/x509"

	"sallyport/federation"
	"sallyport/federation/saml"
)

// checkAnswers holds whatever left against what may leave at all.
func checkAnswers(t *testing.T, g *rig) {
	allowed := map[string]bool{}
	for _, p := range g.registry.All() {
		for _, u := range p.ReplyURLs {
			allowed[u] = true
		}
	}
	for _, a := range slices.Concat(g.answers, g.handed) {
		if a.Action == address { // the message on its way round
			continue
		}
		if !allowed[a.Action] {
			t.Fatalf("an answer goes to %q", a.Action)
		}
		root := tree(t, message(t, a))
		id := root.SelectAttrValue("InResponseTo", "")
		if id == "" || strings.ContainsAny(id, " <>&\"") {
			t.Fatalf("InResponseTo is %q", id)
		}
		if n := len(root.FindElements("//Assertion")); n > 1 || (a.Refusal == nil) != (n == 1) {
			t.Fatalf("%d assertions, refusal %v", n, a.Refusal)
		}
		if a.Refusal == nil && root.FindElement("./Assertion/Conditions/AudienceRestriction/Audience").Text() == signer {
			t.Fatal("a token for the party that signs, without its key")
		}
	}
}

// Whatever the message: no panic, answers only to registered addresses, one
// assertion at most, and none for the party whose key the fuzzer does not have.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		request("", ""), requestOf(signer, acsAttr, ""), requestOf(federation.MicrosoftOnline, "", ""),
		request(`ForceAuthn="1" IsPassive="0" AssertionConsumerServiceIndex="3"`, `<saml:Subject><saml:NameID>alice@contoso.test</saml:NameID></saml:Subject>`+
			`<samlp:NameIDPolicy Format="x" SPNameQualifier="y" AllowCreate="true"/><saml:Conditions NotBefore="2026-12-01T09:00:00Z"><saml:AudienceRestriction><saml:Audience>a</saml:Audience></saml:AudienceRestriction></saml:Conditions>`+
			`<samlp:RequestedAuthnContext Comparison="minimum"><saml:AuthnContextClassRef>urn:x</saml:AuthnContextClassRef></samlp:RequestedAuthnContext>`+
			`<samlp:Scoping ProxyCount="1"><samlp:IDPList><samlp:IDPEntry ProviderID="p"/></samlp:IDPList><samlp:RequesterID>r</samlp:RequesterID></samlp:Scoping>`),
		signedXML(f, keyOf(f, "party", 2048), request(acsAttr, "")), "<", "",
	} {
		f.Add(seed, "state")
	}
	f.Fuzz(func(t *testing.T, doc, state string) {
		g := newRig(t)
		_ = g.get(redirect(doc) + "&RelayState=" + url.QueryEscape(state))
		form := posted(doc)
		form.Set("RelayState", state)
		_ = g.post(form)
		checkAnswers(t, g)
		for _, a := range g.answers {
			if got, ok := relayState(a); ok && got != state {
				t.Fatalf("RelayState %q came back as %q", state, got)
			}
		}
	})
}

// Whatever the query: no panic, and a query that was signed once is not taken with
// anything changed in the signed part.
func FuzzQuery(f *testing.F) {
	f.Add("SAMLRequest=" + url.QueryEscape(deflated(request("", ""))) + "&RelayState=x")
	f.Add("SAMLRequest=%GG&RelayState")
	f.Add("SAMLRequest=" + base64.StdEncoding.EncodeToString([]byte("x")) + "&SAMLRequest=&samlRequest=&SAMLEncoding=")
	f.Add(signedQuery(f, keyOf(f, "party", 2048), request(acsAttr, ""), "s"))
	f.Add("loginToRp=a&RelayState=RPID%3Da%26RelayState%3Db")
	f.Fuzz(func(t *testing.T, query string) {
		g := newRig(t)
		g.raw(query)
		checkAnswers(t, g)
	})
}

// Whatever the values: another library verifies what we signed, and reads the
// values that went in.
func FuzzResponse(f *testing.F) {
	f.Add("alice", "x", uint8(0))
	f.Add("a\nb", "]]>&<\"'\r\t\n", uint8(2))
	f.Add(" xmlns:tn=\"http://www.w3.org/2001/XMLSchema\"", "&#xA;>", uint8(2))
	f.Fuzz(func(t *testing.T, sam, display string, sign uint8) {
		g := newRig(t, func(p []*saml.Party) { p[0].Sign = saml.Sign(sign % 3) })
		g.account.SAMAccountName, g.account.NetBIOS = sam, display
		if err := g.get(redirect(request("", `<samlp:NameIDPolicy Format="`+saml.FormatWindows+`"/>`))); err != nil || g.tokens() == 0 {
			return // XML cannot carry it, or there is nothing to carry
		}
		doc := message(t, g.answers[0])
		root := tree(t, doc)
		if got := root.FindElement("./Assertion/Subject/NameID").Text(); got != display+`\`+sam {
			t.Fatalf("NameID %q instead of %q", got, display+`\`+sam)
		}
		var signed []*etree.Element
		if saml.Sign(sign%3) != saml.SignAssertion {
			signed = append(signed, root)
		}
		if saml.Sign(sign%3) != saml.SignResponse {
			signed = append(signed, root.FindElement("./Assertion"))
		}
		for _, e := range signed {
			ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{g.signer.Certificate()}})
			ctx.Clock = dsig.NewFakeClockAt(noon)
			if _, err := ctx.Validate(e.Copy()); err != nil {
				t.Fatalf("%s: %v\n%s", e.Tag, err, doc)
			}
		}
	})
}
