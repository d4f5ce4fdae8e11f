package keystore_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/certs/certstest"
	"sallyport/certs/keystore"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// blobs is a shared store in memory.
type blobs struct {
	mu   sync.Mutex
	all  map[string][]byte
	down error
}

func (b *blobs) Blob(_ context.Context, name string) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.all[name]), b.down
}

func (b *blobs) SwapBlob(_ context.Context, name string, old, next []byte) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down != nil {
		return false, b.down
	}
	if !bytes.Equal(b.all[name], old) {
		return false, nil
	}
	if next == nil {
		delete(b.all, name)
	} else {
		b.all[name] = bytes.Clone(next)
	}
	return true, nil
}

const secret = "0123456789abcdef0123456789abcdef"

func sealed(t testing.TB, b *blobs, secret string) *keystore.Sealed {
	t.Helper()
	s, err := keystore.NewSealed(b, []byte(secret))
	must(t, err)
	return s
}

func privateDir(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "keys")
}

func TestEveryStoreKeepsKeys(t *testing.T) {
	b := &blobs{all: map[string][]byte{}}
	for name, s := range map[string]certs.KeyStore{
		"files": keystore.NewFiles(privateDir(t), nil), "encrypted files": keystore.NewFiles(privateDir(t), []byte(secret)),
		"sealed": sealed(t, b, secret),
		"mirror": keystore.NewMirror(sealed(t, &blobs{all: map[string][]byte{}}, secret), privateDir(t), []byte(secret)),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if _, err := s.Open(ctx, "none"); !errors.Is(err, certs.ErrNoKey) {
				t.Errorf("no key: %v", err)
			}
			key := certstest.Key(0)
			must(t, s.Import(ctx, "a-1", key))
			got, err := s.Open(ctx, "a-1")
			must(t, err)
			if !key.Equal(got) {
				t.Error("another key came back")
			}
			if err := s.Import(ctx, "a-1", certstest.Key(1)); err == nil {
				t.Error("a key was overwritten")
			}
			made, err := s.Generate(ctx, "b-2", 2048)
			must(t, err)
			again, err := s.Open(ctx, "b-2")
			must(t, err)
			if pub, ok := made.Public().(*rsa.PublicKey); !ok || !pub.Equal(again.Public()) {
				t.Error("another key came back")
			}
			must(t, s.Destroy(ctx, "a-1"))
			must(t, s.Destroy(ctx, "a-1"))
			if _, err := s.Open(ctx, "a-1"); !errors.Is(err, certs.ErrNoKey) {
				t.Errorf("destroyed key: %v", err)
			}
		})
	}
}

func TestC01_SharedStoreLearnsNothingAndCannotForge(t *testing.T) {
	b := &blobs{all: map[string][]byte{}}
	s := sealed(t, b, secret)
	ctx := t.Context()
	key := certstest.Key(0)
	must(t, s.Import(ctx, "a", key))
	must(t, s.Import(ctx, "b", certstest.Key(1)))
	for name, v := range b.all {
		if bytes.Contains(v, key.Primes[0].Bytes()) || bytes.Contains(v, key.N.Bytes()) {
			t.Errorf("%s shows the key", name)
		}
	}
	b.all["key/a"] = b.all["key/b"] // one key in the place of another
	if _, err := s.Open(ctx, "a"); err == nil {
		t.Error("a swapped key opens")
	}
	if _, err := sealed(t, b, strings.Repeat("01", 20)).Open(ctx, "b"); err == nil || !strings.Contains(err.Error(), "key_encryption_file differs") {
		t.Errorf("another secret: %v", err)
	}
}

func TestC01_ShortSecretSealsNothing(t *testing.T) {
	if _, err := keystore.NewSealed(&blobs{}, []byte(strings.Repeat("x", 31))); err == nil {
		t.Error("31 characters are taken")
	}
	if _, err := keystore.NewSealed(&blobs{}, []byte(strings.Repeat("x", 32))); err != nil {
		t.Error(err)
	}
}

// ledgerIn makes a first ledger in a store.
func ledgerIn(t testing.TB, s certs.Store, k certs.KeyStore) {
	t.Helper()
	h := &certs.Hand{Store: s, Keys: &certstest.Keys{KeyStore: k}, Host: "sts.contoso.test", By: "test"}
	_, err := h.First(t.Context())
	must(t, err)
}

func TestMirrorLivesThroughAnOutageAndGivesBackWhatWasLost(t *testing.T) {
	b := &blobs{all: map[string][]byte{}}
	dir := privateDir(t)
	m := keystore.NewMirror(sealed(t, b, secret), dir, []byte(secret))
	ctx := t.Context()
	ledgerIn(t, m, m)
	l, err := m.Load(ctx)
	must(t, err)
	ref := l.Of(certs.Signing).Ref

	b.down = errors.New("connection refused")
	if got, err := m.Load(ctx); err != nil || got.Version != l.Version {
		t.Errorf("while the store is down: %v", err)
	}
	if err := m.Down(); !errors.Is(err, b.down) {
		t.Errorf("the copy passes for what all share: %v", err)
	}
	if _, err := m.Open(ctx, ref); err != nil {
		t.Errorf("key while the store is down: %v", err)
	}
	next := *l
	next.Version++
	if err := m.Swap(ctx, &next); err == nil {
		t.Error("a change while the store is down")
	}
	b.down = nil
	if _, err := m.Load(ctx); err != nil || m.Down() != nil {
		t.Errorf("after the outage: %v, %v", err, m.Down())
	}

	clear(b.all) // somebody emptied it
	if _, err := m.Load(ctx); err != nil {
		t.Fatal(err)
	}
	other := keystore.NewMirror(sealed(t, b, secret), privateDir(t), []byte(secret))
	got, err := other.Load(ctx)
	must(t, err)
	if got.Version != l.Version {
		t.Errorf("another instance sees version %d", got.Version)
	}
	if _, err := other.Open(ctx, ref); err != nil {
		t.Errorf("another instance: %v", err)
	}

	old := bytes.Clone(b.all["ledger"]) // a failover loses the latest write
	must(t, m.Swap(ctx, &next))
	b.all["ledger"] = old
	if got, err := m.Load(ctx); err != nil || got.Version != next.Version {
		t.Errorf("after a lost write: %v, %v", got, err)
	}
	if got, err := other.Load(ctx); err != nil || got.Version != next.Version {
		t.Errorf("the other instance after a lost write: %v, %v", got, err)
	}
}

// A key file is there as a whole or not at all, and never readable by others.
func TestKeyFilesArePrivate(t *testing.T) {
	dir := privateDir(t)
	f := keystore.NewFiles(dir, nil)
	must(t, f.Import(t.Context(), "a", certstest.Key(0)))
	info, err := os.Stat(filepath.Join(dir, "a.key"))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	must(t, os.Chmod(dir, 0o755))
	for what, err := range map[string]error{
		"reading": func() error { _, err := f.Open(t.Context(), "a"); return err }(),
		"writing": f.Import(t.Context(), "b", certstest.Key(1)),
	} {
		if !errors.Is(err, certs.ErrPermissions) || !strings.Contains(err.Error(), "chmod 0700") {
			t.Errorf("%s in a directory that others may read: %v", what, err)
		}
	}
}

func TestReadOnlyDiskIsSaidSo(t *testing.T) {
	if os.Geteuid() == 0 {
		// root writes everywhere; a directory that cannot be made shows the same way.
		_, err := keystore.NewFiles("/proc/self/keys", nil).Generate(t.Context(), "a", 2048)
		if err == nil || !strings.Contains(err.Error(), "/proc/self/keys") {
			t.Errorf("%v", err)
		}
		return
	}
	dir := privateDir(t)
	must(t, os.Mkdir(dir, 0o500))
	_, err := keystore.NewFiles(dir, nil).Generate(t.Context(), "a", 2048)
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v", err)
	}
}

func cases(t testing.TB, name string) []byte {
	t.Helper()
	for dir, err := os.Getwd(); ; dir = filepath.Dir(dir) {
		must(t, err)
		data, err := os.ReadFile(filepath.Join(dir, "shared", "testdata", "cases", name))
		if err == nil {
			return data
		}
		if dir == filepath.Dir(dir) {
			if os.Getenv("CI") == "true" || os.Getenv("SALLYPORT_LAB") == "1" {
				t.Fatalf("the test files are not here: %s", name)
			}
			t.Skipf("SKIPPED: the test files are not here: %s", name)
		}
	}
}

func TestC22_PFXOfADFSIsRead(t *testing.T) {
	want := strings.NewReplacer(":", "").Replace(string(cases(t, "C22-thumbprint.txt")))
	for _, name := range []string{"C22-adfs-export-legacy.pfx", "C22-export-aes256.pfx"} {
		data := cases(t, name)
		key, cert, err := keystore.ReadPFX(data, []byte("Pass-1234"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if id := certs.Thumbprint(cert); !strings.Contains(want, id) {
			t.Errorf("%s: the certificate is %s, %s", name, id, cert.Subject)
		}
		if _, _, err := certs.New(key, cert, cert.NotBefore.Add(time.Hour)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := keystore.ReadPFX(data, []byte("wrong")); !errors.Is(err, keystore.ErrPassword) {
			t.Errorf("%s, wrong password: %v", name, err)
		}
		if _, _, err := keystore.ReadPFX(data, nil); !errors.Is(err, keystore.ErrNoPassword) {
			t.Errorf("%s, no password: %v", name, err)
		}
		if _, _, err := keystore.ReadPFX(data[:len(data)/2], []byte("Pass-1234")); !errors.Is(err, keystore.ErrDamaged) {
			t.Errorf("%s, damaged: %v", name, err)
		}
	}
}

// FuzzReadPFX: nothing panics, and what is read is a pair.
func FuzzReadPFX(f *testing.F) {
	for dir, name := range map[string]string{"a": "C22-adfs-export-legacy.pfx", "b": "C22-export-aes256.pfx"} {
		if data, err := os.ReadFile(filepath.Join("../../../shared/testdata/cases", name)); err == nil {
			f.Add(data)
		}
		f.Add([]byte(dir))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		key, cert, err := keystore.ReadPFX(data, []byte("Pass-1234"))
		if err != nil {
			return
		}
		if pub, ok := cert.PublicKey.(*rsa.PublicKey); ok && !pub.Equal(key.Public()) {
			t.Error("key and certificate do not belong together")
		}
	})
}
