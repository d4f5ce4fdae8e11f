// Package lab gives tests the servers of the testbed: two Samba domain
// controllers, Redis, nginx, foreign relying parties, Chromium and xmlsec1, as
// deploy/testbed/run starts them on loopback.
//
// A test that needs them calls [Require] first. On a laptop without the lab the
// test is then skipped, aloud; in CI, or when somebody says that the lab is
// there (SALLYPORT_LAB=1), a missing lab fails the test, so that a gate can
// never pass because its judges stayed at home.
//
// It is imported by tests only; no shipped binary contains it.
package lab

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Lab is the running testbed, read from the environment that
// `deploy/testbed/run env` prints.
type Lab struct {
	// Dir holds ca.pem, stranger-ca.pem, sts.pem and sts.key (the proxy's
	// certificate for sts.contoso.test), users.json and the secrets.
	Dir string
	// DCs are the domain controllers, dc1 first.
	DCs []DC
	// Users are the accounts; see [Lab.User].
	Users []User
	// Service is the account that may search, as UPN.
	Service string
	// ServicePasswordFile holds its password.
	ServicePasswordFile string
	// RedisURL is rediss://sallyport@ADDRESS:PORT, without the password.
	RedisURL string
	// RedisPasswordFile holds the password of the user sallyport.
	RedisPasswordFile string
	// CAFile is the authority of every certificate of the lab.
	CAFile string
	// XMLSec1 is the path of xmlsec1.
	XMLSec1 string
	// ProxyAddr is nginx: sts.contoso.test, host:port.
	ProxyAddr string
	// HAProxyAddr is HAProxy with the shipped configuration: the same name, host:port.
	HAProxyAddr string
	// GatewayAddrs are where nginx expects the instances, host:port.
	GatewayAddrs []string
	// PartyAddr is the foreign relying party: party.contoso.test, host:port.
	PartyAddr string
	// SAMLDir holds keys and settings of the foreign SAML 2.0 parties; each reads our
	// metadata there when it starts: idp.xml, Shibboleth idp-saml.xml.
	SAMLDir string
	// SAMLAddrs are their addresses by name, host:port: mellon, shibboleth,
	// simplesamlphp and pysaml2, each at https://NAME.contoso.test.
	SAMLAddrs map[string]string
	// NodeDir holds node_modules and the browser script.
	NodeDir string
	// BrowserHome is a home directory whose Chromium trusts the lab's CA.
	BrowserHome string
	// Artifacts is where screenshots and logs are kept.
	Artifacts string

	control string
}

// DC is one domain controller.
type DC struct {
	// Service is its name for [Lab.Control]: dc1 or dc2.
	Service string
	// Name is its DNS name, which its certificate has.
	Name string
	// URL is ldaps://NAME:636.
	URL string
	// Addr is where it listens, host:port.
	Addr string
}

// User is one account of the lab.
type User struct {
	SAM         string `json:"sam"`
	UPN         string `json:"upn"`
	DN          string `json:"dn"`
	Password    string `json:"password"`
	State       string `json:"state"`
	DisplayName string `json:"displayName"`
	// ImmutableID is what Microsoft 365 must be told: base64 of
	// mS-DS-ConsistencyGuid when the account has one, else of objectGUID.
	ImmutableID string `json:"immutableID"`
}

// Wanted reports whether somebody says that the lab is there, or has to be:
// SALLYPORT_LAB=1 or CI=true.
func Wanted() bool {
	return os.Getenv("SALLYPORT_LAB") == "1" || os.Getenv("CI") == "true"
}

// Require returns the lab, or skips the test where nobody promised one.
func Require(t testing.TB) *Lab {
	t.Helper()
	if !Wanted() {
		Skip(t, "needs the servers of the testbed; deploy/testbed/run has them")
	}
	l, err := read()
	if err != nil {
		t.Fatalf("the lab is missing: %v", err)
	}
	return l
}

// Vectors returns the folder of foreign test vectors. Where SALLYPORT_VECTORS
// names none the test is skipped, in CI and in the lab it fails.
func Vectors(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SALLYPORT_VECTORS")
	if dir == "" {
		Without(t, "needs the test vectors; SALLYPORT_VECTORS names their folder")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("SALLYPORT_VECTORS: %v", err)
	}
	return dir
}

// Program returns the path of a program that judges from outside; packages are those
// of Debian that bring it. See [Without].
func Program(t testing.TB, name, packages string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Without(t, fmt.Sprintf("%s is not on PATH (apt-get install -y %s)", name, packages))
	}
	return path
}

// Without ends a test for which a piece of the lab is missing: it fails where the lab
// is wanted, and is skipped elsewhere.
func Without(t testing.TB, why string) {
	t.Helper()
	if Wanted() {
		t.Fatal(why)
	}
	Skip(t, why)
}

// Skip skips the test and says so on the terminal too: go test shows the
// reasons of skipped tests only with -v.
func Skip(t testing.TB, why string) {
	t.Helper()
	if tty, err := os.OpenFile("/dev/tty", os.O_WRONLY|os.O_APPEND, 0); err == nil {
		fmt.Fprintf(tty, "left out: %s (%s)\n", t.Name(), why)
		tty.Close()
	}
	t.Skip("left out: " + why)
}

// read collects the environment and reports everything that is missing at once.
func read() (*Lab, error) {
	var missing []string
	env := func(name string) string {
		v := os.Getenv(name)
		if v == "" {
			missing = append(missing, name)
		}
		return v
	}
	l := &Lab{
		Dir:               env("SALLYPORT_LAB_DIR"),
		RedisURL:          env("SALLYPORT_REDIS_URL"),
		RedisPasswordFile: env("SALLYPORT_REDIS_PASSWORD_FILE"),
		CAFile:            env("SALLYPORT_REDIS_CA"),
		XMLSec1:           env("SALLYPORT_XMLSEC1"),
		ProxyAddr:         env("SALLYPORT_PROXY_ADDR"),
		HAProxyAddr:       env("SALLYPORT_HAPROXY_ADDR"),
		GatewayAddrs:      strings.Fields(env("SALLYPORT_GATEWAY_ADDRS")),
		PartyAddr:         env("SALLYPORT_PARTY_ADDR"),
		SAMLDir:           env("SALLYPORT_SAML_DIR"),
		SAMLAddrs:         map[string]string{},
		NodeDir:           env("SALLYPORT_NODE_DIR"),
		BrowserHome:       env("SALLYPORT_BROWSER_HOME"),
		Artifacts:         env("SALLYPORT_ARTIFACTS"),
		control:           env("SALLYPORT_LAB_RUN"),
	}
	for _, pair := range strings.Fields(env("SALLYPORT_SAML_ADDRS")) {
		name, addr, _ := strings.Cut(pair, "=")
		l.SAMLAddrs[name] = addr
	}
	for i, name := range []string{"dc1", "dc2"} {
		prefix := fmt.Sprintf("SALLYPORT_DC%d", i+1)
		l.DCs = append(l.DCs, DC{
			Service: name,
			Name:    name + ".corp.contoso.test",
			URL:     env(prefix),
			Addr:    env(prefix + "_ADDR"),
		})
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s not set; `deploy/testbed/run up`, then `eval \"$(deploy/testbed/run env)\"`",
			strings.Join(missing, ", "))
	}
	l.Service = "svc-sallyport@contoso.test"
	l.ServicePasswordFile = filepath.Join(l.Dir, "service-password")
	raw, err := os.ReadFile(filepath.Join(l.Dir, "users.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &l.Users); err != nil {
		return nil, fmt.Errorf("users.json: %w", err)
	}
	return l, nil
}

// User returns the first account in the state: normal, changeable, lockable,
// no-upn, never-expires, locked, disabled, account-expired, password-expired,
// password-expires-soon, must-change, logon-hours, workstation, smart-card,
// non-ascii, protected, special, groups, anchor or service.
func (l *Lab) User(t testing.TB, state string) User {
	t.Helper()
	for _, u := range l.Users {
		if u.State == state {
			return u
		}
	}
	t.Fatalf("the lab has no user in the state %q", state)
	return User{}
}

// BySAM returns the account with this sAMAccountName.
func (l *Lab) BySAM(t testing.TB, sam string) User {
	t.Helper()
	for _, u := range l.Users {
		if u.SAM == sam {
			return u
		}
	}
	t.Fatalf("the lab has no user %q", sam)
	return User{}
}

// Roots returns the lab's authority as a pool.
func (l *Lab) Roots(t testing.TB) *x509.CertPool {
	t.Helper()
	return pool(t, l.CAFile)
}

// StrangerRoots returns an authority that issued no certificate of the lab.
func (l *Lab) StrangerRoots(t testing.TB) *x509.CertPool {
	t.Helper()
	return pool(t, filepath.Join(l.Dir, "stranger-ca.pem"))
}

func pool(t testing.TB, file string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", file)
	}
	return roots
}

// Secret reads a file of one secret.
func (l *Lab) Secret(t testing.TB, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(string(raw), "\r\n")
}

// Control starts, stops, pauses (SIGSTOP) or resumes one server of the lab:
// dc1, dc2, redis, nginx, party, or one of the SAML 2.0 parties, which do not run
// until a test starts them: mellon, shibd, shibboleth, simplesamlphp, pysaml2, or
// refresher in the place of pysaml2. It returns when the server is ready, or gone. What
// the test did is undone when the test ends.
func (l *Lab) Control(t testing.TB, action, service string) {
	t.Helper()
	undo := map[string]string{"start": "stop", "stop": "start", "pause": "resume"}[action]
	if undo != "" {
		t.Cleanup(func() { l.control1(t, undo, service) })
	}
	l.control1(t, action, service)
}

// Account changes an account at dc1 and waits until dc2 knows it too: disable,
// enable or password (a new pwdLastSet; the password stays what it was).
func (l *Lab) Account(t testing.TB, action string, u User) {
	t.Helper()
	out, err := exec.Command(l.control, "account", action, u.SAM).CombinedOutput()
	if err != nil {
		t.Fatalf("account %s %s: %v\n%s", action, u.SAM, err, out)
	}
}

func (l *Lab) control1(t testing.TB, action, service string) {
	t.Helper()
	out, err := exec.Command(l.control, action, service).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", action, service, err, out)
	}
}
