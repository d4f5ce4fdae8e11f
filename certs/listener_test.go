package certs_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/certs"
)

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestGeneratedListenerCertificateIsECDSA(t *testing.T) {
	l, err := certs.NewListener(certs.ListenerConfig{Hosts: []string{"sts.contoso.test", "127.0.0.1"}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	pub, ok := c.Leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		t.Errorf("key is %T", c.Leaf.PublicKey)
	}
	for _, h := range []string{"sts.contoso.test", "127.0.0.1"} {
		if err := c.Leaf.VerifyHostname(h); err != nil {
			t.Error(err)
		}
	}
	if _, err := certs.NewListener(certs.ListenerConfig{}); err == nil {
		t.Error("a certificate without a name was made")
	}
}

// pair writes a fresh certificate for the listener and returns its settings.
func pair(t *testing.T, dir string) certs.ListenerConfig {
	t.Helper()
	k := ecKey(t)
	cfg := certs.ListenerConfig{CertificateFile: filepath.Join(dir, "tls.pem"), KeyFile: filepath.Join(dir, "tls.key"), Now: func() time.Time { return now }}
	write(t, cfg.CertificateFile, certPEM(year(t, k)), 0o644)
	write(t, cfg.KeyFile, keyPEM(t, "PRIVATE KEY", k), 0o600)
	return cfg
}

func TestReloadKeepsConnectionsAndServesTheNewCertificate(t *testing.T) {
	dir := t.TempDir()
	l, err := certs.NewListener(pair(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: l.GetCertificate, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	dial := func() *tls.Conn {
		// The test looks at the certificate itself instead of verifying it.
		c, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	echo := func(c net.Conn) {
		t.Helper()
		var b [2]byte
		if _, err := c.Write([]byte("hi")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, b[:]); err != nil {
			t.Fatalf("connection dropped: %v", err)
		}
	}
	old := dial()
	defer old.Close()
	echo(old)
	before := l.Thumbprint()
	pair(t, dir)
	if changed, err := l.Reload(); err != nil || !changed {
		t.Fatalf("reload: %v %v", changed, err)
	}
	echo(old)
	fresh := dial()
	defer fresh.Close()
	if got := certs.Thumbprint(fresh.ConnectionState().PeerCertificates[0]); got == before || got != l.Thumbprint() {
		t.Errorf("a new connection got %s", got)
	}
	if changed, err := l.Reload(); err != nil || changed {
		t.Errorf("reload of the same files: %v %v", changed, err)
	}
}

func TestBrokenListenerFilesLeaveTheOldCertificate(t *testing.T) {
	dir := t.TempDir()
	cfg := pair(t, dir)
	l, err := certs.NewListener(cfg)
	if err != nil {
		t.Fatal(err)
	}
	before := l.Thumbprint()
	// Only the certificate has been replaced yet.
	write(t, cfg.CertificateFile, certPEM(year(t, ecKey(t))), 0o644)
	if changed, err := l.Reload(); err == nil || changed || l.Thumbprint() != before {
		t.Errorf("half a pair: %v %v", changed, err)
	}
	pair(t, dir)
	chmod(t, cfg.KeyFile, 0o644)
	if _, err := l.Reload(); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("key that everybody reads: %v", err)
	}
	if err := os.Remove(cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Reload(); err == nil || l.Thumbprint() != before {
		t.Errorf("without key: %v", err)
	}
}

func TestWatchReportsChangesAndEachErrorOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := pair(t, dir)
		l, err := certs.NewListener(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var reports []error
		go l.Watch(ctx, time.Minute, func(err error) { reports = append(reports, err) })
		pass := func() {
			time.Sleep(5 * time.Minute)
			synctest.Wait()
		}
		pass()
		if len(reports) != 0 {
			t.Errorf("nothing changed, yet %v", reports)
		}
		pair(t, dir)
		pass()
		if len(reports) != 1 || reports[0] != nil {
			t.Errorf("after a change: %v", reports)
		}
		write(t, cfg.CertificateFile, []byte("broken"), 0o644)
		pass()
		if len(reports) != 2 || reports[1] == nil {
			t.Errorf("after damage: %v", reports)
		}
		cancel()
		synctest.Wait()
	})
}

// Whoever mixed up files is told which, and what to do.
func TestListenerFilesThatMakeNoPairAreExplained(t *testing.T) {
	dir := privateDir(t)
	mine, other := ecKey(t), ecKey(t)
	cert, key := certPEM(year(t, mine)), keyPEM(t, "PRIVATE KEY", mine)
	der, _ := pem.Decode(cert)
	for _, tt := range []struct {
		name      string
		cert, key []byte
		want      string
	}{
		{"another key", cert, keyPEM(t, "PRIVATE KEY", other), "the key is not the one"},
		{"intermediate certificate first", append(certPEM(year(t, other)), cert...), key, "comes first, intermediate ones after it"},
		{"changed places", key, cert, "have changed places"},
		{"key twice", key, key, "begins with a PRIVATE KEY: put the certificate there"},
		{"DER", der.Bytes, key, "the certificate is not PEM (convert it"},
		{"neither", der.Bytes, []byte("x"), "neither is PEM"},
		{"key is no PEM", cert, []byte("x"), "the key is not PEM"},
		{"encrypted", cert, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), "the key is encrypted"},
	} {
		cfg := certs.ListenerConfig{CertificateFile: filepath.Join(dir, "c.pem"), KeyFile: filepath.Join(dir, "k.pem")}
		write(t, cfg.CertificateFile, tt.cert, 0o644)
		write(t, cfg.KeyFile, tt.key, 0o600)
		if _, err := certs.NewListener(cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}
