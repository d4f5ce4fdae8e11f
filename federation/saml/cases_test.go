package saml_test

import (
	"crypto/x509"
	"encoding/base64"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport/authn"
	"sallyport/deploy/testbed/lab"
	"sallyport/federation"
	"sallyport/federation/saml"
)

// vectors is the folder of test vectors; the cases lie beside it.
func vectors(t testing.TB) string {
	t.Helper()
	return lab.Vectors(t)
}

func caseFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(vectors(t), "..", "cases", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var certificate = regexp.MustCompile(`(?s)<ds:X509Certificate>(.*?)</ds:X509Certificate>`)

// fabrikam registers the party of the cases with the keys of its metadata.
func fabrikam(t testing.TB) func([]*saml.Party) {
	var certs []*x509.Certificate
	for _, m := range certificate.FindAllStringSubmatch(caseFile(t, "C03-sp-metadata.xml"), -1) {
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(m[1]), ""))
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, c)
	}
	return func(p []*saml.Party) { p[1].Certificates = certs }
}

// send sends a message by both bindings, to a rig each.
func send(t *testing.T, doc string, check func(t *testing.T, g *rig, err error), change ...func([]*saml.Party)) {
	t.Helper()
	t.Run("redirect", func(t *testing.T) { g := newRig(t, change...); check(t, g, g.get(redirect(doc))) })
	t.Run("post", func(t *testing.T) { g := newRig(t, change...); check(t, g, g.post(posted(doc))) })
}

func TestC01_BareRequestWithPaddedIssuer(t *testing.T) {
	doc := strings.Replace(request(`ID="_c01"`, ""), wiki, "\n    "+wiki+"\n  ", 1)
	for marked, want := range map[bool]string{true: wikiACS, false: "https://wiki.fabrikam.test/saml/mobile/acs"} {
		send(t, doc, func(t *testing.T, g *rig, err error) {
			if err != nil {
				t.Fatal(err)
			}
			if g.answers[0].Action != want {
				t.Errorf("posted to %s", g.answers[0].Action)
			}
			a := g.answer()
			data := a.FindElement("./Assertion/Subject/SubjectConfirmation/SubjectConfirmationData")
			for what, got := range map[string][2]string{
				"InResponseTo": {a.SelectAttrValue("InResponseTo", ""), "_c01"}, "Destination": {a.SelectAttrValue("Destination", ""), want},
				"confirmation": {data.SelectAttrValue("InResponseTo", ""), "_c01"}, "Recipient": {data.SelectAttrValue("Recipient", ""), want},
				"Audience": {a.FindElement("./Assertion/Conditions/AudienceRestriction/Audience").Text(), wiki},
			} {
				if got[0] != got[1] {
					t.Errorf("%s is %q", what, got[0])
				}
			}
		}, func(p []*saml.Party) { p[0].Consumers[1].Default = marked })
	}
	send(t, strings.Replace(request("", ""), wiki, "https://wiki.fabrikam.test/ sp", 1), func(t *testing.T, g *rig, err error) {
		if !local(err, federation.ProblemUnknownParty) {
			t.Errorf("a blank inside: %v", err)
		}
	})
}

func TestC02_NameIDPolicyWithoutFormatAndScoping(t *testing.T) {
	send(t, request(acsAttr+` ForceAuthn="false" IsPassive="false" AssertionConsumerServiceURL="`+wikiACS+`" ProtocolBinding="`+saml.BindingPost+`"`,
		`<samlp:NameIDPolicy AllowCreate="true"/><samlp:Scoping ProxyCount="2"><samlp:RequesterID>https://app.fabrikam.test/</samlp:RequesterID></samlp:Scoping>`),
		func(t *testing.T, g *rig, err error) {
			if err != nil || g.tokens() != 1 {
				t.Fatalf("%v, %d tokens", err, g.tokens())
			}
			id := g.answer().FindElement("./Assertion/Subject/NameID")
			if id.SelectAttrValue("Format", "") != saml.FormatUnspecified || id.Text() != "alice@contoso.test" {
				t.Errorf("NameID %q", id.Text())
			}
			if got := g.answers[0].Detail; got != `requesters ["https://app.fabrikam.test/"]` {
				t.Errorf("the audit record says %q", got)
			}
		})
	send(t, request("", `<samlp:NameIDPolicy>`+saml.FormatTransient+`</samlp:NameIDPolicy>`), func(t *testing.T, g *rig, err error) {
		if err != nil {
			t.Fatal(err)
		}
		if top, second := g.status(); top != "Requester" || second != "InvalidNameIDPolicy" {
			t.Errorf("the format as text: %s %s", top, second)
		}
	})
}

func TestC03_KeysAreFoundWithoutACertificate(t *testing.T) {
	for name, ok := range map[string]bool{"keyname": true, "no-keyinfo": true, "expired-cert": true, "stranger": false} {
		doc := caseFile(t, "C03-authnrequest-"+name+".xml")
		t.Run(name, func(t *testing.T) {
			send(t, doc, func(t *testing.T, g *rig, err error) {
				if ok != (err == nil) || ok != (g.tokens() == 1) {
					t.Errorf("%v, %d tokens", err, g.tokens())
				}
				if ok && (name == "expired-cert") != strings.Contains(g.answers[0].Detail, "which expired on 2024-") {
					t.Errorf("the audit record says %q", g.answers[0].Detail)
				}
				if !ok && (!local(err, federation.ProblemBadRequest) || strings.Count(err.Error(), ", ") != 1) {
					t.Errorf("the refusal does not name both keys tried: %v", err)
				}
			}, fabrikam(t))
			for i := strings.Index(doc, "<saml:Issuer>"); i < len(doc); i += len(doc) / 7 {
				changed := doc[:i] + string(rune('A'+doc[i]%26)) + doc[i+1:]
				if changed == doc {
					continue
				}
				g := newRig(t, fabrikam(t))
				if err := g.post(posted(changed)); err == nil {
					t.Errorf("byte %d changed: accepted", i)
				}
				g.nothing(t)
			}
		})
	}
}

// A party whose settings ask for valid certificates: what an expired one signed is
// refused here, and the log says which and why.
func TestC03_ValidCertificatesOnlyWhereTheSettingsAsk(t *testing.T) {
	strict := func(p []*saml.Party) { p[1].ValidOnly = true }
	for name, ok := range map[string]bool{"keyname": true, "no-keyinfo": true, "expired-cert": false} {
		send(t, caseFile(t, "C03-authnrequest-"+name+".xml"), func(t *testing.T, g *rig, err error) {
			if ok != (err == nil) || ok != (g.tokens() == 1) {
				t.Errorf("%s: %v, %d tokens", name, err, g.tokens())
			}
			if !ok && (!local(err, federation.ProblemBadRequest) || !strings.Contains(err.Error(), "to 2024-")) {
				t.Errorf("%s: the refusal does not name the date: %v", name, err)
			}
		}, fabrikam(t), strict)
	}
	p := keyOf(t, "party", 2048)
	for name, c := range map[string]struct {
		from, to int // days from now
		ok       bool
	}{"expired": {-2, -1, false}, "not valid yet": {1, 2, false}, "valid": {-1, 1, true}} {
		cert := *p.cert
		cert.NotBefore, cert.NotAfter = noon.AddDate(0, 0, c.from), noon.AddDate(0, 0, c.to)
		g := newRig(t, strict, func(list []*saml.Party) { list[1].Certificates = []*x509.Certificate{&cert} })
		if err := g.get(signedQuery(t, p, requestOf(signer, acsAttr, ""), "")); c.ok != (err == nil) || c.ok != (g.tokens() == 1) {
			t.Errorf("%s by Redirect: %v", name, err)
		}
	}
}

func TestC07_LongAndForeignRelayState(t *testing.T) {
	for name, state := range map[string]string{"long": strings.Repeat("https://app.contoso.test/?a=1&b=%20", 40), "unicode": "/später?q=日本語&x=“a”", "4096": strings.Repeat("z", 4096)} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			if err := g.get(redirect(request("", "")) + "&RelayState=" + url.QueryEscape(state)); err != nil {
				t.Fatal(err)
			}
			form := posted(request("", ""))
			form.Set("RelayState", state)
			if err := g.post(form); err != nil {
				t.Fatal(err)
			}
			for _, a := range g.answers {
				if got, _ := relayState(a); got != state {
					t.Errorf("came back as %.40q", got)
				}
			}
		})
	}
}

func TestC08_PasswordAskedWhileThereIsAKerberosSession(t *testing.T) {
	password := `<samlp:RequestedAuthnContext Comparison="exact"><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></samlp:RequestedAuthnContext>`
	kerberos := func(t *testing.T, change ...func([]*saml.Party)) *rig {
		g := newRig(t, change...)
		g.method = authn.MethodKerberos
		return g
	}
	g := kerberos(t)
	if err := g.get(redirect(request("", password))); err != nil || len(g.begun) != 1 || !g.begun[0].Passwords || g.tokens() != 0 {
		t.Errorf("the form is not asked for: %v", err)
	}
	g = kerberos(t)
	if err := g.get(redirect(request(`IsPassive="true"`, password))); err != nil {
		t.Fatal(err)
	} else if _, second := g.status(); second != "NoPassive" {
		t.Errorf("passive: %s", second)
	}
	g = kerberos(t, func(p []*saml.Party) { p[0].IgnoreContext = true })
	if err := g.get(redirect(request("", password))); err != nil || g.tokens() != 1 {
		t.Errorf("with the context ignored: %v", err)
	} else if got := g.answer().FindElement("./Assertion/AuthnStatement/AuthnContext/AuthnContextClassRef").Text(); got != "urn:federation:authentication:windows" {
		t.Errorf("the class is %s, not the true one", got)
	}
	g = kerberos(t)
	if err := g.get(redirect(request("", ""))); err != nil || g.tokens() != 1 {
		t.Errorf("nothing asked: %v", err)
	}
}

// What Microsoft 365 sends and wants (saml2.md 1.3, 1.4).
func TestMicrosoft365(t *testing.T) {
	send(t, strings.Replace(requestOf(federation.MicrosoftOnline, `ID="_m1"`, `<samlp:NameIDPolicy Format="`+saml.FormatPersistent+`"/>`), "2026-12-01T09:00:00Z", "2026-12-01T09:00:00.000Z", 1),
		func(t *testing.T, g *rig, err error) {
			if err != nil {
				t.Fatal(err)
			}
			doc := message(t, g.answers[0])
			root := g.answer()
			a := root.FindElement("./Assertion")
			if strings.Count(doc, "<ds:Signature ") != 1 || a.FindElement("./Signature") == nil {
				t.Error("not exactly the assertion is signed")
			}
			xmlsec1(t, g, doc, "Assertion")
			for what, got := range map[string][2]string{
				"issuer of the response":  {root.FindElement("./Issuer").Text(), "http://contoso.test/adfs/services/trust/"},
				"issuer of the assertion": {a.FindElement("./Issuer").Text(), "http://contoso.test/adfs/services/trust/"},
				"NameID":                  {a.FindElement("./Subject/NameID").Text(), base64.StdEncoding.EncodeToString(alice().SourceAnchor())},
				"format":                  {a.FindElement("./Subject/NameID").SelectAttrValue("Format", ""), saml.FormatPersistent},
				"IDPEmail":                {a.FindElement("./AttributeStatement/Attribute[@Name='IDPEmail']/AttributeValue").Text(), "alice@contoso.test"},
				"address":                 {g.answers[0].Action, "https://login.microsoftonline.com/login.srf"},
				"class":                   {a.FindElement("./AuthnStatement/AuthnContext/AuthnContextClassRef").Text(), "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"},
			} {
				if got[0] != got[1] {
					t.Errorf("%s: %q", what, got[0])
				}
			}
		})
	t.Run("nothing but the persistent identifier", func(t *testing.T) {
		g := newRig(t)
		if err := g.get(redirect(requestOf(federation.MicrosoftOnline, "", `<samlp:NameIDPolicy Format="`+saml.FormatTransient+`"/>`))); err != nil {
			t.Fatal(err)
		}
		if _, second := g.status(); second != "InvalidNameIDPolicy" {
			t.Error(second)
		}
	})
	t.Run("a second factor is never claimed", func(t *testing.T) {
		g := newRig(t)
		if err := g.get(redirect(requestOf(federation.MicrosoftOnline, "", `<samlp:RequestedAuthnContext><saml:AuthnContextClassRef>http://schemas.microsoft.com/claims/multipleauthn</saml:AuthnContextClassRef></samlp:RequestedAuthnContext>`))); err != nil {
			t.Fatal(err)
		}
		if _, second := g.status(); second != "NoAuthnContext" {
			t.Error(second)
		}
	})
}

// The signed form of Entra's request: Destination, an enveloped signature without a
// certificate in it (saml2.md 1.3).
func TestMicrosoft365SignedRequest(t *testing.T) {
	entra := keyOf(t, "party", 2048)
	doc := requestOf(federation.MicrosoftOnline, `Destination="`+address+`"`, `<samlp:NameIDPolicy Format="`+saml.FormatPersistent+`"></samlp:NameIDPolicy>`)
	registered := func(p []*saml.Party) {
		p[2].Certificates = []*x509.Certificate{keyOf(t, "other", 2048).cert, entra.cert}
	}
	keyInfo := regexp.MustCompile(`(?s)<ds:KeyInfo>.*</ds:KeyInfo>`)
	signed := keyInfo.ReplaceAllString(signedXML(t, entra, doc), "<ds:KeyInfo><ds:X509Data><ds:X509SKI>AAECAwQ=</ds:X509SKI></ds:X509Data><ds:KeyName>MicrosoftOnline</ds:KeyName></ds:KeyInfo>")
	for name, c := range map[string]struct {
		doc    string
		change []func([]*saml.Party)
		ok     bool
	}{
		"signed as registered":                {signed, []func([]*saml.Party){registered}, true},
		"signed, nothing registered":          {signed, nil, false},
		"signed by a stranger":                {signedXML(t, keyOf(t, "stranger", 2048), doc), []func([]*saml.Party){registered}, false},
		"changed behind the signature":        {strings.Replace(signed, saml.FormatPersistent, saml.FormatTransient, 1), []func([]*saml.Party){registered}, false},
		"unsigned":                            {doc, []func([]*saml.Party){registered}, true},
		"unsigned where signatures are asked": {doc, []func([]*saml.Party){registered, func(p []*saml.Party) { p[2].WantSigned = true }}, false},
	} {
		g := newRig(t, c.change...)
		if err := g.post(posted(c.doc)); c.ok != (err == nil) || c.ok != (g.tokens() == 1) {
			t.Errorf("%s: %v, %d tokens", name, err, g.tokens())
		}
	}
}

// Of several classes the first that can be met wins, and none that was not asked.
func TestC08_FirstClassThatCanBeMet(t *testing.T) {
	const prefix = "urn:oasis:names:tc:SAML:2.0:ac:classes:"
	for _, c := range []struct {
		comparison string
		asked      []string
		want       string // empty: NoAuthnContext
	}{
		{"exact", []string{"Smartcard", "Password", "PasswordProtectedTransport"}, "Password"},
		{"exact", []string{"Smartcard", "X509"}, ""},
		{"minimum", []string{"Password"}, "PasswordProtectedTransport"},
		{"minimum", []string{"Smartcard"}, ""},
		{"maximum", []string{"Smartcard"}, "PasswordProtectedTransport"},
		{"maximum", []string{"Password"}, "Password"},
		{"better", []string{"Password"}, "PasswordProtectedTransport"},
		{"better", []string{"PasswordProtectedTransport"}, ""},
	} {
		list := ""
		for _, a := range c.asked {
			list += `<saml:AuthnContextClassRef>` + prefix + a + `</saml:AuthnContextClassRef>`
		}
		g := newRig(t)
		if err := g.get(redirect(request("", `<samlp:RequestedAuthnContext Comparison="`+c.comparison+`">`+list+`</samlp:RequestedAuthnContext>`))); err != nil {
			t.Fatal(err)
		}
		if c.want == "" {
			if _, second := g.status(); second != "NoAuthnContext" {
				t.Errorf("%s %v: %s", c.comparison, c.asked, second)
			}
			continue
		}
		if got := g.answer().FindElement("./Assertion/AuthnStatement/AuthnContext/AuthnContextClassRef").Text(); got != prefix+c.want {
			t.Errorf("%s %v: %s", c.comparison, c.asked, got)
		}
	}
}

// Indexes of endpoints that a browser's answer does not go to are told apart.
func TestC04_IndexesOfOtherBindings(t *testing.T) {
	for index, want := range map[string]string{"8": "UnsupportedBinding", "9": "UnsupportedBinding", "99": ""} {
		send(t, request(`AssertionConsumerServiceIndex="`+index+`"`, ""), func(t *testing.T, g *rig, err error) {
			if err != nil {
				t.Fatal(err)
			}
			if top, second := g.status(); top != "Requester" || second != want || g.handed[0].Action != wikiACS {
				t.Errorf("index %s: %s %s at %s", index, top, second, g.handed[0].Action)
			}
		})
	}
}
