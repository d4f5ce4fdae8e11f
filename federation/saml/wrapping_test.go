package saml_test

import (
	"net/http"
	"strings"
	"testing"

	"sallyport/federation/saml"
)

// An envelope around a signed message lets nothing else be read than that message.
func TestS01_WrappingInAnEnvelope(t *testing.T) {
	paos := func(p []*saml.Party) {
		p[1].Consumers = append(p[1].Consumers, saml.Endpoint{URL: "https://sp.fabrikam.test/paos", Binding: saml.BindingPAOS, Index: 4})
	}
	p := keyOf(t, "party", 2048)
	good := signedXML(t, p, requestOf(signer, "", ""))
	id := tree(t, good).SelectAttrValue("ID", "")
	evil := requestOf(signer, `ForceAuthn="true"`, "")
	same := requestOf(signer, `ID="`+id+`"`, `<samlp:NameIDPolicy Format="`+saml.FormatEmail+`"/>`)
	sig := good[strings.Index(good, "<ds:Signature") : strings.Index(good, "</ds:Signature>")+len("</ds:Signature>")]
	head := func(block, body string) string {
		return strings.Replace(envelope(body), "<S:Body>", "<S:Header>"+block+"</S:Header><S:Body>", 1)
	}
	for name, body := range map[string]string{
		"signed one in the header":          head(good, evil),
		"the same id in the header":         head(good, same),
		"its signature in the header":       head(sig, evil),
		"signature of the envelope":         strings.Replace(envelope(evil), "<S:Body>", sig+"<S:Body>", 1),
		"signature beside the message":      envelope(sig + evil),
		"its signature in another message":  envelope(strings.Replace(evil, "</saml:Issuer>", "</saml:Issuer>"+sig, 1)),
		"signed one in Extensions":          envelope(strings.Replace(evil, "</saml:Issuer>", "</saml:Issuer><samlp:Extensions>"+good+"</samlp:Extensions>", 1)),
		"an envelope in the envelope":       envelope(envelope(good)),
		"body named by a foreign namespace": `<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body xmlns:S="urn:x">` + good + `</S:Body></S:Envelope>`,
		"prefix of the envelope means more": strings.Replace(envelope(strings.ReplaceAll(evil, `xmlns:samlp="`+protocol+`"`, "")), "<S:Envelope ", `<S:Envelope xmlns:samlp="`+protocol+`" `, 1),
		"body with a signed sibling":        strings.Replace(envelope(evil), "</S:Envelope>", good+"</S:Envelope>", 1),
		"two headers":                       strings.Replace(head("", evil), "<S:Body>", "<S:Header>"+good+"</S:Header><S:Body>", 1),
	} {
		g := newEnhanced(t, paos)
		if w := g.send(body, secret); w.Code != http.StatusInternalServerError || g.passwords.asked != 0 {
			t.Errorf("%s: %d, %d passwords judged: %s", name, w.Code, g.passwords.asked, w.Body)
		}
	}
	// Of a party that need not sign, either: a signature that covers something else.
	for _, body := range []string{head(sig, request("", "")), strings.Replace(envelope(request("", "")), "<S:Body>", sig+"<S:Body>", 1)} {
		g := newEnhanced(t, paos)
		if w := g.send(body, secret); w.Code != http.StatusInternalServerError || g.passwords.asked != 0 {
			t.Errorf("a signature outside of the message: %d", w.Code)
		}
	}
	g := newEnhanced(t, paos)
	if w := g.send(strings.Replace(envelope(good), "<S:Envelope ", `<S:Envelope xmlns:samlp="urn:x" xmlns:saml="urn:y" xmlns="urn:z" `, 1), secret); w.Code != http.StatusOK {
		t.Errorf("the message itself, with other meanings of its prefixes around it: %d %s", w.Code, w.Body)
	}
}
