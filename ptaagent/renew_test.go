package ptaagent_test

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

// elapsed is a clock that has moved on since the certificate was issued.
func elapsed(d time.Duration) func(*ptaagent.Config) {
	return func(c *ptaagent.Config) { c.Now = func() time.Time { return time.Now().Add(d) } }
}

// brief is a cloud whose certificates live for three minutes, and old an agent's
// clock by which a renewal is due.
var (
	brief = ptatest.Config{Policy: ptatest.Policy{Lifetime: 3 * time.Minute}}
	old   = elapsed(30 * time.Second)
)

func TestARenewalIsDueLongBeforeTheEnd(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		life, age time.Duration
		due       bool
	}{
		{168 * day, 137 * day, false}, {168 * day, 139 * day, true}, {168 * day, 169 * day, true},
		{30 * day, 19 * day, false}, {30 * day, 21 * day, true}, {3 * day, day, false}, {3 * day, 2*day + time.Hour, true},
	} {
		cloud, err := ptatest.Start(ptatest.Config{Policy: ptatest.Policy{Lifetime: tt.life}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cloud.Close() })
		network := ptaagent.Network{Dial: cloud.DialContext, Roots: cloud.Roots()}
		id, err := ptaagent.Register(t.Context(), ptaagent.Registration{Tenant: cloud.Tenant, Token: cloud.AdminToken(), Dir: t.TempDir() + "/pta", Network: network})
		if err != nil {
			t.Fatal(err)
		}
		c := ptaagent.Config{Identity: id, Passwords: &people{}, Audit: &trail{}, Suffixes: []string{"contoso.test"}, Network: network}
		elapsed(tt.age)(&c)
		a, err := ptaagent.New(c)
		if err != nil {
			t.Fatal(err)
		}
		if a.Due() != tt.due {
			t.Errorf("a certificate for %s, %s old: due %t", tt.life, tt.age, a.Due())
		}
	}
}

// restart runs an agent from what lies in dir, as a process that takes over.
func (h *house) restart(t *testing.T, dir string, change ...func(*ptaagent.Config)) (*ptaagent.Agent, *ptaagent.Identity) {
	t.Helper()
	id, _ := ptaagent.LoadIdentity(dir, nil, time.Now()) // or change sets one
	c := ptaagent.Config{
		Identity: id, Passwords: h.people, Audit: h.trail, Suffixes: []string{"contoso.test"}, Network: ptaagent.Network{Dial: h.cloud.DialContext, Roots: h.cloud.Roots()},
		Logger: slog.New(slog.NewTextHandler(h.log, nil)),
	}
	c.SetTiming(quick)
	for _, f := range change {
		f(&c)
	}
	a, err := ptaagent.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	h.wait(t, func(s ptatest.Stats) bool { return s.Links >= len(h.cloud.Settings().Endpoints) })
	return a, c.Identity
}

func (h *house) wait(t *testing.T, ok func(ptatest.Stats) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if err := h.cloud.Wait(ctx, ok); err != nil {
		t.Fatalf("%v\n%s", err, h.log)
	}
}

// until waits for what the agent does by itself.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, tick := time.After(30*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("not within 30 s: " + what)
		case <-tick.C:
		}
	}
}

// The old certificate stays in force until the new one has worked, and sign-ins go on.
func TestP09_ACertificateThatDoesNotWorkYetReplacesNothing(t *testing.T) {
	t.Parallel()
	h := open(t, brief, old)
	before := h.id.Thumbprint()
	h.cloud.SetFaults(ptatest.Faults{BootstrapStatus: 503})
	until(t, "the renewal says why", func() bool { return strings.Contains(h.agent.Status().RenewError, "does not work yet") })
	if h.id.Thumbprint() != before || h.cloud.Stats().Counts[ptatest.Renewed] != 1 {
		t.Error("the new certificate is in force though it does not work")
	}
	if trouble := h.agent.Trouble(); trouble == nil || !strings.Contains(trouble.Error(), "503") && !strings.Contains(trouble.Error(), "not renewed") {
		t.Errorf("trouble: %v", trouble)
	}
	h.cloud.SetFaults(ptatest.Faults{})
	for range 3 { // encrypted for both
		if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || !v.OK {
			t.Errorf("%+v, %v", v, err)
		}
	}

	// The process dies here; the next one goes on with the certificate that is stored.
	h.stop()
	_, id := h.restart(t, h.dir, old)
	until(t, "the stored certificate is in force", func() bool { return id.Thumbprint() != before })
	if n := h.cloud.Stats().Counts[ptatest.Renewed]; n != 1 {
		t.Errorf("%d certificates were issued", n)
	}
	if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || !v.OK {
		t.Errorf("%+v, %v", v, err)
	}
	h.well(t)
}

// copied is a snapshot of an agent's directory.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir() + "/pta"
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		mode := fs.FileMode(0o600)
		if err == nil && d.IsDir() {
			mode = 0o700
		}
		if err == nil {
			err = os.Chmod(path, mode)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// The cloud has issued a certificate and the agent died before it was on disk: the
// next process asks again with the old one.
func TestP09_ACertificateThatWasLostIsAskedForAgain(t *testing.T) {
	t.Parallel()
	h := open(t, brief, elapsed(0))
	snapshot, before := copied(t, h.dir), h.id.Thumbprint()
	h.stop()
	_, id := h.restart(t, h.dir, old)
	until(t, "a renewal", func() bool { return id.Thumbprint() != before })
	h.cloud.RestartRelay() // whoever listens with what was issued is gone

	// A file that was being written when the process died is no obstacle, and goes.
	torn := filepath.Join(snapshot, ".new-4711")
	if err := os.WriteFile(torn, []byte("-----BEGIN PRI"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, again := h.restart(t, snapshot, old)
	if again.Thumbprint() != before {
		t.Fatal("the snapshot is not the old one")
	}
	until(t, "a second renewal", func() bool { return again.Thumbprint() != before })
	if again.Thumbprint() == id.Thumbprint() || h.cloud.Stats().Counts[ptatest.Renewed] != 2 {
		t.Errorf("%d certificates were issued", h.cloud.Stats().Counts[ptatest.Renewed])
	}
	if _, err := os.Stat(torn); err == nil {
		t.Error("the torn file is still there")
	}
}

// A directory at each step of a renewal can be loaded and leads on.
func TestP09_EveryStepOfARenewalIsOneToStartFrom(t *testing.T) {
	h := open(t, brief, old)
	before := h.id.Thumbprint()
	until(t, "a renewal", func() bool { return h.id.Thumbprint() != before })
	h.stop()
	stored := copied(t, h.dir) // the new one stored, the old one in force
	manifest := filepath.Join(stored, "agent.json")
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, []byte(strings.Replace(string(text), h.id.Thumbprint(), before, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ dir, inForce string }{"stored": {stored, before}, "in force": {h.dir, h.id.Thumbprint()}} {
		id, err := ptaagent.LoadIdentity(tt.dir, nil, time.Now())
		if err != nil || id.Thumbprint() != tt.inForce || !id.Holds(before) || !id.Holds(h.id.Thumbprint()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The old key is kept until its certificate expires, and not longer.
	id, err := ptaagent.LoadIdentity(h.dir, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pems := func() []string {
		names, _ := filepath.Glob(filepath.Join(h.dir, "*.pem"))
		return names
	}
	if err := id.Tidy(time.Now()); err != nil || len(pems()) != 2 || !id.Holds(before) {
		t.Errorf("before the end: %v, %v", pems(), err)
	}
	if err := id.Tidy(time.Now().Add(time.Hour)); err != nil || id.Holds(before) || !slices.Equal(pems(), []string{filepath.Join(h.dir, "agent-"+h.id.Thumbprint()+".pem")}) {
		t.Errorf("after the end: %v, %v", pems(), err)
	}
}

// Files of another agent, as a restored backup may mix them, are not run with.
func TestP05_ACertificateOfAnotherAgentIsRefused(t *testing.T) {
	t.Parallel()
	h, other := open(t, brief), open(t, brief)
	mine := filepath.Join(h.dir, "agent-"+h.id.Thumbprint()+".pem")
	for name, dir := range map[string]string{"of this tenant": t.TempDir() + "/pta", "of another tenant": other.dir} {
		if name == "of this tenant" {
			h.start(t, dir)
		}
		theirs, err := filepath.Glob(dir + "/agent-*.pem")
		if err != nil || len(theirs) != 1 {
			t.Fatal(theirs, err)
		}
		text, manifest := read(t, mine), filepath.Join(dir, "agent.json")
		for _, into := range []string{filepath.Join(dir, filepath.Base(mine)), theirs[0]} { // beside its own, instead of it
			kept := read(t, theirs[0])
			must(t, os.WriteFile(into, []byte(text), 0o600))
			if _, err := ptaagent.LoadIdentity(dir, nil, time.Now()); err == nil || !strings.Contains(err.Error(), "put back the files of one agent") {
				t.Errorf("%s: %v", name, err)
			}
			must(t, os.Remove(into))
			must(t, os.WriteFile(theirs[0], []byte(kept), 0o600))
		}
		if _, err := ptaagent.LoadIdentity(dir, nil, time.Now()); err != nil {
			t.Errorf("%s, as it was: %v", name, err)
		}
		must(t, os.WriteFile(manifest, []byte(`{"current":"`+other.id.Thumbprint()+`"}`), 0o600))
		if _, err := ptaagent.LoadIdentity(dir, nil, time.Now()); err == nil {
			t.Errorf("%s: a manifest that names nobody", name)
		}
	}
}

func TestARefusedCertificateSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config ptatest.Config
		change func(*ptaagent.Config)
		harm   func(h *house)
		want   string
	}{
		"revoked": {ptatest.Config{}, elapsed(0), func(h *house) { h.cloud.Revoke(h.id.Agent()) }, "the agent was removed or revoked (empty pta.state_dir and register it again)"},
		"expired": {ptatest.Config{Policy: ptatest.Policy{Lifetime: 8 * time.Second}}, elapsed(0), func(*house) {}, "has expired: register the agent again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, tt.config, tt.change)
			tt.harm(h)
			h.cloud.DetachLinks(ptatest.RelayNotFound) // leads to a bootstrap out of turn
			until(t, tt.want, func() bool { err := h.agent.Trouble(); return err != nil && strings.Contains(err.Error(), tt.want) })
		})
	}
}
