//go:build pkcs11

package keystore_test

import (
	"crypto"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/certs/keystore"
)

// faulty makes a token behind a module that misbehaves when a file of the directory
// says so: see testdata/faulty.c.
func faulty(t *testing.T) (cfg keystore.ModuleConfig, dir string) {
	t.Helper()
	cfg, dir = token(t), t.TempDir()
	headers, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/miekg/pkcs11").Output()
	must(t, err)
	library := filepath.Join(dir, "faulty.so")
	out, err := exec.CommandContext(t.Context(), "cc", "-shared", "-fPIC", "-I", strings.TrimSpace(string(headers)), "-o", library, "testdata/faulty.c", "-ldl").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv("FAULTY_MODULE", cfg.Path)
	t.Setenv("FAULTY_DIR", dir)
	cfg.Path = library
	return cfg, dir
}

// inProcessOfItsOwn runs the test again in another process, since a PKCS#11 library is
// opened once in a process, and tells whether this is that process.
func inProcessOfItsOwn(t *testing.T) bool {
	t.Helper()
	if os.Getenv("MODULE_TEST_CHILD") == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "MODULE_TEST_CHILD="+t.Name())
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skip(string(out))
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("it did not run:\n%s", out)
	}
	return false
}

// until calls f until it succeeds.
func until(t *testing.T, f func() error) {
	t.Helper()
	err := f()
	for begin := time.Now(); err != nil && time.Since(begin) < time.Minute; err = f() {
		time.Sleep(20 * time.Millisecond)
	}
	must(t, err)
}

func TestC09_ModuleThatHangsHoldsNobodyForEver(t *testing.T) {
	if !inProcessOfItsOwn(t) {
		return
	}
	cfg, dir := faulty(t)
	store, err := keystore.OpenModule(cfg)
	must(t, err)
	m, ctx := store.(*keystore.Module), t.Context()
	key, err := m.Generate(ctx, "signs", 2048)
	must(t, err)
	digest := sha256.Sum256([]byte("text"))
	sign := func() error {
		_, err := key.Sign(nil, digest[:], crypto.SHA256)
		return err
	}
	must(t, sign())

	m.SetTimes(200*time.Millisecond, 200*time.Millisecond)
	must(t, os.WriteFile(filepath.Join(dir, "hang"), nil, 0o600))
	before := runtime.NumGoroutine()
	var all sync.WaitGroup
	for range 3 * keystore.ModuleQueue {
		all.Go(func() {
			if err := sign(); !errors.Is(err, keystore.ErrModuleAway) {
				t.Errorf("sign: %v", err)
			}
		})
		all.Go(func() {
			if _, err := m.Open(ctx, "signs"); !errors.Is(err, keystore.ErrModuleAway) {
				t.Errorf("open: %v", err)
			}
		})
		all.Go(func() {
			if err := m.Destroy(ctx, "another"); !errors.Is(err, keystore.ErrModuleAway) {
				t.Errorf("destroy: %v", err)
			}
		})
	}
	all.Wait()
	if more := runtime.NumGoroutine() - before; more > keystore.ModuleQueue+2 {
		t.Errorf("%d goroutines are left behind", more)
	}
	must(t, os.Remove(filepath.Join(dir, "hang")))
	m.SetTimes(10*time.Second, 200*time.Millisecond)
	until(t, sign)
}

func TestC09_TokenThatWasPulledSignsAgainWhenItIsBack(t *testing.T) {
	if !inProcessOfItsOwn(t) {
		return
	}
	cfg, dir := faulty(t)
	store, err := keystore.OpenModule(cfg)
	must(t, err)
	m, ctx := store.(*keystore.Module), t.Context()
	m.SetTimes(10*time.Second, 50*time.Millisecond)
	key, err := m.Generate(ctx, "signs", 2048)
	must(t, err)
	digest := sha256.Sum256([]byte("text"))
	sign := func() error {
		_, err := key.Sign(nil, digest[:], crypto.SHA256)
		return err
	}
	for range 3 {
		must(t, os.WriteFile(filepath.Join(dir, "pulled"), nil, 0o600))
		for range 5 {
			if err := sign(); !errors.Is(err, keystore.ErrModuleAway) {
				t.Fatalf("without the token: %v", err)
			}
			if _, err := m.Open(ctx, "signs"); !errors.Is(err, keystore.ErrModuleAway) || errors.Is(err, certs.ErrNoKey) {
				t.Fatalf("without the token: %v", err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		must(t, os.Remove(filepath.Join(dir, "pulled")))
		until(t, sign)
	}
}
