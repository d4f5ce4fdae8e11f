package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/certs/certstest"
)

// keyPlace is a settings file whose keys have a life.
func keyPlace(t *testing.T) *place {
	t.Helper()
	p := newPlace(t)
	p.change(t, "signing: {key_file: keys/signing.key, certificate_file: keys/signing.crt, generate: true}", "signing: {key_dir: keys}")
	return p
}

func (p *place) certs(t *testing.T, input string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	return call(t, input, append([]string{"certs"}, append(args, "--config", p.conf)...)...)
}

// good runs the command and wants success.
func (p *place) good(t *testing.T, input string, args ...string) string {
	t.Helper()
	status, out, errs := p.certs(t, input, args...)
	if status != exitGood {
		t.Fatalf("certs %v: %d\n%s%s", args, status, out, errs)
	}
	return out
}

var thumbprint = regexp.MustCompile(`[0-9A-F]{40}`)

func TestCertsTellsWhatHappensNext(t *testing.T) {
	p := keyPlace(t)
	if status, _, errs := p.certs(t, "", "list"); status != exitFailed || !strings.Contains(errs, "certs import FILE") {
		t.Errorf("without any key: %d %s", status, errs)
	}
	first := thumbprint.FindString(p.good(t, "", "stage"))
	out := p.good(t, "", "list")
	for _, want := range []string{first, "signs every token", "364", "contoso.test", "WHAT HAPPENS NEXT (rotation is automatic)", "the next key is made and its certificate published, as soon as what it waits for is there", "no instance is running", "15 to 25 days later"} {
		if !strings.Contains(out, want) {
			t.Errorf("the list does not say %q:\n%s", want, out)
		}
	}
	next := thumbprint.FindString(p.good(t, "", "stage"))
	out = p.good(t, "", "list")
	for _, want := range []string{next, "instances are loading it", "no instance is running", "not yet: when it is published, sallyport domain script update contoso.test"} {
		if !strings.Contains(out, want) {
			t.Errorf("the list does not say %q:\n%s", want, out)
		}
	}
	if status, _, errs := p.certs(t, "", "stage"); status != exitFailed || !strings.Contains(errs, "promote or retire it first") {
		t.Errorf("a third key: %d %s", status, errs)
	}
	if status, _, errs := p.certs(t, "", "promote", "--yes"); status != exitFailed || !strings.Contains(errs, "\n  - contoso.test: nobody said that it holds") || !strings.Contains(errs, "--force") {
		t.Errorf("promotion: %d %s", status, errs)
	}
	if status, _, errs := p.certs(t, "", "told", next[:6], "contoso.test"); status != exitFailed || !strings.Contains(errs, "staged only") {
		t.Errorf("what is sent leaves it out, and it is believed to be there: %d %s", status, errs)
	}
	if status, _, errs := p.certs(t, "", "told", next[:6], "contso.test"); status != exitFailed || !strings.Contains(errs, "there are contoso.test") {
		t.Errorf("a party that is not there: %d %s", status, errs)
	}
	if status, out, _ := p.certs(t, "no\n", "promote", "--force"); status != exitFailed || !strings.Contains(out, "nothing was changed") {
		t.Errorf("promotion, answered no: %d %s", status, out)
	}
	p.good(t, "promote\n", "promote", "--force")
	p.good(t, "", "told", next[:6], "contoso.test")
	var o overview
	must(t, json.Unmarshal([]byte(p.good(t, "", "list", "--json")), &o))
	if len(o.Keys) != 2 || o.Keys[0].Thumbprint != next || o.Keys[0].State != "signing" || o.Keys[1].State != "retired" {
		t.Errorf("%+v", o.Keys)
	}
	p.good(t, "", "promote", first, "--yes") // and back again
	p.good(t, "retire\n", "retire", next[:10])
	if out := p.good(t, "", "list"); !strings.Contains(out, "its key is destroyed") {
		t.Errorf("%s", out)
	}
	if files, _ := filepath.Glob(filepath.Join(p.dir, "keys", "*.key")); len(files) != 1 {
		t.Errorf("private keys left: %v", files)
	}
}

func TestC05_EmergencyShowsAsksAndDoes(t *testing.T) {
	p := keyPlace(t)
	first := thumbprint.FindString(p.good(t, "", "stage"))
	status, out, _ := p.certs(t, "", "emergency")
	if status != exitFailed || !strings.Contains(out, "give "+first+" (signing) up for good") || !strings.Contains(out, "minutes to an hour after it was told") || !strings.Contains(out, "sallyport domain script update contoso.test") {
		t.Errorf("%d %s", status, out)
	}
	out = p.good(t, "emergency\n", "emergency", "--reason", "laptop lost")
	if !strings.Contains(out, "Revoke-MgUserSignInSession") {
		t.Errorf("%s", out)
	}
	var o overview
	must(t, json.Unmarshal([]byte(p.good(t, "", "list", "--json")), &o))
	if len(o.Keys) != 3 || o.Keys[0].Thumbprint == first || !o.Keys[2].Stolen {
		t.Errorf("%+v", o.Keys)
	}
}

// The notice that leaves the house in an emergency has the certificate that signs now,
// not the one that stands by, and does not ask anybody to keep the stolen one.
func TestC05_NoticeOfAnEmergencyHasWhatSignsNow(t *testing.T) {
	p := keyPlace(t)
	p.change(t, "signing:", "relying_parties:\n  - {key: wiki, name: Wiki, protocol: saml, identifiers: [\"https://wiki.contoso.test/saml\"], saml: {acs: [{url: \"https://wiki.contoso.test/acs\"}]}}\nsigning:")
	stolen := thumbprint.FindString(p.good(t, "", "stage"))
	out := p.good(t, "", "emergency", "--yes")
	signs := thumbprint.FindAllString(out, -1)[1]
	for _, want := range []string{"1. start the service: no instance is running", "sallyport domain script update DOMAIN", "sallyport certs told " + signs[:8] + " PARTY", "until it names no party"} {
		if !strings.Contains(out, want) {
			t.Errorf("what is left to do does not say %q:\n%s", want, out)
		}
	}
	out = p.good(t, "", "export", "--out", t.TempDir())
	for _, want := range []string{"Subject: URGENT: New signing certificate of sts.contoso.test, in use now", "Thumbprint, SHA-1      " + signs, "Give up                " + stolen, "may be in the wrong hands"} {
		if !strings.Contains(out, want) {
			t.Errorf("the notice does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "keep the present one") {
		t.Errorf("the notice asks to keep the stolen one:\n%s", out)
	}
	p.good(t, "", "told", signs[:8], "wiki")
	p.good(t, "", "told", signs[:8], "contoso.test")
	if out = p.good(t, "", "export", "--out", t.TempDir()); strings.Contains(out, "URGENT") {
		t.Errorf("everybody knows it, and the notice is urgent:\n%s", out)
	}
}

func TestImportSaysWhichFileAndWhatToDo(t *testing.T) {
	p := keyPlace(t)
	dir := filepath.Join(t.TempDir(), "in")
	must(t, os.Mkdir(dir, 0o700))
	write := func(name string, parts ...[]byte) string {
		must(t, os.WriteFile(filepath.Join(dir, name), bytes.Join(parts, nil), 0o600))
		return filepath.Join(dir, name)
	}
	key := func(k *rsa.PrivateKey) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		must(t, err)
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	cert := func(k *rsa.PrivateKey, from, to int) []byte {
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(to) + 1000), Subject: pkix.Name{CommonName: "ADFS Signing"}, NotBefore: time.Now().AddDate(0, 0, from), NotAfter: time.Now().AddDate(0, 0, to)}
		der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
		must(t, err)
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	one, two := certstest.Key(0), certstest.Key(1)
	for path, want := range map[string]string{
		write("mixed.pem", key(two), cert(one, -1, 300)): "mixed.pem: the signing key and the signing certificate do not belong together",
		write("old.pem", key(one), cert(one, -300, -1)):  "old.pem: the signing certificate expired on",
		write("text.pfx", []byte("hello")):               "text.pfx: the file is damaged, or no PFX: it is neither a PFX nor PEM",
		write("empty"):                                   "it is neither a PFX nor PEM",
	} {
		if status, _, errs := p.certs(t, "", "import", path); status != exitFailed || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %s", path, status, errs)
		}
	}
	p.good(t, "", "import", write("first.pem", key(one), cert(one, -1, 300)))
	status, _, errs := p.certs(t, "", "import", write("second.pem", key(two), cert(two, -1, 20)))
	if status != exitGood || !strings.Contains(errs, "before the key that signs now") || !strings.Contains(errs, "sallyport certs retire") {
		t.Errorf("a next key that ends first: %d %s", status, errs)
	}
}

func TestWhatIsKnownOfKeysIsShownWithoutTheirModule(t *testing.T) {
	p := keyPlace(t)
	first := thumbprint.FindString(p.good(t, "", "stage"))
	must(t, os.WriteFile(filepath.Join(filepath.Dir(p.conf), "pin"), []byte("1234"), 0o600))
	p.change(t, "{key_dir: keys}", "{key_dir: keys, pkcs11: {module_file: "+p.conf+", token: sallyport, pin_file: pin}}")
	if out := p.good(t, "", "list"); !strings.Contains(out, first) {
		t.Errorf("the list does not say %q:\n%s", first, out)
	}
	for _, args := range [][]string{{"stage"}, {"emergency", "--yes"}} {
		if status, _, errs := p.certs(t, "", args...); status != exitFailed || !strings.Contains(errs, "signing.pkcs11") {
			t.Errorf("%v without the module: %d %s", args, status, errs)
		}
	}
	if out := p.good(t, "", "list", "--json"); strings.Count(out, "thumbprint") != 1 {
		t.Errorf("something was changed without the module:\n%s", out)
	}
}

func TestExportWritesCertificateAndNotice(t *testing.T) {
	p := keyPlace(t)
	p.good(t, "", "stage")
	next := thumbprint.FindString(p.good(t, "", "stage"))
	dir := t.TempDir()
	out := p.good(t, "", "export", "--out", dir)
	for _, want := range []string{next, "Subject: New signing certificate of sts.contoso.test, in use from 2", "federationmetadata.xml", "by telephone"} {
		if !strings.Contains(out, want) {
			t.Errorf("the notice does not say %q:\n%s", want, out)
		}
	}
	pem, err := os.ReadFile(filepath.Join(dir, "signing-"+strings.ToLower(next[:8])+".pem"))
	if err != nil || !strings.HasPrefix(string(pem), "-----BEGIN CERTIFICATE-----") || strings.Contains(string(pem), "PRIVATE") {
		t.Errorf("%v: %s", err, pem)
	}
}

// caseFile copies a file of the shared cases to a private place.
func caseFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../../shared/testdata/cases", name))
	if err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("SALLYPORT_LAB") == "1" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "pfx")
	must(t, os.Mkdir(dir, 0o700))
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path, data, 0o600))
	return path
}

func TestC22_ImportTakesThePFXOfADFS(t *testing.T) {
	for _, name := range []string{"C22-adfs-export-legacy.pfx", "C22-export-aes256.pfx"} {
		p := keyPlace(t)
		file := caseFile(t, name)
		password := filepath.Join(p.dir, "pw")
		secret := func(text string) { must(t, os.WriteFile(password, []byte(text+"\n"), 0o600)) }
		secret("wrong")
		if status, _, errs := p.certs(t, "", "import", file, "--password-file", password); status != exitFailed || !strings.Contains(errs, "the password is wrong") {
			t.Errorf("%s, wrong password: %d %s", name, status, errs)
		}
		if status, _, errs := p.certs(t, "", "import", file); status != exitFailed || !strings.Contains(errs, "needs a password") {
			t.Errorf("%s, no password: %d %s", name, status, errs)
		}
		secret("Pass-1234")
		out := p.good(t, "", "import", file, "--password-file", password)
		if !strings.Contains(out, "3AE28F22E7BA26160F4E613E0C82451C9A855D0C") || !strings.Contains(out, "signs from now on") {
			t.Errorf("%s: %s", name, out)
		}
		files, _ := filepath.Glob(filepath.Join(p.dir, "keys", "*.key"))
		if len(files) != 1 {
			t.Fatalf("%v", files)
		}
		info, err := os.Stat(files[0])
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info.Mode(), err)
		}
		if out := p.good(t, "", "import", file, "--password-file", password); !strings.Contains(out, "nothing to do") {
			t.Errorf("%s, a second time: %s", name, out)
		}
		must(t, os.Chmod(file, 0o644))
		if status, _, errs := p.certs(t, "", "import", file, "--password-file", password); status != exitFailed || !strings.Contains(errs, "chmod 0600") {
			t.Errorf("%s, readable by everybody: %d %s", name, status, errs)
		}
	}
}

func TestCertsRefusesWhatAnActionDoesNotHave(t *testing.T) {
	p := keyPlace(t)
	for _, args := range [][]string{{"list", "--force"}, {"stage", "--yes"}, {"list", "x"}, {"retire"}, {"rotate"}} {
		if status, _, errs := p.certs(t, "", args...); status != exitUsage || errs == "" {
			t.Errorf("%v: %d %s", args, status, errs)
		}
	}
	fixed := newPlace(t)
	if status, _, errs := fixed.certs(t, "", "list"); status != exitFailed || !strings.Contains(errs, "signing.key_dir") {
		t.Errorf("one fixed key: %d %s", status, errs)
	}
	must(t, os.Mkdir(filepath.Join(p.dir, "keys"), 0o755))
	must(t, os.Chmod(filepath.Join(p.dir, "keys"), 0o755))
	if status, _, errs := p.certs(t, "", "stage"); status != exitFailed || !strings.Contains(errs, "chmod 0700") || !strings.Contains(errs, "service's user") {
		t.Errorf("a directory that everybody may read: %d %s", status, errs)
	}
}

func TestSigninVerifiesTheTokenAsMicrosoftWould(t *testing.T) {
	p := keyPlace(t)
	p.good(t, "", "stage")
	signin := func(args ...string) (int, string, string) {
		return call(t, "Passw0rd-alice\n", append([]string{"signin", "alice@contoso.test", "--verify", "--config", p.conf}, args...)...)
	}
	status, out, errs := signin()
	if status != exitGood || !strings.Contains(out, "It would be accepted.") || !strings.Contains(out, "as if Microsoft held them") {
		t.Errorf("%d %s%s", status, out, errs)
	}
	dir := t.TempDir()
	p.good(t, "", "export", "--out", dir)
	files, _ := filepath.Glob(filepath.Join(dir, "*.pem"))
	if status, out, errs := signin("--next-certificate", files[0]); status != exitGood || !strings.Contains(out, "in nextSigningCertificate") {
		t.Errorf("%d %s%s", status, out, errs)
	}
	q := keyPlace(t) // Microsoft holds the certificate of another service
	q.good(t, "", "stage")
	q.good(t, "", "export", "--out", dir)
	all, _ := filepath.Glob(filepath.Join(dir, "*.pem"))
	for _, f := range all {
		if f == files[0] {
			continue
		}
		status, out, _ := signin("--certificate", f, "--json")
		var o struct {
			Verdict struct {
				Accepted bool
				Findings []struct{ Found, Remedy string }
			}
		}
		must(t, json.Unmarshal([]byte(out), &o))
		if status != exitFailed || o.Verdict.Accepted || !strings.Contains(out, "is in no slot") {
			t.Errorf("%d %s", status, out)
		}
	}
}

func TestCheckLooksAtEveryKey(t *testing.T) {
	p := keyPlace(t)
	check := func() string {
		_, out, _ := call(t, "", "check", "--offline", "--config", p.conf)
		return out
	}
	if out := check(); !strings.Contains(out, "FAIL  signing keys") || !strings.Contains(out, "sallyport certs import FILE") {
		t.Errorf("without a key: %s", out)
	}
	id := thumbprint.FindString(p.good(t, "", "stage"))
	if out := check(); !strings.Contains(out, id+", signing, ends ") || !strings.Contains(out, "next, 2") {
		t.Errorf("%s", out)
	}
	files, _ := filepath.Glob(filepath.Join(p.dir, "keys", "*.key"))
	must(t, os.Remove(files[0]))
	if out := check(); !strings.Contains(out, "FAIL  signing keys") || !strings.Contains(out, "no such private key") {
		t.Errorf("with the private key gone: %s", out)
	}
}
