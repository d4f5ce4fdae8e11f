package saml_test

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"sallyport/federation"
)

// redirect is the query that carries a message.
func redirect(message string, more ...string) string {
	return "SAMLRequest=" + url.QueryEscape(deflated(message)) + strings.Join(more, "")
}

func posted(message string) url.Values {
	return url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(message))}}
}

func deflated(message string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write([]byte(message))
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// request writes an AuthnRequest of wiki; attributes and body are added.
func request(attributes, body string) string { return requestOf(wiki, attributes, body) }

func requestOf(entity, attributes, body string) string {
	serial.Lock()
	serial.n++
	id := fmt.Sprintf("_t%d", serial.n)
	serial.Unlock()
	if !strings.Contains(attributes, "IssueInstant=") {
		attributes += ` IssueInstant="2026-12-01T09:00:00Z"`
	}
	if !strings.Contains(attributes, "Version=") {
		attributes += ` Version="2.0"`
	}
	if !strings.Contains(" "+attributes, " ID=") {
		attributes += ` ID="` + id + `"`
	}
	return `<samlp:AuthnRequest xmlns:samlp="` + protocol + `" xmlns:saml="` + names + `" ` + attributes + `><saml:Issuer>` + entity +
		`</saml:Issuer>` + body + `</samlp:AuthnRequest>`
}

// signedQuery signs a Redirect query as the binding asks.
func signedQuery(t testing.TB, p *pair, message, state string) string {
	t.Helper()
	q := "SAMLRequest=" + url.QueryEscape(deflated(message))
	if state != "" {
		q += "&RelayState=" + url.QueryEscape(state)
	}
	q += "&SigAlg=" + url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")
	sum := sha256.Sum256([]byte(q))
	sig, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return q + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(sig))
}

// signedXML signs a message with another library than ours and puts the signature
// behind the issuer.
func signedXML(t testing.TB, p *pair, message string) string {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(message); err != nil {
		t.Fatal(err)
	}
	ctx, err := dsig.NewSigningContext(p.key, [][]byte{p.cert.Raw})
	if err != nil {
		t.Fatal(err)
	}
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := ctx.SetSignatureMethod("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"); err != nil {
		t.Fatal(err)
	}
	signed, err := ctx.SignEnveloped(doc.Root())
	if err != nil {
		t.Fatal(err)
	}
	out, err := etree.NewDocumentWithRoot(signed).WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	start, end := strings.Index(out, "<ds:Signature"), strings.Index(out, "</ds:Signature>")+len("</ds:Signature>")
	return strings.Replace(out[:start]+out[end:], "</saml:Issuer>", "</saml:Issuer>"+out[start:end], 1)
}

// message returns the decoded SAMLResponse of an answer.
func message(t testing.TB, ans *federation.Answer) string {
	t.Helper()
	for _, f := range ans.Fields {
		if f.Name == "SAMLResponse" {
			raw, err := base64.StdEncoding.DecodeString(f.Value)
			if err != nil {
				t.Fatal(err)
			}
			return string(raw)
		}
	}
	t.Fatal("no SAMLResponse in the answer")
	return ""
}

// relayState returns the field and whether it is there.
func relayState(ans *federation.Answer) (string, bool) {
	for _, f := range ans.Fields {
		if f.Name == "RelayState" {
			return f.Value, true
		}
	}
	return "", false
}

func tree(t testing.TB, xml string) *etree.Element {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(xml); err != nil {
		t.Fatal(err)
	}
	return doc.Root()
}

// answerQuery signs a Redirect query that carries a response.
func answerQuery(t testing.TB, p *pair, message string) string {
	t.Helper()
	q := "SAMLResponse=" + url.QueryEscape(deflated(message)) + "&SigAlg=" + url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")
	sum := sha256.Sum256([]byte(q))
	sig, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return q + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(sig))
}

// decoded is a field of an answer without its base64.
func decoded(t testing.TB, ans *federation.Answer, name string) string {
	t.Helper()
	for _, f := range ans.Fields {
		if f.Name == name {
			raw, err := base64.StdEncoding.DecodeString(f.Value)
			if err != nil {
				t.Fatal(err)
			}
			return string(raw)
		}
	}
	t.Fatalf("no %s in the answer", name)
	return ""
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func base36(t time.Time) string { return strconv.FormatInt(t.Unix(), 36) }
