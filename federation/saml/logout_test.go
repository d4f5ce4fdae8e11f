package saml_test

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/beevik/etree"

	"sallyport/federation"
	"sallyport/federation/saml"
)

const slo, sloDone = "https://sp.fabrikam.test/slo", "https://sp.fabrikam.test/slo/done"

func withLogout(binding string) func([]*saml.Party) {
	return func(p []*saml.Party) {
		p[1].Logout = &saml.Logout{URL: slo, ResponseURL: sloDone, Binding: binding}
		p[1].NameIDFormat = saml.FormatPersistent
		p[1].WantSigned = false // sign-outs must be signed all the same
	}
}

// aliceAt is the identifier that the signing party knows the person by.
func aliceAt(t *testing.T) string { return nameID(t, signer, saml.FormatPersistent, nil) }

var logouts int

func logoutRequest(nameID, attributes string) string {
	logouts++
	return fmt.Sprintf(`<samlp:LogoutRequest xmlns:samlp="%s" xmlns:saml="%s" ID="_l%d" Version="2.0" IssueInstant="2026-12-01T09:00:00Z" Destination="%s" %s>`+
		`<saml:Issuer>%s</saml:Issuer>%s<samlp:SessionIndex>0123456789abcdef0123456789abcdef</samlp:SessionIndex></samlp:LogoutRequest>`,
		protocol, names, logouts, address, attributes, signer, nameID)
}

func nameElement(value, attributes string) string {
	return `<saml:NameID ` + attributes + `>` + value + `</saml:NameID>`
}

// verifyQuery checks the signature of a query of ours as a party would that
// decodes it and encodes it again in upper case, and returns the message.
func verifyQuery(t *testing.T, g *rig, location, name string) *etree.Element {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	octets := name + "=" + url.QueryEscape(q.Get(name))
	if q.Has("RelayState") {
		octets += "&RelayState=" + url.QueryEscape(q.Get("RelayState"))
	}
	octets += "&SigAlg=" + url.QueryEscape(q.Get("SigAlg"))
	sig, err := base64.StdEncoding.DecodeString(q.Get("Signature"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(octets))
	if err := rsa.VerifyPKCS1v15(g.signer.Certificate().PublicKey.(*rsa.PublicKey), crypto.SHA256, sum[:], sig); err != nil {
		t.Errorf("the query's signature: %v", err)
	}
	raw, err := base64.StdEncoding.DecodeString(q.Get(name))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := io.ReadAll(flate.NewReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return tree(t, string(doc))
}

// codes are the status codes of a response.
func codes(root *etree.Element) string {
	var list []string
	for _, e := range root.FindElements("./Status//StatusCode") {
		v := e.SelectAttrValue("Value", "")
		list = append(list, v[strings.LastIndexByte(v, ':')+1:])
	}
	return strings.Join(list, " ")
}

// Written in other cases, from another order: the signature holds over the octets.
func TestC05_LowerCaseHexInTheSignedQuery(t *testing.T) {
	query := strings.TrimSpace(caseFile(t, "C05-query.txt"))
	rigOf := func() *rig {
		g := newRig(t, fabrikam(t), withLogout(saml.BindingRedirect))
		g.account = nil // the message names no live session
		return g
	}
	g := rigOf()
	to, err := g.getTo(query)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(to, sloDone+"?SAMLResponse=") {
		t.Fatalf("answered to %.80s", to)
	}
	root := verifyQuery(t, g, to, "SAMLResponse")
	u, _ := url.Parse(to)
	if root.Tag != "LogoutResponse" || codes(root) != "Success" || u.Query().Get("RelayState") != "/done?a=1&b=ü" {
		t.Errorf("%s %s %q", root.Tag, codes(root), u.Query().Get("RelayState"))
	}
	upper := query
	for i := 0; i+2 < len(upper); i++ {
		if upper[i] == '%' {
			upper = upper[:i] + strings.ToUpper(upper[i:i+3]) + upper[i+3:]
		}
	}
	digit := strings.Replace(query, "RelayState=%2fdone", "RelayState=%2edone", 1)
	for name, changed := range map[string]string{
		"upper case": upper, "one digit": digit, "relay state twice": query + "&RelayState=%2fdone", "encoding": query + "&SAMLEncoding=" + url.QueryEscape("urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"),
	} {
		if changed == query {
			t.Fatalf("%s changes nothing", name)
		}
		g := rigOf()
		g.account = alice()
		if err := g.get(changed); err == nil || g.account == nil {
			t.Errorf("%s: %v, session lives: %v", name, err, g.account != nil)
		}
	}
}

func TestC06_QualifiersOfTheNameID(t *testing.T) {
	p := keyOf(t, "party", 2048)
	id := aliceAt(t)
	persistent := `Format="` + saml.FormatPersistent + `"`
	for name, c := range map[string]struct {
		element string
		ended   bool
		want    string
	}{
		"the party's own qualifier":  {nameElement(id, persistent+` SPNameQualifier="`+signer+`"`), true, "Success"},
		"no format":                  {nameElement(id, ""), true, "Success"},
		"our qualifier":              {nameElement(id, persistent+` NameQualifier="`+issuer+`"`), true, "Success"},
		"another prefix":             {strings.ReplaceAll(nameElement(id, `xmlns:x="`+names+`" `+persistent), "saml:NameID", "x:NameID"), true, "Success"},
		"a foreign qualifier":        {nameElement(id, persistent+` NameQualifier="https://other.test"`), false, "Requester UnknownPrincipal"},
		"another party's qualifier":  {nameElement(id, persistent+` SPNameQualifier="`+wiki+`"`), false, "Requester UnknownPrincipal"},
		"another party's identifier": {nameElement(nameID(t, wiki, saml.FormatPersistent, nil), persistent), false, "Requester UnknownPrincipal"},
		"another format":             {nameElement(id, `Format="`+saml.FormatTransient+`"`), false, "Requester UnknownPrincipal"},
		"nobody":                     {"", false, "Requester"},
		"encrypted":                  {`<saml:EncryptedID/>`, false, "Requester"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, binding := range []string{saml.BindingRedirect, saml.BindingPost} {
				g := newRig(t, withLogout(binding))
				doc := logoutRequest(c.element, "")
				to, err := g.getTo(signedQuery(t, p, doc, "r s"))
				if err != nil {
					t.Fatal(err)
				}
				if c.ended != (g.account == nil) {
					t.Errorf("ended: %v", g.account == nil)
				}
				root := (*etree.Element)(nil)
				if binding == saml.BindingPost {
					root = tree(t, message(t, g.handed[0]))
					xmlsec1(t, g, message(t, g.handed[0]), "LogoutResponse")
					if state, _ := relayState(g.handed[0]); state != "r s" || g.handed[0].Action != sloDone {
						t.Errorf("RelayState %q to %s", state, g.handed[0].Action)
					}
				} else {
					root = verifyQuery(t, g, to, "SAMLResponse")
				}
				if got := codes(root); got != c.want || root.SelectAttrValue("InResponseTo", "") != tree(t, doc).SelectAttrValue("ID", "") {
					t.Errorf("%s", got)
				}
			}
		})
	}
}

func TestS09_ForcedLogout(t *testing.T) {
	p := keyOf(t, "party", 2048)
	good := logoutRequest(nameElement(aliceAt(t), ""), `NotOnOrAfter="2026-12-01T09:05:00Z"`)
	for name, send := range map[string]func(*rig) error{
		"unsigned redirect": func(g *rig) error { return g.get(redirect(good)) },
		"unsigned post":     func(g *rig) error { return g.post(posted(good)) },
		"stranger":          func(g *rig) error { return g.get(signedQuery(t, keyOf(t, "stranger", 2048), good, "")) },
		"foreign party":     func(g *rig) error { return g.get(signedQuery(t, p, strings.Replace(good, signer, wiki, 1), "")) },
		"old": func(g *rig) error {
			return g.get(signedQuery(t, p, strings.Replace(good, "09:00:00Z", "08:00:00Z", 1), ""))
		},
		"expired": func(g *rig) error {
			return g.get(signedQuery(t, p, strings.Replace(good, "09:05:00Z", "09:00:10Z", 1), ""))
		},
		"for somewhere else": func(g *rig) error {
			return g.get(signedQuery(t, p, strings.Replace(good, address, "https://evil.test/", 1), ""))
		},
		"without destination": func(g *rig) error {
			return g.get(signedQuery(t, p, strings.Replace(good, `Destination="`+address+`"`, "", 1), ""))
		},
	} {
		g := newRig(t, withLogout(""))
		if err := send(g); err == nil || g.account == nil {
			t.Errorf("%s: %v, session lives: %v", name, err, g.account != nil)
		}
	}
	for name, doc := range wrappings(strings.ReplaceAll(signedXML(t, p, good), "LogoutRequest", "AuthnRequest"), strings.ReplaceAll(logoutRequest(nameElement(aliceAt(t), ""), ""), "LogoutRequest", "AuthnRequest")) {
		g := newRig(t, withLogout(""))
		if err := g.post(posted(strings.ReplaceAll(doc, "AuthnRequest", "LogoutRequest"))); err == nil || g.account == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	g := newRig(t, withLogout(""))
	query := signedQuery(t, p, good, "")
	if err := g.get(query); err != nil || g.account != nil {
		t.Fatalf("the request itself: %v", err)
	}
	g.account = alice() // signed in again
	if err := g.get(query); err == nil || g.account == nil {
		t.Errorf("replay: %v", err)
	}
	if err := newRig(t).get(signedQuery(t, p, good, "")); !local(err, federation.ProblemBadRequest) {
		t.Errorf("a party without an address: %v", err)
	}
}

// What Microsoft 365 sends to end a sign-in is not known to be signed, nor what it
// names: the browser's session ends as it does by wsignout1.0, and the answer comes
// from the issuer that Microsoft knows the domain by.
func TestMicrosoft365SignsOut(t *testing.T) {
	doc := strings.Replace(logoutRequest(nameElement("somebody", ""), ""), signer, federation.MicrosoftOnline, 1)
	g := newRig(t)
	if err := g.get(redirect(doc) + "&RelayState=ctx%2f1"); err != nil || g.account != nil {
		t.Fatalf("%v, the session lives: %v", err, g.account != nil)
	}
	ans := g.handed[0]
	root := tree(t, message(t, ans))
	state, _ := relayState(ans)
	if ans.Action != "https://login.microsoftonline.com/login.srf" || codes(root) != "Success" || state != "ctx/1" ||
		root.SelectAttrValue("InResponseTo", "") != tree(t, doc).SelectAttrValue("ID", "") {
		t.Errorf("%s to %s with %q", codes(root), ans.Action, state)
	}
	if got := root.FindElement("./Issuer").Text(); got != "http://contoso.test/adfs/services/trust/" {
		t.Errorf("the answer's issuer is %q", got)
	}
	xmlsec1(t, g, message(t, ans), "LogoutResponse")
	entra := keyOf(t, "party", 2048)
	registered := func(p []*saml.Party) { p[2].Certificates = []*x509.Certificate{entra.cert} }
	for name, c := range map[string]struct {
		change func([]*saml.Party)
		by     string
		ended  bool
	}{
		"signed, and nothing is registered": {func([]*saml.Party) {}, "stranger", true},
		"signed as registered":              {registered, "party", true},
		"signed by a stranger":              {registered, "stranger", false},
	} {
		g := newRig(t, c.change)
		if err := g.get(signedQuery(t, keyOf(t, c.by, 2048), doc, "")); (err == nil) != c.ended || (g.account == nil) != c.ended {
			t.Errorf("%s: %v, the session lives: %v", name, err, g.account != nil)
		}
	}
	b := newBack(t)
	if w := b.send(t, envelope(strings.Replace(doc, address, logoutAddress, 1))); w.Code == 200 {
		t.Errorf("unsigned by SOAP: %d", w.Code)
	}
}
