package web_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/federation/web"
)

// certificate makes a server certificate for sts.contoso.test.
func certificate(t testing.TB, serial int64) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "sts.contoso.test"},
		DNSNames: []string{"sts.contoso.test"}, NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}, pool
}

// serve runs a server on loopback until the test ends.
func serve(t testing.TB, s *web.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

func TestH07_TLS(t *testing.T) {
	first, pool := certificate(t, 1)
	second, pool2 := certificate(t, 2)
	var current atomic.Pointer[tls.Certificate]
	current.Store(first)
	g := newRig(t, nil)
	addr := serve(t, g.NewServer(web.ServerConfig{TLS: web.TLSConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil })}))

	dial := func(c *tls.Config) (*tls.Conn, error) {
		c.ServerName = "sts.contoso.test"
		if c.RootCAs == nil {
			c.RootCAs = pool
		}
		return tls.Dial("tcp", addr, c)
	}
	for name, c := range map[string]*tls.Config{
		"TLS 1.0": {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10},
		"TLS 1.1": {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"CBC": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256}},
		"no forward secrecy": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
	} {
		if conn, err := dial(c); err == nil {
			t.Errorf("%s: accepted as %v", name, conn.ConnectionState().CipherSuite)
			_ = conn.Close()
		}
	}
	for name, c := range map[string]*tls.Config{
		"TLS 1.3": {MinVersion: tls.VersionTLS13},
		"AEAD":    {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}},
	} {
		conn, err := dial(c)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = conn.Close()
	}
	// Without a suite for them the old versions fail anyway; the floor stands alone.
	if c := web.TLSConfig(nil); c.MinVersion != tls.VersionTLS12 || c.MaxVersion != 0 {
		t.Errorf("versions %x to %x", c.MinVersion, c.MaxVersion)
	}
	// A certificate of another kind would let suites through that this one cannot use.
	for _, id := range web.TLSConfig(nil).CipherSuites {
		if name := tls.CipherSuiteName(id); !strings.HasPrefix(name, "TLS_ECDHE_") || !strings.Contains(name, "_GCM_") && !strings.Contains(name, "_POLY1305_") {
			t.Errorf("suite %s", name)
		}
	}
	// A renewed certificate is in use from the next handshake on; the open
	// connection goes on.
	open, err := dial(&tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	current.Store(second)
	if conn, err := dial(&tls.Config{RootCAs: pool2}); err != nil {
		t.Errorf("after the change: %v", err)
	} else {
		_ = conn.Close()
	}
	if _, err := io.WriteString(open, "GET /adfs/ls/ HTTP/1.1\r\nHost: sts.contoso.test\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(open), nil)
	if err != nil || res.StatusCode != 200 || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("the open connection: %v %v", res, err)
	}
}

func TestK08_TicketOverBothProtocols(t *testing.T) {
	cert, pool := certificate(t, 1)
	g := newRig(t, nil)
	addr := serve(t, g.NewServer(web.ServerConfig{TLS: web.TLSConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil })}))
	for _, h2 := range []bool{false, true} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "sts.contoso.test"}, ForceAttemptHTTP2: h2}
		client := &http.Client{Transport: tr}
		get := func(path string, n int) (int, error) {
			r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+addr+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = "sts.contoso.test"
			r.Header.Set("Authorization", "Negotiate "+strings.Repeat("Y", n))
			res, err := client.Do(r)
			if err != nil {
				return 0, err
			}
			_, _ = io.Copy(io.Discard, res.Body)
			if h2 != (res.ProtoMajor == 2) {
				t.Errorf("protocol %s", res.Proto)
			}
			return res.StatusCode, res.Body.Close()
		}
		if code, err := get("/adfs/ls/", 87380); code != 200 {
			t.Errorf("HTTP/2 %v, ticket of 65,535 bytes: %d %v", h2, code, err)
		}
		if code, err := get("/adfs/portal/assets/a", 87380); code != 431 {
			t.Errorf("HTTP/2 %v, elsewhere: %d %v", h2, code, err)
		}
		if code, err := get("/adfs/ls/", 1<<20); err == nil && code < 400 {
			t.Errorf("HTTP/2 %v, 1 MiB: %d", h2, code)
		}
		tr.CloseIdleConnections()
	}
}
