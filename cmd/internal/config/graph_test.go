package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/cmd/internal/config"
)

func TestBadGraphSettingsAreRefusedWithAdvice(t *testing.T) {
	const id = "3f0c9a52-6d5b-4f2e-9c1b-0a6a6e2b7d11"
	graph := func(rest string) string {
		return with(t, "microsoft365:\n", "microsoft365:\n  graph: {tenant: contoso.test, client_id: "+id+", "+rest+"}\n")
	}
	for _, tt := range []struct{ name, text, want string }{
		{"good", graph("client_secret_file: s"), ""},
		{"no tenant", with(t, "microsoft365:\n", "microsoft365:\n  graph: {client_id: "+id+", client_secret_file: s}\n"), "graph.tenant: is missing"},
		{"tenant a URL", strings.Replace(graph("client_secret_file: s"), "tenant: contoso.test", `tenant: "https://contoso.test/"`, 1), "neither a GUID nor a domain"},
		{"client id a name", strings.Replace(graph("client_secret_file: s"), id, "sallyport", 1), "is not a GUID"},
		{"no credential", graph("watch: true"), "name the application's certificate and key_file, or a client_secret_file"},
		{"certificate alone", graph("certificate_file: c"), "key_file: is missing beside certificate_file"},
		{"key alone", graph("key_file: k"), "certificate_file: is missing beside key_file"},
		{"both", graph("certificate_file: c, key_file: k, client_secret_file: s"), "keep one of the two, better the certificate"},
		{"two secrets", graph("client_secret_file: s, client_secret_env: S"), "keep one of the two"},
		{"the secret itself", graph("client_secret: hunter2"), "a secret is never written in this file"},
		{"variable that is a secret", graph("client_secret_env: hunter2"), "never the secret itself"},
		{"login in the clear", graph(`client_secret_file: s, login_url: "http://login.test"`), "is http"},
		{"graph with a path", graph(`client_secret_file: s, graph_url: "https://graph.test/v1.0"`), "behind the host"},
		{"proxy with a password", graph(`client_secret_file: s, proxy_url: "http://u:hunter2@proxy.test:3128"`), "let the proxy know this machine"},
		{"proxy over TLS", graph(`client_secret_file: s, proxy_url: "https://proxy.test"`), "write http://HOST:PORT"},
		{"interval", graph("client_secret_file: s, watch_interval: 5s"), "outside 1m to 24h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(problemsOf(t, tt.text), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) || strings.Contains(got, "hunter2") {
				t.Errorf("problems:\n%s", got)
			}
		})
	}
}

func TestGraphKeyFileMustBePrivate(t *testing.T) {
	dir := t.TempDir()
	g := config.Graph{CertificateFile: filepath.Join(dir, "c"), KeyFile: filepath.Join(dir, "k")}
	for _, f := range []string{g.CertificateFile, g.KeyFile} {
		if err := os.WriteFile(f, []byte("no PEM"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.Certificate(); err == nil || !strings.Contains(err.Error(), "holds no PEM private key") {
		t.Errorf("got %v", err)
	}
	if err := os.Chmod(g.KeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Certificate(); err == nil || !strings.Contains(err.Error(), "chmod 0600") {
		t.Errorf("got %v", err)
	}
}
