package wstrust_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"sallyport/authn/audit"
	"sallyport/federation/wstrust"
)

// cuts are the ways in which clients cut the assertion out of the answer.
var cuts = map[string]func(t *testing.T, answer []byte) string{
	// Python takes the longest run between the tags of a regular expression.
	"regular expression": func(t *testing.T, answer []byte) string {
		inner := func(tag, s string) string {
			m := regexp.MustCompile(`(?s)<(?:\w+:)?` + tag + `(?:[^>]*)>(.*)</(?:\w+:)?` + tag).FindStringSubmatch(s)
			if m == nil {
				t.Fatalf("no %s", tag)
			}
			return m[1]
		}
		response := inner("RequestSecurityTokenResponse", string(answer))
		if kind := inner("TokenType", response); kind != "urn:oasis:names:tc:SAML:1.0:assertion" {
			t.Errorf("TokenType %q", kind)
		}
		return inner("RequestedSecurityToken", response)
	},
	// Go takes the raw inside of the element.
	"inner XML": func(t *testing.T, answer []byte) string {
		type response struct {
			Token struct {
				Inner string `xml:",innerxml"`
			} `xml:"RequestedSecurityToken"`
		}
		var e struct {
			Collection []response `xml:"Body>RequestSecurityTokenResponseCollection>RequestSecurityTokenResponse"`
			Alone      []response `xml:"Body>RequestSecurityTokenResponse"`
		}
		if err := xml.Unmarshal(answer, &e); err != nil {
			t.Fatal(err)
		}
		all := append(e.Collection, e.Alone...)
		if len(all) != 1 {
			t.Fatalf("%d responses", len(all))
		}
		return all[0].Token.Inner
	},
	// Java and .NET write the element's tree anew.
	"tree": func(t *testing.T, answer []byte) string {
		doc := etree.NewDocument()
		if err := doc.ReadFromBytes(answer); err != nil {
			t.Fatal(err)
		}
		el := doc.FindElement("//RequestedSecurityToken")
		if len(el.Child) != 1 {
			t.Fatalf("%d nodes beside the assertion: Java would return it twice", len(el.Child)-1)
		}
		out := etree.NewDocument()
		out.SetRoot(el.ChildElements()[0].Copy())
		s, err := out.WriteToString()
		if err != nil {
			t.Fatal(err)
		}
		return s
	},
}

func certPEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// verify lets two libraries that are not ours judge an assertion's signature.
func verify(t *testing.T, assertion, idAttr string) {
	t.Helper()
	_, cert := signingKey()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(assertion); err != nil {
		t.Fatal(err)
	}
	v := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}})
	v.IdAttribute, v.Clock = idAttr, dsig.NewFakeClockAt(now)
	if _, err := v.Validate(doc.Root()); err != nil {
		t.Errorf("goxmldsig: %v", err)
	}
	tool, err := exec.LookPath("xmlsec1")
	if err != nil {
		if os.Getenv("CI") != "" || os.Getenv("SALLYPORT_LAB") != "" {
			t.Fatal("xmlsec1 is not installed, and this run must have it")
		}
		t.Log("xmlsec1 is not installed: only goxmldsig has judged")
		return
	}
	dir := t.TempDir()
	file, crt := filepath.Join(dir, "assertion.xml"), filepath.Join(dir, "signing.pem")
	for name, data := range map[string][]byte{file: []byte(assertion), crt: certPEM(cert)} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ns := "urn:oasis:names:tc:SAML:1.0:assertion:Assertion"
	if idAttr == "ID" {
		ns = "urn:oasis:names:tc:SAML:2.0:assertion:Assertion"
	}
	out, err := exec.CommandContext(t.Context(), tool, "--verify", "--id-attr:"+idAttr, ns, "--enabled-reference-uris", "same-doc",
		"--pubkey-cert-pem", crt, file).CombinedOutput()
	if err != nil {
		t.Errorf("xmlsec1: %v: %s", err, out)
	}
}

func TestAnswerInBothEditions(t *testing.T) {
	for _, v := range wstrust.Versions() {
		g := newRig(t, nil)
		w := g.send(message{version: v, id: "urn:uuid:1"}.String(), v, outsider)
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/soap+xml; charset=utf-8" || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%v: status %d, %v: %s", v, w.Code, w.Header(), w.Body)
		}
		var got struct {
			Action    string `xml:"Header>Action"`
			RelatesTo string `xml:"Header>RelatesTo"`
		}
		if err := xml.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := trust13 + "/RSTRC/IssueFinal"
		if v == wstrust.Feb2005 {
			want = trust05 + "/RSTR/Issue"
		}
		if got.Action != want || got.RelatesTo != "urn:uuid:1" {
			t.Errorf("%v: %+v", v, got)
		}
		for name, cut := range cuts {
			assertion := cut(t, w.Body.Bytes())
			verify(t, assertion, "AssertionID")
			for _, must := range []string{
				`<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:1.0:assertion"`, `Issuer="http://contoso.test/adfs/services/trust/"`,
				`AuthenticationMethod="urn:oasis:names:tc:SAML:1.0:am:password"`, `<saml:Audience>urn:federation:MicrosoftOnline</saml:Audience>`,
				`>alice@contoso.test<`, `AuthenticationInstant="2026-12-01T08:59:59.970Z"`,
			} {
				if !strings.Contains(assertion, must) {
					t.Errorf("%v, %s: no %s in %s", v, name, must, assertion)
				}
			}
			if strings.Contains(assertion, "PasswordProtectedTransport") {
				t.Errorf("the browser's method is in the token")
			}
		}
		e := g.trail.last()
		if e.Code != audit.TokenIssued || e.Protocol != "wstrust" || e.TokenID == "" || e.UPN != "alice@contoso.test" || e.Client != outsider {
			t.Errorf("audit %+v", e)
		}
	}
}

func TestAnswerHasTheShapeOfTheSamples(t *testing.T) {
	for v, name := range map[wstrust.Version]string{wstrust.Trust13: "rstr13_example.xml", wstrust.Feb2005: "rstr2005_example.xml"} {
		want := shape(t, []byte(sample(t, name)))
		w := newRig(t, nil).send(message{version: v, id: "urn:uuid:1"}.String(), v, outsider)
		if got := shape(t, w.Body.Bytes()); got != want {
			t.Errorf("%s\n got %s\nwant %s", name, got, want)
		}
	}
}

// shape is the tree of an answer without the inside of the assertion.
func shape(t *testing.T, answer []byte) string {
	d := xml.NewDecoder(bytes.NewReader(answer))
	var b strings.Builder
	inside := 0
	for {
		tok, err := d.Token()
		if tok == nil {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch el := tok.(type) {
		case xml.StartElement:
			if inside == 0 {
				b.WriteString("(" + el.Name.Space + " " + el.Name.Local)
			}
			if inside > 0 || el.Name.Local == "Assertion" {
				inside++
			}
		case xml.EndElement:
			if inside > 0 {
				inside--
			}
			if inside == 0 {
				b.WriteString(")")
			}
		}
	}
	return b.String()
}

func TestT06_SAML20WhenAsked(t *testing.T) {
	g := newRig(t, nil)
	m := message{version: wstrust.Trust13, tokenType: "urn:oasis:names:tc:SAML:2.0:assertion"}
	w := g.send(m.String(), m.version, outsider)
	if w.Code != 200 || !strings.Contains(w.Body.String(), "<trust:TokenType>urn:oasis:names:tc:SAML:2.0:assertion</trust:TokenType>") {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	verify(t, cuts["inner XML"](t, w.Body.Bytes()), "ID")
	m.audience = "https://crm.contoso.test/"
	if got := subcode(t, g.send(m.String(), m.version, outsider)); got != "Sender RequestFailed" {
		t.Errorf("a party registered for SAML 1.1: %s", got)
	}
}

func TestAudienceEchoesTheIdentifierAskedFor(t *testing.T) {
	for _, id := range []string{"urn:federation:MicrosoftOnline", "https://login.microsoftonline.com/extSTS.srf", "https://login.windows.net/"} {
		g := newRig(t, nil)
		w := g.send(message{audience: id}.String(), 0, outsider)
		if w.Code != 200 || !strings.Contains(w.Body.String(), "<saml:Audience>"+id+"</saml:Audience>") || !strings.Contains(w.Body.String(), "<wsa:Address>"+id+"</wsa:Address>") {
			t.Errorf("%s: %d", id, w.Code)
		}
	}
	for _, id := range []string{"urn:federation:microsoftonline", "https://login.windows.net", "urn:other", "https://login.microsoftonline.com/extSTS.srf/"} {
		g := newRig(t, nil)
		if got := subcode(t, g.send(message{audience: id}.String(), 0, outsider)); got != "Sender InvalidScope" || g.people.calls() != 0 {
			t.Errorf("%s: %s after %d binds", id, got, g.people.calls())
		}
	}
}
