package telemetry_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/authn"
	"sallyport/cmd/internal/telemetry"
)

func logger(w io.Writer) *slog.Logger {
	return telemetry.NewLogger(telemetry.LogConfig{Writer: w, Level: slog.LevelDebug})
}

// record logs one attribute and returns the record.
func record(t *testing.T, args ...any) map[string]any {
	t.Helper()
	var buf bytes.Buffer
	logger(&buf).Info("m", args...)
	var m map[string]any
	if err := json.Unmarshal(buf.Bytes(), &m); err != nil {
		t.Fatalf("%v in %s", err, buf.Bytes())
	}
	return m
}

const canary = "Zk3-canary-9QX"

type stringer struct{ s string }

func (s stringer) String() string { return s.s }

func TestL08_SecretsStayOutOfLogs(t *testing.T) {
	u, err := url.Parse("https://user:" + canary + "@sts.contoso.test/adfs/ls/?wresult=" + canary + "#" + canary)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	log := logger(&buf)
	for _, key := range []string{
		"password", "Password", "userPassword", "new_password", "pwd", "passphrase", "client_secret", "cookie", "Set-Cookie", "set_cookie",
		"authorization", "Proxy-Authorization", "token", "access_token", "wresult", "wctx", "SAMLResponse", "RelayState", "body", "query",
		"private_key", "key", "session", "credentials", "ticket",
	} {
		log.Info("m", key, canary)
		log.Info("m", slog.Group(key, "x", canary))
		log.WithGroup(key).Info("m", "x", canary)
		log.With(key, []byte(canary)).Info("m")
	}
	for _, v := range []any{
		authn.NewPassword([]byte(canary)), *authn.NewPassword([]byte(canary)),
		authn.Credentials{Name: "alice", Password: authn.NewPassword([]byte(canary))},
		struct{ Secret string }{canary}, &struct{ B []byte }{[]byte(canary)},
		map[string]string{"x": canary}, http.Header{"Cookie": {canary}}, url.Values{"password": {canary}},
		[]byte(canary), [14]byte([]byte(canary)), json.RawMessage(`"` + canary + `"`),
		&http.Cookie{Name: "__Host-sallyport", Value: canary}, &http.Request{Header: http.Header{"Cookie": {canary}}},
		u, &url.Error{Op: "Get", URL: u.String(), Err: errors.New("refused")},
		fmt.Errorf("asking: %w", &url.Error{Op: "Get", URL: u.String(), Err: errors.New("refused")}),
		"-----BEGIN PRIVATE KEY-----\n" + canary, errors.New(`<saml:Assertion ID="x">` + canary),
		[]string{`<saml:Assertion ID="x">` + canary}, stringer{`<saml:Assertion ID="x">` + canary},
		func() string { return canary }, make(chan string),
	} {
		log.Info("m", "value", v)
		log.Info("m", slog.Group("g", "value", v))
	}
	log.Debug(`<Assertion ID="x">` + canary)
	out := buf.Bytes()
	for name, form := range encodings(canary) {
		if i := bytes.Index(out, form); i >= 0 {
			t.Errorf("the secret is in the log (%s): …%s", name, out[max(0, i-120):i+len(form)])
		}
	}
}

// encodings are the forms in which a secret may hide in an output.
func encodings(s string) map[string][]byte {
	var wide []byte
	for _, r := range s {
		wide = append(wide, byte(r), 0)
	}
	m := map[string][]byte{"plain": []byte(s), "hex": []byte(hex.EncodeToString([]byte(s))), "URL": []byte(url.QueryEscape(s)), "UTF-16LE": wide}
	for offset := range 3 {
		b := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + s))
		m[fmt.Sprint("base64 at ", offset)] = []byte(b[4 : len(b)-4])
	}
	return m
}

func TestHarmlessValuesStayReadable(t *testing.T) {
	got := record(t, "token_id", "_1f", "key_id", "3AE2", "ref", "K7QF-3M9D", "name", "Jörg O'Müller 山田", "n", 3, "ok", true,
		"error", fmt.Errorf("bind: %w", io.EOF), "took", 1500*time.Microsecond, "reason", authn.WrongPassword,
		"dcs", []string{"dc1", "dc2"}, "id", authn.GUID{1}, "at", time.Date(2026, 12, 1, 10, 0, 0, 0, time.FixedZone("x", 3600)))
	delete(got, "time")
	want := map[string]any{
		"level": "INFO", "msg": "m", "token_id": "_1f", "key_id": "3AE2", "ref": "K7QF-3M9D", "name": "Jörg O'Müller 山田", "n": 3.0, "ok": true,
		"error": "bind: EOF", "took": 1.5, "reason": "wrong_password", "dcs": []any{"dc1", "dc2"},
		"id": "00000001-0000-0000-0000-000000000000", "at": "2026-12-01T09:00:00Z",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestH10_OneLinePerRecord(t *testing.T) {
	evil := []string{"a\r\nb", "a\n{\"level\":\"ERROR\"}", "\x00", "\x1b[2J", "\u0085", "\u2028", "\u2029", "\u202etxt", "\u2066", "\ufeff", "\x7f", "\xff\xfe", "\U000e0041"}
	for _, e := range evil {
		var buf bytes.Buffer
		logger(&buf).With(e, e).WithGroup("g").Info(e, "name"+e, e, "err", errors.New(e), "list", []string{e})
		out := buf.Bytes()
		if n := bytes.Count(out, []byte("\n")); n != 1 || out[len(out)-1] != '\n' {
			t.Errorf("%q makes %d lines", e, n)
		}
		if !json.Valid(out) {
			t.Errorf("%q makes a record that is no JSON: %s", e, out)
		}
		for _, raw := range []string{"\x1b", "\u0085", "\u2028", "\u202e", "\u2066", "\ufeff", "\x7f", "\U000e0041"} {
			if strings.Contains(e, raw) && bytes.Contains(out, []byte(raw)) {
				t.Errorf("%q stands raw in %s", raw, out)
			}
		}
	}
}

func TestLongValuesAreCut(t *testing.T) {
	got := record(t, "name", strings.Repeat("é", 4000))["name"].(string)
	if len(got) > 4200 || !strings.HasSuffix(got, "(8000 bytes)") || strings.ContainsRune(got, '\ufffd') {
		t.Errorf("%d bytes, ends %q", len(got), got[len(got)-20:])
	}
}

func BenchmarkRequestRecord(b *testing.B) {
	log := telemetry.NewLogger(telemetry.LogConfig{Writer: io.Discard})
	b.ReportAllocs()
	for b.Loop() {
		log.Info("request", "route", "ls", "method", "GET", "status", 200, "took", 3*time.Millisecond, "ref", "K7QF-3M9D",
			"client", "10.1.2.3", "party", "microsoft365", "bytes", 8192)
	}
}
