package ptatest

import (
	"bufio"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

func (c *Cloud) listen() error {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c.tls = inner
	if c.proxy, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	c.web = &http.Server{
		Handler: http.HandlerFunc(c.route), ReadHeaderTimeout: 20 * time.Second, IdleTimeout: 6 * time.Minute, MaxHeaderBytes: 32 << 10,
		BaseContext: func(net.Listener) context.Context { return c.ctx }, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, ClientAuth: tls.RequestClientCert,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if !c.knows(hello.ServerName + ":443") {
				c.diary.stray(hello.ServerName)
				return nil, fmt.Errorf("no host %q", hello.ServerName)
			}
			return c.pki.host(strings.ToLower(hello.ServerName))
		},
	}
	c.work.Go(func() { _ = c.web.Serve(tls.NewListener(&tracked{inner, c}, cfg)) })
	c.work.Go(c.serveProxy)
	return nil
}

// tracked keeps the connections, so that they can be cut at the TCP level also
// when a WebSocket has taken them over.
type tracked struct {
	net.Listener
	cloud *Cloud
}

func (t *tracked) Accept() (net.Conn, error) {
	conn, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tc := &trackedConn{Conn: conn, cloud: t.cloud}
	t.cloud.mu.Lock()
	t.cloud.conns[tc] = true
	t.cloud.mu.Unlock()
	return tc, nil
}

type trackedConn struct {
	net.Conn
	cloud *Cloud
}

func (t *trackedConn) Close() error {
	t.cloud.mu.Lock()
	delete(t.cloud.conns, t)
	t.cloud.mu.Unlock()
	return t.Conn.Close()
}

// serveProxy answers CONNECT requests for the cloud's hosts and nothing else.
func (c *Cloud) serveProxy() {
	for {
		conn, err := c.proxy.Accept()
		if err != nil {
			return
		}
		c.work.Go(func() {
			stop := context.AfterFunc(c.ctx, func() { _ = conn.Close() })
			defer stop()
			defer func() { _ = conn.Close() }()
			c.tunnel(conn)
		})
	}
}

func (c *Cloud) tunnel(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	deny := func(status int, header string) {
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", status, http.StatusText(status), header)
	}
	switch {
	case req.Method != http.MethodConnect:
		_ = c.diary.refuse("proxy", "%s instead of CONNECT", req.Method)
		deny(http.StatusMethodNotAllowed, "")
		return
	case !c.proxyAllows(req.Header.Get("Proxy-Authorization")):
		deny(http.StatusProxyAuthRequired, "Proxy-Authenticate: Basic realm=\"proxy\"\r\n")
		return
	case !c.knows(req.Host):
		c.diary.stray(req.Host)
		deny(http.StatusForbidden, "")
		return
	}
	to, err := net.Dial("tcp", c.Addr())
	if err != nil {
		deny(http.StatusBadGateway, "")
		return
	}
	defer func() { _ = to.Close() }()
	_ = conn.SetReadDeadline(time.Time{})
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(conn, to)
		_ = conn.Close()
	}()
	_, _ = io.Copy(to, r)
	_ = to.Close()
	<-back
}

func (c *Cloud) proxyAllows(header string) bool {
	if c.cfg.ProxyUser == "" {
		return true
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(c.cfg.ProxyUser+":"+c.cfg.ProxyPassword))
	return subtle.ConstantTimeCompare([]byte(header), []byte(want)) == 1
}
