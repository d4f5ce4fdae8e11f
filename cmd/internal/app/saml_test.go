package app_test

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"sallyport/cmd/internal/demo"
	"sallyport/cmd/internal/trip"
)

const wikiEntity = "https://wiki.fabrikam.test/sp"

// withSAML adds a SAML party, and SAML for the federated domain.
func withSAML(text string) string {
	return text + `relying_parties:
  - key: wiki
    name: Wiki
    protocol: saml
    identifiers: [` + wikiEntity + `]
    saml: {acs: [{url: "https://wiki.fabrikam.test/saml/acs"}], idp_initiated: true}
`
}

func authnRequest(entity, id, more string) string {
	return fmt.Sprintf(`<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="%s" Version="2.0" IssueInstant="%s" %s>`+
		`<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">%s</saml:Issuer></samlp:AuthnRequest>`,
		id, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), more, entity)
}

func redirectQuery(message string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write([]byte(message))
	_ = w.Close()
	return "?SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString(b.Bytes()))
}

// answered returns the Response that a page hands over.
func answered(t *testing.T, p *trip.Page) (*etree.Element, *trip.Form) {
	t.Helper()
	f, ok := p.FormWith("SAMLResponse")
	if !ok {
		t.Fatalf("no SAMLResponse on the page: %d %q", p.Status, p.Heading())
	}
	raw, err := base64.StdEncoding.DecodeString(f.Fields.Get("SAMLResponse"))
	if err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		t.Fatal(err)
	}
	return doc.Root(), f
}

func TestSAMLSignInThroughTheWholeService(t *testing.T) {
	h := open(t, demo.Options{Settings: withSAML})
	b := h.Browser()
	defer b.Close()
	u := h.User("alice")
	page := h.open(t, b, h.SignInURL()+redirectQuery(authnRequest(wikiEntity, "_one", ""))+"&RelayState=where%3D1")
	page = named(t, b, page, u.UPN, u.Password)
	if !page.AsksPassword(trip.English) {
		root, form := answered(t, page)
		if got := form.Fields.Get("RelayState"); got != "where=1" {
			t.Errorf("RelayState %q", got)
		}
		if got := root.FindElement("./Assertion/Subject/NameID").Text(); got != u.UPN {
			t.Errorf("NameID %q", got)
		}
		if form.Action != "https://wiki.fabrikam.test/saml/acs" {
			t.Errorf("posted to %s", form.Action)
		}
	} else {
		t.Fatal("the password is asked again")
	}

	t.Run("TestC21 a session answers the next request, a used one gets no second token", func(t *testing.T) {
		query := redirectQuery(authnRequest(wikiEntity, "_two", ""))
		answered(t, h.open(t, b, h.SignInURL()+query))
		again := h.open(t, b, h.SignInURL()+query)
		if _, ok := again.FormWith("SAMLResponse"); ok || again.Status != 200 {
			t.Errorf("the same request again: %d %q", again.Status, again.Heading())
		}
		other := h.Browser()
		defer other.Close()
		page := h.open(t, other, h.SignInURL()+query)
		if _, ok := page.FormWith("SAMLResponse"); ok || page.AsksPassword(trip.English) || page.Status != 400 {
			t.Errorf("the used request in another browser: %d %q, asks for a password %v", page.Status, page.Heading(), page.AsksPassword(trip.English))
		}
	})
	t.Run("IsPassive without a session is NoPassive", func(t *testing.T) {
		other := h.Browser()
		defer other.Close()
		root, _ := answered(t, h.open(t, other, h.SignInURL()+redirectQuery(authnRequest(wikiEntity, "_three", `IsPassive="true"`))))
		if !strings.Contains(etreeText(t, root), "status:NoPassive") || root.FindElement("./Assertion") != nil {
			t.Error("no NoPassive")
		}
	})
	t.Run("sign-in that begins here", func(t *testing.T) {
		root, _ := answered(t, h.open(t, b, strings.TrimSuffix(h.SignInURL(), "/")+"/IdpInitiatedSignOn.aspx?loginToRp="+url.QueryEscape(wikiEntity)))
		if root.SelectAttr("InResponseTo") != nil || root.FindElement("./Assertion") == nil {
			t.Error("the unsolicited answer names a request or has no assertion")
		}
	})
	t.Run("Microsoft 365", func(t *testing.T) {
		root, form := answered(t, h.open(t, b, h.SignInURL()+redirectQuery(authnRequest("urn:federation:MicrosoftOnline", "_four", ""))))
		if form.Action != h.Cloud.LoginSRF() {
			t.Errorf("posted to %s", form.Action)
		}
		if got := root.FindElement("./Assertion/Issuer").Text(); got != "http://contoso.test/adfs/services/trust/" {
			t.Errorf("issuer %q", got)
		}
		if e := root.FindElement("./Assertion/AttributeStatement/Attribute[@Name='IDPEmail']/AttributeValue"); e == nil || e.Text() != u.UPN {
			t.Error("IDPEmail is not the UPN")
		}
	})
	t.Run("metadata has the role", func(t *testing.T) {
		page := h.open(t, b, strings.Replace(h.SignInURL(), "/adfs/ls/", "/FederationMetadata/2007-06/FederationMetadata.xml", 1))
		if page.Status != 200 || !strings.Contains(page.Body, "IDPSSODescriptor") {
			t.Error("no IDPSSODescriptor")
		}
	})
}

func etreeText(t *testing.T, e *etree.Element) string {
	t.Helper()
	text, err := etree.NewDocumentWithRoot(e.Copy()).WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSAMLIsRefusedWhereNobodyUsesIt(t *testing.T) {
	h := open(t, demo.Options{Settings: func(text string) string {
		return strings.NewReplacer(", protocol: saml", "", "saml: {ecp: everywhere}\n", "").Replace(text)
	}})
	b := h.Browser()
	defer b.Close()
	page := h.open(t, b, h.SignInURL()+redirectQuery(authnRequest("urn:federation:MicrosoftOnline", "_one", "")))
	if page.Status != 400 {
		t.Errorf("%d %q", page.Status, page.Heading())
	}
	page = h.open(t, b, strings.Replace(h.SignInURL(), "/adfs/ls/", "/FederationMetadata/2007-06/FederationMetadata.xml", 1))
	if strings.Contains(page.Body, "IDPSSODescriptor") {
		t.Error("the metadata offers SAML 2.0")
	}
}

// named fills in the user name too, which no SAML request gives.
func named(t *testing.T, b *trip.Browser, p *trip.Page, upn, password string) *trip.Page {
	t.Helper()
	p, err := b.Password(t.Context(), p, trip.English, upn, password)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// partner makes the key of a party and writes its certificate for the settings.
func partner(t *testing.T) (*rsa.PrivateKey, string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "partner.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return key, path
}

// signedURL is a message of a party by the Redirect binding.
func signedURL(t *testing.T, key *rsa.PrivateKey, to, name, message string) string {
	t.Helper()
	query := strings.Replace(strings.TrimPrefix(redirectQuery(message), "?"), "SAMLRequest", name, 1) +
		"&SigAlg=" + url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")
	sum := sha256.Sum256([]byte(query))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return to + "?" + query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(sig))
}

// partyServer is a party that takes part in single logout: it confirms every
// sign-out, and shows a page when its own has been answered.
type partyServer struct {
	*httptest.Server
	gateway string
	told    []string // NameIDs of sign-outs
	status  []string // codes of the answers to its own
	down    bool     // it answers a sign-out with an error page
}

func startParty(t *testing.T, key *rsa.PrivateKey, entity string) *partyServer {
	t.Helper()
	p := &partyServer{}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "SAMLRequest"
		if r.URL.Query().Has("SAMLResponse") {
			name = "SAMLResponse"
		}
		raw, err := base64.StdEncoding.DecodeString(r.URL.Query().Get(name))
		if err != nil {
			t.Error(err)
		}
		doc := etree.NewDocument()
		if _, err := doc.ReadFrom(flate.NewReader(bytes.NewReader(raw))); err != nil || doc.Root() == nil {
			t.Errorf("no message: %v", err)
			return
		}
		if name == "SAMLResponse" {
			var codes []string
			for _, c := range doc.FindElements("//StatusCode") {
				codes = append(codes, c.SelectAttrValue("Value", ""))
			}
			p.status = append(p.status, strings.Join(codes, " "))
			_, _ = io.WriteString(w, "<html><h1>bye</h1></html>")
			return
		}
		p.told = append(p.told, doc.FindElement("//NameID").Text())
		if p.down {
			http.Error(w, "no service", http.StatusServiceUnavailable)
			return
		}
		answer := fmt.Sprintf(`<samlp:LogoutResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_a%d" Version="2.0" IssueInstant="%s" Destination="%s" InResponseTo="%s"><saml:Issuer>%s</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status></samlp:LogoutResponse>`,
			len(p.told), time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), p.gateway, doc.Root().SelectAttrValue("ID", ""), entity)
		http.Redirect(w, r, signedURL(t, key, p.gateway, "SAMLResponse", answer), http.StatusSeeOther)
	}))
	t.Cleanup(p.Close)
	return p
}

// A sign-out elsewhere visits the party and says that it confirmed, and a party's
// own sign-out ends the session of all.
func TestSAMLSingleLogoutAcrossProtocols(t *testing.T) {
	key, certificate := partner(t)
	wiki := startParty(t, key, wikiEntity)
	h := open(t, demo.Options{Settings: func(text string) string {
		return text + "relying_parties:\n  - {key: wiki, name: Wiki, protocol: saml, identifiers: [" + wikiEntity + "], saml: {acs: [{url: \"https://wiki.fabrikam.test/saml/acs\"}], " +
			"request_certificates_file: " + certificate + ", logout: {url: \"" + wiki.URL + "/slo\"}}}\n"
	}})
	wiki.gateway = h.SignInURL()
	roots := h.Roots().Clone()
	roots.AddCert(wiki.Certificate())
	b := trip.New(roots)
	defer b.Close()
	h.signIn(t, b, "alice") // WS-Federation first
	u := h.User("alice")
	toWiki := func(id string) *trip.Page {
		return h.open(t, b, h.SignInURL()+redirectQuery(authnRequest(wikiEntity, id, "")))
	}
	answered(t, toWiki("_one"))

	page := h.open(t, b, h.SignInURL()+"?wa=wsignout1.0")
	if page.Heading() != "You are signed out" || len(page.Frames()) != 1 || !strings.Contains(page.Text(), "confirmed that you are signed out: Wiki") ||
		len(wiki.told) != 1 || wiki.told[0] != u.UPN {
		t.Fatalf("%d %q, frames %.80q, told %v", page.Status, page.Text(), page.Frames(), wiki.told)
	}
	if !toWiki("_two").AsksPassword(trip.English) {
		t.Fatal("the session is still there")
	}

	h.signIn(t, b, "alice")
	root, _ := answered(t, toWiki("_three"))
	logout := fmt.Sprintf(`<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_out" Version="2.0" IssueInstant="%s" Destination="%s">`+
		`<saml:Issuer>%s</saml:Issuer><saml:NameID>%s</saml:NameID><samlp:SessionIndex>%s</samlp:SessionIndex></samlp:LogoutRequest>`,
		time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), h.SignInURL(), wikiEntity, u.UPN,
		root.FindElement("./Assertion/AuthnStatement").SelectAttrValue("SessionIndex", ""))
	page = h.open(t, b, signedURL(t, key, h.SignInURL(), "SAMLRequest", logout))
	if page.Heading() != "You are signed out" || len(page.Frames()) != 1 || !strings.Contains(page.Body, wiki.URL+"/slo?SAMLResponse=") || len(wiki.told) != 1 {
		t.Fatalf("%d %q, frames %.80q", page.Status, page.Heading(), page.Frames())
	}
	if !toWiki("_four").AsksPassword(trip.English) {
		t.Error("the session is still there after the party's sign-out")
	}

	// Nobody but the party itself: it hears so at once.
	named(t, b, toWiki("_five"), u.UPN, u.Password)
	page = h.open(t, b, signedURL(t, key, h.SignInURL(), "SAMLRequest", strings.Replace(logout, "_out", "_out2", 1)))
	if page.Heading() != "bye" || len(wiki.status) != 1 || wiki.status[0] != "urn:oasis:names:tc:SAML:2.0:status:Success" {
		t.Errorf("%q, status %q", page.Heading(), wiki.status)
	}

	// It is down: the browser is left there, and led on when it comes back.
	named(t, b, toWiki("_six"), u.UPN, u.Password)
	wiki.down = true
	if page = h.open(t, b, h.SignInURL()+"?wa=wsignout1.0"); page.Status != http.StatusServiceUnavailable {
		t.Fatalf("%d %q", page.Status, page.Text())
	}
	page = h.open(t, b, h.SignInURL())
	if page.Heading() != "You are signed out" || strings.Contains(page.Text(), "confirmed that you are signed out: Wiki") || !strings.Contains(page.Text(), "Wiki") {
		t.Errorf("%d %q", page.Status, page.Text())
	}
	if page = h.open(t, b, h.SignInURL()); strings.Contains(page.Text(), "Wiki") {
		t.Errorf("said twice: %q", page.Text())
	}
}
