package directory_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn"
	"sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
)

// serveEnv makes the test binary serve the stand-in instead of testing, so that
// a benchmark can tell the client's processor time from the DC's.
const serveEnv = "SALLYPORT_TEST_SERVE_DIRECTORY"

func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) != "" {
		if err := serveStandIn(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

type standIn struct {
	Name, URL, Addr, ServiceName, ServicePassword string
	CA                                            []byte
}

func serveStandIn() error {
	ad, err := directorytest.Start(directorytest.Config{Users: users(), Records: 1})
	if err != nil {
		return err
	}
	err = json.NewEncoder(os.Stdout).Encode(standIn{Name: ad.DCs[0].Name, URL: ad.DCs[0].URL, Addr: ad.DCs[0].Addr,
		ServiceName: ad.ServiceName, ServicePassword: ad.ServicePassword, CA: ad.CAPEM()})
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return ad.Close()
}

// process starts the stand-in in a process of its own.
func process(b *testing.B) (standIn, *x509.CertPool) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	var s standIn
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&s); err != nil {
		b.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.CA)
	return s, pool
}

func remote(b *testing.B) *directory.Directory {
	b.Helper()
	s, pool := process(b)
	dir, err := directory.New(directory.Config{
		Domains: []directory.DomainConfig{{DNSName: "corp.contoso.test", NetBIOS: "CONTOSO",
			Servers: []directory.ServerConfig{{URL: s.URL, Address: s.Addr}}}},
		Roots:   pool,
		Service: directory.Service{Name: s.ServiceName, Passwords: func() [][]byte { return [][]byte{[]byte(s.ServicePassword)} }},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = dir.Close() })
	return dir
}

func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkBind measures one password bind on a kept LDAPS connection; cpu-ns/op
// is this process alone, the DC being another one.
func BenchmarkBind(b *testing.B) {
	for _, parallel := range []int{1, 8} {
		b.Run(fmt.Sprintf("parallel=%d", parallel), func(b *testing.B) {
			dir := remote(b)
			acc, err := dir.Resolve(b.Context(), "alice@corp.contoso.test")
			if err != nil {
				b.Fatal(err)
			}
			measure(b, parallel, func(int) error {
				return dir.Bind(context.Background(), acc, authn.NewPassword([]byte(password)))
			})
		})
	}
}

// BenchmarkBindLibraryAlone is the same with nothing but go-ldap on a kept TLS
// connection: the floor that BenchmarkBind is compared with.
func BenchmarkBindLibraryAlone(b *testing.B) {
	for _, parallel := range []int{1, 8} {
		b.Run(fmt.Sprintf("parallel=%d", parallel), func(b *testing.B) {
			s, pool := process(b)
			conns := make([]*ldap.Conn, parallel)
			for i := range conns {
				raw, err := tls.Dial("tcp", s.Addr, &tls.Config{RootCAs: pool, ServerName: s.Name})
				if err != nil {
					b.Fatal(err)
				}
				conns[i] = ldap.NewConn(raw, true)
				conns[i].SetTimeout(4 * time.Second)
				conns[i].Start()
				defer func() { _ = conns[i].Close() }()
			}
			measure(b, parallel, func(i int) error { return conns[i].Bind(`CONTOSO\alice`, password) })
		})
	}
}

func measure(b *testing.B, parallel int, bind func(int) error) {
	b.Helper()
	for i := range 100 {
		if err := bind(i % parallel); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error, parallel)
	b.ResetTimer()
	before := cpu()
	for i := range parallel {
		go func() {
			var err error
			for err == nil && left.Add(-1) >= 0 {
				err = bind(i)
			}
			done <- err
		}()
	}
	for range parallel {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkResolve measures one lookup on a kept service connection.
func BenchmarkResolve(b *testing.B) {
	dir := remote(b)
	ctx := context.Background()
	if _, err := dir.Resolve(ctx, "alice@corp.contoso.test"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	before := cpu()
	for b.Loop() {
		if _, err := dir.Resolve(ctx, "alice@corp.contoso.test"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
}
