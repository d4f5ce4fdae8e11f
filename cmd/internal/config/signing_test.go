package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/cmd/internal/config"
)

const (
	pair   = "  key_file: keys/signing.key\n  certificate_file: keys/signing.crt\n  generate: true"
	living = "  key_dir: keys\n  generate: true"
)

func TestSigningSettingsThatContradictAreRefused(t *testing.T) {
	shared := func(signing string) string {
		return strings.Replace(with(t, store, "  store: redis\n  secret_file: s\n  redis: {url: \"rediss://redis.contoso.test\", user: u, password_file: p}"), living, signing, 1)
	}
	for name, c := range map[string]struct{ text, want string }{
		"rotation without a directory":      {with(t, living, pair+"\n  rotation: automatic"), "signing.rotation: a fixed pair of files is not replaced by itself"},
		"another kind of rotation":          {with(t, living, living+"\n  rotation: weekly"), "signing.rotation"},
		"two instances, nothing shared":     {shared(living), "signing.share: is missing"},
		"Redis without a key for sealing":   {shared(living + "\n  share: redis"), "signing.key_encryption_file: is missing"},
		"Redis that is not there":           {with(t, living, living+"\n  share: redis\n  key_encryption_file: kek"), "signing.share: redis needs"},
		"generate on each of two":           {shared(pair), "signing.generate"},
		"half a pair":                       {with(t, living, living+"\n  key_file: a.key"), "go together"},
		"the lock beside the door":          {with(t, living, living+"\n  key_encryption_file: keys/kek"), "lies beside the keys"},
		"an alarm before there is a key":    {with(t, living, living+"\n  alarm_before: 1200h"), "signing.alarm_before"},
		"parties' time beyond the alarm":    {with(t, living, living+"\n  party_time: 1000h"), "signing.party_time"},
		"gone while tokens live":            {with(t, living, living+"\n  retire_for: 30m"), "signing.retire_for"},
		"a module without a PIN":            {with(t, living, living+"\n  pkcs11: {module_file: /lib/x.so, token: t}"), "signing.pkcs11.pin_file: is missing"},
		"a module and a key for encrypting": {with(t, living, living+"\n  key_encryption_file: kek\n  pkcs11: {module_file: /lib/x.so, token: t, pin_file: p}"), "stands beside pkcs11"},
	} {
		if got := strings.Join(problemsOf(t, c.text), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name, text := range map[string]string{
		"a directory": with(t, living, living), "one shared directory": shared(living + "\n  share: directory"),
		"sealed in Redis": shared(living + "\n  share: redis\n  key_encryption_file: secrets/kek"),
	} {
		if _, err := config.Parse("f", []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyEncryptionFileHoldsEnoughChance(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kek")
	for text, good := range map[string]bool{
		"0123456789abcdef0123456789abcdef\n": true, "short": false, strings.Repeat("a", 64): false,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (config.Signing{KeyEncryptionFile: file}).KeyEncryption(); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
