package main

import (
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sallyport/certs"
	"sallyport/cmd/internal/app"
	"sallyport/federation/domain"
	"sallyport/federation/domain/graphtest"
)

const (
	graphTenant = "0f0f0f0f-1111-4222-8333-444444444444"
	graphApp    = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
	graphSecret = "s3cr3t-of-the-application"
)

// realm is a settings file with a tenant at Microsoft's stand-in.
type realm struct {
	*graphtest.Server
	dir, conf string
}

func newRealm(t *testing.T, change func(*graphtest.Config)) *realm {
	t.Helper()
	tenant := graphtest.Config{
		Tenant:  graphTenant,
		Apps:    []graphtest.App{{ClientID: graphApp, Secret: graphSecret, Roles: graphtest.ReadWrite()}},
		Domains: []graphtest.Domain{{Name: "contoso.onmicrosoft.test", Initial: true, Default: true}, {Name: "contoso.test"}, {Name: "fabrikam.test"}},
		Admins:  []string{"root@contoso.onmicrosoft.test"},
	}
	if change != nil {
		change(&tenant)
	}
	r := &realm{Server: graphtest.Start(tenant), dir: filepath.Join(t.TempDir(), "etc")}
	t.Cleanup(r.Close)
	must(t, os.Mkdir(r.dir, 0o700))
	must(t, os.Mkdir(filepath.Join(r.dir, "keys"), 0o700))
	r.key(t, "signing")
	r.key(t, "next")
	r.key(t, "stranger")
	var roots []byte
	for _, c := range r.Certificates() {
		roots = append(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	must(t, os.WriteFile(filepath.Join(r.dir, "roots.pem"), roots, 0o644))
	must(t, os.WriteFile(filepath.Join(r.dir, "secret"), []byte(graphSecret+"\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(r.dir, "service"), []byte("x"), 0o600))
	r.conf = filepath.Join(r.dir, "sallyport.yaml")
	must(t, os.WriteFile(r.conf, []byte(`public_url: https://sts.contoso.test
listen: 127.0.0.1:0
tls: {generate: true}
wstrust: everywhere
microsoft365:
  domains: [{name: contoso.test}, {name: fabrikam.test}]
  graph:
    tenant: `+graphTenant+`
    client_id: `+graphApp+`
    client_secret_file: secret
    login_url: `+r.Login()+`
    graph_url: `+r.Graph()+`
    ca_file: roots.pem
directory:
  domains: [{name: corp.contoso.test, netbios: CONTOSO}]
  service_account: {name: svc@corp.contoso.test, password_file: service}
sessions: {store: memory}
signing: {key_file: keys/signing.key, certificate_file: keys/signing.crt}
`), 0o640))
	return r
}

// keyFiles are token-signing keys that were made before: RSA is slow.
var keyFiles struct {
	sync.Mutex
	content map[string][]byte
}

// key puts a token-signing key into the directory, always the same for a name.
func (r *realm) key(t *testing.T, name string) {
	t.Helper()
	keyFiles.Lock()
	defer keyFiles.Unlock()
	files := []string{name + ".key", name + ".crt"}
	if keyFiles.content[files[0]] == nil {
		_, _, err := certs.Load(certs.Config{KeyFile: r.path(files[0]), CertificateFile: r.path(files[1]), Generate: true, Host: name + ".test"})
		must(t, err)
	}
	for _, f := range files {
		if b := keyFiles.content[f]; b != nil {
			must(t, os.WriteFile(r.path(f), b, 0o600))
			continue
		}
		b, err := os.ReadFile(r.path(f))
		must(t, err)
		if keyFiles.content == nil {
			keyFiles.content = map[string][]byte{}
		}
		keyFiles.content[f] = b
	}
}

func (r *realm) path(name string) string { return filepath.Join(r.dir, "keys", name) }

// base64 is a certificate as Graph holds it.
func (r *realm) base64(t *testing.T, name string) string {
	t.Helper()
	o, err := app.OwnOfFile(r.path(name + ".crt"))
	must(t, err)
	s, err := (&domain.Wanted{
		Domain: "a.test", Issuer: "urn:a", Signing: o.Signing,
		PassiveSignInURI: "https://a.test/", ActiveSignInURI: "https://a.test/", MetadataExchangeURI: "https://a.test/", SignOutURI: "https://a.test/",
	}).Settings()
	must(t, err)
	return s.SigningCertificate
}

// domain calls the command.
func (r *realm) domain(t *testing.T, input string, args ...string) (int, string, string) {
	t.Helper()
	status, out, errs := call(t, input, append([]string{"domain", "--config", r.conf}, args...)...)
	if strings.Contains(out+errs, graphSecret) {
		t.Errorf("%v tells the secret", args)
	}
	return status, out, errs
}

// good calls the command, which must succeed and print the texts.
func (r *realm) good(t *testing.T, input string, args []string, texts ...string) {
	t.Helper()
	status, out, errs := r.domain(t, input, args...)
	if status != exitGood {
		t.Fatalf("%v: status %d\n%s%s", args, status, out, errs)
	}
	for _, s := range texts {
		if !strings.Contains(out, s) {
			t.Errorf("%v: no %q in\n%s%s", args, s, out, errs)
		}
	}
}

// refused calls the command, which must fail and print the texts.
func (r *realm) refused(t *testing.T, input string, args []string, texts ...string) {
	t.Helper()
	status, out, errs := r.domain(t, input, args...)
	if status != exitFailed {
		t.Fatalf("%v: status %d\n%s%s", args, status, out, errs)
	}
	for _, s := range texts {
		if !strings.Contains(out+errs, s) {
			t.Errorf("%v: no %q in\n%s%s", args, s, out, errs)
		}
	}
}

func TestDomainFromManagedToFederatedAndBack(t *testing.T) {
	t.Parallel()
	r := newRealm(t, nil)
	r.refused(t, "", []string{"show"}, "contoso.test: 1 difference, broken", "the domain is not federated")
	r.good(t, "", []string{"federate", "contoso.test", "--dry-run"}, `"federatedIdpMfaBehavior": "rejectMfaByFederatedIdp"`,
		"POST /v1.0/domains/contoso.test/federationConfiguration", `"issuerUri": "http://contoso.test/adfs/services/trust/"`, r.base64(t, "signing"))
	r.refused(t, "no\n", []string{"federate", "contoso.test"}, "nothing was changed")
	r.refused(t, "", []string{"federate", "contoso.test"}, "add --yes")
	if n := len(r.Writes()); n != 0 {
		t.Fatalf("%d changes before anybody agreed", n)
	}
	r.good(t, "contoso.test\nfabrikam.test\n", []string{"federate", "contoso.test", "fabrikam.test"}, "federated: contoso.test, fabrikam.test; failed: none")
	r.good(t, "", []string{"show"}, "contoso.test: both views agree", "fabrikam.test: both views agree")
	r.good(t, "", []string{"check"}, "issuer, addresses and certificates are this service's", "0 failed")
	r.good(t, "contoso.test\n", []string{"update", "contoso.test", "--next-certificate", r.path("next.crt")}, "nextSigningCertificate", "changed")
	if got := r.Settings("contoso.test")["nextSigningCertificate"]; got != r.base64(t, "next") {
		t.Error("the next certificate is not there")
	}
	r.refused(t, "", []string{"unfederate", "contoso.test"}, "add --yes")
	r.good(t, "", []string{"unfederate", "contoso.test", "--yes"}, "contoso.test: managed")
	if r.Federated("contoso.test") || !r.Federated("fabrikam.test") {
		t.Error("the wrong domain was unfederated")
	}
}

func TestDomainShowsAForeignKey(t *testing.T) {
	t.Parallel()
	r := newRealm(t, nil)
	r.good(t, "", []string{"federate", "--yes", "contoso.test", "fabrikam.test"})
	r.Set("fabrikam.test", "nextSigningCertificate", r.base64(t, "stranger"))
	r.refused(t, "", []string{"show"}, "contoso.test: both views agree", "fabrikam.test: 1 difference, foreign", "signs in as anybody")
	r.refused(t, "", []string{"check"}, "foreign: nextSigningCertificate")
	status, out, _ := r.domain(t, "", "show", "--json")
	var all []struct {
		Domain, Worst string
		Rows          []struct{ Property, Severity string }
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil || status != exitFailed || len(all) != 2 || all[0].Worst != "same" || all[1].Worst != "foreign" || len(all[1].Rows) < 10 {
		t.Errorf("JSON: %d %v %s", status, err, out)
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colours where there is no terminal")
	}
	r.good(t, "", []string{"update", "--dry-run"}, "foreign: a key that is not", "PATCH /v1.0/domains/fabrikam.test", `"nextSigningCertificate": null`)
	r.good(t, "fabrikam.test\n", []string{"update"}, "contoso.test: nothing to do", "fabrikam.test: changed")
	r.good(t, "", []string{"show"}, "fabrikam.test: both views agree")
}

func TestDomainThatWouldLoop(t *testing.T) {
	t.Parallel()
	r := newRealm(t, nil)
	r.refused(t, "", []string{"federate", "--yes", "--mfa-behavior", "enforceMfaByFederatedIdp", "contoso.test"}, "sign-in will loop")
	r.refused(t, "", []string{"federate", "--dry-run", "--prompt-login-behavior", "x", "contoso.test"}, "promptLoginBehavior")
	if len(r.Writes()) != 0 {
		t.Error("it was sent")
	}
	r.good(t, "", []string{"federate", "--yes", "--mfa-behavior", "acceptIfMfaDoneByFederatedIdp", "contoso.test", "fabrikam.test"})
	r.Set("contoso.test", "federatedIdpMfaBehavior", "enforceMfaByFederatedIdp")
	r.refused(t, "", []string{"show", "contoso.test"}, "sign-in will loop")
	r.refused(t, "", []string{"check"}, "sign-in will loop")
	r.good(t, "", []string{"update", "--all", "--yes", "contoso.test"}, "federatedIdpMfaBehavior")
	r.good(t, "", []string{"show", "contoso.test"}, "both views agree")
}

func TestDomainRefusesWhatLocksEverybodyOut(t *testing.T) {
	t.Parallel()
	r := newRealm(t, func(c *graphtest.Config) {
		c.Admins = []string{"alice@contoso.test", "bob@emea.contoso.test"}
		c.Domains = []graphtest.Domain{{Name: "contoso.test"}, {Name: "fabrikam.test", Default: true}}
	})
	r.refused(t, "", []string{"federate", "--yes", "fabrikam.test"}, "default domain")
	r.refused(t, "", []string{"federate", "--yes", "contoso.test"}, "all 2 Global Administrators", "--force")
	if len(r.Writes()) != 0 {
		t.Error("it was sent")
	}
	r.good(t, "", []string{"federate", "--yes", "--force", "contoso.test"})
	r.refused(t, "", []string{"check"}, "no Global Administrator is outside contoso.test")
	r = newRealm(t, func(c *graphtest.Config) {
		c.Apps[0].Roles = []string{"Domain.ReadWrite.All", "Domain-InternalFederation.ReadWrite.All"}
	})
	status, _, errs := r.domain(t, "", "federate", "--yes", "contoso.test")
	if status != exitGood || !strings.Contains(errs, "see yourself that one of them is outside") {
		t.Errorf("status %d, %s", status, errs)
	}
}

func TestDomainGoesOnAfterOneHasFailed(t *testing.T) {
	t.Parallel()
	r := newRealm(t, nil)
	r.Fail(graphtest.Fault{Method: "POST", Path: "contoso.test/", Status: 403})
	r.refused(t, "", []string{"federate", "--yes", "contoso.test", "fabrikam.test"}, "federated: fabrikam.test; failed: contoso.test", "grant the application")
	if r.Federated("contoso.test") || !r.Federated("fabrikam.test") {
		t.Error("the second domain was not tried")
	}
}

// The true state and the way out are printed (C24 right 3), and the way out works.
func TestC24_DomainCommandTellsTheTrueState(t *testing.T) {
	t.Parallel()
	r := newRealm(t, nil)
	r.Fail(graphtest.Fault{Method: "POST", Status: 500, After: true})
	r.good(t, "", []string{"federate", "--yes", "contoso.test"}, "read back: it holds signing certificate")
	r.Put(graphtest.Domain{Name: "fabrikam.test", Federated: true})
	r.refused(t, "", []string{"federate", "--yes", "fabrikam.test"}, "unfederate")
	r.refused(t, "", []string{"show", "fabrikam.test"}, "federated without settings that can be read", "unfederate")
	r.refused(t, "", []string{"update", "--yes", "fabrikam.test"}, "unfederate")
	r.good(t, "", []string{"unfederate", "--yes", "fabrikam.test"}, "managed")
}

func TestDomainCheckSeesTheTenant(t *testing.T) {
	t.Parallel()
	r := newRealm(t, func(c *graphtest.Config) { c.RootDomains = "none" })
	r.good(t, "", []string{"federate", "--yes", "contoso.test", "fabrikam.test"})
	r.good(t, "", []string{"check"}, "token validation policy", "sign in to accounts of any other domain")
	r.Put(graphtest.Domain{Name: "forgotten.test", Federated: true, Settings: map[string]any{"id": graphtest.SettingsID, "passiveSignInUri": "https://sts.contoso.test/adfs/ls/"}})
	r.Put(graphtest.Domain{Name: "other.test", Federated: true, Settings: map[string]any{"id": graphtest.SettingsID, "passiveSignInUri": "https://idp.test/"}})
	r.refused(t, "", []string{"check"}, "forgotten.test", "the settings do not name it", "federated with another identity provider")
	r.refused(t, "", []string{"check", "--json"}, `"what": "forgotten.test"`)
}

func TestDomainLeavesOutAKeyThatIsOnlyStaged(t *testing.T) {
	t.Parallel()
	r := newRealm(t, nil)
	settings, err := os.ReadFile(r.conf)
	must(t, err)
	living := strings.Replace(string(settings), "{key_file: keys/signing.key, certificate_file: keys/signing.crt}", "{key_dir: keys}", 1)
	must(t, os.WriteFile(r.conf, []byte(living), 0o640))
	r.refused(t, "", []string{"show"}, "there is no signing key yet", "sallyport certs import FILE")
	certs := func(args ...string) string {
		status, out, errs := call(t, "", append([]string{"certs", "--config", r.conf}, args...)...)
		if status != exitGood {
			t.Fatalf("certs %v: %s%s", args, out, errs)
		}
		return thumbprint.FindString(out)
	}
	certs("stage")
	r.good(t, "", []string{"federate", "--yes", "contoso.test"})
	next := certs("stage")
	for _, args := range [][]string{{"update", "--yes", "contoso.test"}, {"script", "update", "contoso.test"}, {"update", "--dry-run", "contoso.test"}} {
		status, out, errs := r.domain(t, "", args...)
		if status != exitGood || !strings.Contains(errs, "the next key, "+next[:8]+", is left out") {
			t.Errorf("%v: %d\n%s%s", args, status, out, errs)
		}
	}
}

func TestDomainScriptAsksNobody(t *testing.T) {
	t.Parallel()
	r := newRealm(t, nil)
	r.good(t, "", []string{"script", "federate", "contoso.test", "fabrikam.test"}, "New-MgDomainFederationConfiguration", "'http://fabrikam.test/adfs/services/trust/'", "rejectMfaByFederatedIdp")
	r.good(t, "", []string{"script", "update", "contoso.test", "--next-certificate", r.path("next.crt")}, "Update-MgDomainFederationConfiguration", r.base64(t, "next"))
	r.good(t, "", []string{"script", "unfederate", "gone.test"}, "Remove-MgDomainFederationConfiguration")
	r.refused(t, "", []string{"script", "unfederate", "gone.test\nRemove-Item x"}, "is not a domain")
	r.refused(t, "", []string{"script", "federate", "other.test"}, "microsoft365.domains")
	if len(r.Requests()) != 0 || r.TokenRequests() != 0 {
		t.Error("Microsoft was asked")
	}
}

func TestDomainUsage(t *testing.T) {
	t.Parallel()
	r := newRealm(t, nil)
	for _, args := range [][]string{{}, {"delete"}, {"federate"}, {"unfederate"}, {"script", "federate"}, {"script", "delete", "contoso.test"}, {"show", "--yes"}, {"federate", "contoso.test", "--all"}, {"check", "--dry-run"}, {"unfederate", "contoso.test", "--force"}} {
		if status, out, errs := r.domain(t, "", args...); status != exitUsage || errs == "" {
			t.Errorf("%v: status %d, %s%s", args, status, out, errs)
		}
	}
	status, out, _ := call(t, "", "domain", "--help")
	for _, s := range []string{"Domain-InternalFederation.ReadWrite.All", "Domain.ReadWrite.All", "Policy.Read.All", "RoleManagement.Read.Directory"} {
		if status != exitGood || !strings.Contains(out, s) {
			t.Errorf("help does not name %s", s)
		}
	}
	r.refused(t, "", []string{"show", "other.test"}, "other.test is not in microsoft365.domains")
	r.refused(t, "", []string{"update", "--certificate", "/nowhere.crt"}, "/nowhere.crt")
	must(t, os.WriteFile(filepath.Join(r.dir, "secret"), []byte("wrong\n"), 0o600))
	r.refused(t, "", []string{"show"}, "client secret is wrong")
}

func TestDomainTableFitsTheTerminal(t *testing.T) {
	view := shown{Worst: domain.Foreign, View: domain.View{Domain: "contoso.test", Rows: []domain.Row{
		{Property: "issuerUri", Microsoft: "urn:a", Sallyport: "urn:a"},
		{Property: "nextSigningCertificate", Microsoft: "ABC", Severity: domain.Foreign, Reason: "not ours"},
	}}}
	for _, tt := range []struct {
		table   table
		colours bool
		text    string
	}{
		{table{}, false, "foreign  nextSigningCertificate  ABC        -"},
		{table{colour: true, width: 200}, true, "MICROSOFT"},
		{table{width: 30}, false, "Microsoft  ABC\n         Sallyport  -"},
	} {
		var out strings.Builder
		tt.table.env = env{stdout: &out}
		tt.table.domain(view)
		if strings.Contains(out.String(), "\x1b[") != tt.colours || !strings.Contains(out.String(), tt.text) || !strings.Contains(out.String(), "-> not ours") {
			t.Errorf("table:\n%s", &out)
		}
	}
	if c := newTable(env{stdout: new(strings.Builder)}); c.colour {
		t.Error("colours for what is no terminal")
	}
}
