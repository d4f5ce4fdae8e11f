package config_test

import (
	"strings"
	"testing"
)

// What parties of SAML 2.0 are held to and how assertions are encrypted is judged with
// what to write instead.
func TestSAMLSettingsAreJudged(t *testing.T) {
	wiki := func(saml string) string {
		return "relying_parties:\n  - key: wiki\n    name: Wiki\n    protocol: saml\n    identifiers: [urn:wiki]\n" +
			"    saml: {acs: [{url: \"https://wiki.test/acs\"}], " + saml + "}\n"
	}
	encrypted := "encryption_certificate_file: wiki.pem, encryption: "
	for text, want := range map[string]string{
		wiki(encrypted + "{content: aes256-cbc}"):                     "aes256-gcm",
		wiki(encrypted + "{content: aes128-gcm, transport: rsa-1_5}"): "rsa-oaep",
		wiki(encrypted + "{digest: md5}"):                             "sha",
		wiki(encrypted + "{mask: sha256}"):                            "needs transport: rsa-oaep",
		wiki(encrypted + "{transport: rsa-oaep-mgf1p, mask: sha256}"): "needs transport: rsa-oaep",
		wiki("encryption: {content: aes128-gcm}"):                     "only when assertions are encrypted",
		wiki("encrypt: never, encryption: {content: aes128-gcm}"):     "only when assertions are encrypted",
	} {
		if got := strings.Join(problemsOf(t, with(t, url, url+text)), "\n"); !strings.Contains(got, want) {
			t.Errorf("%q: %s", text, got)
		}
	}
	if got := strings.Join(problemsOf(t, with(t, "microsoft365:\n", "microsoft365:\n  saml: {request_certificates_file: x.pem}\n")), "\n"); !strings.Contains(got, "only with a domain of protocol: saml") {
		t.Errorf("Entra's certificates without a domain: %s", got)
	}
	for _, good := range []string{
		"{content: aes128-gcm}", "{transport: rsa-oaep}", "{digest: sha256}", "{mask: sha1}",
		"{content: aes256-gcm, transport: rsa-oaep, digest: sha1, mask: sha256}",
	} {
		if got := problemsOf(t, with(t, url, url+wiki(encrypted+good))); len(got) != 0 {
			t.Errorf("%s: %v", good, got)
		}
	}
}
