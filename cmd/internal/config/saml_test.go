package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/cmd/internal/config"
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

// Origins that may frame an answer are exact: what a policy would read as more, or as
// something else, is refused with what to write.
func TestC29_FrameOriginsAreExact(t *testing.T) {
	for _, where := range []string{url + party + "    frame_origins: [%s]\n", "frame"} {
		settings := func(list string) string {
			if where == "frame" {
				return with(t, "microsoft365:\n", "microsoft365:\n  frame_origins: ["+list+"]\n")
			}
			return with(t, url, strings.Replace(where, "%s", list, 1))
		}
		for list, want := range map[string]string{
			`"*"`:                                 "not an https address",
			`"https:"`:                            "is missing: write a name",
			`"https://*.contoso.test"`:            "wildcard",
			`"http://app.contoso.test"`:           "is http",
			`"https://app.contoso.test/"`:         "write https://app.contoso.test",
			`"https://app.contoso.test/tab"`:      "write https://app.contoso.test",
			`"https://APP.contoso.test"`:          "lower case",
			`"https://app.contoso.test:443"`:      "write https://app.contoso.test",
			`"https://a.test; script-src *"`:      "not an address",
			`"https://a.test https://b.test"`:     "not an address",
			`"'self'"`:                            "not an https address",
			`"https://a.test", "https://a.test"`:  "listed twice",
			`"https://a.test", "https://b.test/"`: "frame_origins[1]",
		} {
			if got := strings.Join(problemsOf(t, settings(list)), "\n"); !strings.Contains(got, want) || !strings.Contains(got, "frame_origins") {
				t.Errorf("%s: %q, want %q", list, got, want)
			}
		}
		if got := problemsOf(t, settings(`"https://app.contoso.test", "https://teams.contoso.test:8443"`)); len(got) != 0 {
			t.Errorf("good origins: %v", got)
		}
	}
}

// TestS12_NobodyElseKeepsTheMetadata: the copies of documents without a signature are
// believed because they lie there.
func TestS12_NobodyElseKeepsTheMetadata(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mode := func(m os.FileMode) func() error { return func() error { return os.Chmod(dir, m) } }
	for _, c := range []struct {
		path    string
		prepare func() error
		want    string
	}{
		{dir, mode(0o700), ""}, {dir, mode(0o755), ""}, {dir, mode(0o770), "chmod 0700"}, {dir, mode(0o757), "chmod 0700"},
		{file, mode(0o700), "not a directory"}, {filepath.Join(dir, "none"), mode(0o700), "no such file"},
		{dir, func() error { return os.Chown(dir, 12345, -1) }, "belongs to user 12345"},
	} {
		if err := c.prepare(); os.IsPermission(err) {
			t.Logf("%s needs root and is left out: %v", c.want, err)
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if err := config.OwnDirectory(c.path); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q: %v", c.want, err)
		}
	}
}
