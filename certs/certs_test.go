package certs_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/certs"
)

var now = time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)

// keyOf makes each test key once: RSA keys are slow to make.
var keyOf = func() func(t *testing.T, name string, bits int) *rsa.PrivateKey {
	var mu sync.Mutex
	keys := map[string]*rsa.PrivateKey{}
	return func(t *testing.T, name string, bits int) *rsa.PrivateKey {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if keys[name] == nil {
			k, err := rsa.GenerateKey(rand.Reader, bits)
			if err != nil {
				t.Fatal(err)
			}
			keys[name] = k
		}
		return keys[name]
	}
}()

func certificate(t *testing.T, key crypto.Signer, from, to time.Time) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: to, DNSNames: []string{"sts.contoso.test"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func year(t *testing.T, key crypto.Signer) *x509.Certificate {
	return certificate(t, key, now.AddDate(0, -1, 0), now.AddDate(0, 11, 0))
}

func keyPEM(t *testing.T, typ string, key crypto.Signer) []byte {
	t.Helper()
	var der []byte
	var err error
	if typ == "RSA PRIVATE KEY" {
		der = x509.MarshalPKCS1PrivateKey(key.(*rsa.PrivateKey))
	} else if der, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func privateDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t testing.TB, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// install writes a pair and returns the settings for it.
func install(t *testing.T, key, cert []byte) certs.Config {
	t.Helper()
	dir := privateDir(t)
	cfg := certs.Config{KeyFile: filepath.Join(dir, "signing.key"), CertificateFile: filepath.Join(dir, "signing.crt"), Now: func() time.Time { return now }}
	write(t, cfg.KeyFile, key, 0o600)
	write(t, cfg.CertificateFile, cert, 0o644)
	return cfg
}

func TestLoadTakesPKCS8AndPKCS1(t *testing.T) {
	key := keyOf(t, "a", 2048)
	cert := year(t, key)
	for _, typ := range []string{"PRIVATE KEY", "RSA PRIVATE KEY"} {
		got, warnings, err := certs.Load(install(t, keyPEM(t, typ, key), certPEM(cert)))
		if err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		if len(warnings) != 0 {
			t.Errorf("%s: warnings %v", typ, warnings)
		}
		digest := sha256.Sum256([]byte("x"))
		sig, err := got.Signer.Sign(rand.Reader, digest[:], crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], sig); err != nil {
			t.Errorf("%s: signature does not verify: %v", typ, err)
		}
		if got.ID != certs.Thumbprint(cert) || len(got.ID) != 40 {
			t.Errorf("%s: id %q", typ, got.ID)
		}
	}
}

func TestC01_KeyThatOthersCanReachIsRefused(t *testing.T) {
	key := keyOf(t, "a", 2048)
	k, c := keyPEM(t, "PRIVATE KEY", key), certPEM(year(t, key))
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, cfg certs.Config)
		safe   bool
	}{
		{"0600", func(*testing.T, certs.Config) {}, true},
		{"0400", func(t *testing.T, cfg certs.Config) { chmod(t, cfg.KeyFile, 0o400) }, true},
		{"0640", func(t *testing.T, cfg certs.Config) { chmod(t, cfg.KeyFile, 0o640) }, false},
		{"0604", func(t *testing.T, cfg certs.Config) { chmod(t, cfg.KeyFile, 0o604) }, false},
		{"0620", func(t *testing.T, cfg certs.Config) { chmod(t, cfg.KeyFile, 0o620) }, false},
		{"0700", func(t *testing.T, cfg certs.Config) { chmod(t, cfg.KeyFile, 0o700) }, false},
		{"other owner", func(t *testing.T, cfg certs.Config) { chown(t, cfg.KeyFile) }, false},
		{"directory 0755", func(t *testing.T, cfg certs.Config) { chmod(t, filepath.Dir(cfg.KeyFile), 0o755) }, false},
		{"directory 0770", func(t *testing.T, cfg certs.Config) { chmod(t, filepath.Dir(cfg.KeyFile), 0o770) }, false},
		{"directory of another", func(t *testing.T, cfg certs.Config) { chown(t, filepath.Dir(cfg.KeyFile)) }, false},
		{"way others may change", func(t *testing.T, cfg certs.Config) { chmod(t, filepath.Dir(filepath.Dir(cfg.KeyFile)), 0o777) }, false},
		{"link into a directory that others read", func(t *testing.T, cfg certs.Config) {
			open := t.TempDir()
			chmod(t, open, 0o755)
			if err := os.Rename(cfg.KeyFile, filepath.Join(open, "k")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(open, "k"), cfg.KeyFile); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := install(t, k, c)
			tt.change(t, cfg)
			_, _, err := certs.Load(cfg)
			if tt.safe && err != nil {
				t.Errorf("refused: %v", err)
			}
			if !tt.safe && !errors.Is(err, certs.ErrPermissions) {
				t.Errorf("error %v, want ErrPermissions", err)
			}
			if err != nil && !strings.Contains(err.Error(), "run ch") {
				t.Errorf("error %q does not say what to do", err)
			}
		})
	}
}

func chmod(t testing.TB, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func chown(t *testing.T, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("changing owners needs root")
	}
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Fatal(err)
	}
}

func TestC06_PairIsJudgedAtLoad(t *testing.T) {
	a, b := keyOf(t, "a", 2048), keyOf(t, "b", 2048)
	short := keyOf(t, "short", 1024)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	damaged := *a
	damaged.D = new(big.Int).Add(a.D, big.NewInt(2))
	pk8 := func(k crypto.Signer) []byte { return keyPEM(t, "PRIVATE KEY", k) }
	for _, tt := range []struct {
		name      string
		key, cert []byte
		want      string // part of the error, empty when it loads
		warn      bool
	}{
		{"good", pk8(a), certPEM(year(t, a)), "", false},
		{"mismatch", pk8(b), certPEM(year(t, a)), "do not belong together", false},
		{"1024 bits", pk8(short), certPEM(year(t, short)), "1024 bits", false},
		{"EC", pk8(ec), certPEM(year(t, ec)), "RSA only", false},
		{"EC key with RSA certificate", pk8(ec), certPEM(year(t, a)), "do not belong together", false},
		{"expired", pk8(a), certPEM(certificate(t, a, now.AddDate(-1, 0, 0), now.Add(-time.Second))), "expired on 2026-12-01", false},
		{"not yet valid", pk8(a), certPEM(certificate(t, a, now.Add(time.Hour), now.AddDate(1, 0, 0))), "valid only from", false},
		{"29 days left", pk8(a), certPEM(certificate(t, a, now.AddDate(-1, 0, 0), now.AddDate(0, 0, 29))), "", true},
		{"31 days left", pk8(a), certPEM(certificate(t, a, now.AddDate(-1, 0, 0), now.AddDate(0, 0, 31))), "", false},
		{"no key", []byte("hello"), certPEM(year(t, a)), "no private key", false},
		{"two keys", append(pk8(a), pk8(b)...), certPEM(year(t, a)), "more than one", false},
		{"certificate as key", certPEM(year(t, a)), certPEM(year(t, a)), "no private key", false},
		{"no certificate", pk8(a), pk8(a), "no certificate", false},
		{"truncated key", pk8(a)[:700], certPEM(year(t, a)), "no private key", false},
		{"damaged key", keyPEM(t, "RSA PRIVATE KEY", &damaged), certPEM(year(t, a)), "damaged", false},
		{"passphrase", []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"), certPEM(year(t, a)), "encrypted", false},
		{"passphrase, old form", []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"), certPEM(year(t, a)), "encrypted", false},
		{"chain behind the leaf", pk8(a), append(certPEM(year(t, a)), certPEM(year(t, b))...), "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, warnings, err := certs.Load(install(t, tt.key, tt.cert))
			if tt.want == "" {
				if err != nil || key == nil {
					t.Fatalf("refused: %v", err)
				}
				if (len(warnings) > 0) != tt.warn {
					t.Errorf("warnings %v, want some: %v", warnings, tt.warn)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			if key != nil {
				t.Error("a refused key came back")
			}
		})
	}
}

// TestL08_KeyNeverShowsInErrors feeds broken forms of a real key and looks for
// its factors in what is said about them.
func TestL08_KeyNeverShowsInErrors(t *testing.T) {
	key := keyOf(t, "a", 2048)
	whole := keyPEM(t, "RSA PRIVATE KEY", key)
	for i := 0; i < len(whole); i += 97 {
		broken := bytes.Clone(whole)
		broken[i] ^= 0x15
		_, _, err := certs.Load(install(t, broken, certPEM(year(t, key))))
		if err == nil {
			continue
		}
		for _, part := range []string{key.Primes[0].String()[:20], key.Primes[0].Text(16)[:20], key.D.Text(16)[:20], string(whole[200:240])} {
			if strings.Contains(err.Error(), part) {
				t.Fatalf("byte %d: the error shows the key", i)
			}
		}
	}
}

func TestGeneratedKeyIsAsADFSMakesIt(t *testing.T) {
	open := t.TempDir() // the directory above may be read by everybody, as /etc/sallyport
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(open, "keys")
	cfg := certs.Config{
		KeyFile: filepath.Join(dir, "signing.key"), CertificateFile: filepath.Join(dir, "signing.crt"),
		Generate: true, Host: "sts.contoso.test", Now: func() time.Time { return now },
	}
	first, _, err := certs.Load(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := first.Certificate
	if c.Subject.String() != "CN=Sallyport Signing - sts.contoso.test" || c.Issuer.String() != c.Subject.String() {
		t.Errorf("subject %q, issuer %q", c.Subject, c.Issuer)
	}
	if got := c.NotAfter; !got.Equal(now.AddDate(1, 0, 0)) {
		t.Errorf("ends %v, want a year from now", got)
	}
	if c.SignatureAlgorithm != x509.SHA256WithRSA || c.PublicKey.(*rsa.PublicKey).N.BitLen() != 2048 {
		t.Errorf("%v with %d bits", c.SignatureAlgorithm, c.PublicKey.(*rsa.PublicKey).N.BitLen())
	}
	if info, err := os.Stat(cfg.KeyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v %v", info.Mode(), err)
	}
	second, _, err := certs.Load(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if second.ID != first.ID {
		t.Error("a second start made another key")
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".new-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestNoKeyIsMadeInADirectoryOfOthers(t *testing.T) {
	dir := privateDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := certs.Config{
		KeyFile: filepath.Join(dir, "signing.key"), CertificateFile: filepath.Join(dir, "signing.crt"),
		Generate: true, Host: "sts.contoso.test", Now: func() time.Time { return now },
	}
	if _, _, err := certs.Load(cfg); !errors.Is(err, certs.ErrPermissions) {
		t.Errorf("in a directory of mode 0755: %v", err)
	}
	if _, err := os.Stat(cfg.KeyFile); !errors.Is(err, os.ErrNotExist) {
		t.Error("a key was made")
	}
	if err := certs.CheckPlace(cfg); !errors.Is(err, certs.ErrPermissions) {
		t.Errorf("CheckPlace: %v", err)
	}
}

func TestGenerateNeverReplacesHalfAPair(t *testing.T) {
	key := keyOf(t, "a", 2048)
	for _, gone := range []string{"signing.key", "signing.crt"} {
		cfg := install(t, keyPEM(t, "PRIVATE KEY", key), certPEM(year(t, key)))
		cfg.Generate, cfg.Host = true, "sts.contoso.test"
		if err := os.Remove(filepath.Join(filepath.Dir(cfg.KeyFile), gone)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := certs.Load(cfg); err == nil || !strings.Contains(err.Error(), "restore") {
			t.Errorf("without %s: error %v, want advice to restore it", gone, err)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(cfg.KeyFile), gone)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was made anew", gone)
		}
	}
}

func TestC23_CurrentKeyIsPublishedFirst(t *testing.T) {
	load := func(name string) *certs.Key {
		k := keyOf(t, name, 2048)
		key, _, err := certs.New(k, year(t, k), now)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	a, b := load("a"), load("b")
	keys := certs.NewKeys(a, b, a)
	if got := keys.Published(); len(got) != 2 || got[0] != a || keys.Current() != a {
		t.Fatalf("published %v", got)
	}
	before := keys.Version()
	if !keys.Replace(b, a) || keys.Current() != b || keys.Published()[0] != b || keys.Version() <= before {
		t.Error("promotion did not put the new key first")
	}
	if keys.Replace(b, a) {
		t.Error("a replacement by the same state counts as a change")
	}
}

// brokenSigner signs wrongly.
type brokenSigner struct{ *rsa.PrivateKey }

func (s brokenSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := s.PrivateKey.Sign(r, digest, opts)
	if err == nil {
		sig[0] ^= 1
	}
	return sig, err
}

func TestC06_MatchIsProvedByASignature(t *testing.T) {
	key := keyOf(t, "a", 2048)
	if _, _, err := certs.New(brokenSigner{key}, year(t, key), now); err == nil {
		t.Error("a signer whose signatures do not verify was accepted, since its public half matches")
	}
}

func FuzzKeyFile(f *testing.F) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		signer, err := certs.ParseKey(bytes.Clone(data), []byte("Pass-1234"))
		if (signer == nil) == (err == nil) {
			t.Errorf("signer %v with error %v", signer, err)
		}
	})
}

func removeFile(dir, name string) error { return os.Remove(filepath.Join(dir, name)) }
