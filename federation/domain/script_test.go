package domain_test

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"sallyport/federation/domain"
)

// readPS reads a PowerShell single-quoted string as PowerShell does and returns
// what is left behind it.
func readPS(t testing.TB, s string) (value, rest string) {
	t.Helper()
	r := []rune(s)
	quote := func(c rune) bool { return strings.ContainsRune("'\u2018\u2019\u201a\u201b", c) }
	if len(r) == 0 || !quote(r[0]) {
		t.Fatalf("no quote at %q", s)
	}
	var out []rune
	for i := 1; i < len(r); i++ {
		if !quote(r[i]) {
			out = append(out, r[i])
			continue
		}
		if i+1 < len(r) && quote(r[i+1]) {
			out = append(out, r[i])
			i++
			continue
		}
		return string(out), string(r[i+1:])
	}
	t.Fatalf("no end of %q", s)
	return "", ""
}

func TestScriptsDoWhatTheCommandsDo(t *testing.T) {
	want := wanted(t, "contoso.test")
	want.Next = certOf(t, "two")
	for action, parts := range map[domain.Action][]string{
		domain.ActionFederate:   {"New-MgDomainFederationConfiguration -DomainId $domain", "'rejectMfaByFederatedIdp'", "'issuerUri' = 'http://contoso.test/adfs/services/trust/'", "IsDefault"},
		domain.ActionUpdate:     {"Update-MgDomainFederationConfiguration", "-InternalDomainFederationId $held.Id", base64Of(certOf(t, "two"))},
		domain.ActionUnfederate: {"Remove-MgDomainFederationConfiguration", "-Confirm"},
	} {
		text, err := domain.Script(action, "usgov", tenant, []*domain.Wanted{want, wanted(t, "fabrikam.test")})
		must(t, err)
		for _, p := range append(parts, "-Environment 'USGov'", "-TenantId '"+tenant+"'", "$domain = 'contoso.test'", "$domain = 'fabrikam.test'", "Domain-InternalFederation.ReadWrite.All") {
			if !strings.Contains(text, p) {
				t.Errorf("%s: no %s in\n%s", action, p, text)
			}
		}
	}
	bad := wanted(t, "contoso.test")
	bad.Signing = nil
	for _, action := range []domain.Action{domain.ActionFederate, domain.ActionUpdate, "other"} {
		if text, err := domain.Script(action, "global", "", []*domain.Wanted{bad}); err == nil {
			t.Errorf("%s without a certificate:\n%s", action, text)
		}
	}
}

// A certificate of somebody else stays in no slot, and goes from none unasked.
func TestUpdateScriptJudgesWhatStandsInTheSlots(t *testing.T) {
	w := wanted(t, "contoso.test")
	w.Retiring, w.Gone = []*x509.Certificate{certOf(t, "two")}, []*x509.Certificate{certOf(t, "three")}
	text, err := domain.Script(domain.ActionUpdate, "global", "", []*domain.Wanted{w})
	must(t, err)
	for _, want := range []string{
		"$beside = $null\n", "$retiring = @('" + base64Of(certOf(t, "two")) + "')\n",
		"$own = @($signing, $beside) + $retiring + @('" + base64Of(certOf(t, "three")) + "')\n",
		"$own -cnotcontains $_", "Read-Host", "{ $beside = $signing }",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if ask, send := strings.Index(text, "Read-Host"), strings.Index(text, "$null = Update-Mg"); ask < 0 || send < ask {
		t.Error("it asks after it has sent")
	}
}

func FuzzScriptQuotesEveryValue(f *testing.F) {
	for _, s := range []string{"Contoso", "O'Neill", "\u2019; Remove-Item C:\\ -Recurse #", "$(calc)", "`\"", "a\nb", "", "'''"} {
		f.Add(s)
	}
	cert := certOf(f, "one")
	f.Fuzz(func(t *testing.T, name string) {
		want := &domain.Wanted{
			Domain: "contoso.test", DisplayName: name, Issuer: "urn:contoso", PassiveSignInURI: "https://a.test/", ActiveSignInURI: "https://a.test/",
			MetadataExchangeURI: "https://a.test/", SignOutURI: "https://a.test/", Signing: cert,
		}
		text, err := domain.Script(domain.ActionFederate, "global", "", []*domain.Wanted{want})
		if err != nil {
			return
		}
		_, rest, ok := strings.Cut(text, "  'displayName' = ")
		if !ok {
			if name != "" {
				t.Fatal("the name is missing")
			}
			return
		}
		value, rest := readPS(t, rest)
		if !strings.HasPrefix(rest, "\n  'issuerUri' = ") {
			t.Fatalf("%q ends its string early: %.80q", name, rest)
		}
		if value != strings.ToValidUTF8(name, "\ufffd") && value != fmt.Sprint(string([]rune(name))) {
			t.Fatalf("%q became %q", name, value)
		}
	})
}
