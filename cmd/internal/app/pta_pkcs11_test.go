//go:build pkcs11

package app_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
	"sallyport/deploy/testbed/lab"
	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

// judge takes one password.
type judge struct{}

func (judge) Verify(_ context.Context, _ authn.Attempt, c authn.Credentials) authn.Result {
	defer c.Password.Wipe()
	if string(c.Password.Bytes()) == "right" {
		return authn.Result{Reason: authn.Accepted}
	}
	return authn.Result{Reason: authn.WrongPassword}
}

func (judge) Record(context.Context, *audit.Event) error { return nil }

// The agent's key is made in a SoftHSM token, signs the handshakes and decrypts there.
func TestPTAKeyOfAModuleNeverLeavesIt(t *testing.T) {
	tool, err := exec.LookPath("softhsm2-util")
	const module = "/usr/lib/softhsm/libsofthsm2.so"
	if _, serr := os.Stat(module); err != nil || serr != nil {
		lab.Without(t, "SoftHSM is not installed (apt-get install -y softhsm2)")
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.Mkdir(filepath.Join(dir, "tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", write("softhsm2.conf", "directories.tokendir = "+filepath.Join(dir, "tokens")+"\nobjectstore.backend = file\n"))
	if out, err := exec.CommandContext(t.Context(), tool, "--init-token", "--free", "--label", "agent", "--so-pin", "12345678", "--pin", "8765-4321").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cfg := config.Default()
	cfg.PTA.StateDir = filepath.Join(dir, "pta")
	cfg.PTA.PKCS11 = config.PKCS11{ModuleFile: module, Token: "agent", PINFile: write("pin", "8765-4321\n")}
	keys, err := app.PTAKeys(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cloud, err := ptatest.Start(ptatest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	network := ptaagent.Network{Dial: cloud.DialContext, Roots: cloud.Roots()}
	if _, err := ptaagent.Register(t.Context(), ptaagent.Registration{
		Tenant: cloud.Tenant, Token: cloud.AdminToken(), Dir: cfg.PTA.StateDir, Keys: keys, Network: network,
	}); err != nil {
		t.Fatal(err)
	}
	id, err := app.PTAIdentity(cfg, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	agent, err := ptaagent.New(ptaagent.Config{Identity: id, Passwords: judge{}, Audit: judge{}, Suffixes: []string{"contoso.test"}, Network: network})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); agent.Run(ctx) }()
	defer func() { cancel(); <-done }()
	if err := cloud.WaitListening(t.Context(), len(cloud.Settings().Endpoints)); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []ptatest.Mode{ptatest.Direct, ptatest.Connect} {
		if v, err := cloud.SignIn(t.Context(), ptatest.SignIn{UPN: "alice@contoso.test", Password: "right", Mode: mode}); err != nil || !v.OK {
			t.Errorf("%s: %+v, %v", mode, v, err)
		}
	}
	if v, err := cloud.Authenticate(t.Context(), "alice@contoso.test", "wrong"); err != nil || v.Reason != 1326 {
		t.Errorf("wrong password: %+v, %v", v, err)
	}
	if v, err := cloud.SignIn(t.Context(), ptatest.SignIn{UPN: "alice@contoso.test", Password: "right", Faults: &ptatest.Faults{BadCipher: true}}); err != nil || v.Reason != 1326 {
		t.Errorf("a text that cannot be decrypted: %+v, %v", v, err)
	}
	files, err := filepath.Glob(filepath.Join(cfg.PTA.StateDir, "*"))
	if err != nil || len(files) != 3 {
		t.Errorf("%v, %v", files, err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err != nil || strings.Contains(string(text), "PRIVATE") {
			t.Errorf("%s: %v", f, err)
		}
	}
	cfg.PTA.PKCS11 = config.PKCS11{}
	if _, err := app.PTAIdentity(cfg, time.Now()); err == nil || !strings.Contains(err.Error(), "pta.pkcs11") {
		t.Errorf("without the module: %v", err)
	}
	for _, r := range cloud.Refusals() {
		t.Errorf("the cloud refused: %v", r)
	}
}
