package m365sim

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// grantOf judges an assertion as the token endpoint does: edit changes it before it
// is signed, wrap afterwards.
func (tn *tenant) grantOf(t *testing.T, enc *base64.Encoding, edit, wrap func(string) string) *Verdict {
	t.Helper()
	a := strings.ReplaceAll(validAssertion, "SUBJECT", subject)
	for i, f := range []func(string) string{edit, wrap} {
		if i == 1 {
			a = tn.sign(t, a)
		}
		if f == nil {
			continue
		}
		changed := f(a)
		if changed == a {
			t.Fatal("the edit changed nothing")
		}
		a = changed
	}
	v := &Verdict{At: judgeNow, Active: true}
	j := tn.judge
	j.v, j.active, j.want = v, true, pending{}
	j.runGrant(enc.EncodeToString([]byte(a)))
	return v
}

func TestTheTokenEndpointJudgesTheAssertion(t *testing.T) {
	tn := newTenant(t)
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
		if v := tn.grantOf(t, enc, nil, nil); !v.OK() || v.UPN != "ann@contoso.test" {
			t.Fatalf("a valid assertion: %s %s", v.Code, v.Why)
		}
	}
	for name, c := range map[string]struct{ edit, wrap func(string) string }{
		"changed on the way":   {nil, replace("ann@contoso.test", "bob@contoso.test")},
		"another audience":     {replace("urn:federation:MicrosoftOnline", "urn:other"), nil},
		"the browser's method": {replace("urn:oasis:names:tc:SAML:1.0:am:password", "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"), nil},
		"another issuer":       {replace("http://contoso.test/adfs/services/trust/", "http://contoso.test/adfs/services/trust"), nil},
		"an unknown person":    {func(s string) string { return strings.ReplaceAll(s, "Z1dQ0m5xkkq0i9h0n7m2Ag==", "AAAA") }, nil},
		"a comment":            {nil, replace("</saml:Conditions>", "<!-- --></saml:Conditions>")},
		"something beside it":  {nil, func(s string) string { return s + s }},
	} {
		if v := tn.grantOf(t, base64.StdEncoding, c.edit, c.wrap); v.OK() {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, id := range []string{"https://login.microsoftonline.com/extSTS.srf", "https://login.windows.net/"} {
		if v := tn.grantOf(t, base64.StdEncoding, replace("urn:federation:MicrosoftOnline", id), nil); !v.OK() {
			t.Errorf("%s: %s %s", id, v.Code, v.Why)
		}
	}
	tn.now = judgeNow.Add(2 * time.Hour)
	if v := tn.grantOf(t, base64.StdEncoding, nil, nil); v.OK() {
		t.Error("an old assertion is accepted")
	}
}
