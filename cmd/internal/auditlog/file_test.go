package auditlog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/authn/audit"
	"sallyport/cmd/internal/auditlog"
)

var start = time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)

// event is what a Log hands to a sink.
func event(t testing.TB, id string) []byte {
	t.Helper()
	b, err := json.Marshal(&audit.Event{Time: start, Code: audit.TokenIssued, TokenID: id, AccountName: `CONTOSO\alice`})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// trail returns the files of a trail, oldest first.
func trail(t testing.TB, path string) []string {
	t.Helper()
	names, err := filepath.Glob(path + ".*")
	must(t, err)
	slices.Sort(names)
	if _, err := os.Stat(path); err == nil { // a kill may come between two files
		names = append(names, path)
	}
	return names
}

// ids returns the token ids of all records of the trail, in order.
func ids(t testing.TB, path string) (list []string) {
	t.Helper()
	for _, name := range trail(t, path) {
		data, err := os.ReadFile(name)
		must(t, err)
		for line := range bytes.Lines(data) {
			var e audit.Event
			must(t, json.Unmarshal(line, &e))
			if e.TokenID != "" {
				list = append(list, e.TokenID)
			}
		}
	}
	return list
}

func TestChainGoesOnOverRestartAndRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	now := start
	cfg := auditlog.FileConfig{Path: path, MaxSize: 2000, Daily: true, Now: func() time.Time { return now }}
	n := 0
	for range 5 {
		s := auditlog.NewFile(cfg)
		for range 7 {
			must(t, s.Write([][]byte{event(t, fmt.Sprint(n)), event(t, fmt.Sprint(n+1))}))
			n += 2
		}
		must(t, s.Close())
		now = now.Add(25 * time.Hour)
	}
	files := trail(t, path)
	if len(files) < 5 {
		t.Errorf("%d files, want rotation by day and size", len(files))
	}
	sum, err := auditlog.Verify(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(t, path); len(got) != n || got[0] != "0" || got[n-1] != fmt.Sprint(n-1) {
		t.Errorf("%d tokens recorded, want %d in order", len(got), n)
	}
	if sum.First != 1 || sum.Last != uint64(sum.Records) {
		t.Errorf("summary %+v", sum)
	}
	// A part of the trail verifies by itself, the oldest files being archived.
	if _, err := auditlog.Verify(files[2:], nil); err != nil {
		t.Errorf("without the oldest files: %v", err)
	}
	if _, err := auditlog.Verify(slices.Concat(files[:1], files[2:]), nil); !errors.Is(err, auditlog.ErrChain) {
		t.Errorf("with a file missing in the middle: %v", err)
	}
}

func TestFilesBeginBySizeAndByDay(t *testing.T) {
	for _, c := range []struct {
		name  string
		cfg   auditlog.FileConfig
		files int
	}{
		{"by size", auditlog.FileConfig{MaxSize: 1}, 7}, // the record of the start has the first
		{"by day", auditlog.FileConfig{Daily: true}, 3}, // six events, two a day
		{"neither", auditlog.FileConfig{}, 1},
	} {
		now := start.Truncate(24 * time.Hour)
		c.cfg.Path, c.cfg.Now = filepath.Join(t.TempDir(), "audit.jsonl"), func() time.Time { return now }
		s := auditlog.NewFile(c.cfg)
		for i := range 6 {
			must(t, s.Write([][]byte{event(t, fmt.Sprint(i))}))
			now = now.Add(12 * time.Hour)
		}
		must(t, s.Close())
		files := trail(t, c.cfg.Path)
		if len(files) != c.files {
			t.Errorf("%s: %d files, want %d: %q", c.name, len(files), c.files, files)
		}
		if _, err := auditlog.Verify(files, nil); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestRestartBetweenRotationAndFirstRecordKeepsTheChain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	s := auditlog.NewFile(auditlog.FileConfig{Path: path})
	must(t, s.Write([][]byte{event(t, "a")}))
	must(t, s.Close())
	must(t, os.Rename(path, path+".000000000001"))
	s = auditlog.NewFile(auditlog.FileConfig{Path: path})
	must(t, s.Write([][]byte{event(t, "b")}))
	must(t, s.Close())
	if _, err := auditlog.Verify(trail(t, path), nil); err != nil {
		t.Error(err)
	}
}

func TestC02_TamperingBreaksTheChain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	key := bytes.Repeat([]byte{7}, 32)
	for _, k := range [][]byte{nil, key} {
		must(t, os.RemoveAll(path))
		s := auditlog.NewFile(auditlog.FileConfig{Path: path, ChainKey: k})
		for i := range 6 {
			must(t, s.Write([][]byte{event(t, fmt.Sprint("token-", i))}))
		}
		must(t, s.Close())
		good, err := os.ReadFile(path)
		must(t, err)
		if _, err := auditlog.VerifyBytes(good, k); err != nil {
			t.Fatal(err)
		}
		lines := bytes.SplitAfter(good, []byte("\n"))
		lines = lines[:len(lines)-1]
		join := func(l ...[]byte) []byte { return bytes.Join(l, nil) }
		for name, bad := range map[string][]byte{
			"changed":         bytes.Replace(good, []byte("token-3"), []byte("token-9"), 1),
			"deleted":         join(append(slices.Clone(lines[:3]), lines[4:]...)...),
			"swapped":         join(lines[0], lines[2], lines[1], lines[3]),
			"doubled":         join(lines[0], lines[1], lines[1], lines[2]),
			"inserted":        join(lines[0], []byte(`{"seq":2,"prev":"`+strings.Repeat("0", 64)+`"}`+"\n"), lines[1]),
			"not a record":    join(lines[0], []byte("x\n"), lines[1]),
			"cut in a record": good[:len(good)-5],
			"wrong number": func() []byte {
				// The right hash under a number that leaves room for a record.
				sum, err := auditlog.VerifyBytes(good, k)
				must(t, err)
				return join(good, fmt.Appendf(nil, `{"seq":%d,"prev":"%s"}`+"\n", sum.Last+2, sum.Head))
			}(),
			"new beginning": join([]byte(`{"seq":1,"prev":"`+strings.Repeat("1", 64)+`"}`+"\n"), lines[1]),
		} {
			if _, err := auditlog.VerifyBytes(bad, k); !errors.Is(err, auditlog.ErrChain) {
				t.Errorf("%s (key: %v): %v, want ErrChain", name, k != nil, err)
			}
		}
		if k != nil {
			if _, err := auditlog.VerifyBytes(good, nil); !errors.Is(err, auditlog.ErrChain) {
				t.Error("a trail with a key verifies without it: who has no key could continue it")
			}
		}
	}
}

func TestHalfWrittenRecordIsCutOffAtRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	s := auditlog.NewFile(auditlog.FileConfig{Path: path})
	must(t, s.Write([][]byte{event(t, "a"), event(t, "b")}))
	must(t, s.Close())
	whole, err := os.ReadFile(path)
	must(t, err)
	for end := range whole {
		must(t, os.WriteFile(path, whole[:end], 0o640))
		s := auditlog.NewFile(auditlog.FileConfig{Path: path})
		must(t, s.Write([][]byte{event(t, "c")}))
		must(t, s.Close())
		if _, err := auditlog.Verify([]string{path}, nil); err != nil {
			t.Fatalf("cut at %d: %v", end, err)
		}
		if got := ids(t, path); got[len(got)-1] != "c" {
			t.Fatalf("cut at %d: %v", end, got)
		}
	}
}

func TestDamagedFileIsKeptAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	must(t, os.WriteFile(path, append(bytes.Repeat([]byte{0}, 4096), '\n'), 0o640))
	s := auditlog.NewFile(auditlog.FileConfig{Path: path})
	must(t, s.Write([][]byte{event(t, "a")}))
	must(t, s.Close())
	if names, err := filepath.Glob(path + ".damaged-*"); err != nil || len(names) != 1 {
		t.Errorf("%v %v", names, err)
	}
	if _, err := auditlog.Verify([]string{path}, nil); err != nil {
		t.Error(err)
	}
}

func TestDiskFullLeavesAGoodFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	var f auditlog.Faults
	s := auditlog.NewFile(auditlog.WithFaults(auditlog.FileConfig{Path: path}, &f))
	must(t, s.Write([][]byte{event(t, "a")}))
	for _, room := range []int{0, 1, 50, 150} {
		f.Write = func(n int) (int, error) { return min(n, room), syscall.ENOSPC }
		if err := s.Write([][]byte{event(t, "lost")}); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("room %d: %v, want ENOSPC", room, err)
		}
	}
	f.Write = nil
	f.Sync = func() error { return syscall.EIO }
	if err := s.Write([][]byte{event(t, "lost")}); !errors.Is(err, syscall.EIO) {
		t.Errorf("fsync: %v, want EIO", err)
	}
	// The disk does not even let us cut off what went wrong.
	f.Sync, f.Trunc = nil, func() error { return syscall.EIO }
	f.Write = func(n int) (int, error) { return 20, syscall.ENOSPC }
	if err := s.Write([][]byte{event(t, "lost")}); err == nil {
		t.Error("accepted")
	}
	f.Write, f.Trunc = nil, nil
	must(t, s.Write([][]byte{event(t, "b")}))
	must(t, s.Close())
	if _, err := auditlog.Verify([]string{path}, nil); err != nil {
		t.Error(err)
	}
	if got := ids(t, path); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("recorded %v", got)
	}
}

func TestReopenFollowsARotationFromOutside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	now := start
	s := auditlog.NewFile(auditlog.FileConfig{Path: path, Now: func() time.Time { return now }})
	must(t, s.Write([][]byte{event(t, "a")}))
	must(t, os.Rename(path, path+".1"))
	must(t, s.Reopen())
	must(t, s.Write([][]byte{event(t, "b")}))
	// Without the signal the move is noticed within a second.
	must(t, os.Rename(path, path+".2"))
	now = now.Add(time.Second)
	must(t, s.Write([][]byte{event(t, "c")}))
	must(t, s.Close())
	if _, err := auditlog.Verify(trail(t, path), nil); err != nil {
		t.Error(err)
	}
	if got := ids(t, path); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("recorded %v", got)
	}
}

func TestTwoProcessesDoNotShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	a, b := auditlog.NewFile(auditlog.FileConfig{Path: path}), auditlog.NewFile(auditlog.FileConfig{Path: path})
	must(t, a.Open())
	if err := b.Open(); !errors.Is(err, auditlog.ErrInUse) {
		t.Errorf("second writer: %v, want ErrInUse", err)
	}
	must(t, a.Close())
	must(t, b.Open())
	must(t, b.Close())
}

func FuzzVerify(f *testing.F) {
	path := filepath.Join(f.TempDir(), "audit.jsonl")
	s := auditlog.NewFile(auditlog.FileConfig{Path: path})
	must(f, s.Write([][]byte{event(f, "a"), event(f, "b")}))
	must(f, s.Close())
	good, err := os.ReadFile(path)
	must(f, err)
	f.Add(good)
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"seq":18446744073709551615,"prev":""}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sum, err := auditlog.VerifyBytes(data, nil)
		if err == nil && sum.Records != bytes.Count(data, []byte("\n")) {
			t.Errorf("%d lines, %d records", bytes.Count(data, []byte("\n")), sum.Records)
		}
		// Whatever stands in the file, a start goes on after it with a good record.
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		must(t, os.WriteFile(path, data, 0o640))
		s := auditlog.NewFile(auditlog.FileConfig{Path: path, NoSync: true})
		must(t, s.Write([][]byte{event(t, "c")}))
		must(t, s.Close())
		if got, err := os.ReadFile(path); err != nil || !bytes.Contains(got, []byte(`"token_id":"c"`)) {
			t.Errorf("not stored: %v", err)
		}
	})
}
