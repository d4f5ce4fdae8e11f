package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

// alone rewrites the settings to those of an agent without federation.
func (m *managed) alone(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile(m.conf)
	must(t, err)
	whole := strings.Replace(string(b), "pta: {", "pta: {enabled: true, ", 1)
	text := "lockout: {lowest_ad_threshold: 10}\n" + whole[strings.Index(whole, "audit:"):] + whole[strings.Index(whole, "directory:"):strings.Index(whole, "sessions:")]
	m.write(t, text)
}

func (m *managed) good(t *testing.T, args []string, want ...string) string {
	t.Helper()
	status, out, errs := call(t, "", append(args, "--config", m.conf)...)
	if status != 0 {
		t.Errorf("%v: status %d\n%s%s", args, status, out, errs)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("%v: no %q in\n%s", args, w, out)
		}
	}
	return out
}

// remembered waits until the agent has noted as many requests: the cloud has its answer
// before the agent has the cloud's receipt.
func (m *managed) remembered(t *testing.T, n int) {
	t.Helper()
	want := fmt.Sprintf("the last %d requests", n)
	out := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, out, _ = call(t, "", "pta", "status", "--config", m.conf); strings.Contains(out, want) {
			return
		}
	}
	t.Fatalf("no %q in\n%s", want, out)
}

func TestPTAAgentAloneFromRegistrationToStatus(t *testing.T) {
	m := newManaged(t, ptatest.Config{})
	m.alone(t)
	if status, out, _ := call(t, "", "check", "--offline", "--config", m.conf); status != 1 || !strings.Contains(out, "run sallyport pta register") {
		t.Errorf("check before the registration: %d %s", status, out)
	}
	if status, _, errs := m.register(t, "--token-file", m.token); status != 0 {
		t.Fatal(errs)
	}
	out := m.good(t, []string{"check"}, "pass-through agent", m.cloud.Agents()[0].ID, ".pta.bootstrap.his.msappproxy.net answers", "0 failed")
	if strings.Contains(out, "signing") || strings.Contains(out, "sessions") {
		t.Errorf("check judges what an agent does not have\n%s", out)
	}
	for _, args := range [][]string{{"certs", "list"}, {"rp", "list"}, {"domain", "show", "contoso.test"}, {"sessions", "end", "alice@contoso.test"}} {
		if status, _, errs := call(t, "", append(args, "--config", m.conf)...); status != 1 || !strings.Contains(errs, "agent alone") {
			t.Errorf("%v: %d %s", args, status, errs)
		}
	}
	// The service is not running yet: what is on disk is told all the same.
	if status, out, errs := call(t, "", "pta", "status", "--config", m.conf); status != 1 || !strings.Contains(out, m.cloud.Agents()[0].ID) || !strings.Contains(errs, "not running") {
		t.Errorf("status: %d %s%s", status, out, errs)
	}
	if status, out, errs := call(t, "Passw0rd-alice\n", "signin", "alice@contoso.test", "--config", m.conf); status != 0 || !strings.Contains(out, "accepted") {
		t.Errorf("signin: %d %s%s", status, out, errs)
	}
	if status, out, errs := call(t, "wrong\n", "signin", "alice@contoso.test", "--config", m.conf); status != 1 || !strings.Contains(out, "wrong_password") {
		t.Errorf("signin: %d %s%s", status, out, errs)
	}

	c := m.start(t)
	defer c.stop(t)
	must(t, m.cloud.WaitListening(t.Context(), len(m.cloud.Settings().Endpoints)))
	m.good(t, []string{"pta", "status"}, "no request yet", "0 failures")
	m.cloud.Reconfigure(func(s *ptatest.Settings) { s.ConnectorState, s.ServiceMessage = "UpdateRequired", "An update is out." })
	m.cloud.DetachLinks(ptatest.RelayNotFound) // asks for a bootstrap
	must(t, m.cloud.Wait(t.Context(), func(s ptatest.Stats) bool { return s.Counts[ptatest.Bootstrapped] >= 2 }))
	must(t, m.cloud.WaitListening(t.Context(), len(m.cloud.Settings().Endpoints)))
	var bob ptatest.Verdict
	for name, want := range map[string]int{"alice": 0, "bob": 1331} {
		v, err := m.cloud.Authenticate(t.Context(), name+"@contoso.test", "Passw0rd-"+name)
		if err != nil || v.Reason != want {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
		if name == "bob" {
			bob = v
		}
	}
	m.remembered(t, 2)
	agent := m.cloud.Agents()[0]
	m.good(t, []string{"pta", "status"}, agent.ID, agent.Thumbprints[0], "167 days left", "UpdateRequired An update is out.", "4 of 4 up", "up    his-eur1-weur1/",
		"the last 2 requests, 2 of them in the last minute; 0 answers were not taken", "1  accepted", "1  disabled", "p99", "decrypted")
	m.good(t, []string{"pta", "status", "--request", strings.ToUpper(bob.Transaction)}, "SP101  disabled  pta", `CONTOSO\bob`, "the cloud was told 1331", "judged")
	m.good(t, []string{"audit", "find", bob.Transaction}, "SP101  disabled  pta")
	m.good(t, []string{"audit", "find", bob.Transaction, "--json"}, `"correlation_id":"`+bob.Transaction+`"`, `"prev":`)
	if status, _, errs := call(t, "", "audit", "find", "4711", "--config", m.conf); status != 1 || !strings.Contains(errs, `"4711"`) {
		t.Errorf("an unknown id: %d %s", status, errs)
	}
	if status, _, errs := call(t, "", "pta", "status", "--request", "4711", "--config", m.conf); status != 1 || !strings.Contains(errs, "name the agent that answered it") {
		t.Errorf("an unknown id: %d %s", status, errs)
	}
	for _, r := range m.cloud.Refusals() {
		if r.Part != "http" { // the one of check
			t.Errorf("the cloud refused: %v", r)
		}
	}
}

func TestPTAStatusPercentilesAreNotBelowTheTruth(t *testing.T) {
	for n, want := range map[int]string{1: "in all 1ms 1ms 1ms", 2: "in all 1ms 2ms 2ms", 100: "in all 50ms 95ms 99ms"} {
		var recent []ptaagent.Request
		for i := range n {
			recent = append(recent, ptaagent.Request{Took: time.Duration(i+1) * time.Millisecond})
		}
		var b strings.Builder
		if printRecent(&b, recent, time.Now()); !strings.Contains(strings.Join(strings.Fields(b.String()), " "), want) {
			t.Errorf("of %d requests:\n%s", n, b.String())
		}
	}
}
