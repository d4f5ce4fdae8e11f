package web_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"sallyport/federation/web"
)

// mounts is a Mount made of routes.
type mounts []web.Route

func (m mounts) Routes(r *web.Router) {
	for _, rt := range m {
		r.Handle(rt)
	}
}

// lines is a log that tests read back.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// records returns the log's records, one a line.
func (l *lines) records(t *testing.T) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.SplitSeq(strings.TrimSpace(l.text()), "\n") {
		if line == "" {
			continue
		}
		rec := map[string]any{}
		if err := json.Unmarshal([]byte(line), &rec); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		out = append(out, rec)
	}
	return out
}

// seen is what a handler saw of a request.
type seen struct {
	info web.Info
	path string
	host string
	head http.Header
	url  string
	body string
}

// rig is an edge with a probe, a Negotiate route, a form route, a route with a
// variable and one that only takes GET.
type rig struct {
	*web.Edge
	log  *lines
	mu   sync.Mutex
	seen []seen
	// answer replaces what /adfs/ls does.
	answer web.Handler
}

func (g *rig) last(t *testing.T) seen {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.seen) == 0 {
		t.Fatal("no handler was called")
	}
	return g.seen[len(g.seen)-1]
}

func (g *rig) calls() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.seen)
}

func (g *rig) handle(w http.ResponseWriter, r *http.Request) error {
	s := seen{info: *web.From(r.Context()), path: r.URL.Path, host: r.Host, head: r.Header.Clone(), url: r.URL.String()}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	s.body = string(body)
	g.mu.Lock()
	g.seen = append(g.seen, s)
	g.mu.Unlock()
	if g.answer != nil {
		return g.answer(w, r)
	}
	_, err = io.WriteString(w, "ok")
	return err
}

var trust = web.Trust{
	Hosts:   []string{"sts.contoso.test:8443", "login.contoso.test"},
	Proxies: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24"), netip.MustParsePrefix("fd00:9::/64")},
	Inside:  []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/16")},
}

func newRig(t testing.TB, change func(*web.Config)) *rig {
	t.Helper()
	g := &rig{log: &lines{}}
	cfg := web.Config{Trust: trust,
		Logger: slog.New(slog.NewJSONHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if change != nil {
		change(&cfg)
	}
	var err error
	g.Edge, err = web.New(cfg, web.Probe{}, mounts{
		{Name: "ls", Path: "/adfs/ls", Methods: []string{"GET", "POST"}, Negotiate: true, Handler: g.handle},
		{Name: "form", Path: "/adfs/form", Methods: []string{"POST"}, Handler: g.handle},
		{Name: "deaf", Path: "/adfs/deaf", Methods: []string{"POST"}, Handler: func(http.ResponseWriter, *http.Request) error { return nil }},
		{Name: "asset", Path: "/adfs/portal/assets/{name}", Methods: []string{"GET"}, Handler: g.handle},
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// request is a request from a peer, with headers given as "Name: value".
func request(method, target, peer string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "/", nil)
	r.Host = "sts.contoso.test"
	r.RemoteAddr = peer + ":40000"
	if strings.Contains(peer, ":") {
		r.RemoteAddr = "[" + peer + "]:40000"
	}
	r.RequestURI = target
	u, err := url.ParseRequestURI(target) // what net/http does with a target
	if err != nil {
		panic(err)
	}
	r.URL = u
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	return r
}

func (g *rig) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}
