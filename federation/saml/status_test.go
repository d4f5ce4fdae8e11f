package saml_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sallyport/federation"
	"sallyport/federation/saml"
)

func TestS11_ForceAuthnIsPassiveAndContext(t *testing.T) {
	t.Run("ForceAuthn", func(t *testing.T) {
		g := newRig(t)
		if err := g.get(redirect(request(`ForceAuthn="1"`, ""))); err != nil || !g.begun[0].ForceLogin || g.tokens() != 0 {
			t.Errorf("%v %+v", err, g.begun)
		}
	})
	t.Run("IsPassive without session", func(t *testing.T) {
		g := newRig(t)
		g.account = nil
		if err := g.get(redirect(request(`IsPassive="true"`, ""))); err != nil {
			t.Fatal(err)
		}
		if top, second := g.status(); top != "Responder" || second != "NoPassive" {
			t.Errorf("%s %s", top, second)
		}
	})
	t.Run("both", func(t *testing.T) {
		g := newRig(t)
		if err := g.get(redirect(request(`IsPassive="true" ForceAuthn="true"`, ""))); err != nil {
			t.Fatal(err)
		}
		if _, second := g.status(); second != "NoPassive" {
			t.Errorf("%s", second)
		}
	})
	for _, c := range []struct{ comparison, classes, want string }{
		{"exact", "PasswordProtectedTransport", "PasswordProtectedTransport"}, {"exact", "Password", "Password"}, {"exact", "X509", ""},
		{"exact", "X509 PasswordProtectedTransport", "PasswordProtectedTransport"}, {"exact", "unspecified", "unspecified"},
		{"minimum", "Password", "PasswordProtectedTransport"}, {"minimum", "X509", ""}, {"minimum", "X509 Password", "PasswordProtectedTransport"},
		{"maximum", "Password", "Password"}, {"maximum", "X509", "PasswordProtectedTransport"}, {"better", "Password", "PasswordProtectedTransport"},
		{"better", "PasswordProtectedTransport", ""}, {"better", "Invented", ""}, {"minimum", "Invented", ""}, {"strange", "Password", "error"},
	} {
		t.Run(c.comparison+" "+c.classes, func(t *testing.T) {
			g := newRig(t)
			body := `<samlp:RequestedAuthnContext Comparison="` + c.comparison + `">`
			for class := range strings.FieldsSeq(c.classes) {
				body += `<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:` + class + `</saml:AuthnContextClassRef>`
			}
			if err := g.get(redirect(request("", body+`</samlp:RequestedAuthnContext>`))); err != nil {
				t.Fatal(err)
			}
			if c.want == "" || c.want == "error" {
				top, second := g.status()
				if c.want == "" && (top != "Responder" || second != "NoAuthnContext") || c.want == "error" && (top != "Requester" || second != "") {
					t.Errorf("%s %s", top, second)
				}
				return
			}
			if got := g.answer().FindElement("./Assertion/AuthnStatement/AuthnContext/AuthnContextClassRef").Text(); !strings.HasSuffix(got, ":"+c.want) {
				t.Errorf("class %s", got)
			}
		})
	}
}

// A cross-site POST without the cookie goes round once, whatever else is asked; the
// page that does it leads nowhere but here.
func TestC21_CrossSitePostGoesRoundOnce(t *testing.T) {
	header := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Set(pairs[i], pairs[i+1])
			}
		}
	}
	for name, c := range map[string]struct {
		edit func(*http.Request)
		hop  bool
	}{
		"cross-site":               {header("Sec-Fetch-Site", "cross-site", "Origin", "https://wiki.fabrikam.test"), true},
		"older browser":            {header("Origin", "https://wiki.fabrikam.test"), true},
		"older browser, no origin": {header(), false},
		"null origin":              {header("Origin", "null"), true},
		"our own form":             {header("Sec-Fetch-Site", "same-origin", "Origin", "https://sts.contoso.test"), false},
		"own form, older browser":  {header("Origin", "https://sts.contoso.test"), false},
		"same site":                {header("Sec-Fetch-Site", "same-site", "Origin", "https://app.contoso.test"), false},
		"cookie there":             {header("Sec-Fetch-Site", "cross-site", "Cookie", cookie+"=x"), false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			form := posted(request("", ""))
			form.Set("RelayState", "where=1 ü")
			if err := g.post(form, c.edit); err != nil {
				t.Fatal(err)
			}
			if c.hop != (len(g.handed) == 1) || c.hop == (g.tokens() == 1) {
				t.Fatalf("%d handed, %d tokens", len(g.handed), g.tokens())
			}
			if !c.hop {
				return
			}
			ans := g.handed[0]
			if ans.Action != address || len(g.handedTo[0].FormActions) != 1 || g.handedTo[0].FormActions[0] != "https://sts.contoso.test" {
				t.Errorf("the form leads to %s under %v", ans.Action, g.handedTo[0].FormActions)
			}
			again := url.Values{}
			for _, f := range ans.Fields {
				again.Set(f.Name, f.Value)
			}
			if err := g.post(again, header("Sec-Fetch-Site", "same-origin", "Origin", "https://sts.contoso.test")); err != nil || g.tokens() != 1 {
				t.Fatalf("%v, %d tokens", err, g.tokens())
			}
			if got, _ := relayState(g.answers[0]); got != "where=1 ü" {
				t.Errorf("RelayState %q", got)
			}
		})
	}
	t.Run("ForceAuthn needs no session", func(t *testing.T) {
		g := newRig(t)
		if err := g.post(posted(request(`ForceAuthn="true"`, "")), header("Sec-Fetch-Site", "cross-site")); err != nil || len(g.begun) != 1 || len(g.handed) != 0 {
			t.Errorf("%v, %d begun", err, len(g.begun))
		}
	})
}

// Conditions, Subject, Scoping and the rest of what a party may ask for.
func TestStatusOfEachRefusal(t *testing.T) {
	name := func(format, value string) string {
		return `<saml:Subject><saml:NameID Format="` + format + `">` + value + `</saml:NameID></saml:Subject>`
	}
	for _, c := range []struct{ name, attributes, body, top, second string }{
		{"version 1.1", `Version="1.1"`, "", "VersionMismatch", "RequestVersionTooLow"},
		{"version 3.0", `Version="3.0"`, "", "VersionMismatch", "RequestVersionTooHigh"},
		{"redirect wanted", `ProtocolBinding="` + saml.BindingRedirect + `"`, "", "Requester", "UnsupportedBinding"},
		{"unknown index", `AssertionConsumerServiceIndex="99"`, "", "Requester", ""},
		{"artifact index", `AssertionConsumerServiceIndex="8"`, "", "Requester", "UnsupportedBinding"},
		{"PAOS index", `AssertionConsumerServiceIndex="9"`, "", "Requester", "UnsupportedBinding"},
		{"index and address", `AssertionConsumerServiceIndex="7" AssertionConsumerServiceURL="` + wikiACS + `"`, "", "Requester", ""},
		{"index no number", `AssertionConsumerServiceIndex="x"`, "", "Requester", ""},
		{"format not offered", "", `<samlp:NameIDPolicy Format="urn:oasis:names:tc:SAML:2.0:nameid-format:kerberos"/>`, "Requester", "InvalidNameIDPolicy"},
		{"encrypted identifier without a key", "", `<samlp:NameIDPolicy Format="urn:oasis:names:tc:SAML:2.0:nameid-format:encrypted"/>`, "Requester", "InvalidNameIDPolicy"},
		{"foreign qualifier", "", `<samlp:NameIDPolicy SPNameQualifier="urn:other"/>`, "Requester", "InvalidNameIDPolicy"},
		{"declaration", "", `<samlp:RequestedAuthnContext><saml:AuthnContextDeclRef>urn:x</saml:AuthnContextDeclRef></samlp:RequestedAuthnContext>`, "Responder", "NoAuthnContext"},
		{"another IdP", "", `<samlp:Scoping><samlp:IDPList><samlp:IDPEntry ProviderID="urn:other"/></samlp:IDPList></samlp:Scoping>`, "Responder", "NoAvailableIDP"},
		{"confirmation", "", `<saml:Subject><saml:NameID>a</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"/></saml:Subject>`, "Requester", ""},
		{"another person", "", name(saml.FormatEmail, "bob@contoso.test"), "Responder", "UnknownPrincipal"},
		{"conditions over", "", `<saml:Conditions NotOnOrAfter="2026-12-01T09:00:30Z"/>`, "Requester", "RequestDenied"},
		{"conditions not yet", "", `<saml:Conditions NotBefore="2026-12-01T10:00:00Z"/>`, "Requester", "RequestDenied"},
		{"other audience", "", `<saml:Conditions><saml:AudienceRestriction><saml:Audience>urn:other</saml:Audience></saml:AudienceRestriction></saml:Conditions>`, "Requester", "RequestDenied"},
		{"unknown condition", "", `<saml:Conditions><saml:OneTimeUse/></saml:Conditions>`, "Requester", ""},
		{"unknown element", "", `<samlp:Strange/>`, "Requester", ""},
		{"policy twice", "", `<samlp:NameIDPolicy/><samlp:NameIDPolicy/>`, "Requester", ""},
		{"bad boolean", `ForceAuthn="yes"`, "", "Requester", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t)
			doc := request(c.attributes, c.body)
			if err := g.get(redirect(doc) + "&RelayState=s"); err != nil {
				t.Fatal(err)
			}
			if top, second := g.status(); top != c.top || second != c.second {
				t.Errorf("%s %s", top, second)
			}
			if g.tokens() != 0 {
				t.Error("a token left")
			}
			all := append(append([]*federation.Answer{}, g.handed...), g.answers...)
			if all[0].Action != wikiACS {
				t.Errorf("told to %s", all[0].Action)
			}
			root := tree(t, message(t, all[0]))
			id := tree(t, doc).SelectAttrValue("ID", "")
			if root.SelectAttrValue("InResponseTo", "") != id || root.SelectAttrValue("Destination", "") != wikiACS {
				t.Error("InResponseTo or Destination is not the request's")
			}
			if state, ok := relayState(all[0]); !ok || state != "s" {
				t.Error("RelayState is lost")
			}
			xmlsec1(t, g, message(t, all[0]), "Response")
		})
	}
}

func TestWhatIsAskedForIsGiven(t *testing.T) {
	for _, c := range []struct{ name, attributes, body string }{
		{"us among others", "", `<samlp:Scoping ProxyCount="0"><samlp:IDPList><samlp:IDPEntry ProviderID="urn:other"/><samlp:IDPEntry ProviderID="` + issuer + `"/></samlp:IDPList></samlp:Scoping>`},
		{"the person", "", `<saml:Subject><saml:NameID Format="` + saml.FormatEmail + `">ALICE@contoso.test</saml:NameID></saml:Subject>`},
		{"conditions", "", `<saml:Conditions NotBefore="2026-12-01T09:00:00Z" NotOnOrAfter="2026-12-01T09:10:00Z"><saml:AudienceRestriction><saml:Audience>` + wiki + `</saml:Audience></saml:AudienceRestriction></saml:Conditions>`},
		{"own qualifier", "", `<samlp:NameIDPolicy SPNameQualifier="` + wiki + `" AllowCreate="0"/>`},
		{"seven digits", `IssueInstant="2026-12-01T09:00:00.2150299Z"`, ""},
		{"a zone", `IssueInstant="2026-12-01T10:00:00+01:00"`, ""},
		{"extensions", "", `<samlp:Extensions><x xmlns="urn:x">1</x></samlp:Extensions>`},
		{"index", `AssertionConsumerServiceIndex="7"`, ""},
		{"address", `AssertionConsumerServiceURL="` + wikiACS + `" ProtocolBinding="` + saml.BindingPost + `"`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t)
			if err := g.get(redirect(request(c.attributes, c.body))); err != nil || g.tokens() != 1 || g.answers[0].Action != wikiACS {
				t.Fatalf("%v, %d tokens %v", err, g.tokens(), g.handed)
			}
		})
	}
	g := newRig(t)
	if err := g.get(redirect(request(`AssertionConsumerServiceIndex="3"`, ""))); err != nil || g.answers[0].Action != "https://wiki.fabrikam.test/saml/mobile/acs" {
		t.Errorf("index 3: %v", err)
	}
}
