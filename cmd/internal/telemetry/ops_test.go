package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/cmd/internal/telemetry"
)

func fixed(s telemetry.State, reason string) telemetry.Check {
	return func(context.Context) telemetry.Report { return telemetry.Report{State: s, Reason: reason} }
}

func TestReadinessFailsOnlyForWhatAnotherInstanceDoesBetter(t *testing.T) {
	for _, tt := range []struct {
		name   string
		set    func(h *telemetry.Health)
		status int
		state  string
		reason string
	}{
		{"not started", func(*telemetry.Health) {}, 503, "failed", "not started"},
		{"all well", func(h *telemetry.Health) { h.SetStarted() }, 200, "ok", ""},
		{"degraded", func(h *telemetry.Health) {
			h.SetStarted()
			h.Add("sessions", fixed(telemetry.Degraded, "redis: connection refused"))
		}, 200, "degraded", "redis: connection refused"},
		{"failed", func(h *telemetry.Health) {
			h.SetStarted()
			h.Add("directory", fixed(telemetry.Failed, "no usable DC in any domain"))
			h.Add("sessions", fixed(telemetry.Degraded, "redis"))
		}, 503, "failed", "no usable DC"},
		{"draining", func(h *telemetry.Health) { h.SetStarted(); h.SetDraining() }, 503, "failed", "draining"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h telemetry.Health
			h.Add("keys", fixed(telemetry.OK, ""))
			tt.set(&h)
			handler := telemetry.OpsHandler(telemetry.OpsConfig{Health: &h, Gatherer: telemetry.NewRegistry("1")})
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			var got struct {
				State  string
				Checks []struct{ Name, State, Reason string }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("%v in %s", err, w.Body)
			}
			if w.Code != tt.status || got.State != tt.state || !strings.Contains(w.Body.String(), tt.reason) {
				t.Errorf("status %d, body %s", w.Code, w.Body)
			}
			live := httptest.NewRecorder()
			handler.ServeHTTP(live, httptest.NewRequest(http.MethodGet, "/healthz", nil))
			if live.Code != http.StatusOK {
				t.Errorf("healthz is %d", live.Code)
			}
		})
	}
}

func TestCheckThatHangsIsDegradedAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h telemetry.Health
		h.SetStarted()
		h.Add("slow", func(ctx context.Context) telemetry.Report { time.Sleep(time.Minute); return telemetry.Report{} })
		h.Add("quick", fixed(telemetry.OK, ""))
		began := time.Now()
		got := h.Ready(t.Context())
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v, want the limit", took)
		}
		want := telemetry.Readiness{State: telemetry.Degraded, Checks: []telemetry.Named{
			{Name: "quick"}, {Name: "slow", Report: telemetry.Report{State: telemetry.Degraded, Reason: "the check did not answer in time"}},
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		time.Sleep(time.Minute)
	})
}

// Silent connections to the operators' listener must not use up the files that the
// people who sign in need.
func TestH03_OpsListenerTakesAFewConnections(t *testing.T) {
	var h telemetry.Health
	o, err := telemetry.StartOps(telemetry.OpsConfig{Listen: "127.0.0.1:0", Health: &h, Gatherer: telemetry.NewRegistry("1.2.3"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Stop(t.Context())
	dial := func() net.Conn {
		c, err := net.Dial("tcp", o.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	var silent []net.Conn
	for range 200 {
		silent = append(silent, dial())
	}
	last := dial()
	if _, err := io.WriteString(last, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	_ = last.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if n, err := last.Read(answer); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the listener took 201 connections: %q %v", answer[:n], err)
	}
	for _, c := range silent {
		_ = c.Close()
	}
	_ = last.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(last, answer); err != nil || string(answer) != "HTTP/1.1 200" {
		t.Errorf("afterwards: %q %v", answer, err)
	}
}

func TestH11_OpsListenerChangesNothing(t *testing.T) {
	var h telemetry.Health
	h.SetStarted()
	r := telemetry.NewRegistry("1.2.3")
	r.MustRegister(h.Collector())
	h.Add("keys", fixed(telemetry.OK, ""))
	o, err := telemetry.StartOps(telemetry.OpsConfig{Listen: "127.0.0.1:0", Health: &h, Gatherer: r, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + o.Addr().String()
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/healthz", 200}, {"GET", "/readyz", 200}, {"GET", "/metrics", 200}, {"HEAD", "/healthz", 200},
		{"POST", "/healthz", 405}, {"POST", "/reload", 404}, {"GET", "/reload", 404}, {"GET", "/debug/pprof/", 404},
		{"GET", "/debug/pprof/heap", 404}, {"GET", "/debug/vars", 404}, {"GET", "/", 404}, {"PUT", "/metrics", 405},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, base+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, res.StatusCode, tt.status)
		}
		if tt.path == "/metrics" && tt.method == "GET" {
			for _, want := range []string{`sallyport_build_info{`, `version="1.2.3"`, `sallyport_check_state{check="keys"} 0`, "go_goroutines", "process_resident_memory_bytes"} {
				if !strings.Contains(string(body), want) {
					t.Errorf("metrics lack %s", want)
				}
			}
		}
	}
	if err := o.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func control(t *testing.T, cfg telemetry.ControlConfig) (*telemetry.Control, *http.Client) {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	if cfg.Health == nil {
		cfg.Health = &telemetry.Health{}
	}
	c, err := telemetry.StartControl(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c, &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", cfg.Path)
	}}}
}

func do(t *testing.T, c *http.Client, method, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://control"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestH11_O01_ControlSocketIsPrivateAndPprofOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	var bad error
	restart := errors.New("needs a restart")
	c, client := control(t, telemetry.ControlConfig{Path: path, Partial: restart, Reload: func(context.Context) error { return bad }})
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode %v, want a socket with 0600", info.Mode())
	}
	if s, _ := do(t, client, "GET", "/debug/pprof/"); s != 404 {
		t.Errorf("pprof is on: %d", s)
	}
	if s, _ := do(t, client, "GET", "/reload"); s != 405 {
		t.Errorf("GET reloads: %d", s)
	}
	if s, body := do(t, client, "POST", "/reload"); s != 200 {
		t.Errorf("reload: %d %s", s, body)
	}
	bad = errors.New("sallyport.yaml:3:1: issur: unknown key")
	if s, body := do(t, client, "POST", "/reload"); s != 422 || !strings.Contains(body, "old settings stay in force") || !strings.Contains(body, "3:1") {
		t.Errorf("broken reload: %d %s", s, body)
	}
	bad = fmt.Errorf("listen %w", restart)
	if s, body := do(t, client, "POST", "/reload"); s != 200 || !strings.Contains(body, "listen needs a restart") {
		t.Errorf("reload in part: %d %s", s, body)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestPprofOnControlSocketWhenSwitchedOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	c, client := control(t, telemetry.ControlConfig{Path: path, Pprof: true})
	if s, _ := do(t, client, "GET", "/debug/pprof/heap"); s != 200 {
		t.Errorf("heap profile: %d", s)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestControlSocketOfALivingInstanceIsNotTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	c, client := control(t, telemetry.ControlConfig{Path: path, Reload: func(context.Context) error { return nil }})
	cfg := telemetry.ControlConfig{Path: path, Health: &telemetry.Health{}, Logger: slog.New(slog.DiscardHandler)}
	if _, err := telemetry.StartControl(cfg); !errors.Is(err, telemetry.ErrInUse) {
		t.Errorf("second instance: %v, want ErrInUse", err)
	}
	if s, _ := do(t, client, "POST", "/reload"); s != 200 {
		t.Errorf("the first instance's socket is gone: %d", s)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	// A socket that a killed instance left behind is replaced.
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	c, _ = control(t, telemetry.ControlConfig{Path: path})
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := telemetry.StartControl(cfg); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("over a file: %v", err)
	}
}
