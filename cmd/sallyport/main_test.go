package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/authn/directory/directorytest"
)

// TestMain lets the test binary stand for the command, so that signals and exit
// statuses are those of a real process.
func TestMain(m *testing.M) {
	if os.Getenv("SALLYPORT_TEST_COMMAND") != "" {
		main()
	}
	os.Exit(m.Run())
}

const servicePassword = "Serv1ce-Passw0rd"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place is a directory stand-in with a settings file for it.
type place struct {
	dir  string
	dirs *directorytest.Directory
	conf string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	d, err := directorytest.Start(directorytest.Config{
		ServicePassword: servicePassword, DCs: 2,
		Users: []directorytest.User{
			{SAM: "alice", UPN: "alice@contoso.test", Password: "Passw0rd-alice", DisplayName: "Alice", ConsistencyGUID: []byte("0123456789abcdef")},
			{SAM: "bob", UPN: "bob@contoso.test", Password: "Passw0rd-bob", Disabled: true},
			{SAM: "carol", UPN: "carol@elsewhere.test", Password: "Passw0rd-carol"},
		},
	})
	must(t, err)
	t.Cleanup(func() { _ = d.Close() })
	p := &place{dir: filepath.Join(t.TempDir(), "etc"), dirs: d}
	must(t, os.Mkdir(p.dir, 0o700))
	must(t, os.WriteFile(filepath.Join(p.dir, "ca.pem"), d.CAPEM(), 0o644))
	must(t, os.WriteFile(filepath.Join(p.dir, "service"), []byte(servicePassword+"\n"), 0o600))
	p.conf = filepath.Join(p.dir, "sallyport.yaml")
	servers := ""
	for _, dc := range d.DCs {
		servers += fmt.Sprintf("        - {url: %q, address: %q}\n", dc.URL, dc.Addr)
	}
	p.write(t, `public_url: https://sts.contoso.test
listen: 127.0.0.1:0
tls: {generate: true}
microsoft365: {domains: [{name: contoso.test}]}
directory:
  domains:
    - name: corp.contoso.test
      netbios: CONTOSO
      upn_suffixes: [contoso.test]
      servers:
`+servers+`  ca_file: ca.pem
  service_account: {name: svc-sallyport@corp.contoso.test, password_file: service}
sessions: {store: memory}
signing: {key_file: keys/signing.key, certificate_file: keys/signing.crt, generate: true}
lockout: {lowest_ad_threshold: 10}
audit: {file: audit.jsonl}
ops: {listen: "127.0.0.1:0", control: control.sock, drain_time: 10ms}
`)
	return p
}

func (p *place) write(t *testing.T, text string) {
	t.Helper()
	must(t, os.WriteFile(p.conf, []byte(text), 0o640))
}

// change replaces something in the settings file.
func (p *place) change(t *testing.T, old, new string) {
	t.Helper()
	b, err := os.ReadFile(p.conf)
	must(t, err)
	if !bytes.Contains(b, []byte(old)) {
		t.Fatalf("the settings do not hold %q", old)
	}
	p.write(t, strings.Replace(string(b), old, new, 1))
}

// stdin returns a file that holds text.
func stdin(t *testing.T, text string) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "stdin")
	must(t, os.WriteFile(name, []byte(text), 0o600))
	f, err := os.Open(name)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// call runs the command in this process.
func call(t *testing.T, input string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(env{stdin(t, input), &out, &errs}, args)
	return status, out.String(), errs.String()
}

func TestUsageAndExitStatus(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		status int
		out    bool // says something on stdout, else on stderr
	}{
		{nil, 2, false}, {[]string{"help"}, 0, true}, {[]string{"--help"}, 0, true}, {[]string{"serv"}, 2, false},
		{[]string{"version"}, 0, true}, {[]string{"version", "--json"}, 0, true}, {[]string{"version", "x"}, 2, false},
		{[]string{"serve", "--help"}, 0, true}, {[]string{"check", "-h"}, 0, true}, {[]string{"signin", "--help"}, 0, true}, {[]string{"audit", "--help"}, 0, true},
		{[]string{"check", "--nope"}, 2, false}, {[]string{"signin"}, 2, false}, {[]string{"serve", "x"}, 2, false}, {[]string{"audit", "verify"}, 2, false},
		{[]string{"serve", "--config", "/nowhere/x.yaml"}, 1, false}, {[]string{"check", "--config", "/nowhere/x.yaml"}, 1, true},
		{[]string{"audit", "verify", "/nowhere/x"}, 1, false},
	} {
		status, out, errs := call(t, "", tt.args...)
		if status != tt.status || (out != "") != tt.out || (errs != "") == tt.out {
			t.Errorf("%v: status %d (want %d), stdout %q, stderr %q", tt.args, status, tt.status, out, errs)
		}
	}
}

func TestCheckOfGoodSettings(t *testing.T) {
	p := newPlace(t)
	status, out, errs := call(t, "", "check", "--config", p.conf)
	if status != 0 {
		t.Errorf("status %d\n%s%s", status, out, errs)
	}
	for _, want := range []string{"signing key", "is made at the first start", "dc1.corp.contoso.test tls", "dc2.corp.contoso.test service", "clock", "refuses after 5", "0 failed"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if _, err := os.Stat(filepath.Join(p.dir, "keys")); err == nil {
		t.Error("check made a key")
	}
	status, out, _ = call(t, "", "check", "--config", p.conf, "--json", "--offline")
	var list []finding
	if err := json.Unmarshal([]byte(out), &list); err != nil || status != 0 || len(list) < 4 {
		t.Errorf("JSON: %d %v %s", status, err, out)
	}
}

func TestCheckSaysWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, p *place)
		want   []string
	}{
		{"malformed settings", func(t *testing.T, p *place) { p.change(t, "netbios:", "netbois:") }, []string{"8:7", "did you mean netbios?"}},
		{"wrong CA", func(t *testing.T, p *place) {
			other, err := directorytest.Start(directorytest.Config{})
			must(t, err)
			defer other.Close()
			must(t, os.WriteFile(filepath.Join(p.dir, "ca.pem"), other.CAPEM(), 0o644))
		}, []string{"FAIL  dc1.corp.contoso.test tls", "ca_file"}},
		{"wrong service password", func(t *testing.T, p *place) {
			must(t, os.WriteFile(filepath.Join(p.dir, "service"), []byte("wrong"), 0o600))
		}, []string{"FAIL  dc1.corp.contoso.test service", "password"}},
		{"DCs down", func(t *testing.T, p *place) { must(t, p.dirs.Close()) }, []string{"FAIL  dc1.corp.contoso.test dial"}},
		{"address in use", func(t *testing.T, p *place) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			t.Cleanup(func() { _ = ln.Close() })
			p.change(t, "listen: 127.0.0.1:0", "listen: "+ln.Addr().String())
		}, []string{"in use by another process", "ss -ltnp"}},
		{"key that others read", func(t *testing.T, p *place) {
			must(t, os.Mkdir(filepath.Join(p.dir, "keys"), 0o700))
			must(t, os.WriteFile(filepath.Join(p.dir, "keys", "signing.key"), nil, 0o644))
			must(t, os.WriteFile(filepath.Join(p.dir, "keys", "signing.crt"), nil, 0o644))
		}, []string{"FAIL  signing key", "chmod 0600"}},
		{"no place for the audit file", func(t *testing.T, p *place) { p.change(t, "audit.jsonl", "nowhere/audit.jsonl") }, []string{"FAIL  audit", "install -d"}},
		{"Redis down", func(t *testing.T, p *place) {
			must(t, os.WriteFile(filepath.Join(p.dir, "secret"), []byte(strings.Repeat("0123456789abcdef", 4)), 0o600))
			p.change(t, "sessions: {store: memory}", "sessions: {store: redis, secret_file: secret, redis: {url: 'redis://127.0.0.1:1', user: sallyport, password_file: service}}")
			p.change(t, ", generate: true}\nlockout", "}\nlockout")
			must(t, os.Mkdir(filepath.Join(p.dir, "keys"), 0o700))
			must(t, os.WriteFile(filepath.Join(p.dir, "keys", "signing.key"), nil, 0o600))
			must(t, os.WriteFile(filepath.Join(p.dir, "keys", "signing.crt"), nil, 0o644))
		}, []string{"FAIL  redis", "connect"}},
		{"threshold not below the directory's", func(t *testing.T, p *place) { p.change(t, "{lowest_ad_threshold: 10}", "{threshold: 10}") },
			[]string{"FAIL  corp.contoso.test lockout", "is not below the 10"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t)
			tt.change(t, p)
			status, out, errs := call(t, "", "check", "--config", p.conf)
			if status != 1 {
				t.Errorf("status %d, want 1", status)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s%s", want, out, errs)
				}
			}
			if strings.Contains(out+errs, servicePassword) {
				t.Error("the service account's password is in the output")
			}
		})
	}
}

// keys makes the signing pair as a first start would.
func (p *place) keys(t *testing.T) {
	t.Helper()
	c := p.start(t)
	c.stop(t)
}

// TestSigninComesBeforeTheFirstStart: an admin tries one person before the service
// has made its key, and the trial makes none.
func TestSigninComesBeforeTheFirstStart(t *testing.T) {
	p := newPlace(t)
	status, out, errs := call(t, "Passw0rd-alice\n", "signin", "alice@contoso.test", "--config", p.conf)
	if status != 0 || !strings.Contains(out, "alice@contoso.test") {
		t.Errorf("status %d\n%s%s", status, out, errs)
	}
	if _, err := os.Stat(filepath.Join(p.dir, "keys")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the trial left keys: %v", err)
	}
}

func TestSigninPrintsTheClaims(t *testing.T) {
	p := newPlace(t)
	p.keys(t)
	status, out, errs := call(t, "Passw0rd-alice\n", "signin", `CONTOSO\alice`, "--config", p.conf)
	if status != 0 {
		t.Fatalf("status %d\n%s%s", status, out, errs)
	}
	for _, want := range []string{"accepted", "urn:federation:MicrosoftOnline", "http://schemas.xmlsoap.org/claims/UPN", "alice@contoso.test", "MDEyMzQ1Njc4OWFiY2RlZg==", "http://sts.contoso.test/adfs/services/trust"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	status, out, _ = call(t, "Passw0rd-alice", "signin", "alice@contoso.test", "--rp", "urn:federation:MicrosoftOnline", "--json", "--config", p.conf)
	var o struct {
		Result, Issuer string
		Claims         []claim
	}
	if err := json.Unmarshal([]byte(out), &o); err != nil || status != 0 || o.Result != "accepted" || len(o.Claims) < 2 {
		t.Errorf("JSON: %d %v\n%s", status, err, out)
	}
}

func TestSigninTellsTheTrueReason(t *testing.T) {
	p := newPlace(t)
	p.keys(t)
	for _, tt := range []struct{ user, password, want string }{
		{"alice@contoso.test", "wrong", "wrong_password"},
		{"nobody@contoso.test", "wrong", "unknown_user"},
		{"bob@contoso.test", "Passw0rd-bob", "disabled"},
		{`CONTOSO\carol`, "Passw0rd-carol", "no token"},
	} {
		status, out, errs := call(t, tt.password+"\n", "signin", tt.user, "--config", p.conf)
		if status != 1 || !strings.Contains(out, tt.want) {
			t.Errorf("%s: status %d, want 1 with %q\n%s%s", tt.user, status, tt.want, out, errs)
		}
		if strings.Contains(out+errs, tt.password) && tt.password != "wrong" {
			t.Errorf("%s: the password is in the output", tt.user)
		}
	}
	if status, _, errs := call(t, "x\n", "signin", "alice", "--rp", "nope", "--config", p.conf); status != 1 || !strings.Contains(errs, "microsoft365") {
		t.Errorf("unknown party: %d %s", status, errs)
	}
	if status, _, errs := call(t, "", "signin", "alice", "--config", p.conf); status != 1 || !strings.Contains(errs, "no password") {
		t.Errorf("without password: %d %s", status, errs)
	}
}

// process is a running `sallyport serve`.
type process struct {
	cmd  *exec.Cmd
	log  *lines
	ctl  *http.Client
	done chan error
}

// start runs the service and waits until it says that it is ready to the
// notification socket, as systemd does.
func (p *place) start(t *testing.T) *process {
	t.Helper()
	sock := filepath.Join(t.TempDir(), "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: sock, Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { _ = notify.Close() })
	c := &process{cmd: exec.CommandContext(t.Context(), os.Args[0], "serve", "--config", p.conf), log: newLines(), done: make(chan error, 1)}
	c.cmd.Env = append(os.Environ(), "SALLYPORT_TEST_COMMAND=1", "NOTIFY_SOCKET="+sock)
	c.cmd.Stderr = c.log
	must(t, c.cmd.Start())
	go func() { c.done <- c.cmd.Wait() }()
	must(t, notify.SetReadDeadline(time.Now().Add(20*time.Second)))
	buf := make([]byte, 200)
	n, err := notify.Read(buf)
	if err != nil || string(buf[:n]) != "READY=1" {
		t.Fatalf("notification %q %v; log:\n%s", buf[:n], err, c.log)
	}
	c.ctl = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(p.dir, "control.sock"))
	}}}
	return c
}

func (c *process) stop(t *testing.T) {
	t.Helper()
	must(t, c.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-c.done:
		if err != nil {
			t.Errorf("stop: %v\n%s", err, c.log)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("does not stop\n%s", c.log)
	}
}

func TestServeAnswersReloadsAndStops(t *testing.T) {
	p := newPlace(t)
	c := p.start(t)
	port := c.publicPort(t)

	res, err := c.ctl.Get("http://control/readyz")
	must(t, err)
	body, err := io.ReadAll(res.Body)
	must(t, err)
	must(t, res.Body.Close())
	if res.StatusCode != 200 {
		t.Errorf("control readyz: %d %s", res.StatusCode, body)
	}
	if _, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second); err != nil {
		t.Error(err)
	}

	if status, out, errs := call(t, "", "sessions", "end", "alice@contoso.test", "--config", p.conf); status != 0 || out != "all sessions of CONTOSO\\alice have ended\n" {
		t.Errorf("sessions end: %d %s%s", status, out, errs)
	}
	if status, _, errs := call(t, "", "sessions", "end", "nobody@contoso.test", "--config", p.conf); status != 1 || !strings.Contains(errs, "nobody@contoso.test") {
		t.Errorf("sessions end of nobody: %d %s", status, errs)
	}

	// A broken file leaves the old settings in force and says so.
	good, err := os.ReadFile(p.conf)
	must(t, err)
	p.change(t, "netbios:", "netbois:")
	must(t, c.cmd.Process.Signal(syscall.SIGHUP))
	if line := c.log.wait(t, "old ones stay in force"); !strings.Contains(line, "did you mean netbios") {
		t.Errorf("log: %s", line)
	}
	p.write(t, string(good))
	must(t, c.cmd.Process.Signal(syscall.SIGHUP))
	c.log.wait(t, `"msg":"settings reloaded"`)
	c.stop(t)

	status, out, errs := call(t, "", "audit", "verify", filepath.Join(p.dir, "audit.jsonl"))
	if status != 0 {
		t.Errorf("audit verify: %d %s%s", status, out, errs)
	}
	trail, err := os.ReadFile(filepath.Join(p.dir, "audit.jsonl"))
	must(t, err)
	for _, code := range []string{"SP302", "SP400", "SP401", "SP500", "SP501", "SP510"} {
		if !bytes.Contains(trail, []byte(`"`+code+`"`)) {
			t.Errorf("no %s in the audit trail:\n%s", code, trail)
		}
	}
	must(t, os.WriteFile(filepath.Join(p.dir, "bad.jsonl"), bytes.Replace(trail, []byte("SP501"), []byte("SP500"), 1), 0o600))
	if status, _, errs := call(t, "", "audit", "verify", filepath.Join(p.dir, "bad.jsonl")); status != 1 || !strings.Contains(errs, "BROKEN") {
		t.Errorf("changed trail: %d %s", status, errs)
	}
}

func TestServeRefusesBadSettings(t *testing.T) {
	p := newPlace(t)
	p.change(t, "store: memory", "store: memroy")
	status, _, errs := call(t, "", "serve", "--config", p.conf)
	if status != 1 || !strings.Contains(errs, "did you mean memory") {
		t.Errorf("%d %s", status, errs)
	}
}
