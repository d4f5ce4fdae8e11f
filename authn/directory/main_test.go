package directory_test

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sallyport/authn"
	"sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
)

// password is what most test users have.
const password = "Correct-Horse-7"

// lab is a stand-in domain and a Directory that knows it.
type lab struct {
	*testing.T
	ad  *directorytest.Directory
	dir *directory.Directory
}

// users are the accounts that most tests need.
func users() []directorytest.User {
	return []directorytest.User{
		{SAM: "alice", UPN: "alice@contoso.test", Password: password, DisplayName: "Alice Example", Language: "nl-NL", Groups: []string{"Staff"}},
		{SAM: "bob", UPN: "bob@contoso.test", Password: "Battery-Staple-8"},
	}
}

// newLab starts a stand-in and a Directory. The functions change the settings
// of either before they start.
func newLab(t *testing.T, ad directorytest.Config, change ...func(*directorytest.Directory, *directory.Config)) *lab {
	t.Helper()
	if ad.Users == nil {
		ad.Users = users()
	}
	standIn, err := directorytest.Start(ad)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = standIn.Close() })
	cfg := configFor(standIn)
	for _, f := range change {
		f(standIn, &cfg)
	}
	dir, err := directory.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	return &lab{T: t, ad: standIn, dir: dir}
}

func configFor(ad *directorytest.Directory) directory.Config {
	dc := directory.DomainConfig{DNSName: ad.Domain, NetBIOS: ad.NetBIOS, UPNSuffixes: []string{"contoso.test"}}
	for _, s := range ad.DCs {
		dc.Servers = append(dc.Servers, directory.ServerConfig{URL: s.URL, Address: s.Addr})
	}
	secret := []byte(ad.ServicePassword)
	return directory.Config{
		Domains: []directory.DomainConfig{dc}, Roots: ad.CAPool(),
		Service: directory.Service{Name: ad.ServiceName, Passwords: func() [][]byte { return [][]byte{secret} }},
		Logger:  slog.New(slog.DiscardHandler),
	}
}

func roots(p *x509.CertPool) func(*directorytest.Directory, *directory.Config) {
	return func(_ *directorytest.Directory, c *directory.Config) { c.Roots = p }
}

func limits(l directory.Limits) func(*directorytest.Directory, *directory.Config) {
	return func(_ *directorytest.Directory, c *directory.Config) { c.Limits = l }
}

// resolve finds an account or ends the test.
func (l *lab) resolve(name string) *authn.Account {
	l.Helper()
	acc, err := l.dir.Resolve(l.Context(), name)
	if err != nil {
		l.Fatalf("Resolve(%q): %v", name, err)
	}
	return acc
}

// signIn resolves and binds, as the pipeline does.
func (l *lab) signIn(name, pw string) authn.Reason {
	acc, err := l.dir.Resolve(l.Context(), name)
	if err != nil {
		return authn.ReasonOf(err)
	}
	return authn.ReasonOf(l.dir.Bind(l.Context(), acc, authn.NewPassword([]byte(pw))))
}

// want compares a reason.
func (l *lab) want(got, want authn.Reason, what string) {
	l.Helper()
	if got != want {
		l.Errorf("%s: %s, want %s", what, got, want)
	}
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not in 60 s", what)
		}
	}
}

// gather renders the metrics of a lab's Directory.
func gather(t *testing.T, l *lab) string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(l.dir.Collector()); err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).
		ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatal(rec.Body.String())
	}
	return rec.Body.String()
}
