package claims_test

import (
	"strings"
	"testing"

	"sallyport/federation"
	"sallyport/federation/claims"
)

func TestC27_IssuerBySuffix(t *testing.T) {
	e := engine(t, nil)
	for upn, want := range map[string]string{
		"a@contoso.test":          "http://contoso.test/adfs/services/trust/",
		"b@sales.eu.contoso.test": "http://contoso.test/adfs/services/trust/",
		"c@CONTOSO.TEST":          "http://contoso.test/adfs/services/trust/",
		"d@de.emea.fabrikam.test": "urn:fabrikam:emea",
		"d@emea.fabrikam.test":    "urn:fabrikam:emea",
		"e@fabrikam.test":         "http://fabrikam.test/adfs/services/trust/",
		"e@memea.fabrikam.test":   "http://fabrikam.test/adfs/services/trust/",
	} {
		a, err := e.For(t.Context(), microsoft365(), alice(func(s *federation.Subject) { s.Account.UPN = upn }))
		if err != nil || a.Issuer != want {
			t.Errorf("%s: %v %v, want %s", upn, a, err, want)
		}
		if err == nil && claim(a, claims.TypeUPN365)[0] != upn {
			t.Errorf("%s: UPN %v", upn, claim(a, claims.TypeUPN365))
		}
	}
	for upn, want := range map[string]error{
		"f@xcontoso.test": claims.ErrSuffix, "g@corp.local": claims.ErrSuffix, "h@contoso.test.evil.test": claims.ErrSuffix,
		"i@contoso.test.": claims.ErrSuffix, "j@.contoso.test": claims.ErrSuffix, "k@a..contoso.test": claims.ErrSuffix, "l@test": claims.ErrSuffix,
		"m@": claims.ErrSuffix, "n@conto\u017Fo.test": claims.ErrSuffix, "o@ contoso.test": claims.ErrSuffix, "p@x .contoso.test": claims.ErrSuffix,
		"": claims.ErrNoUPN, "nobody": claims.ErrUPN, "@contoso.test": claims.ErrUPN, "q@evil.test@contoso.test": claims.ErrUPN,
		"r\x01@contoso.test": claims.ErrUPN, "s\xff@contoso.test": claims.ErrUPN,
	} {
		_, err := e.For(t.Context(), microsoft365(), alice(func(s *federation.Subject) { s.Account.UPN = upn }))
		refused(t, err, federation.ProblemNotReady, want)
	}
	one := engine(t, func(c *claims.Config) { c.Domains = []claims.Domain{{Name: "contoso.test", Issuer: ownIssuer}} })
	a, err := one.For(t.Context(), microsoft365(), alice(nil))
	if err != nil || a.Issuer != ownIssuer {
		t.Errorf("one domain: %v %v", a, err)
	}
	none := engine(t, func(c *claims.Config) { c.Domains = nil })
	_, err = none.For(t.Context(), microsoft365(), alice(nil))
	refused(t, err, federation.ProblemNotReady, claims.ErrSuffix)
}

func FuzzIssuer(f *testing.F) {
	for _, s := range []string{"a@contoso.test", "d@de.emea.fabrikam.test", "h@contoso.test.evil.test", "i@contoso.test.", "@", "a@b@contoso.test", "a@.contoso.test"} {
		f.Add(s)
	}
	e := engine(f, nil)
	f.Fuzz(func(t *testing.T, upn string) {
		a, err := e.For(t.Context(), microsoft365(), alice(func(s *federation.Subject) { s.Account.UPN = upn }))
		if err != nil {
			if federation.ProblemOf(err) != federation.ProblemNotReady {
				t.Fatal(err)
			}
			return
		}
		var owner string
		for _, d := range domains {
			if d.Issuer == a.Issuer {
				owner = strings.ToLower(d.Name)
			}
		}
		_, suffix, _ := strings.Cut(upn, "@")
		if suffix = strings.ToLower(suffix); suffix != owner && !strings.HasSuffix(suffix, "."+owner) {
			t.Fatalf("%q gets the issuer of %s", upn, owner)
		}
	})
}
