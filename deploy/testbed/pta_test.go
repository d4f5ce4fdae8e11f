package testbed_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/deploy/testbed/lab"
	"sallyport/ptaagent/ptatest"
)

// agentHost is the shipped binary as a pass-through authentication agent alone,
// between the stand-in of Microsoft's side and the lab's domain controllers.
type agentHost struct {
	*instance
	gateway *gateway
	cloud   *ptatest.Cloud
}

// startAgent registers an agent with the command and runs it.
func startAgent(t *testing.T, l *lab.Lab) *agentHost {
	t.Helper()
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return startAgentOf(t, l, bin, ptatest.Config{}, "")
}

// startAgentOf does the same with another binary, another cloud, and more settings in
// the pta section.
func startAgentOf(t *testing.T, l *lab.Lab, bin string, cfg ptatest.Config, settings string) *agentHost {
	t.Helper()
	cloud, err := ptatest.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	host, _, err := net.SplitHostPort(l.GatewayAddrs[0])
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := url.Parse(cloud.ProxyURL())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	a := &agentHost{
		instance: &instance{own: dir, config: filepath.Join(dir, "sallyport.yaml"), ops: host + ":9464"},
		gateway:  &gateway{lab: l, dir: dir, binary: bin}, cloud: cloud,
	}
	servers := ""
	for _, dc := range l.DCs {
		servers += fmt.Sprintf("        - {url: %q, address: %q}\n", dc.URL, dc.Addr)
	}
	write(t, filepath.Join(dir, "cloud.pem"), cloud.RootsPEM())
	write(t, filepath.Join(dir, "token"), []byte(cloud.AdminToken()))
	write(t, a.config, fmt.Appendf(nil, `pta: {enabled: true, state_dir: pta, proxy_url: "http://%s", ca_file: cloud.pem%s}
directory:
  domains:
    - name: corp.contoso.test
      netbios: CONTOSO
      upn_suffixes: [contoso.test]
      servers:
%s  ca_file: %s
  service_account: {name: %s, password_file: %s}
audit: {file: audit.jsonl, required: true}
ops: {listen: %q, control: control.sock}
`, proxy.Host, settings, servers, l.CAFile, l.Service, l.ServicePasswordFile, a.ops))
	t.Log(a.command(t, "pta", "register", "--tenant", cloud.Tenant, "--token-file", filepath.Join(dir, "token")))
	a.start(t, a.gateway)
	if cfg.Policy.Lifetime == 0 { // else readiness warns of the certificate
		a.waitReady(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := cloud.WaitListening(ctx, len(cloud.Settings().Endpoints)); err != nil {
		t.Fatalf("%v\n%s", err, a.log)
	}
	return a
}

// command runs a subcommand, which must succeed.
func (a *agentHost) command(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(a.gateway.binary, append(args, "--config", a.config)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (a *agentHost) signIn(t *testing.T, s ptatest.SignIn) ptatest.Verdict {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	v, err := a.cloud.SignIn(ctx, s)
	if err != nil {
		t.Fatalf("%s: %v\n%v\n%s", s.UPN, err, a.cloud.Refusals(), a.log)
	}
	return v
}

func TestPTASambaGivesEveryAccountStateItsNumber(t *testing.T) {
	l := lab.Require(t)
	a := startAgent(t, l)
	for _, tc := range []struct {
		state        string
		right, wrong int    // Win32 numbers that the cloud is told; 0 signs in
		reason       string // the true one, of the right password
	}{
		{"normal", 0, 1326, "accepted"}, {"non-ascii", 0, 1326, "accepted"}, {"special", 0, 1326, "accepted"}, {"password-expires-soon", 0, 1326, "accepted"},
		{"disabled", 1331, 1326, "disabled"}, {"account-expired", 1793, 1326, "account_expired"}, {"password-expired", 1330, 1326, "password_expired"},
		{"must-change", 1907, 1326, "password_must_change"}, {"locked", 1909, 1909, "locked_out"}, {"logon-hours", 1328, 1326, "logon_hours"},
		{"workstation", 1329, 1326, "workstation"}, {"protected", 1327, 1327, "restricted"},
	} {
		t.Run(tc.state, func(t *testing.T) {
			u := l.User(t, tc.state)
			right := a.signIn(t, ptatest.SignIn{UPN: u.UPN, Password: u.Password})
			if right.OK != (tc.right == 0) || right.Reason != tc.right {
				t.Errorf("right password: %+v, want %d", right, tc.right)
			}
			if v := a.signIn(t, ptatest.SignIn{UPN: u.UPN, Password: u.Password + "x"}); v.OK || v.Reason != tc.wrong {
				t.Errorf("wrong password: %+v, want %d", v, tc.wrong)
			}
			told, number := "", fmt.Sprintf("the cloud was told %d", tc.right)
			eventually(t, 5*time.Second, "the cloud's receipt of "+number, func() bool {
				told = a.command(t, "pta", "status", "--request", right.Transaction)
				return strings.Contains(told, number)
			})
			if !strings.Contains(told, "  "+tc.reason+"  pta") {
				t.Errorf("the command says\n%s", told)
			}
			if strings.Contains(a.log.String(), u.Password) {
				t.Error("the password is in the log")
			}
		})
	}
	if v := a.signIn(t, ptatest.SignIn{UPN: "nobody@contoso.test", Password: "x"}); v.OK || v.Reason != 1326 {
		t.Errorf("unknown user: %+v", v)
	}
	keep(t, l, "status.txt", a.command(t, "pta", "status"))
	a.well(t)
}

// well asserts that the agent broke no rule of the cloud.
func (a *agentHost) well(t *testing.T) {
	t.Helper()
	for _, r := range a.cloud.Refusals() {
		t.Errorf("the cloud refused: %v", r)
	}
	if s := a.cloud.Strays(); len(s) > 0 {
		t.Errorf("connections elsewhere: %v", s)
	}
}

// The agent's key is made in a SoftHSM token by the command, opens passwords and signs
// handshakes there for the service, and its successors are made there too.
func TestPTASoftHSMKeepsTheAgentsKeys(t *testing.T) {
	l := lab.Require(t)
	dir, tool := t.TempDir(), "softhsm2-util"
	bin := filepath.Join(dir, "sallyport")
	build := exec.Command("go", "build", "-tags", "pkcs11", "-o", bin, "./cmd/sallyport")
	build.Dir, build.Env = repo, append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	write(t, filepath.Join(dir, "pin"), []byte("8765-4321\n"))
	write(t, filepath.Join(dir, "softhsm2.conf"), fmt.Appendf(nil, "directories.tokendir = %s/tokens\nobjectstore.backend = file\n", dir))
	t.Setenv("SOFTHSM2_CONF", filepath.Join(dir, "softhsm2.conf"))
	if err := os.Mkdir(filepath.Join(dir, "tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "--init-token", "--free", "--label", "agent", "--so-pin", "12345678", "--pin", "8765-4321").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// Backdated by five minutes, a certificate comes into the last third of its life
	// after 12 seconds. Whether it has is asked at the start and a minute later.
	began := time.Now()
	a := startAgentOf(t, l, bin, ptatest.Config{Policy: ptatest.Policy{Lifetime: 168 * time.Second}},
		fmt.Sprintf(", pkcs11: {module_file: /usr/lib/softhsm/libsofthsm2.so, token: agent, pin_file: %s/pin}", dir))
	first := a.cloud.Agents()[0].Thumbprints[0]
	u := l.User(t, "normal")
	signs := func(when string) {
		t.Helper()
		if v := a.signIn(t, ptatest.SignIn{UPN: u.UPN, Password: u.Password}); !v.OK {
			t.Errorf("%s: %+v", when, v)
		}
		if v := a.signIn(t, ptatest.SignIn{UPN: u.UPN, Password: u.Password + "x"}); v.OK || v.Reason != 1326 {
			t.Errorf("%s, wrong password: %+v", when, v)
		}
	}
	signs("with the first key")
	if out := a.command(t, "pta", "status"); !strings.Contains(out, first) {
		t.Errorf("the first certificate is not in force\n%s", out)
	}
	a.command(t, "check", "--offline")
	time.Sleep(time.Until(began.Add(20 * time.Second)))
	a.stop(t)
	if err := a.cloud.Wait(t.Context(), func(s ptatest.Stats) bool { return s.Links == 0 }); err != nil {
		t.Fatal(err)
	}
	a.start(t, a.gateway)
	if err := a.cloud.WaitListening(t.Context(), len(a.cloud.Settings().Endpoints)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "a renewal", func() bool { return !strings.Contains(a.command(t, "pta", "status"), first) })
	signs("with the second key")
	files, err := filepath.Glob(filepath.Join(a.own, "pta", "*"))
	if err != nil || len(files) < 3 {
		t.Errorf("%v, %v", files, err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err != nil || strings.Contains(string(text), "PRIVATE") {
			t.Errorf("%s: %v", f, err)
		}
	}
	keep(t, l, "status-pkcs11.txt", a.command(t, "pta", "status"))
	a.well(t)
}

func TestPTASambaOverEveryRoadAndWithoutControllers(t *testing.T) {
	l := lab.Require(t)
	a := startAgent(t, l)
	u := l.User(t, "normal")
	for _, mode := range []ptatest.Mode{ptatest.Connect, ptatest.Direct, ptatest.TrustedParty} {
		for _, session := range []ptatest.Session{ptatest.Plain, ptatest.Reliable} {
			if v := a.signIn(t, ptatest.SignIn{UPN: u.UPN, Password: u.Password, Mode: mode, Session: session}); !v.OK || v.UPN != u.UPN {
				t.Errorf("%s over %s: %+v", mode, session, v)
			}
		}
	}
	// An outage is told as one, in time, and moves no counter of wrong passwords.
	t.Run("all away", func(t *testing.T) {
		for _, dc := range l.DCs {
			l.Control(t, "stop", dc.Service)
		}
		if v := a.signIn(t, ptatest.SignIn{UPN: u.UPN, Password: u.Password}); v.OK || v.Reason != 1311 {
			t.Errorf("without a domain controller: %+v", v)
		}
	})
	eventually(t, 60*time.Second, "a sign-in after the outage", func() bool {
		return a.signIn(t, ptatest.SignIn{UPN: u.UPN, Password: u.Password}).OK
	})
	a.well(t)
}
