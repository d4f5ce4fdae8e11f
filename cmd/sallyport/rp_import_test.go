package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// importPeak is the most memory, in MiB, that an import of 50 MB has needed.
const importPeak = 40

// signedAggregate writes a federation of one, and of others that fill about so many
// bytes, with the certificate that signs it.
func signedAggregate(t *testing.T, bytes int) (aggregate, certificate string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	entity := strings.NewReplacer("ENTITY", "https://library.fabrikam.test/sp", "HOST", "library.fabrikam.test", "CONTACT", "").Replace(rpMetadata)
	open := `<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" ID="_all" validUntil="` + time.Now().Add(240*time.Hour).UTC().Format(time.RFC3339) + `">`
	// Written in canonical form but for this declaration, which the list has already.
	entity = strings.Replace(entity, ` xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"`, "", 1)
	entity = strings.ReplaceAll(entity, `Name="urn:strange" FriendlyName="strange"`, `FriendlyName="strange" Name="urn:strange"`)
	others := strings.Split(entity, "library")
	var rest strings.Builder
	for n := 0; rest.Len() < bytes-len(entity); n++ {
		rest.WriteString(strings.Join(others, "sp"+strconv.Itoa(n)))
	}
	rest.WriteString(entity + `</md:EntitiesDescriptor>`)
	sum := sha256.Sum256([]byte(open + rest.String()))
	const ds = "http://www.w3.org/2000/09/xmldsig#"
	info := `<ds:SignedInfo xmlns:ds="` + ds + `"><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod><ds:Reference URI="#_all"><ds:Transforms>` +
		`<ds:Transform Algorithm="` + ds + `enveloped-signature"></ds:Transform><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>` + base64.StdEncoding.EncodeToString(sum[:]) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	digest := sha256.Sum256([]byte(info))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	must(t, err)
	dir := t.TempDir()
	aggregate, certificate = filepath.Join(dir, "all.xml"), filepath.Join(dir, "federation.pem")
	must(t, os.WriteFile(aggregate, []byte(open+`<ds:Signature xmlns:ds="`+ds+`">`+info+`<ds:SignatureValue>`+base64.StdEncoding.EncodeToString(sig)+`</ds:SignatureValue></ds:Signature>`+rest.String()), 0o600))
	must(t, os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return aggregate, certificate
}

func TestRpImportMakesFilesForTheSettings(t *testing.T) {
	aggregate, certificate := signedAggregate(t, 0)
	out := t.TempDir()
	args := []string{"rp", "import", "--metadata", aggregate, "--cert", certificate, "--out", out, "--entity", "https://library.fabrikam.test/sp"}
	status, text, errs := call(t, "", args...)
	if status != 0 || !strings.Contains(errs, "peak memory of this process") {
		t.Fatalf("status %d\n%s%s", status, text, errs)
	}
	_, file, _ := strings.Cut(text, "metadata_file: ")
	file, _, _ = strings.Cut(file, "\n")
	status, printed, errs := call(t, "", "rp", "add", file)
	if status != 0 {
		t.Fatal(errs)
	}
	p := newPlace(t)
	p.keys(t)
	p.change(t, "sessions: {store: memory}\n", "sessions: {store: memory}\nrelying_parties:\n"+printed)
	status, listed, errs := call(t, "", "rp", "list", "--json", "--config", p.conf)
	var rows []rpRow
	if err := json.Unmarshal([]byte(listed), &rows); err != nil || status != 0 || len(rows) != 1 || rows[0].Until.Before(time.Now().Add(200*time.Hour)) || rows[0].Metadata != file {
		t.Errorf("status %d: %s%s", status, listed, errs)
	}
	if status, text, errs = call(t, "", append(args, "--entity", "https://nobody.test/")...); status != exitFailed || !strings.Contains(errs, "nobody.test") || !strings.Contains(text, file) {
		t.Errorf("an entity that is not there: %d\n%s%s", status, text, errs)
	}
	data, err := os.ReadFile(aggregate)
	must(t, err)
	must(t, os.WriteFile(aggregate, []byte(strings.Replace(string(data), "library.fabrikam.test/acs", "evil.fabrikam.test/acs", 1)), 0o600))
	if status, text, errs = call(t, "", args...); status != exitFailed || text != "" || !strings.Contains(errs, "not signed by one of the pinned certificates") {
		t.Errorf("a changed aggregate: %d\n%s%s", status, text, errs)
	}
}

// A federation of 50 MB is imported by a process whose peak memory is what the help
// and deploy/docs/parties.md say; SALLYPORT_LONG=1 takes the 50 MB, else it is 3. The
// program is built as it ships: the race detector of a test takes memory of its own.
func TestRpImportPeakMemoryIsWhatTheHelpSays(t *testing.T) {
	size, program := 3_000_000, filepath.Join(t.TempDir(), "sallyport")
	if os.Getenv("SALLYPORT_LONG") == "1" || os.Getenv("SALLYPORT_LAB") == "1" {
		size = 50_000_000
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	aggregate, certificate := signedAggregate(t, size)
	cmd := exec.CommandContext(t.Context(), program, "rp", "import", "--metadata", aggregate, "--cert", certificate,
		"--out", t.TempDir(), "--entity", "https://library.fabrikam.test/sp")
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m := regexp.MustCompile(`peak memory of this process: (\d+) MiB`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("no peak:\n%s", out)
	}
	peak, err := strconv.Atoi(string(m[1]))
	must(t, err)
	t.Logf("%d bytes: peak %d MiB in %v\n%s", size, peak, time.Since(begin).Round(time.Millisecond), out)
	if peak > importPeak {
		t.Errorf("peak of %d MiB, the help says %d", peak, importPeak)
	}
	doc, err := os.ReadFile("../../deploy/docs/parties.md")
	must(t, err)
	if said := fmt.Sprintf("%d MiB", importPeak); !strings.Contains(rpHelp, said) || !strings.Contains(string(doc), said) {
		t.Errorf("help or parties.md do not say %s", said)
	}
}
