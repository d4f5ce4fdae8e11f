package disk_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/certs/internal/disk"
)

// What cannot be written is said with its directory and not with a name that is made up
// anew each time, which would be another line in the log every few seconds.
func TestErrorNamesTheDirectoryAndNoTemporaryFile(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Skip("SKIPPED: no /proc here")
	}
	d := disk.Dir{Path: "/proc/self", Public: true} // nobody can make a file there
	err := d.Create("ledger", []byte("x"), 0o600)
	if err == nil || !strings.Contains(err.Error(), "/proc/self") || strings.Contains(err.Error(), ".new-") {
		t.Errorf("%v", err)
	}
}

func TestProbeLeavesNothing(t *testing.T) {
	t.Parallel()
	d := disk.Dir{Path: filepath.Join(t.TempDir(), "keys")}
	if err := os.Mkdir(d.Path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.Probe(); err != nil {
		t.Error(err)
	}
	if list, err := os.ReadDir(d.Path); err != nil || len(list) > 0 {
		t.Errorf("%v %v", list, err)
	}
	if err := os.Chmod(d.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.Probe(); err == nil || !strings.Contains(err.Error(), "chmod 0700") {
		t.Errorf("%v", err)
	}
}
