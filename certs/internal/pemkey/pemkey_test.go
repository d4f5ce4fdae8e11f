package pemkey_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/certs/internal/pemkey"
)

func newKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestEncryptedKeyComesBackWithItsPassphraseOnly(t *testing.T) {
	key := newKey(t)
	data, err := pemkey.Marshal(key, []byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte("BEGIN ENCRYPTED PRIVATE KEY")) {
		t.Fatalf("%s", data)
	}
	got, err := pemkey.Parse(data, []byte("correct horse"))
	if err != nil || !key.Equal(got) {
		t.Fatalf("%v", err)
	}
	if _, err := pemkey.Parse(data, nil); !errors.Is(err, pemkey.ErrEncrypted) {
		t.Errorf("without a passphrase: %v", err)
	}
	if _, err := pemkey.Parse(data, []byte("wrong")); err == nil || !strings.Contains(err.Error(), "passphrase is wrong") {
		t.Errorf("with another passphrase: %v", err)
	}
}

// Only what nobody can search is hashed a few times.
func TestPassphraseIsStretchedUnlessItIs256RandomBits(t *testing.T) {
	key := newKey(t)
	few, many := []byte{0x02, 0x02, 0x08, 0x00}, []byte{0x02, 0x03, 0x09, 0x27, 0xc0} // INTEGER 2048, 600000
	random := "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
	for passphrase, want := range map[string][]byte{
		random: few, random[:63]: many, "g" + random: many,
		strings.Repeat("0123456789", 7): many, "correct horse battery staple, said the cafe of 1234567890 people there": many,
	} {
		data, err := pemkey.Marshal(key, []byte(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(data)
		if !bytes.Contains(block.Bytes[:120], want) {
			t.Errorf("%s: iterations are not %x", passphrase, want)
		}
	}
	data, err := pemkey.Marshal(key, []byte(random))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := pemkey.Parse(data, []byte(random)); err != nil || !key.Equal(got) {
		t.Errorf("it does not come back: %v", err)
	}
}

// What openssl writes is read, and openssl reads what is written.
func TestOpensslReadsAndWritesTheSame(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("SALLYPORT_LAB") == "1" {
			t.Fatal("openssl is not on PATH")
		}
		t.Skip("SKIPPED: no openssl on this machine")
	}
	dir := t.TempDir()
	key := newKey(t)
	ours, err := pemkey.Marshal(key, []byte("Pass-1234"))
	if err != nil {
		t.Fatal(err)
	}
	in := filepath.Join(dir, "in.pem")
	if err := os.WriteFile(in, ours, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-v2", "aes-256-cbc"}, {"-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"}, {"-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA512"}, {"-nocrypt"},
	} {
		out := filepath.Join(dir, "out.pem")
		cmd := exec.CommandContext(t.Context(), openssl, append([]string{"pkcs8", "-topk8", "-in", in, "-passin", "pass:Pass-1234", "-passout", "pass:another", "-out", out}, args...)...)
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, msg)
		}
		theirs, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := pemkey.Parse(theirs, []byte("another")); err != nil || !key.Equal(got) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// FuzzParse: no input panics, costs minutes, or yields a key that does not survive
// being written and read again.
func FuzzParse(f *testing.F) {
	key := newKey(f)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	plain, err := pemkey.Marshal(key, nil)
	if err != nil {
		f.Fatal(err)
	}
	other, err := pemkey.Marshal(ec, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add(other)
	f.Add([]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := pemkey.Parse(data, []byte("p"))
		if err != nil {
			return
		}
		again, err := pemkey.Marshal(got, nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := pemkey.Parse(again, nil)
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := got.Public().(interface{ Equal(x any) bool }); ok && !e.Equal(back.Public()) {
			t.Error("another key came back")
		}
	})
}
