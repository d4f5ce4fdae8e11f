//go:build pkcs11

package keystore_test

import (
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sallyport/certs"
	"sallyport/certs/keystore"
)

// token makes a SoftHSM token of the test's own.
func token(t *testing.T) keystore.ModuleConfig {
	t.Helper()
	tool, err := exec.LookPath("softhsm2-util")
	module := "/usr/lib/softhsm/libsofthsm2.so"
	if _, serr := os.Stat(module); err != nil || serr != nil {
		if os.Getenv("CI") == "true" || os.Getenv("SALLYPORT_LAB") == "1" {
			t.Fatal("SoftHSM is not installed, and the lab is required here")
		}
		t.Skip("LAB TEST LEFT OUT: SoftHSM is not installed (apt-get install softhsm2)")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "softhsm2.conf")
	must(t, os.Mkdir(filepath.Join(dir, "tokens"), 0o700))
	must(t, os.WriteFile(conf, []byte("directories.tokendir = "+filepath.Join(dir, "tokens")+"\nobjectstore.backend = file\n"), 0o600))
	t.Setenv("SOFTHSM2_CONF", conf)
	out, err := exec.CommandContext(t.Context(), tool, "--init-token", "--free", "--label", "sallyport", "--so-pin", "12345678", "--pin", "8765-4321").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return keystore.ModuleConfig{Path: module, Token: "sallyport", PIN: "8765-4321"}
}

func TestC01_KeyOfAModuleNeverLeavesIt(t *testing.T) {
	cfg := token(t)
	m, err := keystore.OpenModule(cfg)
	must(t, err)
	ctx := t.Context()
	h := &certs.Hand{Store: certs.NewDirStore(privateDir(t)), Keys: m, Host: "sts.contoso.test", By: "test"}
	e, err := h.First(ctx)
	must(t, err)
	key, err := m.Open(ctx, e.Ref)
	must(t, err)
	cert, err := e.X509()
	must(t, err)
	if _, _, err := certs.New(key, cert, cert.NotBefore); err != nil {
		t.Errorf("the key does not sign for its certificate: %v", err)
	}
	if _, err := x509.MarshalPKCS8PrivateKey(key); err == nil {
		t.Error("the key can be written out")
	}
	must(t, m.Destroy(ctx, e.Ref))
	if _, err := m.Open(ctx, e.Ref); !errors.Is(err, certs.ErrNoKey) {
		t.Errorf("destroyed key: %v", err)
	}
	if _, err := keystore.OpenModule(keystore.ModuleConfig{Path: cfg.Path, Token: "another", PIN: cfg.PIN}); err == nil {
		t.Error("a token that is not there opens")
	}
}
