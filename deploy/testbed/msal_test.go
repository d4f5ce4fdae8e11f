package testbed_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/deploy/testbed/lab"
)

// msalClients are Microsoft's own libraries as programs.
func msalClients(t *testing.T) map[string][]string {
	t.Helper()
	dir := os.Getenv("SALLYPORT_MSAL_DIR")
	if dir == "" {
		if lab.Wanted() {
			t.Fatal("SALLYPORT_MSAL_DIR names no folder with MSAL for Python, Go, Java and .NET")
		}
		lab.Skip(t, "needs MSAL for Python, Go, Java and .NET; deploy/testbed/run has them")
	}
	script, err := filepath.Abs("msal/python/signin.py")
	if err != nil {
		t.Fatal(err)
	}
	classes := filepath.Join(dir, "java") + ":" + filepath.Join(dir, "java", "lib", "*")
	return map[string][]string{
		"Python": {filepath.Join(dir, "python", "bin", "python"), script},
		"Go":     {filepath.Join(dir, "msal-go")},
		"Java":   {"java", "-XX:TieredStopAtLevel=1", "-cp", classes, "SignIn"},
		".NET":   {"mono", filepath.Join(dir, "dotnet", "SignIn.exe")},
	}
}

// whole is the demo as a process: gateway, directory and cloud of its own.
type whole struct {
	cloud, dir string
	passwords  map[string]string
	home       string // of the clients
}

// trust makes Mono, which asks no program for its authorities, trust the demo's.
func (w *whole) trust(t *testing.T) {
	t.Helper()
	w.home = t.TempDir()
	cmd := exec.CommandContext(t.Context(), "cert-sync", "--user", "--quiet", filepath.Join(w.dir, "ca.pem"))
	cmd.Env = append(os.Environ(), "HOME="+w.home)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cert-sync: %v\n%s", err, out)
	}
}

// startWhole starts the demo and reads from its table what a person would read.
func startWhole(t *testing.T) *whole {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "sallyport-demo")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "sallyport/cmd/sallyport-demo").CombinedOutput(); err != nil {
		t.Fatalf("building the demo: %v\n%s", err, out)
	}
	cmd := exec.Command(bin)
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	w := &whole{passwords: map[string]string{}}
	lines := bufio.NewScanner(stdout)
	deadline := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer deadline.Stop()
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) == 2 && f[0] == "Open":
			w.cloud = strings.TrimSuffix(f[1], "/")
		case len(f) == 2 && f[0] == "Settings":
			w.dir = filepath.Dir(f[1])
		case len(f) > 3 && strings.Contains(f[0], "@") && strings.Contains(f[1], `\`):
			for _, word := range f[2:] {
				if strings.HasPrefix(word, "Quay-") {
					w.passwords[f[0]] = word
				}
			}
		}
		if len(f) > 0 && strings.HasPrefix(f[0], "sam.smartcard@") { // the table's last line
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	if w.cloud == "" || w.dir == "" || w.passwords["alice@contoso.test"] == "" {
		t.Fatalf("the demo's table was not understood: %+v", w)
	}
	return w
}

// msal is the answer of one of the programs.
type msal struct{ User, Error, Version string }

func (w *whole) signIn(t *testing.T, client []string, user, password string) msal {
	t.Helper()
	job, err := json.Marshal(map[string]string{"cloud": w.cloud, "ca": filepath.Join(w.dir, "ca.pem"), "user": user, "password": password})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), client[0], client[1:]...)
	cmd.Stdin = bytes.NewReader(job)
	cmd.Env = append(os.Environ(), "HOME="+w.home)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var got msal
	if err != nil || json.Unmarshal(out, &got) != nil {
		t.Fatalf("%s: %v\n%s%s", client[0], err, out, stderr.String())
	}
	return got
}

// refused counts the audit records of refused passwords that name the person.
func (w *whole) refused(t *testing.T, upn string) (n int) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var e struct{ Code, UPN, Protocol string }
		if json.Unmarshal([]byte(line), &e) == nil && e.Code == "SP101" && e.UPN == upn && e.Protocol == "wstrust" {
			n++
		}
	}
	return n
}

// TestMSAL signs in through user realm, MEX, usernamemixed and the SAML grant, all
// of it as Microsoft's libraries do it.
func TestMSAL(t *testing.T) {
	clients := msalClients(t)
	w := startWhole(t)
	w.trust(t)
	const refusal = "ID3242: The security token could not be authenticated or authorized. [ref "
	versions := map[string]string{ // of those that tell
		"Python": match(t, "msal/python/requirements.txt", `(?m)^msal==(\S+)$`), ".NET": match(t, "msal/dotnet/requirements.txt", `MSAL for \.NET (\S+)`),
	}
	victims := map[string]string{"Python": "bob@contoso.test", "Go": "erin@contoso.test", "Java": "soon@contoso.test", ".NET": "nguyễn.hằng@contoso.test"}
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			for _, user := range []string{"alice@contoso.test", "olivia@contoso.test", "jörg.müller@contoso.test", "j.o'mueller@contoso.test"} {
				got := w.signIn(t, client, user, w.passwords[user])
				if got.User != user {
					t.Errorf("%s: %+v", user, got)
				}
				if want := versions[name]; got.Version != want {
					t.Errorf("version %q, and what is installed says %q", got.Version, want)
				}
			}
			victim := victims[name]
			for user, password := range map[string]string{
				victim: "p&w<é ]]>", "nobody@contoso.test": "x", "dora@contoso.test": w.passwords["dora@contoso.test"], "petra@contoso.test": w.passwords["petra@contoso.test"],
			} {
				if got := w.signIn(t, client, user, password); got.User != "" || !strings.Contains(got.Error, refusal) {
					t.Errorf("%s: %+v", user, got)
				}
			}
			if n := w.refused(t, victim); n != 1 {
				t.Errorf("a wrong password was tried %d times, want once", n)
			}
			if got := w.signIn(t, client, victim, w.passwords[victim]); got.User != victim {
				t.Errorf("afterwards: %+v", got)
			}
		})
	}
	// MSAL for Python does not escape the user name.
	for name, client := range clients {
		t.Run(name+", markup as a user name", func(t *testing.T) {
			hostile := "alice@contoso.test</wsse:Username><wsse:Username>bob@contoso.test"
			if got := w.signIn(t, client, hostile, w.passwords["alice@contoso.test"]); got.User != "" {
				t.Errorf("signed in as %s", got.User)
			}
		})
	}
}
