package domain_test

import (
	"crypto/x509"
	"strings"
	"testing"

	"sallyport/federation/domain"
	"sallyport/federation/domain/graphtest"
)

func TestCompareJudgesEachProperty(t *testing.T) {
	one, two, three := base64Of(certOf(t, "one")), base64Of(certOf(t, "two")), base64Of(certOf(t, "three"))
	for _, c := range []struct {
		name, property string
		theirs         any
		ours           func(*domain.Wanted)
		severity       domain.Severity
		reason         string
	}{
		{"foreign next key", "nextSigningCertificate", three, nil, domain.Foreign, "signs in as anybody"},
		{"foreign key", "signingCertificate", three, nil, domain.Foreign, "signs in as anybody"},
		{"unreadable key", "nextSigningCertificate", "AAAA", nil, domain.Foreign, "signs in as anybody"},
		{"not base64", "nextSigningCertificate", "!!", nil, domain.Foreign, "signs in as anybody"},
		{"key that was ours", "nextSigningCertificate", two, func(w *domain.Wanted) { w.Gone = append(w.Gone, certOf(t, "two")) }, domain.Broken, "has retired"},
		{"key on its way out", "nextSigningCertificate", two, func(w *domain.Wanted) { w.Retiring = append(w.Retiring, certOf(t, "two")) }, domain.Note, ""},
		{"line breaks", "signingCertificate", one[:64] + "\r\n" + one[64:], nil, domain.Same, ""},
		{"no key", "signingCertificate", nil, nil, domain.Broken, "no certificate"},
		{"next not there", "nextSigningCertificate", nil, func(w *domain.Wanted) { w.Next = certOf(t, "two") }, domain.Behind, "does not have the next"},
		{"next there", "nextSigningCertificate", two, func(w *domain.Wanted) { w.Next = certOf(t, "two") }, domain.Same, ""},
		{"same in both", "nextSigningCertificate", one, nil, domain.Note, ""},
		{"slash", "issuerUri", "http://contoso.test/adfs/services/trust", nil, domain.Broken, "slash"},
		{"other issuer", "issuerUri", "http://evil.test/adfs/services/trust/", nil, domain.Foreign, "another issuer"},
		{"other host", "passiveSignInUri", "https://sts.evil.test/adfs/ls/", nil, domain.Foreign, "passwords"},
		{"other host for clients", "activeSignInUri", "https://sts.evil.test/adfs/services/trust/2005/usernamemixed", func(w *domain.Wanted) { w.ActiveOff = true }, domain.Foreign, "passwords"},
		{"other MEX", "metadataExchangeUri", "https://sts.evil.test/mex", nil, domain.Foreign, "passwords"},
		{"in the clear", "passiveSignInUri", "http://sts.contoso.test/adfs/ls/", nil, domain.Foreign, "passwords"},
		{"user part", "passiveSignInUri", "https://sts.contoso.test@evil.test/adfs/ls/", nil, domain.Foreign, "passwords"},
		{"without the slash", "passiveSignInUri", "https://sts.contoso.test/adfs/ls", nil, domain.Note, "leads to the same"},
		{"other path", "passiveSignInUri", "https://sts.contoso.test/other", nil, domain.Broken, "another path"},
		{"query", "passiveSignInUri", "https://sts.contoso.test/adfs/ls/?a=b", nil, domain.Broken, "another path"},
		{"no address", "passiveSignInUri", nil, nil, domain.Broken, "no address"},
		{"no address for clients", "activeSignInUri", nil, nil, domain.Broken, "no address"},
		{"clients are off", "activeSignInUri", nil, func(w *domain.Wanted) { w.ActiveOff = true }, domain.Note, ""},
		{"other sign-out", "signOutUri", "https://sts.evil.test/", nil, domain.Foreign, ""},
		{"protocol", "preferredAuthenticationProtocol", "saml", nil, domain.Broken, "protocol"},
		{"MFA loops", "federatedIdpMfaBehavior", "enforceMfaByFederatedIdp", nil, domain.Broken, "sign-in will loop"},
		{"MFA here", "federatedIdpMfaBehavior", "enforceMfaByFederatedIdp", func(w *domain.Wanted) { w.SecondFactor = true }, domain.Note, ""},
		{"MFA accepted", "federatedIdpMfaBehavior", "acceptIfMfaDoneByFederatedIdp", nil, domain.Note, "works"},
		{"MFA empty", "federatedIdpMfaBehavior", nil, nil, domain.Note, "SupportsMfa"},
		{"MFA unknown", "federatedIdpMfaBehavior", "unknownFutureValue", nil, domain.Broken, "not a value"},
		{"prompt empty", "promptLoginBehavior", nil, nil, domain.Same, ""},
		{"prompt native", "promptLoginBehavior", "nativeSupport", nil, domain.Note, ""},
		{"prompt unknown", "promptLoginBehavior", "unknownFutureValue", nil, domain.Broken, ""},
		{"name", "displayName", "\x1b[31mEvil", nil, domain.Note, ""},
		{"reset address", "passwordResetUri", "https://evil.test/", nil, domain.Note, "yours"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			want := wanted(t, "contoso.test")
			w.federated(t, want)
			if v := w.view(t, want); v.Worst() != domain.Same {
				t.Fatalf("before: %v", v.Reasons(domain.Note))
			}
			w.Set("contoso.test", c.property, c.theirs)
			if c.ours != nil {
				c.ours(want)
			}
			v := w.view(t, want)
			if v.Worst() != c.severity {
				t.Errorf("is %s: %v", v.Worst(), v.Reasons(domain.Note))
			}
			for _, r := range v.Rows {
				if strings.ContainsRune(r.Microsoft, '\x1b') {
					t.Errorf("%s steers the terminal", r.Property)
				}
				if r.Property == c.property && (r.Severity != c.severity || !strings.Contains(r.Reason, c.reason)) {
					t.Errorf("%s: %s %q", r.Property, r.Severity, r.Reason)
				}
			}
		})
	}
}

func TestCompareOfSlotsThatChangedPlaces(t *testing.T) {
	w := newWorld(t, nil)
	want := wanted(t, "contoso.test")
	want.Next = certOf(t, "two")
	w.federated(t, want)
	w.Set("contoso.test", "signingCertificate", base64Of(certOf(t, "two")))
	w.Set("contoso.test", "nextSigningCertificate", base64Of(certOf(t, "one")))
	if v := w.view(t, want); v.Worst() != domain.Behind {
		t.Errorf("%s %v", v.Worst(), v.Reasons(domain.Note))
	}
	w.Set("contoso.test", "nextSigningCertificate", nil)
	if v := w.view(t, want); v.Worst() != domain.Broken {
		t.Errorf("the key that signs is in neither place: %s", v.Worst())
	}
}

func TestCompareOfDomainsWithoutSettings(t *testing.T) {
	w := newWorld(t, nil)
	if v := w.view(t, wanted(t, "contoso.test")); v.Worst() != domain.Broken || !strings.Contains(v.Reasons(domain.Broken)[0], "federate") {
		t.Errorf("managed: %v", v)
	}
	w.Put(graphtest.Domain{Name: "contoso.test", Federated: true})
	if v := w.view(t, wanted(t, "contoso.test")); v.Worst() != domain.Broken || !strings.Contains(v.Reasons(domain.Broken)[0], "unfederate") {
		t.Errorf("federated without settings: %v", v)
	}
}

// A certificate is recognised by all of it: one with the same name and serial
// number, or with our public key, is not ours.
func TestSlotHoldsComparesAllBytes(t *testing.T) {
	one := certOf(t, "one")
	twin := *one
	twin.Raw = append([]byte(nil), one.Raw...)
	twin.Raw[len(twin.Raw)-1] ^= 1
	if (domain.Slot{Certificate: &twin}).Holds(one) || !(domain.Slot{Certificate: one}).Holds(one) {
		t.Error("a slot is judged by less than the certificate")
	}
	if (domain.Slot{}).Holds(nil) || (domain.Slot{Certificate: one}).Holds((*x509.Certificate)(nil)) {
		t.Error("nothing is held by nothing")
	}
}

func TestPolicyIsJudgedAgainstTheDomains(t *testing.T) {
	for _, c := range []struct {
		root     string
		names    []string
		severity domain.Severity
		reason   string
	}{
		{"all", nil, domain.Same, ""}, {"none", nil, domain.Note, "any other domain"}, {"allFederated", nil, domain.Note, "managed domains"},
		{"allManaged", nil, domain.Note, "of another"}, {"enumerated", []string{"contoso.test", "FABRIKAM.test"}, domain.Same, ""},
		{"enumerated", []string{"contoso.test"}, domain.Note, "fabrikam.test not listed"}, {"unknownFutureValue", nil, domain.Note, "does not know"},
	} {
		for _, beta := range []bool{false, true} {
			w := newWorld(t, func(tc *graphtest.Config, _ *domain.Config) {
				tc.RootDomains, tc.PolicyDomains, tc.PolicyOnlyBeta = c.root, c.names, beta
			})
			p, err := w.client.Policy(t.Context())
			must(t, err)
			if r := p.Judge([]string{"contoso.test", "fabrikam.test"}); r.Severity != c.severity || !strings.Contains(r.Reason, c.reason) {
				t.Errorf("%s: %+v", c.root, r)
			}
		}
	}
}

func TestAdminsOutsideADomain(t *testing.T) {
	w := newWorld(t, func(tc *graphtest.Config, _ *domain.Config) {
		tc.Admins, tc.PageSize = []string{"a@contoso.test", "b@EMEA.contoso.test", "c@xcontoso.test", "d@contoso.onmicrosoft.com"}, 2
	})
	upns, err := w.client.Admins(t.Context())
	must(t, err)
	if got := strings.Join(domain.Outside(upns, "contoso.test"), " "); got != "c@xcontoso.test d@contoso.onmicrosoft.com" {
		t.Errorf("outside: %s", got)
	}
}
