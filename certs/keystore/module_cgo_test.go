//go:build pkcs11

package keystore_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"sallyport/certs"
	"sallyport/certs/certstest"
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
	// A library is opened once in a process.
	t.Run("TestC22_KeyOfADFSMovesIntoTheModule", func(t *testing.T) { keyOfADFSMovesIntoTheModule(t, m) })
	t.Run("TestP11_AModuleThatIsAwayIsNoWrongText", func(t *testing.T) { moduleAwayIsNoWrongText(t, m, cfg) })
}

// moduleAwayIsNoWrongText: who decrypts can tell a text that is wrong from a module that lost its sessions.
func moduleAwayIsNoWrongText(t *testing.T, store certs.KeyStore, cfg keystore.ModuleConfig) {
	ctx, m := t.Context(), store.(*keystore.Module)
	made, err := m.GenerateDecrypter(ctx, "decrypts", 2048)
	must(t, err)
	key, oaep := made.(crypto.Decrypter), &rsa.OAEPOptions{Hash: crypto.SHA1}
	text, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key.Public().(*rsa.PublicKey), []byte("secret"), nil)
	must(t, err)
	if plain, err := key.Decrypt(nil, text, oaep); err != nil || string(plain) != "secret" {
		t.Errorf("%q, %v", plain, err)
	}
	for _, wrong := range [][]byte{append([]byte{text[0] ^ 1}, text[1:]...), text[1:], nil} {
		if _, err := key.Decrypt(nil, wrong, oaep); err == nil || errors.Is(err, keystore.ErrModuleAway) {
			t.Errorf("a wrong text of %d bytes: %v", len(wrong), err)
		}
	}
	signs, err := m.Generate(ctx, "signs", 2048)
	must(t, err)
	forSigner, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, signs.Public().(*rsa.PublicKey), []byte("secret"), nil)
	must(t, err)
	if _, err := signs.(crypto.Decrypter).Decrypt(nil, forSigner, oaep); err == nil {
		t.Error("a key that signs decrypts")
	}

	// Sessions that were lost are opened again. When that does not help, the module is
	// away, and no text is said to be wrong.
	second := pkcs11.New(cfg.Path)
	defer second.Destroy()
	slots, err := second.GetSlotList(true)
	must(t, err)
	lose := func() {
		for _, slot := range slots {
			must(t, second.CloseAllSessions(slot))
		}
	}
	lose()
	if plain, err := key.Decrypt(nil, text, oaep); err != nil || string(plain) != "secret" {
		t.Errorf("after all sessions were closed: %q, %v", plain, err)
	}
	digest := sha256.Sum256([]byte("text"))
	signature, err := signs.Sign(nil, digest[:], crypto.SHA256)
	if err != nil || rsa.VerifyPKCS1v15(signs.Public().(*rsa.PublicKey), crypto.SHA256, digest[:], signature) != nil {
		t.Errorf("another key after all sessions were closed: %v", err)
	}
	lose()
	if _, err := key.Decrypt(nil, text, oaep); !errors.Is(err, keystore.ErrModuleAway) {
		t.Errorf("all sessions are closed again at once: %v", err)
	}
}

// keyOfADFSMovesIntoTheModule: the key of an AD FS farm moves into the module: it signs there for the certificate
// that Microsoft knows, and cannot be read back.
func keyOfADFSMovesIntoTheModule(t *testing.T, m certs.KeyStore) {
	ctx, dir := t.Context(), privateDir(t)
	key := certstest.Key(0)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ADFS Signing - sts.contoso.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	h := &certs.Hand{Store: certs.NewDirStore(dir), Keys: m, Host: "sts.contoso.test", By: "test"}
	e, err := h.Import(ctx, key, cert)
	must(t, err)
	if e.State != certs.Signing || e.ID != certs.Thumbprint(cert) {
		t.Errorf("%+v", e)
	}
	held, err := m.Open(ctx, e.Ref)
	must(t, err)
	if _, _, err := certs.New(held, cert, time.Now()); err != nil {
		t.Errorf("it does not sign for its certificate: %v", err)
	}
	if _, err := x509.MarshalPKCS8PrivateKey(held); err == nil {
		t.Error("the key can be written out")
	}
	list, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range list {
		if strings.HasPrefix(f.Name(), "key") {
			t.Errorf("%s lies beside the ledger", f.Name())
		}
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	if err := m.Import(ctx, "other", other); err == nil || !strings.Contains(err.Error(), "only an RSA key") {
		t.Errorf("an ECDSA key: %v", err)
	}
	must(t, m.Destroy(ctx, e.Ref))
	if _, err := m.Open(ctx, e.Ref); !errors.Is(err, certs.ErrNoKey) {
		t.Errorf("destroyed key: %v", err)
	}
}
