package saml_test

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/federation"
	"sallyport/federation/saml"
	"sallyport/federation/web"
)

const (
	ecpAddress = "https://sts.contoso.test/adfs/services/saml/ecp"
	paosACS    = "https://wiki.fabrikam.test/saml/paos"
	secret     = "pass:wörd \x01<"
)

// verifier judges one name and password.
type verifier struct {
	now    func() time.Time
	asked  int
	last   authn.Attempt
	reason authn.Reason // of a password that is not alice's
	took   time.Duration
}

func (v *verifier) Verify(_ context.Context, at authn.Attempt, c authn.Credentials) authn.Result {
	defer c.Password.Wipe()
	time.Sleep(v.took)
	v.asked++
	v.last = at
	if c.Name == `CONTOSO\alice` && string(c.Password.Bytes()) == secret {
		return authn.Result{Reason: authn.Accepted, Account: alice(), At: v.now()}
	}
	return authn.Result{Reason: v.reason}
}

// enhanced is the endpoint behind an edge.
type enhanced struct {
	*rig
	passwords *verifier
	edge      *web.Edge
	access    web.Access
}

func newEnhanced(t testing.TB, change ...func([]*saml.Party)) *enhanced {
	t.Helper()
	return newInstance(t, nil, nil, change...)
}

// newInstance is one of several instances that share notes and the judge of passwords.
func newInstance(t testing.TB, notes saml.Notes, judge *verifier, change ...func([]*saml.Party)) *enhanced {
	t.Helper()
	g := &enhanced{rig: newRig(t, change...), access: web.Everywhere}
	if g.passwords = judge; judge == nil {
		g.passwords = &verifier{now: g.clock, reason: authn.WrongPassword}
	}
	h, err := saml.NewECP(saml.ECPConfig{Messages: g.handler, URL: ecpAddress, Passwords: g.passwords, Audit: g,
		Access: func() web.Access { return g.access }, Notes: notes, Key: make([]byte, 32), Now: g.clock})
	if err != nil {
		t.Fatal(err)
	}
	g.edge, err = web.New(web.Config{
		Trust: web.Trust{Hosts: []string{"sts.contoso.test"}, Inside: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		Pages: saml.Pages{Realm: "sts.contoso.test", Next: errorPage(func(*federation.Error) { t.Error("a page for people") })},
	}, h)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// send posts an envelope with alice's name and a password; edit may change it.
func (g *enhanced) send(body, password string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, ecpAddress, strings.NewReader(body))
	r.SetBasicAuth(`CONTOSO\alice`, password)
	for _, f := range edit {
		f(r)
	}
	w := httptest.NewRecorder()
	g.edge.ServeHTTP(w, r)
	return w
}

func envelope(message string) string {
	return `<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>` + message + `</S:Body></S:Envelope>`
}

// opened is what an enhanced client finds in an answer: the address it must compare
// and the Response, as text.
func opened(t *testing.T, w *httptest.ResponseRecorder) (consumer string, response *etree.Element) {
	t.Helper()
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/xml") {
		t.Fatalf("status %d, %s\n%s", w.Code, w.Header(), w.Body)
	}
	root := tree(t, w.Body.String())
	block := root.FindElement("./Header/Response")
	if block == nil || block.NamespaceURI() != "urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp" {
		t.Fatalf("no ecp:Response\n%s", w.Body)
	}
	for _, a := range []string{"mustUnderstand", "actor"} {
		if block.SelectAttr("S:"+a) == nil {
			t.Errorf("ecp:Response has no %s", a)
		}
	}
	response = root.FindElement("./Body/Response")
	if response == nil {
		t.Fatalf("no Response\n%s", w.Body)
	}
	return block.SelectAttrValue("AssertionConsumerServiceURL", ""), response
}

// goodSignature verifies an enveloped signature inside the envelope with a library
// that is not ours.
func goodSignature(t *testing.T, g *rig, e *etree.Element) {
	t.Helper()
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{g.signer.Certificate()}})
	ctx.IdAttribute = "ID"
	ctx.Clock = dsig.NewFakeClockAt(noon)
	if _, err := ctx.Validate(e); err != nil {
		t.Errorf("signature of %s: %v", e.Tag, err)
	}
}

func TestEnhancedClientGetsASignedResponse(t *testing.T) {
	g := newEnhanced(t, func(p []*saml.Party) { p[0].Sign = saml.SignAssertion })
	consumer, res := opened(t, g.send(envelope(request(`Destination="`+ecpAddress+`"`, "")), secret))
	if consumer != paosACS || res.SelectAttrValue("Destination", "") != paosACS {
		t.Errorf("for %q, Destination %q; want %q", consumer, res.SelectAttrValue("Destination", ""), paosACS)
	}
	a := res.FindElement("./Assertion")
	if a == nil {
		t.Fatal("no assertion")
	}
	goodSignature(t, g.rig, a)
	data := a.FindElement("./Subject/SubjectConfirmation/SubjectConfirmationData")
	if data.SelectAttrValue("Recipient", "") != paosACS || data.SelectAttrValue("InResponseTo", "") != res.SelectAttrValue("InResponseTo", "?") {
		t.Errorf("confirmation %v", data.Attr)
	}
	if last := g.events[len(g.events)-1]; last.Code != audit.TokenIssued || last.Protocol != "saml-ecp" || last.UPN != "alice@contoso.test" || last.TokenID == "" {
		t.Errorf("audit: %+v", last)
	}
}

// TestExchangeOnlineSignsIn: the request as it was captured, without headers, with
// seven digits of a second, unsigned, and index 2 (saml2.md 1.5).
func TestExchangeOnlineSignsIn(t *testing.T) {
	g := newEnhanced(t)
	message := `<samlp:AuthnRequest xmlns:samlp="` + protocol + `" xmlns:saml="` + names + `" ID="_3a1f" IssueInstant="2026-12-01T09:00:12.2150299Z" Version="2.0" AssertionConsumerServiceIndex="2"><saml:Issuer>urn:federation:MicrosoftOnline</saml:Issuer></samlp:AuthnRequest>`
	consumer, res := opened(t, g.send(envelope(message), secret, func(r *http.Request) { r.Header.Del("Content-Type") }))
	if consumer != "https://login.microsoftonline.com/login.srf" {
		t.Errorf("for %q", consumer)
	}
	id := res.FindElement("./Assertion/Subject/NameID")
	if id == nil || id.SelectAttrValue("Format", "") != saml.FormatPersistent || id.Text() == "" {
		t.Errorf("NameID %v", id)
	}
	goodSignature(t, g.rig, res.FindElement("./Assertion"))
}

func TestEnhancedClientsSignedRequestIsVerified(t *testing.T) {
	paos := func(p []*saml.Party) {
		p[1].Consumers = append(p[1].Consumers, saml.Endpoint{URL: "https://sp.fabrikam.test/paos", Binding: saml.BindingPAOS, Index: 4})
	}
	signed := func(by string) string { return signedXML(t, keyOf(t, by, 2048), requestOf(signer, "", "")) }
	g := newEnhanced(t, paos)
	w := g.send(envelope(signed("party")), secret)
	if consumer, _ := opened(t, w); consumer != "https://sp.fabrikam.test/paos" || !strings.Contains(w.Body.String(), "<ecp:RequestAuthenticated") {
		t.Errorf("a signed request: %s", w.Body)
	}
	for name, message := range map[string]string{
		"unsigned":            requestOf(signer, "", ""),
		"by a stranger":       signed("stranger"),
		"changed":             strings.Replace(signed("party"), `Version="2.0"`, `Version="2.0" ForceAuthn="true"`, 1),
		"around another":      `<x>` + signed("party") + `</x>`,
		"without declaration": strings.Replace(signed("party"), ` xmlns:samlp="`+protocol+`"`, "", 1),
	} {
		g := newEnhanced(t, paos)
		if w := g.send(envelope(message), secret); w.Code != http.StatusInternalServerError || g.passwords.asked != 0 {
			t.Errorf("%s: status %d, %d passwords judged", name, w.Code, g.passwords.asked)
		}
	}
}

// TestT07_EnhancedClientsHearOneRefusal: whatever is wrong with name or password,
// and with a person who may not sign in, is the same answer.
func TestT07_EnhancedClientsHearOneRefusal(t *testing.T) {
	var first string
	for _, reason := range []authn.Reason{authn.WrongPassword, authn.UnknownUser, authn.Disabled, authn.LockedOut, authn.Throttled, authn.PasswordExpired, authn.Restricted} {
		g := newEnhanced(t)
		g.passwords.reason = reason
		w := g.send(envelope(request("", "")), "wrong")
		got := http.StatusText(w.Code) + w.Header().Get("WWW-Authenticate") + w.Header().Get("Content-Type") + w.Body.String()
		if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != `Basic realm="sts.contoso.test", charset="UTF-8"` {
			t.Errorf("%s: %d %s", reason, w.Code, w.Header())
		}
		if first == "" {
			first = got
		} else if got != first {
			t.Errorf("%s: %q, others %q", reason, got, first)
		}
	}
	g := newEnhanced(t)
	g.passwords.reason = authn.Unavailable
	if w := g.send(envelope(request("", "")), "wrong"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "S:Server") {
		t.Errorf("nobody could judge: %d %s", w.Code, w.Body)
	}
	// The person is known, and the party's wish cannot be met: on the schedule of refusals.
	for _, judged := range []time.Duration{0, 7 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			g := newEnhanced(t)
			g.passwords.took = judged
			begun := time.Now()
			w := g.send(envelope(request("", `<saml:Subject><saml:NameID>bob@contoso.test</saml:NameID></saml:Subject>`)), secret)
			if took := time.Since(begun); w.Code != http.StatusUnauthorized || took != 400*time.Millisecond {
				t.Errorf("another subject: %d after %v", w.Code, took)
			}
			if last := g.events[len(g.events)-1]; last.Code != audit.TokenRefused {
				t.Errorf("audit: %+v", last)
			}
		})
	}
}

func TestEnhancedClientsWithoutCredentials(t *testing.T) {
	for name, edit := range map[string]func(*http.Request){
		"none":       func(r *http.Request) { r.Header.Del("Authorization") },
		"two":        func(r *http.Request) { r.Header.Add("Authorization", "Basic eDp5") },
		"Bearer":     func(r *http.Request) { r.Header.Set("Authorization", "Bearer eDp5") },
		"no base64":  func(r *http.Request) { r.Header.Set("Authorization", "Basic ***") },
		"no colon":   func(r *http.Request) { r.Header.Set("Authorization", "Basic eHk=") },
		"empty name": func(r *http.Request) { r.Header.Set("Authorization", "Basic OnB3") },
	} {
		g := newEnhanced(t)
		if w := g.send(envelope(request("", "")), secret, edit); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" || g.passwords.asked != 0 {
			t.Errorf("%s: %d %s", name, w.Code, w.Header())
		}
	}
}

// TestEnhancedEndpointIsOffUntilNamed: as if it were not there, before anything of
// the request is read.
func TestEnhancedEndpointIsOffUntilNamed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		access web.Access
		from   string
		want   int
	}{
		{"off", web.Off, "10.1.2.3:99", http.StatusNotFound},
		{"inside, from outside", web.Inside, "203.0.113.9:99", http.StatusNotFound},
		{"inside", web.Inside, "10.1.2.3:99", http.StatusOK},
		{"everywhere", web.Everywhere, "203.0.113.9:99", http.StatusOK},
	} {
		g := newEnhanced(t)
		g.access = tt.access
		w := g.send(envelope(request("", "")), secret, func(r *http.Request) { r.RemoteAddr = tt.from })
		if w.Code != tt.want || tt.want != http.StatusOK && g.passwords.asked != 0 {
			t.Errorf("%s: %d, %d passwords judged", tt.name, w.Code, g.passwords.asked)
		}
	}
	for _, header := range []string{"Origin", "Sec-Fetch-Mode"} {
		g := newEnhanced(t)
		if w := g.send(envelope(request("", "")), secret, func(r *http.Request) { r.Header.Set(header, "https://wiki.fabrikam.test") }); w.Code != http.StatusForbidden || g.passwords.asked != 0 {
			t.Errorf("a browser, by %s: %d", header, w.Code)
		}
	}
}

func TestEnvelopesThatAreNone(t *testing.T) {
	ok := request("", "")
	header := func(block string) string {
		return strings.Replace(envelope(ok), "<S:Body>", `<S:Header>`+block+`</S:Header><S:Body>`, 1)
	}
	g := newEnhanced(t)
	if w := g.send(header(`<x xmlns="urn:x"/>`), secret); w.Code != http.StatusOK {
		t.Errorf("a header block that may be ignored: %d %s", w.Code, w.Body)
	}
	for name, body := range map[string]string{
		"empty": "", "no XML": "SAMLRequest=1", "the message alone": ok, "two messages": envelope(ok + ok), "no message": envelope(""),
		"SOAP 1.2":            strings.ReplaceAll(envelope(ok), "http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"),
		"two bodies":          strings.Replace(envelope(ok), "</S:Envelope>", "<S:Body/></S:Envelope>", 1),
		"must be understood":  header(`<x xmlns="urn:x" S:mustUnderstand="1"/>`),
		"DTD":                 `<!DOCTYPE x [<!ENTITY e "x">]>` + envelope(ok),
		"a LogoutRequest":     envelope(strings.ReplaceAll(ok, "AuthnRequest", "LogoutRequest")),
		"unknown party":       envelope(requestOf("https://nobody.test", "", "")),
		"foreign ACS":         envelope(request(`AssertionConsumerServiceURL="https://evil.test/"`, "")),
		"ACS of a browser":    envelope(request(`AssertionConsumerServiceURL="`+wikiACS+`"`, "")),
		"index of a browser":  envelope(request(`AssertionConsumerServiceIndex="7"`, "")),
		"foreign Destination": envelope(request(`Destination="`+address+`"`, "")),
		"stale":               envelope(request(`IssueInstant="2026-12-01T08:00:00Z"`, "")),
		"no PAOS endpoint":    envelope(requestOf(signer, "", "")),
	} {
		g := newEnhanced(t)
		w := g.send(body, secret)
		if w.Code != http.StatusInternalServerError || g.passwords.asked != 0 || strings.Contains(w.Body.String(), "evil") {
			t.Errorf("%s: %d, %d passwords judged: %s", name, w.Code, g.passwords.asked, w.Body)
		}
		if tree(t, w.Body.String()).FindElement("./Body/Fault/faultcode") == nil {
			t.Errorf("%s: no fault: %s", name, w.Body)
		}
	}
}

// TestEnhancedClientHearsWhatThePartyMustKnow: refusals of the request go to the
// party, as a Status at its PAOS endpoint.
func TestEnhancedClientHearsWhatThePartyMustKnow(t *testing.T) {
	g := newEnhanced(t)
	consumer, res := opened(t, g.send(envelope(request("", `<samlp:NameIDPolicy Format="urn:oasis:names:tc:SAML:2.0:nameid-format:kerberos"/>`)), secret))
	code := res.FindElement("./Status/StatusCode/StatusCode")
	if consumer != paosACS || code == nil || !strings.HasSuffix(code.SelectAttrValue("Value", ""), "InvalidNameIDPolicy") || res.FindElement("./Assertion") != nil {
		t.Errorf("for %q: %v", consumer, code)
	}
}

func FuzzEnvelope(f *testing.F) {
	f.Add(envelope(request("", "")))
	f.Add(envelope(""))
	f.Add(`<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Header><x xmlns="urn:x" S:mustUnderstand="0"/></S:Header><S:Body/></S:Envelope>`)
	f.Fuzz(func(t *testing.T, body string) {
		g := newEnhanced(t)
		if w := g.send(body, "wrong"); w.Code == http.StatusOK && strings.Contains(w.Body.String(), "<saml:Assertion") {
			t.Errorf("a token without a password for %q", body)
		}
	})
}
