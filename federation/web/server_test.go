package web_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/federation/web"
)

// pipes is a listener of in-memory connections.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

// pipeAddr makes each peer a TCP address.
type pipeConn struct {
	net.Conn
	remote net.Addr
}

func (c pipeConn) RemoteAddr() net.Addr { return c.remote }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

func (p *pipes) dial(ip string) net.Conn {
	client, server := net.Pipe()
	p.conns <- pipeConn{server, &net.TCPAddr{IP: net.ParseIP(ip), Port: 40000}}
	return client
}

// gone returns how long it took until the server closed the connection.
func gone(c net.Conn) time.Duration {
	start := time.Now()
	_, _ = io.Copy(io.Discard, c)
	return time.Since(start)
}

func TestH03_SlowClientsAreGone(t *testing.T) {
	for _, c := range []struct {
		name, sent string
		within     time.Duration
	}{
		{"nothing sent", "", 5 * time.Second},
		{"half a header", "GET /adfs/ls/ HTTP/1.1\r\nHost: sts.contoso.test\r\nX-A: b", 5 * time.Second},
		{"half a body", "POST /adfs/form HTTP/1.1\r\nHost: sts.contoso.test\r\nContent-Length: 100\r\n\r\nhalf", 15 * time.Second},
		{"idle after an answer", "GET /adfs/ls/ HTTP/1.1\r\nHost: sts.contoso.test\r\n\r\n", 60 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				s, l := g.NewServer(web.ServerConfig{}), newPipes()
				done := make(chan error)
				go func() { done <- s.Serve(l) }()
				conn := l.dial("203.0.113.7")
				if c.sent != "" {
					if _, err := io.WriteString(conn, c.sent); err != nil {
						t.Fatal(err)
					}
				}
				// Another client is served while the slow one is there.
				fine := l.dial("203.0.113.8")
				if _, err := io.WriteString(fine, "GET /adfs/ls/ HTTP/1.1\r\nHost: sts.contoso.test\r\nConnection: close\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				if res, err := http.ReadResponse(bufio.NewReader(fine), nil); err != nil || res.StatusCode != 200 {
					t.Errorf("the other client: %v %v", res, err)
				}
				_ = fine.Close()
				if took := gone(conn); took > c.within+time.Second {
					t.Errorf("gone after %v, want %v", took, c.within)
				}
				_ = s.Close()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestH03_SlowReaderIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		g.answer = func(w http.ResponseWriter, _ *http.Request) error {
			_, err := w.Write(bytes.Repeat([]byte("a"), 1<<20))
			return err
		}
		s, l := g.NewServer(web.ServerConfig{}), newPipes()
		done := make(chan error)
		go func() { done <- s.Serve(l) }()
		conn := l.dial("203.0.113.7")
		if _, err := io.WriteString(conn, "GET /adfs/ls/ HTTP/1.1\r\nHost: sts.contoso.test\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		time.Sleep(31 * time.Second) // virtual: the client takes nothing for so long
		synctest.Wait()
		if n, _ := io.Copy(io.Discard, conn); n >= 1<<20 || time.Since(start) > 32*time.Second {
			t.Errorf("%d bytes after %v", n, time.Since(start))
		}
		_ = s.Close()
		<-done
	})
}

func TestH03_ConnectionLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s, l := g.NewServer(web.ServerConfig{MaxConns: 6, MaxConnsPerAddress: 2}), newPipes()
		done := make(chan error)
		go func() { done <- s.Serve(l) }()
		closed := func(c net.Conn) bool {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			return errors.Is(err, io.EOF)
		}
		var open []net.Conn
		take := func(ip string, want bool) {
			t.Helper()
			c := l.dial(ip)
			synctest.Wait()
			if got := !closed(c); got != want {
				t.Errorf("%s: taken %v, want %v", ip, got, want)
			}
			if want {
				open = append(open, c)
			}
		}
		take("203.0.113.7", true)
		take("203.0.113.7", true)
		take("203.0.113.7", false)
		take("2001:db8:0:1::1", true)
		take("2001:db8:0:1:ffff::2", true)
		take("2001:db8:0:1::3", false) // the same /64
		take("10.9.0.1", true)         // proxies have no limit of their own
		take("10.9.0.1", true)
		take("10.9.0.1", false) // six in all
		_ = open[0].Close()
		synctest.Wait()
		take("203.0.113.7", true) // the place is free again
		_ = s.Close()
		<-done
	})
}

func TestH13_ShutdownLosesNoWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		running, release := make(chan struct{}), make(chan struct{})
		first := true
		g.answer = func(w http.ResponseWriter, _ *http.Request) error {
			if first {
				first = false
				close(running)
				<-release
			}
			_, err := io.WriteString(w, "done")
			return err
		}
		notReady := make(chan struct{})
		s, l := g.NewServer(web.ServerConfig{Drain: 5 * time.Second, NotReady: func() { close(notReady) }}), newPipes()
		served := make(chan error)
		go func() { served <- s.Serve(l) }()
		const get = "GET /adfs/ls/ HTTP/1.1\r\nHost: sts.contoso.test\r\n\r\n"
		ask := func(c net.Conn) *http.Response {
			if _, err := io.WriteString(c, get); err != nil {
				t.Errorf("asking: %v", err)
				return nil
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Errorf("answer: %v", err)
				return nil
			}
			if body, err := io.ReadAll(res.Body); err != nil || string(body) != "done" {
				t.Errorf("body %q, %v", body, err)
			}
			return res
		}
		busy, idle := l.dial("203.0.113.7"), l.dial("203.0.113.8")
		answered := make(chan *http.Response)
		go func() { answered <- ask(busy) }()
		<-running
		if res := ask(idle); res == nil || res.Close {
			t.Error("a connection ends before the shutdown")
		}
		down := make(chan error)
		start := time.Now()
		go func() { down <- s.Shutdown(context.Background()) }()
		<-notReady // readiness goes first
		time.Sleep(time.Second)
		// While balancers notice, old and new connections are served; each answer
		// ends its connection.
		if res := ask(idle); res == nil || !res.Close {
			t.Error("the idle connection was not asked to end")
		}
		fresh := l.dial("203.0.113.9")
		if res := ask(fresh); res == nil || !res.Close {
			t.Error("a new connection was not served while draining")
		}
		time.Sleep(10 * time.Second) // nothing is accepted any more; one request still runs
		close(release)
		if res := <-answered; res == nil {
			t.Error("the running request was lost")
		}
		if err := <-down; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if took := time.Since(start); took < 11*time.Second || took > 13*time.Second {
			t.Errorf("shutdown took %v", took)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestH13_ShutdownEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		running := make(chan struct{})
		release := make(chan struct{})
		g.answer = func(http.ResponseWriter, *http.Request) error { close(running); <-release; return nil }
		s, l := g.NewServer(web.ServerConfig{}), newPipes()
		served := make(chan error)
		go func() { served <- s.Serve(l) }()
		conn := l.dial("203.0.113.7")
		if _, err := io.WriteString(conn, "GET /adfs/ls/ HTTP/1.1\r\nHost: sts.contoso.test\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-running
		start := time.Now()
		if err := s.Shutdown(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		if took := time.Since(start); took < 24*time.Second || took > 26*time.Second {
			t.Errorf("cut after %v", took)
		}
		close(release)
		<-served
	})
}
