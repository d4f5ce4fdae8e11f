package demo

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"text/tabwriter"
	"time"

	"sallyport/authn/directory/directorytest"
	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
	"sallyport/cmd/internal/m365sim"
	"sallyport/cmd/internal/telemetry"
	"sallyport/cmd/internal/trip"
	"sallyport/ptaagent/ptatest"
)

const (
	host         = "localhost"
	federated    = "contoso.test"
	issuer       = "http://contoso.test/adfs/services/trust/"
	organisation = "Contoso (demo)"
	banner       = "Demo: not a real sign-in. Everything runs on this machine."
)

// Options say how to start.
type Options struct {
	// Port is the first of four ports; each that is in use is replaced by a free
	// one, as is zero.
	Port int
	// Log gets the gateway's log records, Progress what is being started. Nil: nobody.
	Log, Progress io.Writer
	// Settings may change the settings file before it is read. Nil: no change.
	Settings func(text string) string
	// DCs is the number of domain controllers. Default 2.
	DCs int
	// Extra are accounts besides the demo's own.
	Extra []directorytest.User
	// Directory may change the stand-in of Active Directory before the gateway
	// starts. Nil: no change.
	Directory func(d *directorytest.Directory)
	// Gateway may change what the gateway is started with. Nil: no change.
	Gateway func(o *app.Options)
}

// Demo is the three parts, running.
type Demo struct {
	// Dir holds the run's files; Close removes it.
	Dir string
	// Users are the accounts with their passwords.
	Users     []directorytest.User
	Directory *directorytest.Directory
	Cloud     *m365sim.Sim
	Gateway   *app.App
	// PTA is the cloud of the managed domain.
	PTA *ptatest.Cloud

	authority *authority
	signOut   sync.Mutex // held by the check that signs out
}

// Start brings everything up and tells what it does.
func Start(ctx context.Context, opts Options) (d *Demo, err error) {
	d = &Demo{}
	defer func() {
		if err != nil {
			d.Close()
			d = nil
		}
	}()
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	if opts.Progress == nil {
		opts.Progress = io.Discard
	}
	if opts.DCs == 0 {
		opts.DCs = 2
	}
	began := time.Now()
	step := func(what string) {
		fmt.Fprintf(opts.Progress, "%5.2fs  %s\n", time.Since(began).Seconds(), what)
	}
	step("Sallyport demo: everything listens on 127.0.0.1 only; keys and passwords are made for this run")
	if d.Dir, err = os.MkdirTemp("", "sallyport-demo-"); err != nil {
		return d, err
	}
	if d.authority, err = newAuthority(); err != nil {
		return d, err
	}
	step("starting the stand-in of Active Directory")
	d.Users = directorytest.DemoUsers(func(string) string { return demoPassword() })
	d.Users = append(d.Users, opts.Extra...)
	if d.Directory, err = directorytest.Start(directorytest.Config{Users: d.Users, Groups: directorytest.DemoGroups(), DCs: opts.DCs}); err != nil {
		return d, fmt.Errorf("stand-in of Active Directory: %w", err)
	}
	if opts.Directory != nil {
		opts.Directory(d.Directory)
	}
	step("starting the stand-in of Microsoft 365")
	cert, err := d.authority.issue(host, d.Dir)
	if err != nil {
		return d, err
	}
	if err := d.startCloud(cert, opts.Port); err != nil {
		return d, err
	}
	step("starting the stand-in of the PTA cloud, registering the agent")
	if err := d.startPTA(ctx); err != nil {
		return d, err
	}
	step("starting the gateway (makes its token-signing key)")
	if err := d.startGateway(ctx, opts); err != nil {
		return d, err
	}
	if err := d.federate(); err != nil {
		return d, err
	}
	if err := d.manage(ctx); err != nil {
		return d, err
	}
	step("ready")
	return d, nil
}

// startCloud takes the ports behind the gateway's where that has a wanted one.
func (d *Demo) startCloud(cert tls.Certificate, gateway int) error {
	cfg := m365sim.Config{Host: host, Certificate: cert, Banner: banner, Hint: d.hints()}
	for i := range cfg.Ports {
		if gateway != 0 {
			cfg.Ports[i] = freePort(gateway + 1 + i)
		}
	}
	var err error
	d.Cloud, err = m365sim.Start(cfg)
	return err
}

// freePort returns want when nobody listens there, else 0: any.
func freePort(want int) int {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", want))
	if err != nil {
		return 0
	}
	_ = l.Close()
	return want
}

func (d *Demo) startGateway(ctx context.Context, opts Options) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", freePort(opts.Port)))
	if err != nil {
		return err
	}
	path, err := d.writeSettings(l.Addr().(*net.TCPAddr).Port, opts.Settings)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	cfg, err := config.Load(path)
	if err != nil {
		return errors.Join(fmt.Errorf("the demo's settings: %w", err), l.Close())
	}
	logger := telemetry.NewLogger(telemetry.LogConfig{Writer: opts.Log, Level: slog.LevelInfo})
	own := app.Options{Logger: logger, Listener: l, Demo: true, Stdout: io.Discard}
	if opts.Gateway != nil {
		opts.Gateway(&own)
	}
	if d.Gateway, err = app.New(cfg, own); err != nil {
		return errors.Join(err, l.Close())
	}
	return d.Gateway.Start(ctx)
}

// writeSettings writes a settings file as an admin would, and the secrets that
// it refers to.
func (d *Demo) writeSettings(port int, change func(string) string) (string, error) {
	secrets := map[string][]byte{
		"service-password": []byte(d.Directory.ServicePassword), "directory-ca.pem": d.Directory.CAPEM(),
	}
	for name, content := range secrets {
		if err := os.WriteFile(filepath.Join(d.Dir, name), content, 0o600); err != nil {
			return "", err
		}
	}
	if err := os.Mkdir(filepath.Join(d.Dir, "signing"), 0o700); err != nil {
		return "", err
	}
	servers := ""
	for _, dc := range d.Directory.DCs {
		servers += fmt.Sprintf("        - {url: %q, address: %q}\n", dc.URL, dc.Addr)
	}
	text := fmt.Sprintf(`# Settings of one run of the demo; removed when it ends.
public_url: https://%[1]s:%[2]d
listen: 127.0.0.1:%[2]d
tls: {certificate_file: tls.pem, key_file: tls-key.pem}
networks: {inside: [127.0.0.0/8]}
microsoft365:
  domains:
    - {name: %[3]s, issuer: %[4]q, protocol: saml}
  reply_urls: [%[5]q]
directory:
  allow_bare_names: true
  ca_file: directory-ca.pem
  service_account: {name: %[6]q, password_file: service-password}
  domains:
    - name: %[7]s
      netbios: %[8]s
      upn_suffixes: [%[3]s]
      servers:
%[9]ssessions: {store: memory}
signing: {key_file: signing/key.pem, certificate_file: signing/certificate.pem, generate: true}
signin_page: {organisation: %[10]q}
wstrust: everywhere
saml: {ecp: everywhere}
audit: {file: audit.jsonl}
ops: {listen: "127.0.0.1:0", control: control.sock, drain_time: 10ms}
`, host, port, federated, issuer, d.Cloud.LoginSRF(), d.Directory.ServiceName, d.Directory.Domain, d.Directory.NetBIOS, servers, organisation)
	text += d.ptaSettings()
	if change != nil {
		text = change(text)
	}
	path := d.Settings()
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// Settings is the path of the settings file.
func (d *Demo) Settings() string { return filepath.Join(d.Dir, "sallyport.yaml") }

// SignInURL is the gateway's passive address.
func (d *Demo) SignInURL() string {
	return fmt.Sprintf("https://%s:%d/adfs/ls/", host, d.Gateway.Addr().(*net.TCPAddr).Port)
}

// trustURL is an address of the gateway for active clients.
func (d *Demo) trustURL(name string) string {
	return fmt.Sprintf("https://%s:%d/adfs/services/trust/%s", host, d.Gateway.Addr().(*net.TCPAddr).Port, name)
}

// Browser returns a fresh browser that trusts this run's certificates.
func (d *Demo) Browser() *trip.Browser { return trip.New(d.authority.pool()) }

// Roots are the authorities of this run's web servers.
func (d *Demo) Roots() *x509.CertPool { return d.authority.pool() }

// User returns an account by its sAMAccountName.
func (d *Demo) User(sam string) directorytest.User {
	for _, u := range d.Users {
		if u.SAM == sam {
			return u
		}
	}
	return directorytest.User{}
}

// federate tells the stand-in of Microsoft 365 what an admin tells the cloud:
// the domain's addresses and certificate; and which users are synchronised.
func (d *Demo) federate() error {
	ls := d.SignInURL()
	var users []m365sim.User
	for _, u := range d.Users {
		id, err := d.Directory.Identity(u.SAM)
		if err != nil {
			return err
		}
		upn := u.UPN
		if upn == "" {
			upn = u.SAM + "@" + federated
		}
		anchor := id.GUID[:]
		if len(u.ConsistencyGUID) > 0 {
			anchor = u.ConsistencyGUID
		}
		users = append(users, m365sim.User{UPN: upn, ImmutableID: base64.StdEncoding.EncodeToString(anchor), DisplayName: u.DisplayName})
	}
	d.Cloud.SetTenant([]m365sim.Domain{{
		Name: federated, Federated: true, IssuerURI: issuer, PassiveSignInURI: ls, SignOutURI: ls,
		ActiveSignInURI: d.trustURL("2005/usernamemixed"), MetadataExchangeURI: d.trustURL("mex"),
		SigningCertificate: d.Gateway.SigningCertificates()[0].Certificate,
	}}, users)
	return nil
}

// Close ends everything and removes the run's files.
func (d *Demo) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if d.Gateway != nil {
		_ = d.Gateway.Stop(ctx)
	}
	if d.Cloud != nil {
		d.Cloud.Close()
	}
	if d.PTA != nil {
		_ = d.PTA.Close()
	}
	if d.Directory != nil {
		_ = d.Directory.Close()
	}
	if d.Dir != "" {
		_ = os.RemoveAll(d.Dir)
	}
}

// Welcome prints what to open and who may sign in.
func (d *Demo) Welcome(w io.Writer) {
	fmt.Fprintf(w, `
Open            %s
                (the certificate is made for this run: let the browser go on when it warns)
Managed domain  %s (pass-through authentication)
Gateway         %s
Settings        %s
Agent           %s
Stop            Ctrl+C

`, d.Cloud.URL(), d.Cloud.ManagedURL(), d.SignInURL(), d.Settings(), d.statusCommand())
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "USER NAME\tOR\tPASSWORD\tACCOUNT IS")
	for _, u := range d.Users {
		upn := u.UPN
		if upn == "" {
			upn = "-"
		}
		fmt.Fprintf(t, "%s\t%s\\%s\t%s\t%s\n", upn, d.Directory.NetBIOS, u.SAM, u.Password, u.State)
	}
	_ = t.Flush()
}

// hints are the lines under the user name field of the stand-in.
func (d *Demo) hints() []string {
	var lines []string
	for _, u := range d.Users {
		if u.UPN != "" {
			lines = append(lines, u.UPN+": "+u.State)
		}
	}
	return append(lines, "The passwords stand in the terminal.")
}

// demoPassword makes a password that can be typed: three random groups.
func demoPassword() string {
	s := rand.Text()
	return "Quay-" + s[:4] + "-" + s[4:8]
}
