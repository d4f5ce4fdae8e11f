package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"sallyport/authn/directory/directorytest"
	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
	"sallyport/cmd/internal/m365sim"
	"sallyport/cmd/internal/telemetry"
)

const (
	host         = "localhost"
	federated    = "contoso.test"
	issuer       = "http://contoso.test/adfs/services/trust/"
	organisation = "Contoso (demo)"
	banner       = "Demo: not a real sign-in. Everything runs on this machine."
)

type options struct {
	Port          int
	Log, Progress io.Writer
}

// demo is the three parts, running.
type demo struct {
	dir       string
	users     []directorytest.User
	directory *directorytest.Directory
	cloud     *m365sim.Sim
	gateway   *app.App
	authority *authority
}

// start brings everything up and tells what it does.
func start(ctx context.Context, opts options) (d *demo, err error) {
	d = &demo{}
	defer func() {
		if err != nil {
			d.close()
			d = nil
		}
	}()
	began := time.Now()
	step := func(what string) {
		fmt.Fprintf(opts.Progress, "%5.2fs  %s\n", time.Since(began).Seconds(), what)
	}
	step("Sallyport demo: everything listens on 127.0.0.1 only; keys and passwords are made for this run")
	if d.dir, err = os.MkdirTemp("", "sallyport-demo-"); err != nil {
		return d, err
	}
	if d.authority, err = newAuthority(); err != nil {
		return d, err
	}
	step("starting the stand-in of Active Directory")
	d.users = directorytest.DemoUsers(func(string) string { return demoPassword() })
	if d.directory, err = directorytest.Start(directorytest.Config{Users: d.users, Groups: directorytest.DemoGroups(), DCs: 2}); err != nil {
		return d, fmt.Errorf("stand-in of Active Directory: %w", err)
	}
	step("starting the stand-in of Microsoft 365")
	cert, err := d.authority.issue(host, d.dir)
	if err != nil {
		return d, err
	}
	if err := d.startCloud(cert, opts.Port+1); err != nil {
		return d, err
	}
	step("starting the gateway (makes its token-signing key)")
	if err := d.startGateway(ctx, opts); err != nil {
		return d, err
	}
	if err := d.federate(); err != nil {
		return d, err
	}
	step("ready")
	return d, nil
}

func (d *demo) startCloud(cert tls.Certificate, port int) error {
	cfg := m365sim.Config{Host: host, Certificate: cert, Banner: banner, Hint: d.hints()}
	for i := range cfg.Ports {
		cfg.Ports[i] = freePort(port + i)
	}
	var err error
	d.cloud, err = m365sim.Start(cfg)
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

func (d *demo) startGateway(ctx context.Context, opts options) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", freePort(opts.Port)))
	if err != nil {
		return err
	}
	path, err := d.writeSettings(l.Addr().(*net.TCPAddr).Port)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	cfg, err := config.Load(path)
	if err != nil {
		return errors.Join(fmt.Errorf("the demo's settings: %w", err), l.Close())
	}
	logger := telemetry.NewLogger(telemetry.LogConfig{Writer: opts.Log, Level: slog.LevelInfo})
	if d.gateway, err = app.New(cfg, app.Options{Logger: logger, Listener: l, Demo: true, Stdout: io.Discard}); err != nil {
		return errors.Join(err, l.Close())
	}
	return d.gateway.Start(ctx)
}

// writeSettings writes a settings file as an admin would, and the secrets that
// it refers to.
func (d *demo) writeSettings(port int) (string, error) {
	secrets := map[string][]byte{
		"service-password": []byte(d.directory.ServicePassword), "directory-ca.pem": d.directory.CAPEM(),
	}
	for name, content := range secrets {
		if err := os.WriteFile(filepath.Join(d.dir, name), content, 0o600); err != nil {
			return "", err
		}
	}
	if err := os.Mkdir(filepath.Join(d.dir, "signing"), 0o700); err != nil {
		return "", err
	}
	servers := ""
	for _, dc := range d.directory.DCs {
		servers += fmt.Sprintf("        - {url: %q, address: %q}\n", dc.URL, dc.Addr)
	}
	text := fmt.Sprintf(`# Settings of one run of the demo; removed when it ends.
public_url: https://%[1]s:%[2]d
listen: 127.0.0.1:%[2]d
tls: {certificate_file: tls.pem, key_file: tls-key.pem}
networks: {inside: [127.0.0.0/8]}
microsoft365:
  domains:
    - {name: %[3]s, issuer: %[4]q}
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
audit: {file: audit.jsonl}
ops: {listen: "127.0.0.1:0", drain_time: 10ms}
`, host, port, federated, issuer, d.cloud.LoginSRF(), d.directory.ServiceName, d.directory.Domain, d.directory.NetBIOS, servers, organisation)
	path := filepath.Join(d.dir, "sallyport.yaml")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// federate tells the stand-in of Microsoft 365 what an admin tells the cloud:
// the domain's addresses and certificate; and which users are synchronised.
func (d *demo) federate() error {
	ls := fmt.Sprintf("https://%s:%d/adfs/ls/", host, d.gateway.Addr().(*net.TCPAddr).Port)
	var users []m365sim.User
	for _, u := range d.users {
		id, err := d.directory.Identity(u.SAM)
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
	d.cloud.SetTenant([]m365sim.Domain{{
		Name: federated, Federated: true, IssuerURI: issuer, PassiveSignInURI: ls, SignOutURI: ls,
		SigningCertificate: d.gateway.SigningCertificates()[0].Certificate,
	}}, users)
	return nil
}

// close ends everything and removes the run's files.
func (d *demo) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if d.gateway != nil {
		_ = d.gateway.Stop(ctx)
	}
	if d.cloud != nil {
		d.cloud.Close()
	}
	if d.directory != nil {
		_ = d.directory.Close()
	}
	if d.dir != "" {
		_ = os.RemoveAll(d.dir)
	}
}

// welcome prints what to open and who may sign in.
func (d *demo) welcome(w io.Writer) {
	fmt.Fprintf(w, `
Open            %s
                (the certificate is made for this run: let the browser go on when it warns)
Gateway         %s
Settings        %s
Stop            Ctrl+C

`, d.cloud.URL(), fmt.Sprintf("https://%s:%d/adfs/ls/", host, d.gateway.Addr().(*net.TCPAddr).Port), filepath.Join(d.dir, "sallyport.yaml"))
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "USER NAME\tOR\tPASSWORD\tACCOUNT IS")
	for _, u := range d.users {
		upn := u.UPN
		if upn == "" {
			upn = "-"
		}
		fmt.Fprintf(t, "%s\t%s\\%s\t%s\t%s\n", upn, d.directory.NetBIOS, u.SAM, u.Password, u.State)
	}
	_ = t.Flush()
}

// hints are the lines under the user name field of the stand-in.
func (d *demo) hints() []string {
	var lines []string
	for _, u := range d.users {
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
