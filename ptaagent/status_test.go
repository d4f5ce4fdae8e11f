package ptaagent_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn/audit"
	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

// gathered is the metrics that are not zero, "name{label}"; of a histogram its count.
func gathered(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += "{" + l.GetValue() + "}"
			}
			v := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			if h := m.GetHistogram(); h != nil {
				v = float64(h.GetSampleCount())
			}
			if v != 0 && !strings.HasPrefix(name, "sallyport_pta_relay_events_total") {
				got[name] = v
			}
		}
	}
	return got
}

// Authentications by reason, failures by cause, and the time of each step: what the
// Windows agent counts, in one scrape. What the cloud did not take is in the trail.
func TestMetricsTellAuthenticationsFailuresAndTimes(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	h := open(t, brief, func(c *ptaagent.Config) { c.Registerer, c.Floor = registry, time.Millisecond })
	for _, s := range []ptatest.SignIn{
		{}, {Password: "wrong"}, {Password: "wrong"}, {UPN: "alice@elsewhere.test"}, {Faults: &ptatest.Faults{BadCipher: true}},
	} {
		if _, err := h.signIn(t, s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.signIn(t, ptatest.SignIn{Budget: 300 * time.Millisecond, Faults: &ptatest.Faults{ResultStatus: []int{403}}}); err == nil {
		t.Error("a verdict that was refused came")
	}
	until(t, "six requests", func() bool { return len(h.agent.Status().Recent) == 6 })
	want := map[string]float64{
		"sallyport_pta_authentications_total{accepted}": 2, "sallyport_pta_authentications_total{wrong_password}": 4,
		"sallyport_pta_refused_total{pta_foreign_user}": 1, "sallyport_pta_refused_total{pta_undecryptable}": 1,
		"sallyport_pta_errors_total": 1, "sallyport_pta_bootstraps_total{ok}": 1,
	}
	for _, step := range []string{"wait", "decrypt", "judge", "post", "all"} {
		want["sallyport_pta_step_seconds{"+step+"}"] = 6
	}
	if diff := cmp.Diff(want, gathered(t, registry)); diff != "" {
		t.Error(diff)
	}
	if h.agent.Listening() != len(h.cloud.Settings().Endpoints) {
		t.Errorf("%d links", h.agent.Listening())
	}

	lost := h.agent.Status().Recent[0]
	if !strings.Contains(lost.Error, "answers 403") {
		t.Errorf("%+v", lost)
	}
	h.trail.mu.Lock()
	defer h.trail.mu.Unlock()
	i := slices.IndexFunc(h.trail.events, func(e audit.Event) bool { return e.Code == audit.VerdictLost })
	if i < 0 {
		t.Fatalf("the trail does not say it: %v", h.trail.events)
	}
	if e := h.trail.events[i]; e.CorrelationID != lost.CorrelationID || e.Reason != "accepted" || e.UPN != "alice@contoso.test" || !strings.Contains(e.Detail, "answers 403") {
		t.Errorf("%+v", e)
	}
}

// The page for administrators names every metric of the agent.
func TestEveryMetricIsInTheDocumentation(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	h := open(t, brief, func(c *ptaagent.Config) { c.Registerer = registry })
	_ = h
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	page := read(t, "../deploy/docs/pta.md")
	names := map[string]bool{"sallyport_pta_links": true}
	for _, f := range families {
		names[f.GetName()] = true
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() != "sallyport_pta_authentications_total" {
					names[l.GetValue()] = true
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !strings.Contains(page, fmt.Sprintf("`%s`", name)) {
			t.Errorf("deploy/docs/pta.md does not say what `%s` means", name)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Root looks at the agent of the service's user, and registers none where that user
// could not read it.
func TestRootSeesTheAgentAndMakesNoneForAnother(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		if os.Getenv("SALLYPORT_LAB") == "1" || os.Getenv("CI") == "true" {
			t.Fatal("this is not root")
		}
		t.Skip("left out: this is not root")
	}
	h := open(t, brief)
	h.stop()
	files, err := filepath.Glob(h.dir + "/*")
	must(t, err)
	for _, f := range files {
		must(t, os.Chown(f, 12345, -1))
	}
	if _, err := ptaagent.LoadIdentity(h.dir, nil, time.Now()); err != nil {
		t.Error(err)
	}
	theirs := t.TempDir()
	must(t, os.Chown(theirs, 12345, -1))
	for _, dir := range []string{theirs, theirs + "/state/pta"} {
		r := ptaagent.Registration{Tenant: h.cloud.Tenant, Dir: dir}
		if err := r.Check(); err == nil || !strings.Contains(err.Error(), theirs+" belongs to user 12345") {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if left, _ := os.ReadDir(theirs); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// A bootstrap answer that leads elsewhere is refused as a whole, an alarm, and the
// links that stand go on.
func TestP03_NoHostThatBootstrapNamesIsBelieved(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]ptatest.Endpoint{
		"another domain": {Namespace: "x", Domain: "servicebus.windows.net.evil.test"},
		"a path":         {Namespace: "evil.test/x", Domain: "servicebus.windows.net"}, "a user": {Namespace: "x@evil.test:443/", Domain: "servicebus.windows.net"},
		"a port": {Namespace: "x", Domain: "servicebus.windows.net:8443"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, ptatest.Config{})
			e.Path, e.Key, e.KeyName = h.cloud.Settings().Endpoints[0].Path, "a2V5", "name"
			h.cloud.Reconfigure(func(s *ptatest.Settings) { s.Endpoints = append(s.Endpoints, e) })
			h.cloud.DetachLinks(ptatest.RelayNotFound) // leads to a bootstrap out of turn
			until(t, "an alarm", func() bool {
				err := h.agent.Trouble()
				return err != nil && strings.Contains(err.Error(), "bootstrap names a host outside of the configured cloud")
			})
			until(t, "its links", func() bool { return h.agent.Listening() == len(h.cloud.Settings().Endpoints)-1 })
			if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || !v.OK {
				t.Errorf("%+v, %v", v, err)
			}
			h.well(t)
		})
	}
	for name, address := range map[string]string{
		"another domain": "https://renewtrust.msappproxy.net.evil.test/renewTrust", "no TLS": "http://x.renewtrust.msappproxy.net/renewTrust",
		"a user": "https://x.msappproxy.net@evil.test/",
	} {
		t.Run("renewal at "+name, func(t *testing.T) {
			t.Parallel()
			cfg := brief
			cfg.Settings = func(s *ptatest.Settings) { s.TrustRenewEndpoint = address }
			h := open(t, cfg, old)
			until(t, "an alarm", func() bool {
				err := h.agent.Trouble()
				return err != nil && strings.Contains(err.Error(), "a host outside of the configured cloud: renewal at")
			})
			h.well(t)
		})
	}
	t.Run("another bootstrap", func(t *testing.T) {
		t.Parallel()
		h := open(t, ptatest.Config{Settings: func(s *ptatest.Settings) { s.EndpointOverride = "https://evil.test/" }})
		h.cloud.DetachLinks(ptatest.RelayNotFound)
		until(t, "two bootstraps", func() bool { return h.cloud.Stats().Counts[ptatest.Bootstrapped] >= 2 })
		h.well(t)
	})
}
