package auditlog_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"sallyport/authn/audit"
	"sallyport/cmd/internal/auditlog"
)

// smallDisk mounts a file system of 128 KB, half of it taken by the file that is
// returned.
func smallDisk(t *testing.T) (dir, filler string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("left out: a full disk needs the right to mount one (%v); TestDiskFullLeavesAGoodFile stands in", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	filler = filepath.Join(dir, "filler")
	must(t, os.WriteFile(filler, make([]byte, 64<<10), 0o600))
	return dir, filler
}

// TestC02_FullDisk fills a real file system. What was acknowledged must be in the
// trail, nothing is acknowledged while it is full, and it goes on when there is
// room again.
func TestC02_FullDisk(t *testing.T) {
	dir, filler := smallDisk(t)
	path := filepath.Join(dir, "audit.jsonl")
	l, err := auditlog.New(auditlog.Config{
		Required: true, Retry: 10 * time.Millisecond, Sinks: []auditlog.Sink{auditlog.NewFile(auditlog.FileConfig{Path: path})},
	})
	must(t, err)
	acknowledged := map[string]bool{}
	record := func(i int) error {
		id := fmt.Sprint("t", i)
		err := l.Record(t.Context(), &audit.Event{Code: audit.TokenIssued, TokenID: id, Detail: "a sign-in like many others"})
		if err == nil {
			acknowledged[id] = true
		}
		return err
	}
	n := 0
	for ; err == nil; n++ {
		if n > 10_000 {
			t.Fatal("the disk never fills")
		}
		err = record(n)
	}
	if !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, auditlog.ErrNotRecorded) {
		t.Fatalf("%v, want ErrNotRecorded for ENOSPC", err)
	}
	if !auditlog.Passing(err) {
		t.Error("a full disk counts as a mistake in the settings")
	}
	for range 20 {
		if record(n) == nil {
			t.Error("acknowledged on a full disk")
		}
		n++
	}
	must(t, os.Remove(filler))
	for deadline := time.Now().Add(10 * time.Second); l.Trouble() != nil; {
		if time.Now().After(deadline) {
			t.Fatal("does not come back")
		}
		time.Sleep(5 * time.Millisecond)
	}
	must(t, record(n))
	must(t, l.Close(t.Context()))
	if _, err := auditlog.Verify(trail(t, path), nil); err != nil {
		t.Error(err)
	}
	for _, id := range ids(t, path) {
		delete(acknowledged, id)
	}
	if len(acknowledged) > 0 {
		t.Errorf("acknowledged and not in the trail: %v", acknowledged)
	}
}

func TestPassingTellsFaultsFromMistakes(t *testing.T) {
	dir := t.TempDir()
	first := auditlog.NewFile(auditlog.FileConfig{Path: filepath.Join(dir, "a")})
	must(t, first.Open())
	for name, path := range map[string]string{"in use": filepath.Join(dir, "a"), "no directory": filepath.Join(dir, "b", "a"), "a directory": dir} {
		if err := auditlog.NewFile(auditlog.FileConfig{Path: path}).Open(); err == nil || auditlog.Passing(err) {
			t.Errorf("%s: %v counts as passing", name, err)
		}
	}
	must(t, first.Close())
}
