package domain_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"sallyport/federation/domain"
)

// FuzzAnswer: what is accepted is JSON for encoding/json too and means the same
// there; what is read of it can be shown on a terminal.
func FuzzAnswer(f *testing.F) {
	one := base64Of(certOf(f, "one"))
	for _, s := range []string{
		`{}`, `{"value":[]}`, `{"a":1,"a":2}`, `{"A":{"b":[1,2.5e3,null,true,"x\u0000"]}}`, `[]`, `{} x`, `{"a":`, "{\"a\":\"\xff\"}",
		`{"id":"6601d14b-d113-8f64-fda2-9b5ddda18ecc","issuerUri":"urn:x","signingCertificate":"` + one + `","nextSigningCertificate":"AAAA"}`,
		`{"id":"contoso.test","authenticationType":"Federated","isDefault":false}`, strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40),
		`{"error":{"code":"x","message":"y\u001b[2J","innerError":{"request-id":"z"}}}`,
		`{"error":"invalid_client","error_description":"AADSTS7000215: x\r\nTrace","error_codes":[7000215]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, e := range []*domain.Error{domain.GraphError(data), domain.TokenError(data)} {
			if text := e.Error(); len(text) > 3000 || strings.ContainsFunc(text, unicode.IsControl) {
				t.Fatalf("error text %q", text)
			}
		}
		o, fed, dom, err := domain.DecodeAny(data)
		if err != nil {
			return
		}
		var std map[string]any
		if err := json.Unmarshal(data, &std); err != nil || len(std) != len(o) || !utf8.Valid(data) {
			t.Fatalf("accepted %q, which encoding/json reads as %v, %v", data, std, err)
		}
		if dom != nil && strings.ContainsAny(dom.Name, "/%?# ") {
			t.Fatalf("domain %q", dom.Name)
		}
		if fed == nil {
			return
		}
		want := wanted(t, "contoso.test")
		v := domain.Compare(want, domain.Domain{Name: "contoso.test", Federated: true}, fed)
		for _, r := range v.Rows {
			if strings.ContainsFunc(r.Microsoft, func(c rune) bool { return !unicode.IsPrint(c) && c != unicode.ReplacementChar }) {
				t.Fatalf("%s shows %q", r.Property, r.Microsoft)
			}
		}
		if !fed.Signing.Empty() && !fed.Signing.Holds(want.Signing) && v.Worst() < domain.Foreign {
			t.Fatalf("a foreign key is %s", v.Worst())
		}
	})
}
