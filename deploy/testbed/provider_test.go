package testbed_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/deploy/testbed/lab"
)

// provider is a SAML 2.0 service provider that nobody here wrote. Behind
// https://NAME.contoso.test/secret/ is a page that shows what it knows of the
// person; who has no session there is sent here.
type provider struct {
	name     string
	services []string // of the lab, in the order in which they start
	metadata string   // where it publishes its metadata
	entityID string
	key      string // file of the key that decrypts, below the lab's folder for SAML
	// hand is its part of the settings by hand; empty means by its metadata.
	hand string
	// encrypts says that its metadata asks for encrypted assertions.
	encrypts bool
	// passive begins a sign-in without any question to the person.
	passive string
	// logout begins its single logout.
	logout string
	// denied and noPassive are what its page or its log says of both refusals.
	denied, noPassive string
	// signedOut is what its page says at the end of a logout that it began.
	signedOut string
	logs      []string
}

var providers = []provider{
	{
		name: "mellon", services: []string{"mellon"}, metadata: "/mellon/metadata", entityID: "https://mellon.contoso.test/mellon/metadata",
		key: "mellon/sp.key",
		hand: `
    frame_origins: ["https://app.contoso.test", "https://app.fabrikam.test"]
    saml:
      acs: [{url: "https://mellon.contoso.test/mellon/postResponse"}]
      signed_requests: true
      request_certificates_file: {{.SAML}}/mellon/sp.pem
      name_id_format: transient
      logout: {url: "https://mellon.contoso.test/mellon/logout"}`,
		passive: "/mellon/login?IsPassive=true&ReturnTo=https%3A%2F%2Fmellon.contoso.test%2Fsecret%2F",
		logout:  "/mellon/logout?ReturnTo=https%3A%2F%2Fmellon.contoso.test%2F",
		denied:  "status:RequestDenied", noPassive: "status:NoPassive",
		signedOut: "Signed out here",
		logs:      []string{"mellon/error.log"},
	},
	{
		name: "shibboleth", services: []string{"shibd", "shibboleth"}, metadata: "/Shibboleth.sso/Metadata",
		entityID: "https://shibboleth.contoso.test/shibboleth", key: "shibboleth/sp-encryption.key",
		encrypts: true,
		passive:  "/Shibboleth.sso/Login?isPassive=true&target=%2Fsecret%2F",
		logout:   "/Shibboleth.sso/Logout",
		denied:   "status:RequestDenied", noPassive: "status:NoPassive",
		signedOut: "Logout",
		logs:      []string{"shibboleth/error.log", "shibboleth/run/native.log", "shibboleth/run/shibd.log"},
	},
	{
		name: "simplesamlphp", services: []string{"simplesamlphp"}, metadata: "/simplesamlphp/module.php/saml/sp/metadata.php/default-sp",
		entityID: "https://simplesamlphp.contoso.test/sp", key: "simplesamlphp/sp.key",
		hand: `
    saml:
      acs: [{url: "https://simplesamlphp.contoso.test/simplesamlphp/module.php/saml/sp/saml2-acs.php/default-sp"}]
      signed_requests: true
      request_certificates_file: {{.SAML}}/simplesamlphp/sp.pem
      sign: assertion
      logout: {url: "https://simplesamlphp.contoso.test/simplesamlphp/module.php/saml/sp/saml2-logout.php/default-sp"}`,
		passive: "/secret/?passive", logout: "/secret/?logout",
		denied: "RequestDenied", noPassive: "NoPassive",
		signedOut: "Signed out here",
		logs:      []string{"simplesamlphp/error.log", "simplesamlphp/run/simplesamlphp.log"},
	},
	{
		name: "pysaml2", services: []string{"pysaml2"}, metadata: "/metadata", entityID: "https://pysaml2.contoso.test/metadata",
		key:      "pysaml2/sp.key",
		encrypts: true,
		passive:  "/secret/?passive", logout: "/logout",
		denied: "StatusRequestDenied", noPassive: "StatusNoPassive",
		signedOut: "Signed out everywhere",
	},
}

// wishes are the rules of every party.
const wishes = `    access: {allow_groups: ['CONTOSO\Testbed staff']}
    claims:
      - {type: upn, attribute: userPrincipalName}
      - {type: "urn:oid:0.9.2342.19200300.100.1.3", attribute: mail}
      - {type: displayName, name_format: basic, attribute: displayName}
      - {type: role, groups: [{group: 'CONTOSO\Testbed staff', value: Zugriff <ja> & "nein"}]}
`

// byHand is the party's part of the settings by hand.
func (sp provider) byHand(l *lab.Lab) string {
	return "  - key: " + sp.name + "\n    name: " + sp.name + "\n    protocol: saml\n    identifiers: [\"" + sp.entityID + "\"]" +
		strings.ReplaceAll(sp.hand, "{{.SAML}}", l.SAMLDir) + "\n" + wishes
}

func (sp provider) keepLogs(t *testing.T, l *lab.Lab) {
	for _, log := range sp.logs {
		raw, err := os.ReadFile(filepath.Join(l.SAMLDir, log))
		if err == nil {
			keep(t, l, strings.ReplaceAll(log, "/", "-"), string(raw))
		}
	}
}

func (sp provider) url(path string) string { return "https://" + sp.name + ".contoso.test" + path }

// signsIn goes from the party's page to the page that hands the answer over.
func (sp provider) signsIn(p *person, u lab.User) *page {
	p.t.Helper()
	pg := p.follow(p.open(sp.url("/secret/")))
	if pg.url.Host == "sts.contoso.test" && pg.message("SAMLResponse") == "" {
		pg = p.signIn(pg, u.UPN, u.Password)
	}
	if pg.message("SAMLResponse") == "" {
		p.t.Fatalf("no answer for %s at %s: status %d\n%s", sp.name, pg.url, pg.status, pg.body)
	}
	return pg
}

// message is the SAMLRequest or SAMLResponse that a page hands over.
func (pg *page) message(name string) string {
	if pg.form == nil {
		return ""
	}
	return pg.form.fields.Get(name)
}

// follow posts the forms that a script would post by itself, but for answers of
// ours to a sign-in, which tests look at.
func (p *person) follow(pg *page) *page {
	p.t.Helper()
	for range 8 {
		if pg.message("SAMLRequest") == "" && (pg.message("SAMLResponse") == "" || pg.url.Host == "sts.contoso.test") {
			break
		}
		pg = p.submit(pg, nil)
	}
	return pg
}

// knows tells whether the party has a session for this browser, by asking for its
// page without going where it sends.
func (sp provider) knows(p *person) bool {
	p.t.Helper()
	client := *p.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Get(sp.url("/secret/"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode == http.StatusOK && !strings.Contains(string(body), "SAMLRequest")
}

// said returns what the party has logged since the mark, and sets the mark.
func (sp provider) said(t *testing.T, l *lab.Lab, marks map[string]int) string {
	t.Helper()
	var text string
	for _, log := range sp.logs {
		raw, err := os.ReadFile(filepath.Join(l.SAMLDir, log))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		text += string(raw[min(marks[log], len(raw)):])
		marks[log] = len(raw)
	}
	return text
}
