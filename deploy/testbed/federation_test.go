package testbed_test

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"html"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/deploy/testbed/lab"
)

// federation is a gateway with all the foreign parties, each of which has read
// the other's metadata.
type federation struct {
	*gateway
	lab   *lab.Lab
	marks map[string]int // how far each log of a party has been read
}

// startFederation goes the way that an administrator goes: the parties by hand
// first, since metadata names the protocols that are in use; then the gateway's
// metadata to the parties, theirs into its settings, and a restart.
func startFederation(t *testing.T) *federation {
	t.Helper()
	l := lab.Require(t)
	var parties strings.Builder
	for _, sp := range providers {
		if sp.hand != "" {
			parties.WriteString(sp.byHand(l))
		}
	}
	g := startGatewayWith(t, l, 2, parties.String())
	p := newPerson(t, l)
	// Shibboleth validates what it reads, as its shipped settings do.
	for name, file := range map[string]string{"FederationMetadata": "idp.xml", "SAMLMetadata": "idp-saml.xml"} {
		pg := p.open("https://sts.contoso.test/FederationMetadata/2007-06/" + name + ".xml")
		if pg.status != http.StatusOK {
			t.Fatalf("%s: status %d\n%s", name, pg.status, pg.body)
		}
		keep(t, l, file, pg.body)
		if err := os.WriteFile(filepath.Join(l.SAMLDir, file), []byte(pg.body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, sp := range providers {
		t.Cleanup(func() { sp.keepLogs(t, l) })
		for _, service := range sp.services {
			l.Control(t, "start", service)
		}
		published := p.open(sp.url(sp.metadata))
		if published.status != http.StatusOK || !strings.Contains(published.body, sp.entityID) {
			t.Fatalf("%s publishes status %d\n%s", sp.name, published.status, published.body)
		}
		keep(t, l, sp.name+".xml", published.body)
		file := filepath.Join(g.dir, "partners", sp.name+".xml")
		write(t, file, []byte(published.body))
		suggested, err := exec.Command(g.binary, "rp", "add", file, "--key", sp.name).Output()
		if err != nil {
			t.Fatalf("rp add %s: %v", sp.name, err)
		}
		keep(t, l, sp.name+".yaml", string(suggested))
		if sp.hand == "" {
			parties.Write(suggested)
			parties.WriteString(wishes)
		}
	}
	g.parties = parties.String()
	for i, in := range g.instances {
		g.configure(t, in, i)
		if out, err := exec.Command(g.binary, "check", "--offline", "--config", in.config).CombinedOutput(); err != nil {
			t.Fatalf("check: %v\n%s", err, out)
		}
		in.stop(t)
		if err := in.launch(g); err != nil {
			t.Fatal(err)
		}
	}
	for _, in := range g.instances {
		in.waitReady(t)
	}
	return &federation{gateway: g, lab: l, marks: map[string]int{}}
}

// judgeResponse lets xmlsec1 verify what is signed of a Response, decrypting the
// assertion first with the party's key, and returns the document in clear.
func judgeResponse(t *testing.T, f *federation, sp provider, pg *page) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(pg.message("SAMLResponse"))
	if err != nil {
		t.Fatal(err)
	}
	keep(t, f.lab, sp.name+"-response.xml", string(raw))
	dir := t.TempDir()
	file, cert := filepath.Join(dir, "response.xml"), filepath.Join(dir, "signing.pem")
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.signing.Raw}))
	xmlsec := func(doc []byte, args ...string) ([]byte, error) {
		write(t, file, doc)
		args = append(args, "--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:protocol:Response",
			"--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:assertion:Assertion", file)
		return exec.Command(f.lab.XMLSec1, args...).CombinedOutput()
	}
	verify := func(doc []byte, path string) ([]byte, error) {
		return xmlsec(doc, "--verify", "--enabled-key-data", "raw-x509-cert", "--pubkey-cert-pem", cert, "--node-xpath", path)
	}
	const ofResponse = "/*[local-name()='Response']/*[local-name()='Signature']"
	const ofAssertion = "//*[local-name()='Assertion']/*[local-name()='Signature']"
	clear, signed := raw, 0
	encrypted := bytes.Contains(raw, []byte("<saml:EncryptedAssertion"))
	if encrypted != sp.encrypts {
		t.Errorf("the assertion is encrypted: %v", encrypted)
	}
	if encrypted {
		if clear, err = xmlsec(raw, "--decrypt", "--privkey-pem", filepath.Join(f.lab.SAMLDir, sp.key)); err != nil {
			t.Fatalf("xmlsec1 cannot decrypt: %v\n%s", err, clear)
		}
	}
	for path, doc := range map[string][]byte{ofResponse: raw, ofAssertion: clear} {
		if !bytes.Contains(doc, []byte("<samlp:Response")) {
			t.Fatalf("not the document that was expected:\n%s", doc)
		}
		if path == ofResponse && strings.Contains(sp.hand, "sign: assertion") {
			continue
		}
		signed++
		if out, err := verify(doc, path); err != nil {
			t.Errorf("xmlsec1 refuses %s: %v\n%s", path, err, out)
		}
		changed := bytes.Replace(doc, []byte("urn:oasis:names:tc:SAML:2.0:status:Success"), []byte("urn:oasis:names:tc:SAML:2.0:status:Responder"), 1)
		if path == ofAssertion {
			changed = bytes.Replace(doc, []byte("alice@"), []byte("alicf@"), 1)
		}
		if out, err := verify(changed, path); err == nil {
			t.Errorf("xmlsec1 accepts a changed document at %s; it proves nothing\n%s", path, out)
		}
	}
	if signed == 0 {
		t.Error("nothing is signed")
	}
	return string(clear)
}

// TestForeignServiceProviders lets each party go through sign-in, both refusals and
// its own single logout, and asks the party what came of it.
func TestForeignServiceProviders(t *testing.T) {
	f := startFederation(t)
	for _, sp := range providers {
		t.Run(sp.name, func(t *testing.T) {
			t.Run("sign-in", func(t *testing.T) { f.signIn(t, sp) })
			t.Run("not allowed", func(t *testing.T) { f.refusal(t, sp) })
			t.Run("passive", func(t *testing.T) { f.passive(t, sp) })
			t.Run("logout begun by the party", func(t *testing.T) { f.logout(t, sp) })
		})
	}
	t.Run("logout begun here", func(t *testing.T) { f.logoutOfAll(t, "https://sts.contoso.test/adfs/ls/?wa=wsignout1.0") })
	t.Run("logout begun by one of four", func(t *testing.T) { f.logoutOfAll(t, providers[0].url(providers[0].logout)) })
	t.Run("C29 frames in Chromium", f.framesInChromium)
	t.Run("logout in Chromium", f.logoutInChromium) // the last one: a party is down after it
}

// logoutInChromium looks at single logout as a person sees it.
func (f *federation) logoutInChromium(t *testing.T) {
	hosts := map[string]string{"sts.contoso.test": host(f.lab.ProxyAddr)}
	var names []string
	for _, sp := range providers {
		names = append(names, sp.name)
		hosts[sp.name+".contoso.test"] = host(f.lab.SAMLAddrs[sp.name])
	}
	chromium(t, f.lab, "logout.mjs", 2, map[string]any{
		"hosts": hosts, "user": f.lab.BySAM(t, "alice"), "providers": names, "down": "shibboleth",
	})
}

// framesInChromium looks at what of a sign-in an application can frame.
func (f *federation) framesInChromium(t *testing.T) {
	hosts := map[string]string{"sts.contoso.test": host(f.lab.ProxyAddr)}
	for _, sp := range providers {
		hosts[sp.name+".contoso.test"] = host(f.lab.SAMLAddrs[sp.name])
	}
	listed, unlisted := providers[0], providers[1]
	chromium(t, f.lab, "frames.mjs", 5, map[string]any{
		"hosts": hosts, "user": f.lab.BySAM(t, "alice"),
		"listed":   map[string]any{"name": listed.name, "passive": listed.passive, "acs": "/mellon/postResponse"},
		"unlisted": map[string]any{"name": unlisted.name, "passive": unlisted.passive},
	})
}

// logoutOfAll signs somebody in at all parties and ends it at the address.
func (f *federation) logoutOfAll(t *testing.T, address string) {
	p := newPerson(t, f.lab)
	u := f.lab.BySAM(t, "alice")
	for _, sp := range providers {
		p.submit(sp.signsIn(p, u), nil)
		if !sp.knows(p) {
			t.Fatalf("no session at %s", sp.name)
		}
	}
	pg := p.handOver(p.open(address))
	for _, sp := range providers {
		if sp.knows(p) {
			t.Errorf("the session at %s lives on after %s", sp.name, pg.url)
		}
	}
	if pg.status != http.StatusOK {
		t.Errorf("the logout ends at %s, status %d\n%s", pg.url, pg.status, pg.body)
	}
	keep(t, f.lab, "signed-out.html", pg.body)
}

// handOver posts every form with a message, as a script would.
func (p *person) handOver(pg *page) *page {
	p.t.Helper()
	for range 16 {
		if pg.message("SAMLResponse") == "" && pg.message("SAMLRequest") == "" {
			break
		}
		pg = p.submit(pg, nil)
	}
	return pg
}

func (f *federation) signIn(t *testing.T, sp provider) {
	p := newPerson(t, f.lab)
	u := f.lab.BySAM(t, "alice")
	if sp.knows(p) {
		t.Fatal("a session before any sign-in")
	}
	over := sp.signsIn(p, u)
	judgeResponse(t, f, sp, over)
	arrived := p.submit(over, nil)
	if arrived.status != http.StatusOK || arrived.url.Host != sp.name+".contoso.test" {
		t.Fatalf("%s says %d:\n%s", sp.name, arrived.status, arrived.body)
	}
	for _, want := range []string{u.UPN, "alice.andersson@contoso.test", "Alice Andersson", "Zugriff"} {
		if !strings.Contains(arrived.body, want) {
			t.Errorf("%s shows no %s:\n%s", sp.name, want, arrived.body)
		}
	}
	keep(t, f.lab, "arrived.html", arrived.body)
	if !sp.knows(p) {
		t.Error("no session")
	}
}

func (f *federation) refusal(t *testing.T, sp provider) {
	sp.said(t, f.lab, f.marks)
	p := newPerson(t, f.lab)
	u := f.lab.User(t, "never-expires") // no member of the group
	told := p.submit(sp.signsIn(p, u), nil)
	f.says(t, sp, told, sp.denied)
	if sp.knows(p) {
		t.Error("the party lets in whom it must not")
	}
}

func (f *federation) passive(t *testing.T, sp provider) {
	p := newPerson(t, f.lab)
	pg := p.follow(p.open(sp.url(sp.passive)))
	if pg.message("SAMLResponse") == "" {
		t.Fatalf("no answer: status %d at %s\n%s", pg.status, pg.url, pg.body)
	}
	f.says(t, sp, p.submit(pg, nil), sp.noPassive)
	if sp.knows(p) {
		t.Error("a session without a person")
	}
	// With a session here, the same goes through without a question.
	u := f.lab.BySAM(t, "bob")
	p.signInAt(partyQuery, u.UPN, u.Password).token(t)
	pg = p.submit(p.follow(p.open(sp.url(sp.passive))), nil)
	if !strings.Contains(pg.body, u.UPN) {
		t.Errorf("%s shows no %s: status %d at %s\n%s", sp.name, u.UPN, pg.status, pg.url, pg.body)
	}
}

func (f *federation) logout(t *testing.T, sp provider) {
	p := newPerson(t, f.lab)
	u := f.lab.BySAM(t, "bob")
	p.submit(sp.signsIn(p, u), nil)
	if !sp.knows(p) {
		t.Fatal("no session to end")
	}
	pg := p.handOver(p.open(sp.url(sp.logout)))
	if !strings.Contains(pg.body, sp.signedOut) || pg.url.Host != sp.name+".contoso.test" {
		t.Errorf("the logout ends at %s, status %d\n%s", pg.url, pg.status, pg.body)
	}
	if sp.knows(p) {
		t.Error("the party's session outlives its logout")
	}
	if pg := p.follow(p.open(sp.url("/secret/"))); pg.form == nil || !pg.form.fields.Has("username") {
		t.Errorf("our session outlives the logout: %s, status %d", pg.url, pg.status)
	}
}

// says looks for a word in what the party shows or has logged since.
func (f *federation) says(t *testing.T, sp provider, pg *page, word string) {
	t.Helper()
	text := html.UnescapeString(pg.body) + "\n" + sp.said(t, f.lab, f.marks)
	if !strings.Contains(text, word) {
		t.Errorf("%s says nothing of %s: status %d at %s\n%s", sp.name, word, pg.status, pg.url, text)
	}
}
