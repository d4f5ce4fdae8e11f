package auditlog_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sallyport/authn/audit"
	"sallyport/cmd/internal/auditlog"
)

// childEnv names the audit file to the child process of [TestC02_KilledProcess].
const childEnv = "SALLYPORT_TEST_AUDIT_CHILD"

// TestMain turns the test binary into the child: it records events as fast as it
// can and prints each one's id once it has been acknowledged.
func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		child(path)
		return
	}
	os.Exit(m.Run())
}

func child(path string) {
	s := auditlog.NewFile(auditlog.FileConfig{Path: path, MaxSize: 64_000})
	l, err := auditlog.New(auditlog.Config{Required: true, Sinks: []auditlog.Sink{s}})
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				if err := l.Record(context.Background(), &audit.Event{Code: audit.TokenIssued, TokenID: id, Detail: string(bytes.Repeat([]byte("x"), 300))}); err != nil {
					panic(err)
				}
				mu.Lock()
				_, _ = os.Stdout.WriteString(id + "\n")
				mu.Unlock()
			}
		}()
	}
	select {}
}

// TestC02_KilledProcess kills a recording process at random moments. Every event
// that was acknowledged must be in the trail, and the chain must verify over all
// restarts. SALLYPORT_LONG=1 runs 200 rounds.
func TestC02_KilledProcess(t *testing.T) {
	rounds := 25
	if os.Getenv("SALLYPORT_LONG") != "" {
		rounds = 200
	}
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	acknowledged := map[string]bool{}
	for range rounds {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		in := bufio.NewScanner(out)
		var stop *time.Timer
		for in.Scan() {
			acknowledged[in.Text()] = true
			if stop == nil { // the child is up
				stop = time.AfterFunc(time.Duration(rand.IntN(60_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
			}
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
			t.Fatalf("the child ended by itself: %v", err)
		}
	}
	sum, err := auditlog.Verify(trail(t, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(acknowledged) < rounds {
		t.Fatalf("only %d acknowledgements in %d rounds", len(acknowledged), rounds)
	}
	for _, id := range ids(t, path) {
		delete(acknowledged, id)
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged events are not in the trail of %d records", len(acknowledged), sum.Records)
	}
	t.Logf("%d records in %d files", sum.Records, len(trail(t, path)))
}
