package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/cmd/internal/demo"
	"sallyport/cmd/internal/trip"
)

// logBuffer collects log records; the service writes while the test reads.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// house is the running service with neighbours on both sides.
type house struct {
	*demo.Demo
	t   *testing.T
	log *logBuffer
}

func open(t *testing.T, opts demo.Options) *house {
	t.Helper()
	h := &house{t: t, log: &logBuffer{}}
	opts.Log = h.log
	d, err := demo.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	h.Demo = d
	return h
}

// Browser returns a fresh browser. Its connections end before the service does,
// which would wait for them.
func (h *house) Browser() *trip.Browser {
	b := h.Demo.Browser()
	h.t.Cleanup(b.Close)
	return b
}

// signInPage follows a user name to the gateway's sign-in page.
func (h *house) signInPage(t *testing.T, b *trip.Browser, upn string) *trip.Page {
	t.Helper()
	p, err := b.ToGateway(t.Context(), h.Cloud.URL(), upn, false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// signIn makes the whole trip and returns Microsoft 365's page.
func (h *house) signIn(t *testing.T, b *trip.Browser, sam string) *trip.Page {
	t.Helper()
	u := h.User(sam)
	p := h.password(t, b, h.signInPage(t, b, u.UPN), u.Password)
	p, err := b.HandOver(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.ID("upn"); got != u.UPN {
		t.Fatalf("signed in as %q: %d %s %s", got, p.Status, p.ID("code"), p.ID("why"))
	}
	return p
}

func (h *house) password(t *testing.T, b *trip.Browser, p *trip.Page, password string) *trip.Page {
	t.Helper()
	p, err := b.Password(t.Context(), p, trip.English, "", password)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (h *house) open(t *testing.T, b *trip.Browser, address string) *trip.Page {
	t.Helper()
	p, err := b.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// readiness asks the ops listener.
func (h *house) readiness(t *testing.T) (int, string) {
	t.Helper()
	return get(t, http.DefaultClient, "http://"+h.Gateway.OpsAddr().String()+"/readyz")
}

func get(t *testing.T, c *http.Client, address string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// eventually waits for a state that the service reaches by itself.
func eventually(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", within, what)
		case <-tick.C:
		}
	}
}

// events reads the audit file.
func (h *house) events(t *testing.T) []map[string]any {
	t.Helper()
	f, err := os.Open(filepath.Join(h.Dir, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var list []map[string]any
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var e map[string]any
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("audit line %q: %v", lines.Text(), err)
		}
		list = append(list, e)
	}
	return list
}

// event finds the audit event with these fields.
func (h *house) event(t *testing.T, fields map[string]any) map[string]any {
	t.Helper()
	for _, e := range h.events(t) {
		match := true
		for k, v := range fields {
			if fmt.Sprint(e[k]) != fmt.Sprint(v) {
				match = false
			}
		}
		if match {
			return e
		}
	}
	t.Errorf("no audit event with %v", fields)
	return nil
}

// signInQuery is Microsoft 365's request without its own page before it.
const signInQuery = "?wa=wsignin1.0&wtrealm=urn%3afederation%3aMicrosoftOnline&wctx=state%3d1%26x%3d2"

func TestATripLeavesItsTraceInLogAndAuditTrail(t *testing.T) {
	h := open(t, demo.Options{})
	b := h.Browser()
	defer b.Close()
	h.signIn(t, b, "alice")
	accepted := h.event(t, map[string]any{"code": "SP100", "account_name": `CONTOSO\alice`, "reason": "accepted"})
	issued := h.event(t, map[string]any{"code": "SP200", "account_name": `CONTOSO\alice`, "issuer": "http://contoso.test/adfs/services/trust/"})
	if accepted == nil || issued == nil {
		t.FailNow()
	}
	if accepted["ref"] != issued["ref"] || !strings.Contains(h.log.String(), fmt.Sprint(issued["ref"])) {
		t.Errorf("reference %v of the token is not the sign-in's %v, or not in the log", issued["ref"], accepted["ref"])
	}
	if v := h.Cloud.Verdicts(); len(v) != 1 || !strings.Contains(v[0].Token, fmt.Sprint(issued["token_id"])) {
		t.Errorf("token id %v of the audit trail is not the token's", issued["token_id"])
	}
}

func TestL08_NoSecretReachesLogAuditTrailOrMetrics(t *testing.T) {
	h := open(t, demo.Options{Settings: func(s string) string { return strings.Replace(s, "ops: {", "ops: {log_level: debug, ", 1) }})
	b := h.Browser()
	defer b.Close()
	alice := h.User("alice")
	canaries := []string{alice.Password, h.User("dora").Password, h.Directory.ServicePassword, "Canary-wrong-7Q2K"}
	h.password(t, b, h.signInPage(t, b, alice.UPN), "Canary-wrong-7Q2K")
	h.password(t, b, h.signInPage(t, b, h.User("dora").UPN), h.User("dora").Password)
	h.signIn(t, b, "alice")
	for _, dc := range h.Directory.DCs {
		dc.Down()
	}
	h.password(t, h.Browser(), h.signInPage(t, h.Browser(), alice.UPN), alice.Password)
	token := h.Cloud.Verdicts()[0].Token
	canaries = append(canaries, token[:200], token[len(token)-400:len(token)-300])
	audit, err := os.ReadFile(filepath.Join(h.Dir, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	_, metrics := get(t, http.DefaultClient, "http://"+h.Gateway.OpsAddr().String()+"/metrics")
	for place, text := range map[string]string{"log": h.log.String(), "audit trail": string(audit), "metrics": metrics} {
		if len(text) < 500 {
			t.Errorf("%s holds only %d bytes: the test looks at nothing", place, len(text))
		}
		for _, c := range canaries {
			for _, form := range spellings(c) {
				if strings.Contains(text, form) {
					t.Errorf("%s holds a secret in the form %q", place, form)
				}
			}
		}
	}
}
