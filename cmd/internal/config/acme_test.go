package config_test

import (
	"strings"
	"testing"

	"sallyport/cmd/internal/config"
)

func TestACMESectionIsJudged(t *testing.T) {
	for name, c := range map[string]struct{ section, want string }{
		"terms not agreed":    {"  acme: {cache_dir: acme}", "tls.acme.agree_terms: is missing"},
		"no cache":            {"  acme: {agree_terms: true}", "tls.acme.cache_dir: is missing"},
		"not an address":      {"  acme: {agree_terms: true, cache_dir: acme, email: nobody}", "tls.acme.email"},
		"authority in clear":  {"  acme: {agree_terms: true, cache_dir: acme, directory_url: \"http://ca.test/\"}", "tls.acme.directory_url"},
		"two ways":            {tlsFiles + "\n  acme: {agree_terms: true, cache_dir: acme}", "tls: choose one"},
		"a port and no colon": {"  acme: {agree_terms: true, cache_dir: acme, http_listen: \"80\"}", "tls.acme.http_listen"},
	} {
		if got := strings.Join(problemsOf(t, with(t, tlsFiles, c.section)), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, err := config.Parse("f", []byte(with(t, tlsFiles, "  acme: {agree_terms: true, cache_dir: acme, http_listen: \":80\"}"))); err != nil {
		t.Error(err)
	}
}
