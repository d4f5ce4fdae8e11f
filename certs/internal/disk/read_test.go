//go:build unix

package disk_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/certs/internal/disk"
)

// An admin does what the message says: it must not take /tmp from everybody else.
func TestC01_TheRemedyForAnOpenDirectoryHarmsNobodyElse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "place")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "farm.pfx")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mode      os.FileMode
		says, not string
	}{
		{0o755, "run chmod 0700 " + dir, "?"},
		{0o777 | os.ModeSticky, "move the file to a directory of its own", "run chmod"},
	} {
		if err := os.Chmod(dir, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := disk.ReadPrivate(file)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), c.not) {
			t.Errorf("mode %v: %v, want %q in it", c.mode, err, c.says)
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.ReadPrivate(file); err != nil {
		t.Error(err)
	}
}
