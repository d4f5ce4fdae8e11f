package app_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
	"sallyport/cmd/internal/demo"
	"sallyport/ptaagent/ptatest"
)

// through signs a person in by the managed domain.
func (h *house) through(t *testing.T, upn, password string) ptatest.Verdict {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	v, err := h.PTA.Authenticate(ctx, upn, password)
	if err != nil {
		t.Fatalf("%s: %v\n%s", upn, err, h.log)
	}
	return v
}

// unlinked waits until the cloud has seen that no link stands.
func (h *house) unlinked(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := h.PTA.Wait(ctx, func(s ptatest.Stats) bool { return s.Links == 0 }); err != nil {
		t.Errorf("links stand after the stop: %v", err)
	}
}

func (h *house) metrics(t *testing.T) string {
	t.Helper()
	_, text := get(t, http.DefaultClient, "http://"+h.Gateway.OpsAddr().String()+"/metrics")
	return text
}

func TestPTARunsInsideTheServiceAndShowsEverything(t *testing.T) {
	h := open(t, demo.Options{})
	alice := h.User("alice")
	right, wrong := h.through(t, alice.UPN, alice.Password), h.through(t, alice.UPN, "not the password")
	if !right.OK || wrong.OK || wrong.Reason != 1326 {
		t.Errorf("right %+v, wrong %+v", right, wrong)
	}
	h.event(t, map[string]any{"code": "SP100", "protocol": "pta", "correlation_id": right.Transaction, "account_name": `CONTOSO\alice`})
	h.event(t, map[string]any{"code": "SP101", "protocol": "pta", "correlation_id": wrong.Transaction, "reason": "wrong_password"})
	// The cloud has its answer before the agent has counted it.
	eventually(t, "both requests are counted", 10*time.Second, func() bool {
		return strings.Contains(h.metrics(t), `sallyport_pta_step_seconds_count{step="all"} 2`)
	})
	text := h.metrics(t)
	for _, want := range []string{
		`sallyport_pta_authentications_total{reason="accepted"} 1`, `sallyport_pta_authentications_total{reason="wrong_password"} 1`, "sallyport_pta_errors_total 0",
		`sallyport_pta_step_seconds_count{step="all"} 2`, `sallyport_pta_step_seconds_count{step="decrypt"} 2`, "sallyport_pta_links 4",
		`sallyport_pta_bootstraps_total{result="ok"} 1`, `sallyport_certificate_days_left{thumbprint="` + h.PTA.Agents()[0].Thumbprints[0] + `",use="pta_agent"} 167.`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	if status, body := h.readiness(t); status != 200 || strings.Contains(body, "pass-through") {
		t.Errorf("readiness %d %s", status, body)
	}

	h.rewrite(t, "pta: {enabled: true,", "pta: {enabled: true, concurrent: 7,")
	if err := h.Gateway.Reload(t.Context()); !errors.Is(err, app.ErrRestart) || !strings.Contains(err.Error(), "pta") {
		t.Errorf("reload: %v", err)
	}
	if !h.through(t, alice.UPN, alice.Password).OK {
		t.Error("no sign-in after a reload")
	}

	h.PTA.Revoke(h.PTA.Agents()[0].ID)
	h.PTA.DetachLinks(ptatest.RelayNotFound)
	eventually(t, "readiness names the revoked agent", 15*time.Second, func() bool {
		status, body := h.readiness(t)
		return status == 200 && strings.Contains(body, "pass-through authentication: ") && strings.Contains(body, "removed or revoked")
	})
}

func TestPTAStopsWithTheServiceAndStartsAgain(t *testing.T) {
	h := open(t, demo.Options{})
	alice := h.User("alice")
	if err := h.Gateway.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	h.unlinked(t)
	if _, err := h.PTA.Authenticate(t.Context(), alice.UPN, alice.Password); !errors.Is(err, ptatest.ErrNoAgent) {
		t.Errorf("stopped: %v", err)
	}
	cfg, err := config.Load(h.Settings())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	again, err := app.New(cfg, app.Options{Listener: l, Logger: slog.New(slog.NewTextHandler(h.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	h.Gateway = again // stopped with the rest
	if err := again.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.PTA.WaitListening(t.Context(), len(h.PTA.Settings().Endpoints)); err != nil {
		t.Fatal(err)
	}
	if !h.through(t, alice.UPN, alice.Password).OK {
		t.Error("no sign-in after a start")
	}
	for _, r := range h.PTA.Refusals() {
		t.Errorf("the cloud refused: %v", r)
	}
}

// Where no agent is registered the service starts all the same, and says it.
func TestPTAWithoutARegistrationIsSaid(t *testing.T) {
	h := open(t, demo.Options{})
	cfg, err := config.Load(h.Settings())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Gateway.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	cfg.PTA.StateDir = t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if h.Gateway, err = app.New(cfg, app.Options{Listener: l, Logger: slog.New(slog.NewTextHandler(h.log, nil))}); err != nil {
		t.Fatal(err)
	}
	if err := h.Gateway.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, body := h.readiness(t); status == http.StatusServiceUnavailable && !strings.Contains(body, "directory") || !strings.Contains(body, "sallyport pta register") {
		t.Errorf("%d %s", status, body)
	}
}

// Sign-ins of the cloud come without a client's address: wrong passwords count for
// the account, together with those of all other roads, and at once.
func TestP06_WrongPasswordsThroughTheCloudCountPerAccount(t *testing.T) {
	h := open(t, demo.Options{Settings: func(s string) string { return s + "lockout: {threshold: 4}\n" }})
	alice, bob := h.User("alice"), h.User("bob")
	h.Directory.ResetRecords()
	var all sync.WaitGroup
	var mu sync.Mutex
	told := map[int]int{}
	for range 40 {
		all.Go(func() {
			v, err := h.PTA.Authenticate(t.Context(), alice.UPN, "not the password")
			if err != nil || v.OK {
				t.Errorf("%+v, %v", v, err)
			}
			mu.Lock()
			told[v.Reason]++
			mu.Unlock()
		})
	}
	all.Wait()
	if n := len(h.Directory.UserBinds()); n > 4 || told[1326] != n || told[1909] != 40-n {
		t.Errorf("%d binds of 40; told %v", n, told)
	}
	if v := h.through(t, alice.UPN, alice.Password); v.OK || v.Reason != 1909 {
		t.Errorf("the right password after that: %+v", v)
	}
	b := h.Browser()
	defer b.Close()
	if p := h.password(t, b, h.signInPage(t, b, alice.UPN), alice.Password); !strings.Contains(p.Text(), "is not right") {
		t.Errorf("the other road does not count it: %s", p.Text())
	}
	if !h.through(t, bob.UPN, bob.Password).OK {
		t.Error("others are held back too")
	}
}

// alone writes the settings of an agent without federation and starts it instead of
// the whole service.
func (h *house) alone(t *testing.T) {
	t.Helper()
	if err := h.Gateway.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	// The cloud notices a little later that the links are gone.
	if err := h.PTA.Wait(t.Context(), func(s ptatest.Stats) bool { return s.Links == 0 }); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(h.Settings())
	if err != nil {
		t.Fatal(err)
	}
	whole := string(raw)
	own := "audit: {file: audit.jsonl}\nops: {listen: \"127.0.0.1:0\", control: control.sock}\n" +
		whole[strings.Index(whole, "pta: {"):] + whole[strings.Index(whole, "directory:"):strings.Index(whole, "sessions:")]
	if err := os.WriteFile(h.Settings(), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(h.Settings())
	if err != nil {
		t.Fatal(err)
	}
	if h.Gateway, err = app.New(cfg, app.Options{Logger: slog.New(slog.NewTextHandler(h.log, nil))}); err != nil {
		t.Fatal(err)
	}
	if err := h.Gateway.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.PTA.WaitListening(t.Context(), len(h.PTA.Settings().Endpoints)); err != nil {
		t.Fatal(err)
	}
}

func TestPTARunsAlone(t *testing.T) {
	h := open(t, demo.Options{})
	h.alone(t)
	if h.Gateway.Addr() != nil {
		t.Error("something listens")
	}
	alice := h.User("alice")
	if !h.through(t, alice.UPN, alice.Password).OK || h.through(t, alice.UPN, "not the password").OK {
		t.Error("the verdicts are not those of the directory")
	}
	h.event(t, map[string]any{"code": "SP100", "protocol": "pta", "account_name": `CONTOSO\alice`})
	eventually(t, "ready", 10*time.Second, func() bool {
		status, body := h.readiness(t)
		return status == 200 && strings.Contains(body, `"state": "ok"`)
	})
	if text := h.metrics(t); !strings.Contains(text, `sallyport_pta_authentications_total{reason="accepted"} 1`) || !strings.Contains(text, `use="pta_agent"`) {
		t.Error("no metrics of the agent")
	}
	h.rewrite(t, "pta: {", "lockout: {threshold: 3}\npta: {")
	if err := h.Gateway.Reload(t.Context()); !errors.Is(err, app.ErrRestart) || !strings.Contains(err.Error(), "lockout") {
		t.Errorf("reload: %v", err)
	}
	h.rewrite(t, "pta: {", "listen: 127.0.0.1:0\npta: {")
	if err := h.Gateway.Reload(t.Context()); err == nil || errors.Is(err, app.ErrRestart) {
		t.Errorf("reload into federation: %v", err)
	}
	if err := h.Gateway.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	h.unlinked(t)
	for _, r := range h.PTA.Refusals() {
		t.Errorf("the cloud refused: %v", r)
	}
}
