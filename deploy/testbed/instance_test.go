package testbed_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// instance is one process.
type instance struct {
	config string
	own    string // its folder: settings, audit file, control socket
	ops    string // address of /readyz and /metrics
	cmd    *exec.Cmd
	done   chan struct{}
	log    *logBuffer
}

// logBuffer collects what a process prints. Safe for concurrent use.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start runs the process until the test ends.
func (in *instance) start(t *testing.T, g *gateway) {
	t.Helper()
	if err := in.launch(g); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.stop(t)
		keep(t, g.lab, filepath.Base(in.own)+".log", in.log.String())
		if strings.Contains(in.log.String(), "DATA RACE") {
			t.Errorf("data race in the gateway:\n%s", in.log)
		}
	})
}

// launch starts the process.
func (in *instance) launch(g *gateway) error {
	if in.log == nil {
		in.log = &logBuffer{}
	}
	cmd := exec.Command(g.binary, "serve", "--config", in.config)
	cmd.Stdout, cmd.Stderr = in.log, in.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	in.cmd, in.done = cmd, done
	go func() {
		defer close(done)
		cmd.Wait() // the status is read from cmd.ProcessState
	}()
	return nil
}

// stop ends the process as a service manager does and waits for it.
func (in *instance) stop(t *testing.T) {
	t.Helper()
	in.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-in.done:
	case <-time.After(30 * time.Second):
		in.cmd.Process.Kill()
		t.Errorf("instance did not end within 30 s of SIGTERM:\n%s", in.log)
	}
}

// readyWithin waits without a test, for goroutines.
func (in *instance) readyWithin(limit time.Duration) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); <-tick.C {
		if status, _ := in.readiness(); status == http.StatusOK {
			return true
		}
	}
	return false
}

// readiness asks /readyz.
func (in *instance) readiness() (status int, body string) { return in.ask("/readyz") }

// controllers is how many domain controllers the instance would use now, by its
// own metric.
func (in *instance) controllers() int {
	_, body := in.ask("/metrics")
	n := 0
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "sallyport_directory_dc_usable{") && strings.HasSuffix(strings.TrimSpace(line), "} 1") {
			n++
		}
	}
	return n
}

// ask fetches a page of the operators' listener.
func (in *instance) ask(path string) (status int, body string) {
	resp, err := http.Get("http://" + in.ops + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw)
}

func (in *instance) waitReady(t *testing.T) {
	t.Helper()
	eventually(t, 30*time.Second, "gateway at "+in.ops, func() bool {
		select {
		case <-in.done:
			t.Fatalf("the gateway ended:\n%s", in.log)
		default:
		}
		status, body := in.readiness()
		return status == http.StatusOK && !strings.Contains(body, "degraded")
	})
}

// audit reads the instance's audit records.
func (in *instance) audit(t *testing.T) []map[string]any {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(in.own, "audit.jsonl"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var all []map[string]any
	for line := range strings.Lines(string(raw)) {
		var rec map[string]any
		if err := json.Unmarshal([]byte(line), &rec); err != nil {
			t.Fatalf("audit line %q: %v", line, err)
		}
		all = append(all, rec)
	}
	return all
}
