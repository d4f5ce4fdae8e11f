package saml_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sallyport/federation"
	"sallyport/federation/saml"
)

// octetSignature signs text as the Redirect binding does.
func octetSignature(t testing.TB, p *pair, text string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(sig))
}

var sigAlg = "SigAlg=" + url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")

// The party signs another sequence of the same parameters than the binding says, or
// the octets of the other kind of message: no signature of this message.
func TestS04_SignatureOverAnotherSequence(t *testing.T) {
	p := keyOf(t, "party", 2048)
	doc := requestOf(signer, acsAttr, "")
	message, state := "SAMLRequest="+url.QueryEscape(deflated(doc)), "RelayState=x"
	for name, query := range map[string]string{
		"state first":           state + "&" + message + "&" + sigAlg + octetSignature(t, p, state+"&"+message+"&"+sigAlg),
		"algorithm first":       message + "&" + state + "&" + sigAlg + octetSignature(t, p, sigAlg+"&"+message+"&"+state),
		"of a SAMLResponse":     message + "&" + sigAlg + octetSignature(t, p, strings.Replace(message, "Request", "Response", 1)+"&"+sigAlg),
		"without the algorithm": message + "&" + sigAlg + octetSignature(t, p, message),
		"empty state left out":  message + "&RelayState=&" + sigAlg + octetSignature(t, p, message+"&"+sigAlg),
		"of the decoded text":   message + "&" + sigAlg + octetSignature(t, p, "SAMLRequest="+deflated(doc)+"&SigAlg=http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"),
		"algorithm in lower hex": message + "&" + strings.Replace(sigAlg, "%3A%2F%2F", "%3a%2f%2f", 1) +
			octetSignature(t, p, message+"&"+sigAlg),
	} {
		g := newRig(t)
		if err := g.get(query); !local(err, federation.ProblemBadRequest) {
			t.Errorf("%s: %v", name, err)
		}
		g.nothing(t)
	}
}

// What stands in the address of a POST is no part of it: the form decides alone.
func TestS04_QueryAndFormAreNeverMerged(t *testing.T) {
	p := keyOf(t, "party", 2048)
	beside := func(query string) func(*http.Request) {
		return func(r *http.Request) { r.URL.RawQuery = query }
	}
	g := newRig(t)
	form := posted(requestOf(signer, acsAttr, "")) // unsigned, and the party signs
	if err := g.post(form, beside(signedQuery(t, p, requestOf(signer, acsAttr, ""), ""))); !local(err, federation.ProblemBadRequest) {
		t.Errorf("a signature in the address: %v", err)
	}
	g.nothing(t)
	if err := g.post(url.Values{"RelayState": {"x"}}, beside(signedQuery(t, p, requestOf(signer, acsAttr, ""), ""))); !local(err, federation.ProblemBadRequest) {
		t.Errorf("a message in the address of a form: %v", err)
	}
	g.nothing(t)
	for name, form := range map[string]url.Values{
		"twice":             {"SAMLRequest": {posted(request("", "")).Get("SAMLRequest"), posted(request("", "")).Get("SAMLRequest")}},
		"in two spellings":  {"SAMLRequest": posted(request("", ""))["SAMLRequest"], "samlRequest": {"AA"}},
		"with SimpleSign":   {"SAMLRequest": posted(request("", ""))["SAMLRequest"], "SigAlg": {"x"}, "Signature": {"AA"}},
		"beside a response": {"SAMLRequest": posted(request("", ""))["SAMLRequest"], "SAMLResponse": {"AA"}},
	} {
		if err := g.post(form); !local(err, federation.ProblemBadRequest) {
			t.Errorf("%s: %v", name, err)
		}
		g.nothing(t)
	}
}

// A party's certificate is public: as the key of an HMAC it proves nothing, in either
// binding and in whatever spelling it was registered.
func TestS02_PublicCertificateIsNoSecret(t *testing.T) {
	p := keyOf(t, "party", 2048)
	spki, err := x509.MarshalPKIXPublicKey(p.cert.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	good := signedXML(t, p, requestOf(signer, acsAttr, ""))
	start, end := strings.Index(good, "<ds:SignatureValue>")+len("<ds:SignatureValue>"), strings.Index(good, "</ds:SignatureValue>")
	infoStart, infoEnd := strings.Index(good, "<ds:SignedInfo"), strings.Index(good, "</ds:SignedInfo>")+len("</ds:SignedInfo>")
	for name, key := range map[string][]byte{
		"DER": p.cert.Raw, "PEM": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw}), "SPKI": spki, "modulus": p.key.N.Bytes(), "nothing": nil,
	} {
		for _, alg := range []string{"http://www.w3.org/2001/04/xmldsig-more#hmac-sha256", "http://www.w3.org/2000/09/xmldsig#hmac-sha1"} {
			mac := hmac.New(sha256.New, key)
			query := "SAMLRequest=" + url.QueryEscape(deflated(requestOf(signer, acsAttr, ""))) + "&SigAlg=" + url.QueryEscape(alg)
			mac.Write([]byte(query))
			g := newRig(t)
			if err := g.get(query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))); err == nil {
				t.Errorf("redirect, %s as the key of %s: accepted", name, alg)
			}
			info := strings.Replace(good[infoStart:infoEnd], "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", alg, 1)
			mac.Reset()
			mac.Write([]byte(strings.Replace(info, "<ds:SignedInfo>", `<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">`, 1)))
			doc := good[:infoStart] + info + good[infoEnd:start] + base64.StdEncoding.EncodeToString(mac.Sum(nil)) + good[end:]
			if err := g.post(posted(doc)); err == nil {
				t.Errorf("post, %s as the key of %s: accepted", name, alg)
			}
			g.nothing(t)
		}
	}
}

// What one party signs is no word of another, whoever is named in it.
func TestS03_OnePartySpeaksForItselfOnly(t *testing.T) {
	p, other := keyOf(t, "party", 2048), keyOf(t, "wiki", 2048)
	both := func(list []*saml.Party) {
		list[0].Certificates, list[0].WantSigned = []*x509.Certificate{other.cert}, true
	}
	for name, send := range map[string]func(*rig) error{
		"wiki's request by the signer's key": func(g *rig) error { return g.get(signedQuery(t, p, request(acsAttr, ""), "")) },
		"the signer's request by wiki's key": func(g *rig) error { return g.get(signedQuery(t, other, requestOf(signer, acsAttr, ""), "")) },
		"both are named": func(g *rig) error {
			return g.post(posted(signedXML(t, p, requestOf(signer, acsAttr, `<saml:Issuer>`+wiki+`</saml:Issuer>`))))
		},
		"wiki's request, signed by enveloped": func(g *rig) error { return g.post(posted(signedXML(t, p, request(acsAttr, "")))) },
	} {
		g := newRig(t, both)
		if err := send(g); !local(err, federation.ProblemBadRequest) {
			t.Errorf("%s: %v", name, err)
		}
		g.nothing(t)
	}
	// The audience is who asks, whatever else the request names.
	g := newRig(t)
	if err := g.get(redirect(request("", `<samlp:Scoping><samlp:RequesterID>`+signer+`</samlp:RequesterID></samlp:Scoping>`))); err != nil {
		t.Fatal(err)
	}
	for _, a := range g.answer().FindElements("//Audience") {
		if a.Text() != wiki {
			t.Errorf("audience %q", a.Text())
		}
	}
	g = newRig(t)
	if err := g.get(redirect(request("", `<saml:Conditions><saml:AudienceRestriction><saml:Audience>`+signer+`</saml:Audience></saml:AudienceRestriction></saml:Conditions>`))); err != nil {
		t.Fatal(err)
	}
	if top, second := g.status(); top != "Requester" || second != "RequestDenied" {
		t.Errorf("another party's audience: %s %s", top, second)
	}
	for _, who := range []string{strings.ToUpper(wiki), wiki + "/", wiki + "\u00a0", wiki + "\u200b", strings.Replace(wiki, "i", "\u0131", 1), wiki + "#", wiki + "%20", wiki + " " + signer} {
		g := newRig(t)
		if err := g.get(redirect(requestOf(who, "", ""))); !local(err, federation.ProblemUnknownParty) {
			t.Errorf("issuer %q: %v", who, err)
		}
		g.nothing(t)
	}
}

// A message belongs to one binding and one endpoint: what was signed for another
// place, or lies under another parameter, is not taken here.
func TestS08_MessagesOfAnotherPlace(t *testing.T) {
	p := keyOf(t, "party", 2048)
	name := nameElement(aliceAt(t), "")
	soap := strings.Replace(logoutRequest(name, ""), address, logoutAddress, 1)
	bare := strings.Replace(logoutRequest(name, ""), `Destination="`+address+`"`, "", 1)
	answer := logoutAnswer(signer, "_x", "Success", "")
	for what, send := range map[string]func(*rig) error{
		"a sign-out by SOAP":       func(g *rig) error { return g.post(posted(signedXML(t, p, soap))) },
		"a sign-out for any place": func(g *rig) error { return g.post(posted(signedXML(t, p, bare))) },
		"a request of enhanced clients": func(g *rig) error {
			return g.post(posted(signedXML(t, p, requestOf(signer, `Destination="`+ecpAddress+`"`, ""))))
		},
		"the same without destination": func(g *rig) error { return g.post(posted(signedXML(t, p, requestOf(signer, "", "")))) },
		"an answer as a request":       func(g *rig) error { return g.post(posted(signedXML(t, p, answer))) },
		"a request as an answer": func(g *rig) error {
			return g.post(url.Values{"SAMLResponse": posted(requestOf(signer, acsAttr, ""))["SAMLRequest"]})
		},
		"a sign-out as an answer": func(g *rig) error {
			return g.get(strings.Replace(signedQuery(t, p, logoutRequest(name, ""), ""), "SAMLRequest", "SAMLResponse", 1))
		},
		"an envelope": func(g *rig) error { return g.post(posted(envelope(signedXML(t, p, requestOf(signer, acsAttr, ""))))) },
		"an artifact": func(g *rig) error {
			return g.get("SAMLart=" + url.QueryEscape("AAQAAMh48/1oXIM+sDo7Dh2qMp1HM4IF5DaRNmDj6RdUmllwn9jJHyEgIi8="))
		},
		"a request to resolve one": func(g *rig) error {
			return g.post(posted(strings.ReplaceAll(requestOf(wiki, "", "<samlp:Artifact>AAQA</samlp:Artifact>"), "AuthnRequest", "ArtifactResolve")))
		},
		"a query": func(g *rig) error {
			return g.post(posted(strings.ReplaceAll(request("", ""), "AuthnRequest", "AttributeQuery")))
		},
		"a change of names": func(g *rig) error {
			return g.post(posted(strings.ReplaceAll(request("", ""), "AuthnRequest", "ManageNameIDRequest")))
		},
		"a good query, a bad signature": func(g *rig) error {
			return g.get(signedQuery(t, p, signedXML(t, keyOf(t, "stranger", 2048), requestOf(signer, acsAttr, "")), ""))
		},
		"a good signature, a bad query": func(g *rig) error {
			return g.get(signedQuery(t, keyOf(t, "stranger", 2048), signedXML(t, p, requestOf(signer, acsAttr, "")), ""))
		},
		"of another protocol's namespace": func(g *rig) error {
			return g.get(redirect(strings.ReplaceAll(request("", ""), protocol, "urn:oasis:names:tc:SAML:1.0:protocol")))
		},
	} {
		g := newRig(t, withLogout(""))
		if err := send(g); err == nil || g.account == nil {
			t.Errorf("%s: %v, the session lives: %v", what, err, g.account != nil)
		}
		g.nothing(t)
	}
}

// One request is worth one token, by whatever way its copies come.
func TestS05_ReplayInOtherClothes(t *testing.T) {
	doc := request("", "")
	id := tree(t, doc).SelectAttrValue("ID", "")
	for name, again := range map[string]func(*rig) error{
		"by the other binding": func(g *rig) error { return g.post(posted(doc)) },
		"with other content": func(g *rig) error {
			return g.get(redirect(request(`ID="`+id+`" AssertionConsumerServiceURL="`+wikiACS+`"`, "")))
		},
		"with a padded issuer": func(g *rig) error { return g.get(redirect(strings.Replace(doc, wiki, "\n "+wiki+" ", 1))) },
		"with broken lines": func(g *rig) error {
			s := posted(doc).Get("SAMLRequest")
			return g.post(url.Values{"SAMLRequest": {s[:40] + "\r\n" + s[40:]}})
		},
		"with other prefixes": func(g *rig) error { return g.post(posted(strings.ReplaceAll(doc, "samlp", "p"))) },
	} {
		g := newRig(t)
		if err := g.get(redirect(doc)); err != nil || g.tokens() != 1 {
			t.Fatal(err)
		}
		if err := again(g); err == nil || g.tokens() != 1 {
			t.Errorf("%s: %v, %d tokens", name, err, g.tokens())
		}
	}
}

// Names that two readers could read as two people end nobody's session, and so does
// an encrypted one, which might come out of another party's assertion.
func TestS09_NamesOfSignOutsAreReadInOneWay(t *testing.T) {
	p := keyOf(t, "party", 2048)
	id := aliceAt(t)
	swapped := func() string {
		g := newRig(t, func(list []*saml.Party) { list[0].Encrypt = keyOf(t, "party", 2048).cert })
		if err := g.get(redirect(request("", `<samlp:NameIDPolicy Format="urn:oasis:names:tc:SAML:2.0:nameid-format:encrypted"/>`))); err != nil {
			t.Fatal(err)
		}
		raw := message(t, g.answers[0])
		if !strings.Contains(raw, "<saml:EncryptedAssertion") {
			t.Fatal("nothing is encrypted")
		}
		inner := raw[strings.Index(raw, "<xenc:EncryptedData") : strings.Index(raw, "</xenc:EncryptedData>")+len("</xenc:EncryptedData>")]
		return `<saml:EncryptedID>` + inner + `</saml:EncryptedID>`
	}()
	for name, element := range map[string]string{
		"an instruction in it":   nameElement(id[:10]+"<?x?>"+id[10:], ""),
		"an element in it":       nameElement(id[:10]+"<b/>"+id[10:], ""),
		"two of them":            nameElement(id, "") + nameElement("x", ""),
		"one inside another":     nameElement(nameElement(id, ""), ""),
		"in another namespace":   `<n:NameID xmlns:n="urn:x">` + id + `</n:NameID>`,
		"blanks around it":       nameElement(" "+id, ""),
		"another party's cipher": swapped,
		"the cipher beside it":   `<saml:BaseID/>` + swapped,
	} {
		doc := logoutRequest(element, "")
		for binding, send := range map[string]func(*rig) error{
			"redirect": func(g *rig) error { return g.get(signedQuery(t, p, doc, "")) },
			"post":     func(g *rig) error { return g.post(posted(signedXML(t, p, doc))) },
		} {
			g := newRig(t, withLogout(""))
			if err := send(g); g.account == nil {
				t.Errorf("%s by %s: the session has ended (%v)", name, binding, err)
			}
		}
	}
	// No signature covers comments: anybody may add them.
	for name, cut := range map[string]string{"in it": id[:10] + "<!-- -->" + id[10:], "before it": "<!-- -->" + id, "behind it": id + "<!-- -->"} {
		doc := strings.Replace(signedXML(t, p, logoutRequest(nameElement(id, ""), "")), id, cut, 1)
		g := newRig(t, withLogout(""))
		if err := g.post(posted(doc)); !local(err, federation.ProblemBadRequest) || g.account == nil {
			t.Errorf("a comment %s: %v", name, err)
		}
	}
	g := newRig(t)
	if err := g.get(redirect(request("", `<saml:Subject>`+swapped+`</saml:Subject>`))); err != nil || g.tokens() != 0 {
		t.Errorf("a cipher as the wanted subject: %v, %d tokens", err, g.tokens())
	}
}

// RelayState goes into headers (sign-outs by Redirect) and forms: what ends a line
// reaches neither, and whatever else stands in it leads nobody anywhere.
func TestS10_RelayStateLeadsNowhere(t *testing.T) {
	p := keyOf(t, "party", 2048)
	for _, state := range []string{"x\r\nSet-Cookie: a=b", "x\nLocation: https://evil.test/", "x\x00", "\xff", strings.Repeat("x", 8<<10+1)} {
		g := newRig(t, withLogout(""), func(list []*saml.Party) { list[0].Unsolicited = true })
		if err := g.get(signedQuery(t, p, logoutRequest(nameElement(aliceAt(t), ""), ""), state)); err == nil || g.account == nil {
			t.Errorf("%q at a sign-out: %v", state, err)
		}
		if err := g.get(redirect(request("", "")) + "&RelayState=" + url.QueryEscape(state)); err == nil {
			t.Errorf("%q at a sign-in: accepted", state)
		}
		inner := "RPID=" + url.QueryEscape(wiki) + "&RelayState=" + url.QueryEscape(state)
		if err := g.initiate("RelayState=" + url.QueryEscape(inner)); err == nil {
			t.Errorf("%q at a sign-in that begins here: accepted", state)
		}
		g.nothing(t)
	}
	for _, state := range []string{"https://evil.test/", "//evil.test", "javascript:alert(1)", `"><script>`, "RPID=https://evil.test&RelayState=x"} {
		g := newRig(t, withLogout(""), func(list []*saml.Party) { list[0].Unsolicited = true })
		if err := g.get(redirect(request("", "")) + "&RelayState=" + url.QueryEscape(state)); err != nil {
			t.Fatal(err)
		}
		if err := g.initiate("RelayState=" + url.QueryEscape("RPID="+url.QueryEscape(wiki)+"&RelayState="+url.QueryEscape(state))); err != nil {
			t.Fatal(err)
		}
		for _, a := range g.answers {
			if got, _ := relayState(a); a.Action != wikiACS || got != state {
				t.Errorf("%q: to %s with %q", state, a.Action, got)
			}
		}
		to, err := g.getTo(signedQuery(t, p, logoutRequest(nameElement(aliceAt(t), ""), ""), state))
		if err != nil || !strings.HasPrefix(to, sloDone+"?SAMLResponse=") {
			t.Errorf("%q: signed out to %s, %v", state, to, err)
		}
	}
}

// Addresses that some parser takes for the registered one.
func TestS06_AddressesThatLookRegistered(t *testing.T) {
	host := "wiki.fabrikam.test"
	for _, acs := range []string{
		"https://wiki@" + host + "/saml/acs", "https://" + host + ":0443/saml/acs", "https://" + host + ":/saml/acs", "https://" + host + ".:443/saml/acs",
		"https://xn--wik-0ra.fabrikam.test/saml/acs", "https://wiki\u3002fabrikam.test/saml/acs", "https://wiki%2efabrikam.test/saml/acs",
		"https://" + host + "%00.evil.test/saml/acs", "https://" + host + "/saml%2facs", "https://" + host + "/saml//acs", "https://" + host + "/saml/acs;x",
		"https://" + host + "/saml/acs%20", "https://" + host + "/saml/acs%09", "https:/" + host + "/saml/acs", "https:///" + host + "/saml/acs", "HTTPS://" + host + "/saml/acs",
		"https://" + host + "/saml/acs?RelayState=x", "https://evil.test/" + wikiACS, "https://[::1]/saml/acs", "https://" + host + "\\@evil.test/saml/acs",
	} {
		g := newEnhanced(t)
		if err := g.get(redirect(request(`AssertionConsumerServiceURL="`+acs+`"`, ""))); !local(err, federation.ProblemUnknownParty) {
			t.Errorf("%q: %v", acs, err)
		}
		paos := strings.Replace(acs, "/saml/acs", "/saml/paos", 1)
		if w := g.send(envelope(request(`AssertionConsumerServiceURL="`+paos+`"`, "")), secret); w.Code != http.StatusInternalServerError || g.passwords.asked != 0 {
			t.Errorf("%q of an enhanced client: %d", paos, w.Code)
		}
		g.nothing(t)
	}
}
