package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// publicPort returns the public listener's port.
func (c *process) publicPort(t *testing.T) string {
	t.Helper()
	var rec struct{ Address string }
	must(t, json.Unmarshal([]byte(c.log.wait(t, `"msg":"serving"`)), &rec))
	_, port, err := net.SplitHostPort(rec.Address)
	must(t, err)
	return port
}

// TestH11_PublicListenerRoutesNothingOfTheOperators asks the public listener for
// what only the ops listener and the control socket have.
func TestH11_PublicListenerRoutesNothingOfTheOperators(t *testing.T) {
	p := newPlace(t)
	began := time.Now()
	c := p.start(t)
	t.Logf("ready after %v", time.Since(began))
	port := c.publicPort(t)
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid)); err == nil {
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "VmRSS") {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
	// The certificate is made at the start; what is asked is the routing.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "sts.contoso.test"}}}
	defer client.CloseIdleConnections()
	for _, path := range []string{"/metrics", "/reload", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/control", "/adfs/metrics", "//metrics", "/%2e/metrics", "/adfs/../metrics"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			req, err := http.NewRequestWithContext(t.Context(), method, "https://127.0.0.1:"+port+path, nil)
			must(t, err)
			req.Host = "sts.contoso.test"
			res, err := client.Do(req)
			must(t, err)
			body, err := io.ReadAll(res.Body)
			must(t, err)
			must(t, res.Body.Close())
			if res.StatusCode < 400 || strings.Contains(string(body), "go_goroutines") {
				t.Errorf("%s %s: %d", method, path, res.StatusCode)
			}
		}
	}
	c.stop(t)
}

// TestRestartTakesOverAfterAKill kills the service and starts it again in the same
// place: sockets, locks and files of the dead one are in nobody's way.
func TestRestartTakesOverAfterAKill(t *testing.T) {
	p := newPlace(t)
	c := p.start(t)
	must(t, c.cmd.Process.Kill())
	<-c.done
	c = p.start(t)
	c.stop(t)
	if status, out, errs := call(t, "", "audit", "verify", filepath.Join(p.dir, "audit.jsonl")); status != 0 {
		t.Errorf("audit verify: %d %s%s", status, out, errs)
	}
}

// TestSecondInstanceInTheSamePlaceIsRefused starts the service twice on one audit
// file: two writers would tear its chain.
func TestSecondInstanceInTheSamePlaceIsRefused(t *testing.T) {
	p := newPlace(t)
	c := p.start(t)
	status, _, errs := call(t, "", "serve", "--config", p.conf)
	if status != 1 || !strings.Contains(errs, "another process writes this audit file") {
		t.Errorf("%d %s", status, errs)
	}
	// check and signin work beside the running service.
	if status, out, errs := call(t, "", "check", "--config", p.conf); status != 0 {
		t.Errorf("check: %d %s%s", status, out, errs)
	}
	if status, out, errs := call(t, "Passw0rd-alice\n", "signin", "alice@contoso.test", "--config", p.conf); status != 0 {
		t.Errorf("signin: %d %s%s", status, out, errs)
	}
	c.stop(t)
}

// TestReloadThatNeedsARestartSaysSo changes a section that is read at start only.
func TestReloadThatNeedsARestartSaysSo(t *testing.T) {
	p := newPlace(t)
	c := p.start(t)
	p.change(t, "{lowest_ad_threshold: 10}", "{lowest_ad_threshold: 9}")
	must(t, c.cmd.Process.Signal(syscall.SIGHUP))
	if line := c.log.wait(t, "needs a restart"); !strings.Contains(line, "lockout") {
		t.Errorf("log: %s", line)
	}
	res, err := c.ctl.Post("http://control/reload", "", nil)
	must(t, err)
	body, err := io.ReadAll(res.Body)
	must(t, err)
	must(t, res.Body.Close())
	if res.StatusCode != http.StatusOK || !strings.Contains(string(body), "needs a restart") {
		t.Errorf("control: %d %s", res.StatusCode, body)
	}
	c.stop(t)
}
