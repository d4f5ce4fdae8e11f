package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/ptaagent/ptatest"
)

// managed is a place with a tenant at the stand-in of Microsoft's side.
type managed struct {
	*place
	cloud *ptatest.Cloud
	token string // file
}

func newManaged(t *testing.T, cfg ptatest.Config) *managed {
	t.Helper()
	cloud, err := ptatest.Start(cfg)
	must(t, err)
	t.Cleanup(func() { _ = cloud.Close() })
	m := &managed{place: newPlace(t), cloud: cloud}
	must(t, os.WriteFile(filepath.Join(m.dir, "pta-ca.pem"), cloud.RootsPEM(), 0o644))
	m.token = filepath.Join(m.dir, "token")
	m.give(t, cloud.AdminToken())
	u, err := url.Parse(cloud.ProxyURL())
	must(t, err)
	m.add(t, `pta: {state_dir: pta, proxy_url: "http://`+u.Host+`", ca_file: pta-ca.pem}`+"\n")
	return m
}

func (m *managed) add(t *testing.T, text string) {
	t.Helper()
	b, err := os.ReadFile(m.conf)
	must(t, err)
	m.write(t, string(b)+text)
}

// give writes the access token.
func (m *managed) give(t *testing.T, token string) {
	t.Helper()
	must(t, os.WriteFile(m.token, []byte(token+"\n"), 0o600))
}

func (m *managed) register(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	return call(t, "", append([]string{"pta", "register", "--config", m.conf, "--tenant", m.cloud.Tenant}, args...)...)
}

// registered judges what a registration prints and leaves.
func (m *managed) registered(t *testing.T, out string) {
	t.Helper()
	agents := m.cloud.Agents()
	if len(agents) != 1 {
		t.Fatalf("%d agents are registered", len(agents))
	}
	for _, want := range []string{agents[0].ID, m.cloud.Tenant, agents[0].Thumbprints[0], filepath.Join(m.dir, "pta"), "Entra admin centre", "pta.enabled: true"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	info, err := os.Stat(filepath.Join(m.dir, "pta"))
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("directory has mode %04o", info.Mode().Perm())
	}
	files, err := os.ReadDir(filepath.Join(m.dir, "pta"))
	must(t, err)
	keys := 0
	for _, f := range files {
		info, err := f.Info()
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o", f.Name(), info.Mode().Perm())
		}
		if strings.HasSuffix(f.Name(), ".pem") {
			keys++
		}
	}
	if keys != 1 {
		t.Errorf("%d key files in %v", keys, files)
	}
	for _, r := range m.cloud.Refusals() {
		t.Errorf("the cloud refused: %v", r)
	}
}

// browse follows the printed address as a browser does, up to the last redirection.
func (m *managed) browse(t *testing.T, address string) string {
	t.Helper()
	client := &http.Client{
		Transport:     &http.Transport{DialContext: m.cloud.DialContext, TLSClientConfig: &tls.Config{RootCAs: m.cloud.Roots()}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Get(address)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusFound {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	return resp.Header.Get("Location")
}

// terminal runs the command with somebody in front of it, who is given what is
// printed and whose answer is typed.
func terminal(t *testing.T, args []string, answer func(out *lines) string) (status int, out, errs string) {
	t.Helper()
	in, keys, err := os.Pipe()
	must(t, err)
	t.Cleanup(func() { _ = in.Close() })
	o, e := newLines(), newLines()
	done := make(chan int, 1)
	go func() { done <- run(env{in, o, e}, args) }()
	if _, err := io.WriteString(keys, answer(o)); err != nil {
		t.Fatal(err)
	}
	must(t, keys.Close())
	select {
	case status = <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("does not end\n%s%s", o, e)
	}
	return status, o.String(), e.String()
}

func TestPTARegisterSignsInWithPKCEInABrowserElsewhere(t *testing.T) {
	m := newManaged(t, ptatest.Config{})
	args := []string{"pta", "register", "--config", m.conf, "--tenant", strings.ToUpper(m.cloud.Tenant)}
	status, out, errs := terminal(t, args, func(out *lines) string {
		address := out.wait(t, "https://login.microsoftonline.com/")
		if !strings.Contains(address, "code_challenge_method=S256") || !strings.Contains(address, "55747057-9b5d-4bd4-b387-abf52a8bd489") {
			t.Errorf("address %s", address)
		}
		return m.browse(t, address) + "\n"
	})
	if status != 0 || errs != "" {
		t.Fatalf("status %d\n%s%s", status, out, errs)
	}
	m.registered(t, out)
	if status, _, errs := m.register(t, "--token-file", m.token); status != 1 || !strings.Contains(errs, "holds an agent already") || len(m.cloud.Agents()) != 1 {
		t.Errorf("a second time: %d %s", status, errs)
	}
}

func TestPTARegisterTakesABrowserOfThisMachine(t *testing.T) {
	m := newManaged(t, ptatest.Config{Policy: ptatest.Policy{Loopback: true}})
	args := []string{"pta", "register", "--config", m.conf, "--tenant", m.cloud.Tenant, "--loopback"}
	status, out, errs := terminal(t, args, func(out *lines) string {
		back := m.browse(t, out.wait(t, "https://login.microsoftonline.com/"))
		// Another page of the browser tries to end the sign-in first.
		u, err := url.Parse(back)
		must(t, err)
		if got, _ := visit(t, "http://"+u.Host+"/?code=x&state=x"); got != 400 {
			t.Errorf("somebody else's end of the sign-in: %d", got)
		}
		if got, text := visit(t, back); got != 200 || !strings.Contains(text, "Signed in") {
			t.Errorf("%d %s", got, text)
		}
		return ""
	})
	if status != 0 {
		t.Fatalf("status %d\n%s%s", status, out, errs)
	}
	m.registered(t, out)
}

func visit(t *testing.T, address string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(address)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(body)
}

func TestPTARegisterTakesATokenFromAFile(t *testing.T) {
	m := newManaged(t, ptatest.Config{})
	status, out, errs := m.register(t, "--token-file", m.token)
	if status != 0 {
		t.Fatalf("status %d\n%s%s", status, out, errs)
	}
	m.registered(t, out)
}

func TestPTARegisterSignsInByDeviceCodeOnlyWhenAskedTo(t *testing.T) {
	m := newManaged(t, ptatest.Config{})
	if status, _, errs := m.register(t, "--device-code"); status != 1 || !strings.Contains(errs, "without --device-code") {
		t.Errorf("where the cloud does not offer it: %d %s", status, errs)
	}
	m = newManaged(t, ptatest.Config{Policy: ptatest.Policy{DeviceCode: true}})
	status, out, errs := m.register(t, "--device-code")
	if status != 0 || !strings.Contains(out, "https://login.microsoftonline.com/device\n") || !strings.Contains(out, "ABCD1234") {
		t.Fatalf("status %d\n%s%s", status, out, errs)
	}
	m.registered(t, out)
}

func TestPTARegisterSaysWhatToDo(t *testing.T) {
	other, err := ptatest.Start(ptatest.Config{ProxyUser: "alice", ProxyPassword: "secret"})
	must(t, err)
	t.Cleanup(func() { _ = other.Close() })
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, m *managed)
		args   []string
		want   []string
	}{
		{"token of another tenant", func(t *testing.T, m *managed) { m.give(t, other.AdminToken()) }, nil, []string{"is of tenant", other.Tenant}},
		{"token of a user", func(t *testing.T, m *managed) { m.give(t, m.cloud.Token(m.cloud.Tenant, false)) }, nil, []string{"no Hybrid Identity Administrator"}},
		{"token that others read", func(t *testing.T, m *managed) { must(t, os.Chmod(m.token, 0o644)) }, nil, []string{"chmod 0600"}},
		{"no token", func(t *testing.T, m *managed) { m.give(t, "") }, nil, []string{"it is empty"}},
		{"no GUID", nil, []string{"--tenant", "contoso"}, []string{"is no GUID"}},
		{"refused", func(_ *testing.T, m *managed) { m.cloud.SetFaults(ptatest.Faults{Register: ptatest.IssueRefused}) }, nil, []string{"the service refuses", "refused by the service"}},
		{"another's certificate", func(_ *testing.T, m *managed) {
			m.cloud.SetFaults(ptatest.Faults{Register: ptatest.IssueForeignTenant})
		}, nil, []string{"it is for tenant"}},
		{"a portal in between", func(_ *testing.T, m *managed) { m.cloud.SetFaults(ptatest.Faults{Register: ptatest.IssueGarbage}) }, nil, []string{"answer cannot be used"}},
		{"forbidden", func(_ *testing.T, m *managed) { m.cloud.SetFaults(ptatest.Faults{RegisterStatus: 403}) }, nil, []string{"answers 403"}},
		{"TLS inspected", func(t *testing.T, m *managed) {
			must(t, os.WriteFile(filepath.Join(m.dir, "pta-ca.pem"), other.RootsPEM(), 0o644))
		}, nil, []string{"does not trust", "exempt this host"}},
		{"proxy away", func(t *testing.T, m *managed) { m.change(t, m.proxy(t), "http://127.0.0.1:1") }, nil, []string{"the proxy of pta.proxy_url cannot be reached"}},
		{"proxy wants a password", func(t *testing.T, m *managed) {
			u, err := url.Parse(other.ProxyURL())
			must(t, err)
			m.change(t, m.proxy(t), "http://"+u.Host)
		}, nil, []string{"407", "pta.proxy_user"}},
		{"no network", func(t *testing.T, m *managed) { m.change(t, `proxy_url: "`+m.proxy(t)+`", `, "") }, nil, []string{".registration.msappproxy.net", "pta.proxy_url"}},
		{"no directory", func(t *testing.T, m *managed) { m.change(t, "state_dir: pta, ", "") }, nil, []string{"pta.state_dir is not set"}},
		{"directory that others enter", func(t *testing.T, m *managed) { must(t, os.Mkdir(filepath.Join(m.dir, "pta"), 0o755)) }, nil, []string{"chmod 0700"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newManaged(t, ptatest.Config{})
			if tt.change != nil {
				tt.change(t, m)
			}
			status, out, errs := m.register(t, append([]string{"--token-file", m.token}, tt.args...)...)
			if status != 1 || out != "" {
				t.Errorf("status %d, stdout %q", status, out)
			}
			for _, want := range tt.want {
				if !strings.Contains(errs, want) {
					t.Errorf("no %q in %s", want, errs)
				}
			}
			if token, _ := os.ReadFile(m.token); len(token) > 1 && strings.Contains(errs, strings.TrimSpace(string(token))) {
				t.Error("the token is in the output")
			}
			if _, err := os.Stat(filepath.Join(m.dir, "pta", "agent.json")); err == nil {
				t.Error("an agent is stored")
			}
		})
	}
}

func (m *managed) proxy(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(m.cloud.ProxyURL())
	must(t, err)
	return "http://" + u.Host
}

func TestPTARegisterRefusesWhatWasNotTheEndOfItsOwnSignIn(t *testing.T) {
	m := newManaged(t, ptatest.Config{})
	args := []string{"pta", "register", "--config", m.conf, "--tenant", m.cloud.Tenant}
	for typed, want := range map[string]string{
		"":                            "no address was pasted",
		"https://evil.test/?code=x\n": "not the address of the last page",
		"https://login.microsoftonline.com/common/oauth2/nativeclient?code=x&state=y\n": "belongs to another sign-in",
	} {
		status, _, errs := terminal(t, args, func(*lines) string { return typed })
		if status != 1 || !strings.Contains(errs, want) {
			t.Errorf("%q: %d %s", typed, status, errs)
		}
	}
	status, _, errs := terminal(t, args, func(out *lines) string {
		u, err := url.Parse(m.browse(t, out.wait(t, "https://login.microsoftonline.com/")))
		must(t, err)
		q := u.Query()
		u.RawQuery = url.Values{"state": {q.Get("state")}, "error": {"access_denied"}, "error_description": {"AADSTS65004: declined"}}.Encode()
		return u.String() + "\n"
	})
	if status != 1 || !strings.Contains(errs, "AADSTS65004") {
		t.Errorf("refused: %d %s", status, errs)
	}
	if n := len(m.cloud.Agents()); n != 0 {
		t.Errorf("%d agents", n)
	}
}

func TestP01_PTAAgentsNamesTheStranger(t *testing.T) {
	m := newManaged(t, ptatest.Config{})
	if status, _, errs := call(t, "", "pta", "agents", "--config", m.conf, "--token-file", m.token); status != 1 || !strings.Contains(errs, "--tenant") {
		t.Errorf("without a registration: %d %s", status, errs)
	}
	for _, tenant := range []string{"evil.test/", "contoso", "{" + m.cloud.Tenant + "}"} {
		status, _, errs := call(t, "", "pta", "agents", "--config", m.conf, "--token-file", m.token, "--tenant", tenant)
		if status != 1 || !strings.Contains(errs, "is no GUID") {
			t.Errorf("the token went to a host that the tenant's name spells: %d %s", status, errs)
		}
	}
	if status, _, errs := m.register(t, "--token-file", m.token); status != 0 {
		t.Fatal(errs)
	}
	mine := m.cloud.Agents()[0].ID
	m.good(t, []string{"pta", "agents", "--token-file", m.token}, mine, "known")
	other, err := m.cloud.AddStranger("thief.evil.test")
	must(t, err)
	status, out, errs := call(t, "", "pta", "agents", "--config", m.conf, "--token-file", m.token)
	if status != 1 || !strings.Contains(out, "thief.evil.test  nobody here knows it") || !strings.Contains(errs, "1 of 2 agents") {
		t.Errorf("%d\n%s%s", status, out, errs)
	}
	m.give(t, m.cloud.GraphToken())
	m.change(t, "pta: {", "pta: {agents: ["+strings.ToUpper(other)+"], ")
	m.good(t, []string{"pta", "agents", "--token-file", m.token}, other)
	m.give(t, m.cloud.Token(m.cloud.Tenant, false))
	if status, _, errs := call(t, "", "pta", "agents", "--config", m.conf, "--token-file", m.token); status != 1 || !strings.Contains(errs, "may not read the agents") {
		t.Errorf("%d %s", status, errs)
	}
}

func TestPTAUsage(t *testing.T) {
	m := newPlace(t)
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"--help"}, 0, "Hybrid Identity Administrator"}, {[]string{"--help"}, 0, "never tried with Microsoft"}, {[]string{"--help"}, 0, "no\n           interface for agents of others"},
		{nil, 2, "usage"}, {[]string{"regist"}, 2, "only register"}, {[]string{"register", "--config", m.conf}, 2, "--tenant is missing"},
		{[]string{"register"}, 2, "--tenant is missing"}, {[]string{"status", "--config", "/nowhere"}, 1, "there is no such file"},
		{[]string{"register", "--config", m.conf, "--tenant", "x", "--loopback", "--device-code"}, 2, "choose one"},
		{[]string{"register", "--config", m.conf, "--tenant", "x", "--request", "y"}, 2, "does not take --request"},
		{[]string{"status", "--config", m.conf, "--tenant", "x"}, 2, "status takes"},
		{[]string{"status", "--config", m.conf}, 1, "no service answers"},
		{[]string{"status", "--config", m.conf, "--request", "4711"}, 1, "no service answers"},
	} {
		status, out, errs := call(t, "", append([]string{"pta"}, tt.args...)...)
		if status != tt.status || !strings.Contains(out+errs, tt.want) {
			t.Errorf("%v: %d\n%s%s", tt.args, status, out, errs)
		}
	}
}
