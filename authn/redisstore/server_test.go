package redisstore_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"sallyport/authn/redisstore"
	"sallyport/authn/seal"
	"sallyport/authn/session"
	"sallyport/deploy/testbed/lab"
)

// server is a real redis-server of this test's own: TLS, ACL file, no default
// user; besides the gateway's user it has one that may do everything, for
// looking and for moving time.
type server struct {
	t     testing.TB
	dir   string
	host  string
	roots *x509.CertPool
	cmd   *exec.Cmd
	admin *redis.Client
}

const (
	gatewayPassword = "gateway-password-of-this-test"
	adminPassword   = "admin-password-of-this-test"
)

// patience is the timeout of tests that are not about time: their machine may be
// busy. Tests of outages have the product's.
const (
	patience       = 5 * time.Second
	productTimeout = 250 * time.Millisecond
)

// startServer starts redis-server with the given rights of the gateway's user, or
// skips the test aloud.
func startServer(t testing.TB, acl string) *server {
	t.Helper()
	binary := lab.Program(t, "redis-server", "redis-server")
	s := &server{t: t, dir: t.TempDir(), host: ownLoopback()}
	s.writeCertificate()
	s.write("users.acl", fmt.Sprintf("user default off\nuser admin on >%s ~* &* +@all\nuser gateway on >%s %s\n", adminPassword, gatewayPassword, acl))
	s.write("redis.conf", strings.Join([]string{
		"bind " + s.host, "port 0", "tls-port " + port, "tls-cert-file " + s.path("cert.pem"), "tls-key-file " + s.path("key.pem"),
		"tls-ca-cert-file " + s.path("cert.pem"), "tls-auth-clients no", "aclfile " + s.path("users.acl"), "dir " + s.dir,
		`save ""`, "appendonly no", "daemonize no", "maxmemory-policy noeviction", "enable-debug-command yes",
	}, "\n"))
	s.start(binary)
	t.Cleanup(s.stop)
	s.admin = redis.NewClient(&redis.Options{
		Addr: s.addr(), Username: "admin", Password: adminPassword, Protocol: 2, DisableIdentity: true,
		TLSConfig: &tls.Config{RootCAs: s.roots, ServerName: "redis.contoso.test"},
	})
	t.Cleanup(func() { _ = s.admin.Close() })
	return s
}

// port is that of every server, each at an address of its own: a port that was free a
// moment ago may be somebody else's when the server starts, or starts again.
const port = "6390"

func ownLoopback() string {
	return fmt.Sprintf("127.%d.%d.%d", 64+mathrand.IntN(128), mathrand.IntN(256), 1+mathrand.IntN(254))
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }
func (s *server) addr() string            { return net.JoinHostPort(s.host, port) }

func (s *server) write(name, text string) {
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) writeCertificate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis.contoso.test"}, DNSNames: []string{"redis.contoso.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		s.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.roots = x509.NewCertPool()
	s.roots.AddCert(cert)
	s.write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	s.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})))
}

func (s *server) start(binary string) {
	s.t.Helper()
	s.cmd = exec.Command(binary, s.path("redis.conf"))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for range 200 {
		if c, err := net.DialTimeout("tcp", s.addr(), time.Second); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatal("redis-server does not listen")
}

func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

func (s *server) restart() {
	s.t.Helper()
	s.start("redis-server")
}

func (s *server) pause()  { _ = s.cmd.Process.Signal(syscall.SIGSTOP) }
func (s *server) resume() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }

// config returns settings for a store on this server.
func (s *server) config() redisstore.Config {
	return redisstore.Config{
		Addresses: []string{s.addr()}, Username: "gateway", Password: func() (string, error) { return gatewayPassword, nil },
		TLS: &tls.Config{RootCAs: s.roots, ServerName: "redis.contoso.test"}, Masters: [][]byte{seal.NewMaster()},
		ProbeEvery: 200 * time.Millisecond, Timeout: patience,
	}
}

// advance moves the server's time by shortening every key's life.
func (s *server) advance(d time.Duration) {
	s.t.Helper()
	ctx := context.Background()
	for _, key := range s.keys() {
		left, err := s.admin.PTTL(ctx, key).Result()
		if err != nil {
			s.t.Fatal(err)
		}
		if left < 0 {
			continue
		}
		if err := s.admin.PExpire(ctx, key, left-d).Err(); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *server) keys() []string {
	s.t.Helper()
	keys, err := s.admin.Keys(context.Background(), "*").Result()
	if err != nil {
		s.t.Fatal(err)
	}
	return keys
}

func (s *server) flush() {
	s.t.Helper()
	if err := s.admin.FlushAll(context.Background()).Err(); err != nil {
		s.t.Fatal(err)
	}
}

func newStore(t testing.TB, cfg redisstore.Config) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

var _ session.Store = (*redisstore.Store)(nil)
