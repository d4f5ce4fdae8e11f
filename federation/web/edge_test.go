package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/federation"
	"sallyport/federation/web"
)

func TestH02_UnknownHostIsRefused(t *testing.T) {
	good := []string{"sts.contoso.test", "STS.contoso.TEST", "sts.contoso.test:443", "sts.contoso.test:8443", "login.contoso.test"}
	bad := []string{"", "evil.test", "sts.contoso.test.evil.test", "evil.test/sts.contoso.test", "sts.contoso.test@evil.test", "sts.contoso.test.",
		"sts.contoso.test:", "sts.contoso.test:44x", "sts.contoso.test:443:443", "10.0.0.7", "[::1]:443", "sts.contoso.test evil.test",
		"sts.contoso.test,evil.test", "sts.contoso.test\r\nX: y", "\u212Bsts.contoso.test", "sts%2econtoso.test", strings.Repeat("a", 5000)}
	for _, h := range good {
		g := newRig(t, nil)
		if w := g.do(request("GET", "/adfs/ls/", "203.0.113.7", "Host: "+h)); w.Code != 200 {
			t.Errorf("%q: %d", h, w.Code)
		}
		// Whatever spelling came, handlers see the configured one.
		if got := g.last(t).host; got != "sts.contoso.test:8443" {
			t.Errorf("handler sees %q", got)
		}
	}
	var body string
	for _, h := range bad {
		g := newRig(t, nil)
		r := request("GET", "/adfs/ls/", "203.0.113.7")
		r.Host = h
		w := g.do(r)
		if w.Code != http.StatusMisdirectedRequest || g.calls() != 0 {
			t.Errorf("%q: %d, %d calls", h, w.Code, g.calls())
		}
		if strings.Contains(w.Body.String(), "evil") {
			t.Errorf("%q is in the answer", h)
		}
		b, _, _ := strings.Cut(w.Body.String(), "Reference")
		if body == "" {
			body = b
		}
		if b != body {
			t.Errorf("%q: answer %q differs from %q", h, b, body)
		}
	}
	g := newRig(t, nil)
	for _, target := range []string{"/nowhere", "/adfs/form"} {
		if w := g.do(request("GET", target, "203.0.113.7", "Host: evil.test")); w.Code != 421 {
			t.Errorf("%s under a foreign host: %d", target, w.Code)
		}
	}
}

func TestC20_ProbePathAnswersUnderEveryHost(t *testing.T) {
	ready := true
	g := newRig(t, nil)
	e, err := web.New(web.Config{Trust: trust}, web.Probe{Ready: func() bool { return ready }})
	if err != nil {
		t.Fatal(err)
	}
	g.Edge = e
	for _, host := range []string{"10.0.0.7", "10.0.0.7:443", "evil.test", ""} {
		r := request("GET", "/adfs/probe", "10.9.0.1")
		r.Host = host
		if w := g.do(r); w.Code != 200 || w.Body.String() != "ok\n" {
			t.Errorf("%q: %d %q", host, w.Code, w.Body)
		}
	}
	ready = false
	if w := g.do(request("GET", "/adfs/probe", "10.9.0.1")); w.Code != 503 || w.Body.String() != "not ready\n" {
		t.Errorf("not ready: %d %q", w.Code, w.Body)
	}
}

func TestH09_PathsAndMethods(t *testing.T) {
	for _, c := range []struct {
		method, target string
		want           int
	}{
		{"GET", "/adfs/ls/", 200}, {"GET", "/adfs/ls", 200}, {"GET", "/ADFS/LS/", 200}, {"GET", "/adfs/Ls", 200},
		{"GET", "//adfs//ls//", 200}, {"POST", "//ADFS///LS", 200}, {"POST", "/adfs/ls", 200}, {"POST", "/adfs/ls/", 200},
		{"HEAD", "/adfs/ls/", 200}, {"GET", "/adfs/l%73/", 200}, {"GET", "/adfs/portal/assets/Style.0AB.css", 200},
		{"GET", "/", 404}, {"GET", "/adfs", 404}, {"GET", "/adfs/ls/x", 404}, {"GET", "/adfs/./ls/", 404}, {"GET", "/adfs/x/../ls/", 404},
		{"GET", "/adfs/ls/.", 404}, {"GET", "/adfs/ls/..", 404}, {"GET", "/adfs%2fls/", 404}, {"GET", "/adfs/%2Fls/", 404},
		{"GET", "/adfs/%252e%252e/ls", 404}, {"GET", "/adfs/ls;x=1/", 404}, {"GET", "/adfs/ls%00/", 404}, {"GET", "/adfs/ls%5c", 404},
		{"GET", "/adfs\\ls/", 404}, {"GET", "/adfs/l\u017F/", 404}, {"GET", "/adfs/portal/assets/a%2fb", 404}, {"GET", "/adfs/portal/assets/..", 404}, {"GET", "/adfs/portal/assets/%2e", 404},
		{"GET", "/adfs/portal/assets/", 404}, {"GET", "/healthz", 404}, {"GET", "/readyz", 404}, {"GET", "/metrics", 404}, {"GET", "/debug/pprof/", 404},
		{"TRACE", "/adfs/ls/", 405}, {"OPTIONS", "/adfs/ls/", 405}, {"PUT", "/adfs/ls/", 405}, {"DELETE", "/adfs/ls/", 405},
		{"get", "/adfs/ls/", 405}, {"GET", "/adfs/form", 405}, {"POST", "/adfs/probe", 405}, {"BREW", "/adfs/ls/", 405},
	} {
		t.Run(c.method+" "+c.target, func(t *testing.T) {
			g := newRig(t, nil)
			w := g.do(request(c.method, c.target, "203.0.113.7"))
			if w.Code != c.want {
				t.Fatalf("status %d, want %d", w.Code, c.want)
			}
			if loc := w.Header().Get("Location"); loc != "" || w.Code/100 == 3 {
				t.Errorf("redirected to %q", loc)
			}
			if c.want == 405 && w.Header().Get("Allow") == "" {
				t.Error("no Allow header")
			}
			if c.want == 200 && g.calls() != 1 || c.want != 200 && g.calls() != 0 {
				t.Errorf("%d calls", g.calls())
			}
		})
	}
}

func FuzzCanonicalPath(f *testing.F) {
	for _, s := range []string{"/", "//adfs//LS/", "/a/./b", "/a/../b", "/\u212A", "/a;b", "/a\\b", "/.a/..b/c..", "x", ""} {
		f.Add(s, "")
	}
	f.Add("/a/b", "/a%2Fb")
	f.Fuzz(func(t *testing.T, p, raw string) {
		got, ok := web.CanonicalPath(p, raw)
		if !ok {
			return
		}
		if again, ok := web.CanonicalPath(got, ""); !ok || again != got {
			t.Fatalf("%q → %q → %q, %v", p, got, again, ok)
		}
		if got[0] != '/' || strings.Contains(got, "//") || strings.Contains(got+"/", "/../") || strings.Contains(got+"/", "/./") ||
			len(got) > 1 && strings.HasSuffix(got, "/") || strings.ContainsAny(got, "ABCDEFGHIJKLMNOPQRSTUVWXYZ\\\x00") {
			t.Fatalf("%q → %q", p, got)
		}
	})
}

var everyAnswer = map[string]string{
	"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
	"Strict-Transport-Security": "max-age=31536000", "X-Frame-Options": "DENY",
}

func TestH08_SecurityHeadersOnEveryAnswer(t *testing.T) {
	long := strings.Repeat("a", 20<<10)
	for _, c := range []struct {
		name   string
		r      *http.Request
		answer web.Handler
		want   int
	}{
		{"page", request("GET", "/adfs/ls/", "203.0.113.7"), nil, 200},
		{"probe", request("GET", "/adfs/probe", "203.0.113.7"), nil, 200},
		{"404", request("GET", "/nowhere", "203.0.113.7"), nil, 404},
		{"405", request("PUT", "/adfs/ls/", "203.0.113.7"), nil, 405},
		{"413", withBody(request("POST", "/adfs/form", "203.0.113.7"), 1<<20), nil, 413},
		{"415", request("POST", "/adfs/form", "203.0.113.7", "Content-Type: multipart/form-data; boundary=x"), nil, 415},
		{"421", request("GET", "/adfs/ls/", "203.0.113.7", "Host: evil.test"), nil, 421},
		{"431", request("GET", "/adfs/portal/assets/a", "203.0.113.7", "Cookie: "+long), nil, 431},
		{"414", request("GET", "/adfs/ls/?wctx="+long+long, "203.0.113.7"), nil, 414},
		{"400", request("GET", "/adfs/ls/", "203.0.113.7"), func(http.ResponseWriter, *http.Request) error {
			return federation.Refuse(federation.ProblemBadRequest, nil, errors.New("x"))
		}, 400},
		{"500", request("GET", "/adfs/ls/", "203.0.113.7"), func(http.ResponseWriter, *http.Request) error { return errors.New("boom") }, 500},
		{"panic", request("GET", "/adfs/ls/", "203.0.113.7"), func(http.ResponseWriter, *http.Request) error { panic("boom") }, 500},
		{"503", request("GET", "/adfs/ls/", "203.0.113.7"), func(http.ResponseWriter, *http.Request) error {
			return &federation.Error{Problem: federation.ProblemDirectory, RetryAfter: 1500 * time.Millisecond}
		}, 503},
		{"redirect", request("GET", "/adfs/ls/", "203.0.113.7"), func(w http.ResponseWriter, r *http.Request) error {
			http.Redirect(w, r, "https://rp.fabrikam.test/", http.StatusSeeOther)
			return nil
		}, 303},
		{"a handler's own caching of an error", request("GET", "/adfs/ls/", "203.0.113.7"), func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Cache-Control", "public, max-age=31536000")
			return errors.New("boom")
		}, 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, nil)
			g.answer = c.answer
			w := g.do(c.r)
			if w.Code != c.want {
				t.Fatalf("status %d, want %d", w.Code, c.want)
			}
			for name, want := range everyAnswer {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			csp := w.Header().Get("Content-Security-Policy")
			for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} {
				if !strings.Contains(csp, part) {
					t.Errorf("CSP %q lacks %s", csp, part)
				}
			}
			if strings.Contains(csp, "unsafe") || w.Header().Get("Cross-Origin-Opener-Policy") != "" {
				t.Errorf("CSP %q, COOP %q", csp, w.Header().Get("Cross-Origin-Opener-Policy"))
			}
			if c.want == 503 && w.Header().Get("Retry-After") != "2" {
				t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
			}
		})
	}
}

var reference = regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$`)

func TestH12_ErrorsTellNoDetail(t *testing.T) {
	const secret = "ldaps://dc1.corp.contoso.test secret-detail"
	for name, h := range map[string]web.Handler{
		"error": func(http.ResponseWriter, *http.Request) error { return errors.New(secret) },
		"panic": func(http.ResponseWriter, *http.Request) error { panic(secret) },
		"wrapped": func(http.ResponseWriter, *http.Request) error {
			return fmt.Errorf("x: %w", federation.Refuse(federation.ProblemDirectory, nil, errors.New(secret)))
		},
		"deadline": func(http.ResponseWriter, *http.Request) error {
			return fmt.Errorf("%s: %w", secret, context.DeadlineExceeded)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, nil)
			g.answer = h
			w := g.do(request("GET", "/adfs/ls/", "203.0.113.7"))
			if w.Code < 500 || strings.Contains(w.Body.String()+fmt.Sprint(w.Header()), "secret-detail") {
				t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
			}
			rec := g.log.records(t)[0]
			ref := fmt.Sprint(rec["ref"])
			if !reference.MatchString(ref) || !strings.Contains(w.Body.String(), ref) {
				t.Errorf("reference %q, page %q", ref, w.Body)
			}
			if !strings.Contains(fmt.Sprint(rec["error"]), "secret-detail") || rec["level"] != "ERROR" {
				t.Errorf("the record does not tell the cause: %v", rec)
			}
		})
	}
}

// brokenPages fails as its name says.
type brokenPages string

func (b brokenPages) Error(http.ResponseWriter, *http.Request, *web.Info, *federation.Error) {
	if b == "panic" {
		panic("template")
	}
}

func TestBrokenErrorPageIsReplacedByConstantText(t *testing.T) {
	for _, kind := range []brokenPages{"panic", "silent"} {
		for _, answer := range []web.Handler{
			func(http.ResponseWriter, *http.Request) error { return errors.New("boom") },
			func(http.ResponseWriter, *http.Request) error { panic("boom") },
		} {
			g := newRig(t, func(c *web.Config) { c.Pages = kind })
			g.answer = answer
			w := g.do(request("GET", "/adfs/ls/", "203.0.113.7"))
			if w.Code != 500 || !strings.HasPrefix(w.Body.String(), "Internal Server Error\nReference: ") {
				t.Errorf("%s: %d %q", kind, w.Code, w.Body)
			}
		}
		g := newRig(t, func(c *web.Config) { c.Pages = kind })
		if w := g.do(request("GET", "/nowhere", "203.0.113.7")); w.Code < 400 {
			t.Errorf("%s: 404 became %d", kind, w.Code)
		}
	}
}

func TestPanicAfterTheAnswerBeganCutsTheConnection(t *testing.T) {
	g := newRig(t, nil)
	g.answer = func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = io.WriteString(w, "half a page")
		panic("boom")
	}
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("recovered %v", v)
		}
		if rec := g.log.records(t)[0]; !strings.Contains(fmt.Sprint(rec["error"]), "boom") {
			t.Errorf("record %v", rec)
		}
	}()
	g.do(request("GET", "/adfs/ls/", "203.0.113.7"))
	t.Error("not cut")
}

func TestH10_OneRecordARequestWithoutQueryOrBody(t *testing.T) {
	nasty := []string{"a\r\nlevel=ERROR msg=forged", "\x1b[31m", "\u2028x", `","msg":"forged`, "\x00"}
	for _, s := range nasty {
		g := newRig(t, nil)
		g.answer = func(http.ResponseWriter, *http.Request) error {
			return federation.Refuse(federation.ProblemUnknownParty, nil, fmt.Errorf("wtrealm %q, raw %s", s, s))
		}
		r := request("POST", "/adfs/ls/?wctx=QUERYSECRET&client-request-id=f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "203.0.113.7",
			"Content-Type: application/x-www-form-urlencoded", "Cookie: c=COOKIESECRET", "User-Agent: "+s, "Referer: "+s)
		r.Body = io.NopCloser(strings.NewReader("password=BODYSECRET"))
		g.do(r)
		recs := g.log.records(t)
		if len(recs) != 1 {
			t.Fatalf("%q: %d records:\n%s", s, len(recs), g.log.text())
		}
		if strings.Contains(g.log.text(), "SECRET") {
			t.Errorf("query, body or cookie is in the log: %s", g.log.text())
		}
		rec := recs[0]
		if rec["msg"] != "request" || rec["route"] != "ls" || rec["method"] != "POST" || rec["status"] != 400.0 || rec["client"] != "203.0.113.7" ||
			rec["correlation_id"] != "f81d4fae-7dec-11d0-a765-00a0c91e6bf6" || rec["problem"] != "unknown_party" || rec["bytes"] == 0.0 {
			t.Errorf("record %v", rec)
		}
	}
}

func TestOverloadIsAnsweredAtOnce(t *testing.T) {
	release, running := make(chan struct{}), make(chan struct{})
	g := newRig(t, func(c *web.Config) { c.MaxInFlight = 1 })
	g.answer = func(w http.ResponseWriter, _ *http.Request) error {
		close(running)
		<-release
		_, err := io.WriteString(w, "ok")
		return err
	}
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- g.do(request("GET", "/adfs/ls/", "203.0.113.7")) }()
	<-running
	w := g.do(request("GET", "/adfs/ls/", "203.0.113.8"))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("overload: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if w := g.do(request("GET", "/adfs/probe", "203.0.113.8")); w.Code != 200 {
		t.Errorf("probe under load: %d", w.Code)
	}
	close(release)
	if w := <-done; w.Code != 200 {
		t.Errorf("the running request: %d", w.Code)
	}
	g.answer = nil
	if w := g.do(request("GET", "/adfs/ls/", "203.0.113.8")); w.Code != 200 {
		t.Errorf("after the load: %d", w.Code)
	}
}

func TestBadRoutesAreRefused(t *testing.T) {
	h := func(http.ResponseWriter, *http.Request) error { return nil }
	get := []string{"GET"}
	for name, m := range map[string]mounts{
		"no name":       {{Path: "/a", Methods: get, Handler: h}},
		"no methods":    {{Name: "a", Path: "/a", Handler: h}},
		"no handler":    {{Name: "a", Path: "/a", Methods: get}},
		"upper case":    {{Name: "a", Path: "/A", Methods: get, Handler: h}},
		"final slash":   {{Name: "a", Path: "/a/", Methods: get, Handler: h}},
		"relative":      {{Name: "a", Path: "a", Methods: get, Handler: h}},
		"name twice":    {{Name: "a", Path: "/a", Methods: get, Handler: h}, {Name: "a", Path: "/b", Methods: get, Handler: h}},
		"path twice":    {{Name: "a", Path: "/a", Methods: get, Handler: h}, {Name: "b", Path: "/a", Methods: get, Handler: h}},
		"open variable": {{Name: "a", Path: "/a/{b", Methods: get, Handler: h}},
	} {
		if _, err := web.New(web.Config{Trust: trust}, m); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestClientThatLeavesIsNoError(t *testing.T) {
	g := newRig(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	g.answer = func(http.ResponseWriter, *http.Request) error { cancel(); return ctx.Err() }
	g.do(request("GET", "/adfs/ls/", "203.0.113.7").WithContext(ctx))
	if rec := g.log.records(t)[0]; rec["status"] != 499.0 || rec["level"] == "ERROR" {
		t.Errorf("record %v", rec)
	}
}
