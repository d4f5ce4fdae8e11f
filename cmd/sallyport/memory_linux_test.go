package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// allowCores lets this process, and those that it starts, write core files, as far
// as the machine permits.
func allowCores(t *testing.T) {
	t.Helper()
	var before unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_CORE, &before))
	must(t, unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: before.Max, Max: before.Max}))
}

func TestL09_ServeHasNoCoreFiles(t *testing.T) {
	allowCores(t)
	c := newPlace(t).start(t)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", c.cmd.Process.Pid))
	must(t, err)
	for line := range strings.Lines(string(limits)) {
		if f := strings.Fields(line); strings.HasPrefix(line, "Max core file size") && (f[4] != "0" || f[5] != "0") {
			t.Error(line)
		}
	}
	c.stop(t)
}

// It is the last of this file: a process cannot take the limit back.
func TestL09_MemoryIsNeverDumped(t *testing.T) {
	must(t, protectMemory())
	t.Cleanup(func() { must(t, unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)) })
	if v, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || v != 0 {
		t.Errorf("dumpable is %d (%v)", v, err)
	}
	must(t, protectMemory()) // again, as under a unit that has done it
}
