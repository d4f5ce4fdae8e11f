package verify_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"sallyport/federation"
	"sallyport/federation/token"
	"sallyport/federation/verify"
)

var now = time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)

func pair(t testing.TB) (*rsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sts"}, NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 11, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

const anchor = "MyIRAFVEd2aImaq7zN3u/w=="

func assertion() *token.Assertion {
	return &token.Assertion{
		Version: federation.SAML11, Issuer: "http://contoso.test/adfs/services/trust/", IssueInstant: now, NotBefore: now.Add(-30 * time.Second),
		NotOnOrAfter: now.Add(time.Hour - 30*time.Second), Audience: verify.Audience, NameID: anchor,
		NameIDFormat: "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
		AuthnMethod:  "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport", AuthnInstant: now,
		Attributes: []token.Attribute{
			{Namespace: "http://schemas.xmlsoap.org/claims", Name: "UPN", Values: []string{"alice@contoso.test"}},
			{Namespace: "http://schemas.microsoft.com/LiveID/Federation/2008/05", Name: "ImmutableID", Values: []string{anchor}},
		},
	}
}

func sign(t testing.TB, key *rsa.PrivateKey, cert *x509.Certificate, a *token.Assertion) []byte {
	t.Helper()
	s, err := token.NewSigner(key, cert)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.AppendAssertion(nil, a)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTokenIsJudgedAsMicrosoftWould(t *testing.T) {
	key, cert := pair(t)
	other, otherCert := pair(t)
	good := func() verify.Want {
		return verify.Want{Now: now, UPN: "alice@contoso.test", ImmutableID: anchor, Domains: []verify.Domain{
			{Name: "contoso.test", Issuer: "http://contoso.test/adfs/services/trust/", Current: otherCert, Next: cert, MFA: "rejectMfaByFederatedIdp"},
			{Name: "emea.contoso.test", Issuer: "urn:emea"},
		}}
	}
	if v := verify.Token(sign(t, key, cert, assertion()), good()); !v.OK() || v.Err() != nil || v.Slot != "nextSigningCertificate" || v.Domain != "contoso.test" {
		t.Fatalf("a good token: %+v", v)
	}
	if v := verify.Token(sign(t, other, otherCert, assertion()), good()); !v.OK() || v.Slot != "signingCertificate" {
		t.Errorf("a good token of the current key: %+v", v)
	}
	_, thirdCert := pair(t)
	for name, c := range map[string]struct {
		change func(*token.Assertion)
		want   func(*verify.Want)
		broken string
	}{
		"issuer without the last slash": {func(a *token.Assertion) { a.Issuer = strings.TrimSuffix(a.Issuer, "/") }, nil, "the issuer is"},
		"person of a subdomain with settings of its own": {func(a *token.Assertion) { a.Attributes[0].Values[0] = "alice@emea.contoso.test" },
			func(w *verify.Want) { w.UPN = "" }, "the user principal name"},
		"person of another domain":  {func(a *token.Assertion) { a.Attributes[0].Values[0] = "alice@fabrikam.test" }, func(w *verify.Want) { w.UPN = "" }, "the user principal name"},
		"another UPN in the tenant": {nil, func(w *verify.Want) { w.UPN = "al@contoso.test" }, "the user principal name"},
		"anchor in another case":    {nil, func(w *verify.Want) { w.ImmutableID = strings.ToLower(anchor) }, "the name identifier"},
		"claim and name differ":     {func(a *token.Assertion) { a.Attributes[1].Values[0] = "x" }, nil, "the name identifier"},
		"another party's token":     {func(a *token.Assertion) { a.Audience = "urn:sharepoint:portal" }, nil, "the audience"},
		"expired":                   {nil, func(w *verify.Want) { w.Now = now.Add(2 * time.Hour) }, "it is valid now"},
		"an unknown method":         {func(a *token.Assertion) { a.AuthnMethod = "urn:x" }, nil, "the method"},
		"signed in tomorrow":        {func(a *token.Assertion) { a.AuthnInstant = now.Add(24 * time.Hour) }, nil, "the method"},
		"MFA asked of this service": {nil, func(w *verify.Want) { w.Domains[0].MFA = "enforceMfaByFederatedIdp" }, "a second factor"},
		"in no slot":                {nil, func(w *verify.Want) { w.Domains[0].Next = thirdCert }, "it is signed by"},
		"slot of nobody":            {nil, func(w *verify.Want) { w.Domains[0].Current, w.Domains[0].Next = nil, nil }, "it is signed by"},
		"certificate has ended":     {nil, func(w *verify.Want) { w.Now = now.AddDate(1, 0, 0) }, "that certificate is in date"},
	} {
		a, want := assertion(), good()
		if c.change != nil {
			c.change(a)
		}
		if c.want != nil {
			c.want(&want)
		}
		v := verify.Token(sign(t, key, cert, a), want)
		if v.OK() || v.Err() == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if !strings.HasPrefix(v.Err().Error(), c.broken) {
			t.Errorf("%s: %v", name, v.Err())
		}
		for _, f := range v.Findings {
			if !f.OK && f.Remedy == "" {
				t.Errorf("%s: no remedy for %q", name, f.Rule)
			}
		}
	}
}

// Whatever byte of a signed token changes, it is refused or says the same.
func TestS02_ChangedTokenIsRefused(t *testing.T) {
	key, cert := pair(t)
	want := verify.Want{Now: now, Domains: []verify.Domain{{Name: "contoso.test", Issuer: "http://contoso.test/adfs/services/trust/", Current: cert}}}
	signed := sign(t, key, cert, assertion())
	for i := 0; i < len(signed); i += 7 {
		changed := bytes.Clone(signed)
		changed[i] ^= 1
		if verify.Token(changed, want).OK() {
			t.Errorf("byte %d, %q, changed and accepted", i, signed[max(0, i-20):i+1])
		}
	}
}

// FuzzToken: nothing panics, and nothing that was not signed here passes.
func FuzzToken(f *testing.F) {
	key, cert := pair(f)
	want := verify.Want{Now: now, Domains: []verify.Domain{{Name: "contoso.test", Issuer: "http://contoso.test/adfs/services/trust/", Current: cert}}}
	signed := sign(f, key, cert, assertion())
	f.Add(signed)
	f.Add([]byte("<a/>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if verify.Token(data, want).OK() && !bytes.Equal(data, signed) && !bytes.Contains(data, []byte(anchor)) {
			t.Errorf("accepted: %q", data)
		}
	})
}
