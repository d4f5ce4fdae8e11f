package ptaagent_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"sallyport/ptaagent"
)

const tenantOfContoso = "11111111-2222-4333-8444-555555555555"

// TestALoopbackSignInIsEndedByItselfAlone: another page of the browser, or a name that
// leads to this machine, must not end an administrator's sign-in.
func TestALoopbackSignInIsEndedByItselfAlone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ptaagent.NewLoopbackSignIn(ptaagent.Cloud{}, tenantOfContoso, l)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.Address)
	if err != nil {
		t.Fatal(err)
	}
	state, redirect := u.Query().Get("state"), u.Query().Get("redirect_uri")
	came, failed := make(chan string, 1), make(chan error, 1)
	go func() {
		address, err := s.Wait(t.Context(), l)
		failed <- err
		came <- address
	}()
	ask := func(method, host, target string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.Addr().String()+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	own := strings.TrimPrefix(redirect, "http://")
	good := "/?code=x&state=" + state
	for name, status := range map[string]int{
		"another name":   ask(http.MethodGet, strings.Replace(own, "localhost", "evil.test", 1), good),
		"an address":     ask(http.MethodGet, l.Addr().String(), good),
		"no state":       ask(http.MethodGet, own, "/?code=x"),
		"another state":  ask(http.MethodGet, own, "/?code=x&state="+strings.ToLower(state)),
		"another path":   ask(http.MethodGet, own, "/x"+good),
		"another method": ask(http.MethodPost, own, good),
	} {
		if status != http.StatusBadRequest {
			t.Errorf("%s: status %d", name, status)
		}
	}
	if status := ask(http.MethodGet, own, good); status != http.StatusOK {
		t.Errorf("its own end: %d", status)
	}
	if err, address := <-failed, <-came; err != nil || address != redirect+good {
		t.Errorf("%v, ended at %q", err, address)
	}
}

// TestATokenThatDoesNotFitIsSentNowhere: it would be another tenant's, or useless.
func TestATokenThatDoesNotFitIsSentNowhere(t *testing.T) {
	now := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	token := func(tenant, audience string, left time.Duration) string {
		enc := base64.RawURLEncoding.EncodeToString
		return enc([]byte(`{"alg":"RS256"}`)) + "." + enc(fmt.Appendf(nil, `{"tid":%q,"aud":%q,"exp":%d}`, tenant, audience, now.Add(left).Unix())) + "." + enc([]byte("x"))
	}
	const audience = "https://proxy.cloudwebappproxy.net/registerapp"
	for name, c := range map[string]struct{ token, want string }{
		"of another tenant": {token("99999999-2222-4333-8444-555555555555", audience, time.Hour), "it is of tenant"},
		"for another place": {token(tenantOfContoso, "https://graph.microsoft.com", time.Hour), "it is for"},
		"expired":           {token(tenantOfContoso, audience, 0), "it expired at"},
		"two lines":         {"a\nb", "not one line"},
		"one that fits":     {token(tenantOfContoso, audience, time.Second), "somebody was asked"},
	} {
		dir := t.TempDir() + "/pta"
		_, err := ptaagent.Register(t.Context(), ptaagent.Registration{Tenant: tenantOfContoso, Token: c.token, Dir: dir, Now: func() time.Time { return now },
			Network: ptaagent.Network{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("somebody was asked") }}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if list, err := os.ReadDir(dir); err == nil && name != "one that fits" {
			for _, e := range list {
				if strings.HasSuffix(e.Name(), ".key") || strings.HasSuffix(e.Name(), ".pem") {
					t.Errorf("%s: a key was made", name)
				}
			}
		}
	}
}
