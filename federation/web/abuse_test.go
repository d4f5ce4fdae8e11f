package web_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"sallyport/federation"
	"sallyport/federation/web"
)

// brokenBody fails after its first bytes.
type brokenBody struct {
	first io.Reader
	err   error
}

func (b *brokenBody) Read(p []byte) (int, error) {
	if n, err := b.first.Read(p); err == nil {
		return n, nil
	}
	return 0, b.err
}

func (*brokenBody) Close() error { return nil }

// TestH12_ABodyThatBreaksOffIsNotOurSide: otherwise anybody could raise the alarm
// on answers 5xx, and fill the log at its highest level, with half a request.
func TestH12_ABodyThatBreaksOffIsNotOurSide(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"connection closed": {io.ErrUnexpectedEOF, http.StatusBadRequest},
		"too slow":          {os.ErrDeadlineExceeded, http.StatusRequestTimeout},
		"broken chunk":      {errors.New("malformed chunked encoding"), http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, nil)
			r := request("POST", "/adfs/form", "203.0.113.7", "Content-Type: application/x-www-form-urlencoded")
			r.Body, r.ContentLength = &brokenBody{strings.NewReader("t=abc"), c.err}, 100
			if w := g.do(r); w.Code != c.want {
				t.Errorf("status %d, want %d", w.Code, c.want)
			}
			rec := g.log.records(t)[0]
			if rec["level"] != "WARN" || rec["problem"] != string(federation.ProblemBadRequest) {
				t.Errorf("record %v", rec)
			}
		})
	}
}

// TestH03_OneClientCannotTakeEverybodysPlace holds as many requests as one client
// gets; the next of the same client is refused, those of others are not.
func TestH03_OneClientCannotTakeEverybodysPlace(t *testing.T) {
	for name, c := range map[string]struct{ client, same, other string }{
		"IPv4": {"203.0.113.7", "203.0.113.7", "203.0.113.8"},
		"IPv6": {"2001:db8:1:2::7", "2001:db8:1:2:ffff::8", "2001:db8:1:3::7"},
	} {
		t.Run(name, func(t *testing.T) {
			release, running := make(chan struct{}), make(chan struct{})
			g := newRig(t, func(c *web.Config) { c.MaxInFlight = 8 })
			g.answer = func(http.ResponseWriter, *http.Request) error {
				running <- struct{}{}
				<-release
				return nil
			}
			codes := make(chan int)
			go2 := func(peer string, headers ...string) {
				go func() { codes <- g.do(request("GET", "/adfs/ls/", peer, headers...)).Code }()
			}
			for range 2 { // a quarter of 8; once by itself, once through a proxy
				go2(c.client)
				<-running
			}
			refused := make(chan *httptest.ResponseRecorder, 1)
			go func() { refused <- g.do(request("GET", "/adfs/ls/", "10.9.0.1", "X-Forwarded-For: "+c.same)) }()
			select {
			case w := <-refused:
				if w.Code != 503 || w.Header().Get("Retry-After") == "" {
					t.Errorf("one more of the same client: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
				}
			case <-running:
				t.Fatal("one more of the same client is answered")
			}
			go2(c.other)
			<-running
			for range 4 { // a proxy that tells nobody is not one client
				go2("10.9.0.1")
				<-running
			}
			close(release)
			for range 7 {
				if code := <-codes; code != 200 {
					t.Errorf("status %d", code)
				}
			}
			g.answer = nil
			if w := g.do(request("GET", "/adfs/ls/", c.client)); w.Code != 200 {
				t.Errorf("afterwards: %d", w.Code)
			}
		})
	}
}

// TestH06_SlowBodiesOfOneClientLeaveRoomForOthers sends bodies that do not end on
// many streams of few HTTP/2 connections, which the limits of connections do not
// bound.
func TestH06_SlowBodiesOfOneClientLeaveRoomForOthers(t *testing.T) {
	g := newRig(t, func(c *web.Config) { c.MaxInFlight = 40 })
	cert, pool := certificate(t, 1)
	addr := serve(t, g.NewServer(web.ServerConfig{TLS: web.TLSConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil })}))
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "sts.contoso.test"}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	refused := make(chan int, 60)
	for range 60 {
		body, feed := io.Pipe()
		go func() {
			_, _ = io.Copy(feed, bytes.NewReader([]byte("t=abc")))
			<-ctx.Done()
			_ = feed.Close()
		}()
		go func() {
			r, _ := http.NewRequestWithContext(ctx, "POST", "https://"+addr+"/adfs/form", body)
			r.Host = "sts.contoso.test"
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			res, err := tr.RoundTrip(r)
			if err != nil {
				return
			}
			_ = res.Body.Close()
			refused <- res.StatusCode
		}()
	}
	for range 50 { // ten are waiting for their bodies
		if code := <-refused; code != http.StatusServiceUnavailable {
			t.Fatalf("status %d", code)
		}
	}
	if w := g.do(request("GET", "/adfs/ls/", "203.0.113.8")); w.Code != 200 {
		t.Errorf("somebody else: %d", w.Code)
	}
}
