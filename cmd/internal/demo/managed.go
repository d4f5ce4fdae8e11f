package demo

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sallyport/cmd/internal/m365sim"
	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

// startPTA starts the stand-in of the PTA cloud and registers an agent, whose
// key and certificate the gateway then finds in the run's directory.
func (d *Demo) startPTA(ctx context.Context) error {
	var err error
	if d.PTA, err = ptatest.Start(ptatest.Config{}); err != nil {
		return fmt.Errorf("stand-in of the PTA cloud: %w", err)
	}
	if err := os.WriteFile(filepath.Join(d.Dir, "pta-ca.pem"), d.PTA.RootsPEM(), 0o600); err != nil {
		return err
	}
	_, err = ptaagent.Register(ctx, ptaagent.Registration{
		Tenant: d.PTA.Tenant, Token: d.PTA.AdminToken(), Dir: filepath.Join(d.Dir, "pta"), Network: ptaagent.Network{Roots: d.PTA.Roots(), Dial: d.PTA.DialContext},
	})
	return err
}

// ptaSettings is the settings' section for the agent.
func (d *Demo) ptaSettings() string {
	return fmt.Sprintf("pta: {enabled: true, state_dir: pta, domains: [%s], proxy_url: %q, ca_file: pta-ca.pem}\n", federated, d.PTA.ProxyURL())
}

// manage connects the page of the managed domain with the cloud.
func (d *Demo) manage(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := d.PTA.WaitListening(ctx, len(d.PTA.Settings().Endpoints)); err != nil {
		return fmt.Errorf("the agent does not listen: %w", err)
	}
	d.Cloud.SetManaged(func(ctx context.Context, upn, password string) m365sim.ManagedAnswer {
		v, err := d.PTA.Authenticate(ctx, upn, password)
		answer := m365sim.ManagedAnswer{OK: v.OK, Code: v.Code, Agent: v.Agent, CorrelationID: v.Transaction, Find: d.statusCommand() + " --request"}
		switch {
		case err != nil:
			answer.Code, answer.Problem, _ = strings.Cut(err.Error(), ": ")
		case !v.OK:
			answer.Problem = managedText(v.Code)
		}
		return answer
	})
	return nil
}

// statusCommand asks the gateway how its agent is.
func (d *Demo) statusCommand() string {
	return "go run ./cmd/sallyport pta status --config " + d.Settings()
}

// managedText is what the page says about a code of the sign-in log.
func managedText(code string) string {
	switch code {
	case "AADSTS50126", "AADSTS80004":
		return "Your account or password is incorrect."
	case "AADSTS50057":
		return "Your account has been locked. Contact your support person to unlock it, then try again."
	case "AADSTS50144":
		return "Your password has expired. Change it, then try again."
	case "AADSTS50053":
		return "Your account is temporarily locked to prevent unauthorized use. Try again later."
	}
	return "You cannot sign in at the moment."
}

// checkManaged signs in at the page of the managed domain: a right password, a
// wrong one, a disabled account and an expired password.
func (d *Demo) checkManaged(ctx context.Context) (string, error) {
	client := &http.Client{Transport: d.transport()}
	defer client.CloseIdleConnections()
	for _, c := range []struct{ sam, password, want string }{
		{"alice", "", `id="agent"`}, {"alice", "", `id="correlation"`}, {"alice", "not the password", "AADSTS50126"}, {"dora", "", "AADSTS50057"}, {"petra", "", "AADSTS50144"},
	} {
		u := d.User(c.sam)
		password := c.password
		if password == "" {
			password = u.Password
		}
		body, err := post(ctx, client, d.Cloud.ManagedURL(), url.Values{"loginfmt": {u.UPN}, "passwd": {password}})
		if err != nil {
			return "", err
		}
		if !strings.Contains(body, c.want) {
			return "", fmt.Errorf("%s: the page does not show %s", c.sam, c.want)
		}
	}
	if r := d.PTA.Refusals(); len(r) > 0 {
		return "", fmt.Errorf("the agent broke a rule: %s", r[0])
	}
	return "good, wrong, disabled and expired told apart: 50126, 50057, 50144", nil
}

// transport trusts this run's web servers.
func (d *Demo) transport() *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: d.authority.pool(), MinVersion: tls.VersionTLS12}}
}

// post sends a form and reads the page.
func post(ctx context.Context, client *http.Client, address string, form url.Values) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return string(b), err
}
