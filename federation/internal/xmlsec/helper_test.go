package xmlsec_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sallyport/federation/internal/xmlsec"
)

const (
	samlMax = 64 << 10
	soapMax = 128 << 10
)

// required reports whether this run must not leave a judge out.
func required() bool { return os.Getenv("CI") == "true" || os.Getenv("SALLYPORT_LAB") == "1" }

// vectors returns the folder of published test documents. They are not part of
// the project: without the folder the test is skipped aloud on a laptop and fails
// where the lab must be complete.
func vectors(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SALLYPORT_VECTORS")
	if dir == "" {
		if required() {
			t.Fatal("SALLYPORT_VECTORS does not name the folder of test vectors")
		}
		t.Skip("VECTOR TEST LEFT OUT: SALLYPORT_VECTORS is not set")
	}
	return dir
}

// lab returns the path of a program that judges from outside, on the same terms.
func lab(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if required() {
			t.Fatalf("%s is missing: apt-get install -y xmlsec1 libxml2-utils", name)
		}
		t.Skipf("LAB TEST LEFT OUT: %s is not on PATH", name)
	}
	return path
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

type w3cCase struct {
	File, Gate, Why string
	Doctype         bool
	data            []byte
}

func w3cSuite(t testing.TB) []w3cCase {
	t.Helper()
	dir := filepath.Join(vectors(t), "w3c-xmlconf")
	var cases []w3cCase
	readJSON(t, filepath.Join(dir, "manifest.json"), &cases)
	for i := range cases {
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(cases[i].File)))
		if err != nil {
			t.Fatal(err)
		}
		cases[i].data = b
	}
	return cases
}

// allRules are the rules that the product uses.
func allRules() map[string]xmlsec.Rules {
	return map[string]xmlsec.Rules{"SAML": xmlsec.Message(samlMax), "SOAP": xmlsec.Message(soapMax), "metadata": xmlsec.Imported()}
}
