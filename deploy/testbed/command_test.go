package testbed_test

import (
	"os/exec"
	"strings"
	"testing"

	"sallyport/deploy/testbed/lab"
)

func TestCheckCommandAgainstTheLab(t *testing.T) {
	l := lab.Require(t)
	g := startGateway(t, l, 1)
	in := g.instances[0]
	in.stop(t) // check probes the listener's address too
	run := func() (string, int) {
		out, err := exec.Command(g.binary, "check", "--config", in.config).CombinedOutput()
		if err != nil && exitStatus(err) < 0 {
			t.Fatal(err)
		}
		return string(out), exitStatus(err)
	}
	out, status := run()
	if status != 0 || !strings.Contains(out, "dc1.corp.contoso.test") || !strings.Contains(out, "dc2.corp.contoso.test") {
		t.Errorf("check of a good lab: status %d\n%s", status, out)
	}
	keep(t, l, "check-good.txt", out)
	t.Run("dc2 away", func(t *testing.T) {
		l.Control(t, "stop", "dc2")
		l.Control(t, "stop", "redis")
		out, status := run()
		if status != 1 || !strings.Contains(out, "dc2.corp.contoso.test") || !strings.Contains(strings.ToLower(out), "redis") {
			t.Errorf("status %d\n%s", status, out)
		}
		keep(t, l, "check-bad.txt", out)
	})
}

func TestSigninCommandAgainstTheLab(t *testing.T) {
	l := lab.Require(t)
	g := startGateway(t, l, 1)
	for _, tc := range []struct {
		user     lab.User
		password string
		status   int
	}{
		{l.User(t, "normal"), l.User(t, "normal").Password, 0},
		{l.User(t, "special"), l.User(t, "special").Password, 0},
		{l.User(t, "normal"), "Aa1.not-the-password", 1},
		{l.User(t, "disabled"), l.User(t, "disabled").Password, 1},
	} {
		cmd := exec.Command(g.binary, "signin", "--config", g.instances[0].config, tc.user.UPN)
		cmd.Stdin = strings.NewReader(tc.password + "\n")
		out, err := cmd.CombinedOutput()
		if got := exitStatus(err); got != tc.status {
			t.Errorf("signin %s: status %d, want %d\n%s", tc.user.UPN, got, tc.status, out)
		}
		if tc.status == 0 && !strings.Contains(string(out), tc.user.ImmutableID) {
			t.Errorf("signin %s does not show the ImmutableID\n%s", tc.user.UPN, out)
		}
		if strings.Contains(string(out), tc.password) {
			t.Errorf("signin %s prints the password", tc.user.UPN)
		}
	}
}

// exitStatus is a finished command's status, 0 for nil, -1 when it did not run.
func exitStatus(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	return -1
}
