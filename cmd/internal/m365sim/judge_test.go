package m365sim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

var judgeNow = time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)

// tenant is a domain with one signing certificate and one user.
type tenant struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
	judge
}

func newTenant(t *testing.T) *tenant {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "signing"}, NotBefore: judgeNow.Add(-time.Hour), NotAfter: judgeNow.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	tn := &tenant{key: key, cert: cert}
	tn.judge = judge{
		now:     judgeNow,
		domains: []Domain{{Name: "contoso.test", Federated: true, IssuerURI: "http://contoso.test/adfs/services/trust/", SigningCertificate: cert}, {Name: "fabrikam.test", Federated: true, IssuerURI: "urn:fabrikam"}},
		users:   []User{{UPN: "ann@contoso.test", ImmutableID: "Z1dQ0m5xkkq0i9h0n7m2Ag==", DisplayName: "Ann"}},
		want:    pending{domain: "contoso.test", at: judgeNow.Add(-time.Minute)},
	}
	return tn
}

const validAssertion = `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:1.0:assertion" MajorVersion="1" MinorVersion="1" AssertionID="_b1c7c2f4-aaaa-4bbb-8ccc-1234567890ab" Issuer="http://contoso.test/adfs/services/trust/" IssueInstant="2026-12-01T09:00:00.000Z"><saml:Conditions NotBefore="2026-12-01T09:00:00.000Z" NotOnOrAfter="2026-12-01T10:00:00.000Z"><saml:AudienceRestrictionCondition><saml:Audience>urn:federation:MicrosoftOnline</saml:Audience></saml:AudienceRestrictionCondition></saml:Conditions><saml:AttributeStatement>SUBJECT<saml:Attribute AttributeName="UPN" AttributeNamespace="http://schemas.xmlsoap.org/claims"><saml:AttributeValue>ann@contoso.test</saml:AttributeValue></saml:Attribute><saml:Attribute AttributeName="ImmutableID" AttributeNamespace="http://schemas.microsoft.com/LiveID/Federation/2008/05"><saml:AttributeValue>Z1dQ0m5xkkq0i9h0n7m2Ag==</saml:AttributeValue></saml:Attribute></saml:AttributeStatement><saml:AuthenticationStatement AuthenticationMethod="urn:oasis:names:tc:SAML:1.0:am:password" AuthenticationInstant="2026-12-01T08:59:58.000Z">SUBJECT</saml:AuthenticationStatement></saml:Assertion>`

const subject = `<saml:Subject><saml:NameIdentifier Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified">Z1dQ0m5xkkq0i9h0n7m2Ag==</saml:NameIdentifier><saml:SubjectConfirmation><saml:ConfirmationMethod>urn:oasis:names:tc:SAML:1.0:cm:bearer</saml:ConfirmationMethod></saml:SubjectConfirmation></saml:Subject>`

const rstr = `<t:RequestSecurityTokenResponse xmlns:t="http://schemas.xmlsoap.org/ws/2005/02/trust"><t:Lifetime><wsu:Created xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd">2026-12-01T09:00:00.000Z</wsu:Created><wsu:Expires xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd">2026-12-01T10:00:00.000Z</wsu:Expires></t:Lifetime><wsp:AppliesTo xmlns:wsp="http://schemas.xmlsoap.org/ws/2004/09/policy"><wsa:EndpointReference xmlns:wsa="http://www.w3.org/2005/08/addressing"><wsa:Address>urn:federation:MicrosoftOnline</wsa:Address></wsa:EndpointReference></wsp:AppliesTo><t:RequestedSecurityToken>ASSERTION</t:RequestedSecurityToken><t:TokenType>urn:oasis:names:tc:SAML:1.0:assertion</t:TokenType><t:RequestType>http://schemas.xmlsoap.org/ws/2005/02/trust/Issue</t:RequestType><t:KeyType>http://schemas.xmlsoap.org/ws/2005/05/identity/NoProofKey</t:KeyType></t:RequestSecurityTokenResponse>`

// sign puts an enveloped signature at the end of the assertion.
func (tn *tenant) sign(t *testing.T, assertion string) string {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(assertion); err != nil {
		t.Fatal(err)
	}
	ctx, err := dsig.NewSigningContext(tn.key, [][]byte{tn.cert.Raw})
	if err != nil {
		t.Fatal(err)
	}
	ctx.IdAttribute = "AssertionID"
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	signed, err := ctx.SignEnveloped(doc.Root())
	if err != nil {
		t.Fatal(err)
	}
	out, err := etree.NewDocumentWithRoot(signed).WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// answer makes wresult: edit changes the assertion before it is signed, wrap
// the whole answer afterwards.
func (tn *tenant) answer(t *testing.T, edit, wrap func(string) string) *Verdict {
	t.Helper()
	a := strings.ReplaceAll(validAssertion, "SUBJECT", subject)
	if edit != nil {
		changed := edit(a)
		if changed == a {
			t.Fatal("the edit changed nothing")
		}
		a = changed
	}
	out := strings.Replace(rstr, "ASSERTION", tn.sign(t, a), 1)
	if wrap != nil {
		changed := wrap(out)
		if changed == out {
			t.Fatal("the edit changed nothing")
		}
		out = changed
	}
	v := &Verdict{At: judgeNow}
	j := tn.judge
	j.v = v
	j.run(out)
	return v
}

func replace(old, new string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, new, 1) }
}

func TestJudgeAcceptsAValidToken(t *testing.T) {
	v := newTenant(t).answer(t, nil, nil)
	if !v.OK() {
		t.Fatalf("refused: %s %s", v.Code, v.Why)
	}
	if v.UPN != "ann@contoso.test" || v.DisplayName != "Ann" || v.Slot != "signingCertificate" || len(v.Claims) != 2 {
		t.Errorf("verdict %+v", v)
	}
}

func TestJudgeNamesWhatIsWrong(t *testing.T) {
	tn := newTenant(t)
	signed := map[string]struct{ old, new, code string }{
		"issuer with a slash too few":     {`trust/"`, `trust"`, "AADSTS50107"},
		"issuer of another domain":        {`http://contoso.test/adfs/services/trust/`, `urn:fabrikam`, "AADSTS50008"},
		"audience":                        {`<saml:Audience>urn:federation:MicrosoftOnline`, `<saml:Audience>urn:other`, "AADSTS50008"},
		"expired":                         {`NotOnOrAfter="2026-12-01T10:00:00.000Z"`, `NotOnOrAfter="2026-12-01T08:55:00.000Z"`, "AADSTS50008"},
		"lives a day":                     {`NotOnOrAfter="2026-12-01T10:00:00.000Z"`, `NotOnOrAfter="2026-12-02T10:00:00.000Z"`, "AADSTS50008"},
		"pre-dated":                       {`IssueInstant="2026-12-01T09:00:00.000Z"`, `IssueInstant="2026-12-01T08:00:00.000Z"`, "AADSTS50008"},
		"local time":                      {`IssueInstant="2026-12-01T09:00:00.000Z"`, `IssueInstant="2026-12-01T10:00:00.000+01:00"`, "AADSTS50008"},
		"unknown user":                    {`Z1dQ0m5xkkq0i9h0n7m2Ag==</saml:AttributeValue>`, `AAAAAAAAAAAAAAAAAAAAAA==</saml:AttributeValue>`, "AADSTS50008"},
		"UPN of another domain":           {`ann@contoso.test`, `ann@fabrikam.test`, "AADSTS50008"},
		"unknown method":                  {`urn:oasis:names:tc:SAML:1.0:am:password`, `urn:made:up`, "AADSTS50008"},
		"format":                          {`nameid-format:unspecified`, `nameid-format:emailAddress`, "AADSTS50008"},
		"sender vouches":                  {`cm:bearer`, `cm:sender-vouches`, "AADSTS50008"},
		"SAML version":                    {`MinorVersion="1"`, `MinorVersion="0"`, "AADSTS50008"},
		"short id":                        {`_b1c7c2f4-aaaa-4bbb-8ccc-1234567890ab`, `_b`, "AADSTS50008"},
		"id that is no NCName":            {`"_b1c7c2f4`, `"1b1c7c2f4`, "AADSTS50008"},
		"claim twice":                     {`</saml:AttributeStatement>`, `<saml:Attribute AttributeName="UPN" AttributeNamespace="http://schemas.xmlsoap.org/claims"><saml:AttributeValue>x@contoso.test</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>`, "AADSTS50008"},
		"second authentication statement": {`<saml:AuthenticationStatement`, `<saml:AuthenticationStatement/><saml:AuthenticationStatement`, "AADSTS50008"},
		"subject locality":                {`<saml:SubjectConfirmation>`, `<saml:SubjectLocality/><saml:SubjectConfirmation>`, "AADSTS50008"},
		"instant in the future":           {`08:59:58.000Z`, `09:59:58.000Z`, "AADSTS50008"},
		"claim that is an instruction":    {`AttributeName="ImmutableID"`, `AttributeName="issuerid"`, "AADSTS50008"},
	}
	for name, c := range signed {
		t.Run(name, func(t *testing.T) {
			if v := tn.answer(t, replace(c.old, c.new), nil); v.Code != c.code {
				t.Errorf("got %q (%s), want %s", v.Code, v.Why, c.code)
			}
		})
	}
	wrapped := map[string]struct{ old, new, code string }{
		"value changed after signing": {`ann@contoso.test`, `bob@contoso.test`, "AADSTS50006"},
		"white space before it":       {`<t:RequestedSecurityToken>`, `<t:RequestedSecurityToken> `, "AADSTS50008"},
		"line feed":                   {`<t:Lifetime>`, "<t:Lifetime>\n", "AADSTS50008"},
		"AppliesTo":                   {`<wsa:Address>urn:federation:MicrosoftOnline`, `<wsa:Address>urn:x`, "AADSTS20012"},
		"token type":                  {`<t:TokenType>urn:oasis:names:tc:SAML:1.0:assertion`, `<t:TokenType>urn:oasis:names:tc:SAML:2.0:assertion`, "AADSTS20012"},
		"no RSTR":                     {`RequestSecurityTokenResponse xmlns:t="http://schemas.xmlsoap.org/ws/2005/02/trust"`, `RequestSecurityTokenResponse xmlns:t="urn:x"`, "AADSTS20012"},
		"document type":               {`<t:RequestSecurityTokenResponse`, `<!DOCTYPE x><t:RequestSecurityTokenResponse`, "AADSTS20012"},
		"SHA-1":                       {`xmldsig-more#rsa-sha256`, `xmldsig-more#rsa-sha1`, "AADSTS50006"},
		"reference elsewhere":         {`URI="#_b1c7`, `URI="#_b1c8`, "AADSTS50006"},
	}
	for name, c := range wrapped {
		t.Run(name, func(t *testing.T) {
			if v := tn.answer(t, nil, replace(c.old, c.new)); v.Code != c.code {
				t.Errorf("got %q (%s), want %s", v.Code, v.Why, c.code)
			}
		})
	}
}

func TestJudgeAsksForAFreshSignInWhereOneWasAsked(t *testing.T) {
	tn := newTenant(t)
	tn.want.fresh, tn.want.at = true, judgeNow.Add(-2*time.Second)
	if v := tn.answer(t, nil, nil); !v.OK() {
		t.Errorf("an authentication just after it was asked for: %s %s", v.Code, v.Why)
	}
	tn.want.at = judgeNow.Add(time.Minute)
	if v := tn.answer(t, nil, nil); v.Code != "AADSTS50196" {
		t.Errorf("got %q", v.Code)
	}
}

func TestJudgeRefusesACertificateOfNoSlot(t *testing.T) {
	tn := newTenant(t)
	tn.domains[0].SigningCertificate = newTenant(t).cert
	if v := tn.answer(t, nil, nil); v.Code != "AADSTS50006" {
		t.Errorf("got %q", v.Code)
	}
	tn.domains[0].NextSigningCertificate = tn.cert
	if v := tn.answer(t, nil, nil); !v.OK() || v.Slot != "nextSigningCertificate" {
		t.Errorf("next slot: %q %s", v.Code, v.Slot)
	}
}

func TestJudgeAsksForASecondFactorWhereTheDomainSaysSo(t *testing.T) {
	tn := newTenant(t)
	tn.domains[0].RequireMultipleAuthnFrom = true
	if v := tn.answer(t, nil, nil); v.Code != "AADSTS50079" {
		t.Errorf("got %q", v.Code)
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(rstr)
	f.Add(strings.Replace(rstr, "ASSERTION", strings.ReplaceAll(validAssertion, "SUBJECT", subject), 1))
	f.Add("<a/>")
	f.Fuzz(func(t *testing.T, wresult string) {
		j := &judge{v: &Verdict{}, now: judgeNow, domains: []Domain{{Name: "contoso.test", Federated: true, IssuerURI: "http://contoso.test/adfs/services/trust/"}}}
		j.run(wresult)
		if j.v.OK() {
			t.Errorf("accepted without any registered certificate: %q", wresult)
		}
	})
}
