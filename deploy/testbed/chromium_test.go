package testbed_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/deploy/testbed/lab"
)

// host is the host of an address.
func host(addr string) string {
	h, _, _ := strings.Cut(addr, ":")
	return h
}

// chromium runs one of the browser's scripts with its job and reports each check.
// Fewer than least passed checks are a failure.
func chromium(t *testing.T, l *lab.Lab, script string, least int, job map[string]any) {
	t.Helper()
	job["home"], job["screenshots"] = l.BrowserHome, filepath.Join(l.Artifacts, "screenshots")
	raw, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", filepath.Join(l.NodeDir, script))
	// Chromium's many processes end with the script, and the script with us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdin = bytes.NewReader(raw)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	n := 0
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "ok "); ok {
			n++
			t.Log(name)
		} else if line != "" {
			t.Error(line)
		}
	}
	if err != nil || n < least {
		t.Errorf("the browser passed %d checks and ended with %v", n, err)
	}
}
