package xmlsec_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"sallyport/deploy/testbed/lab"
	"sallyport/federation/internal/xmlsec"
)

const (
	samlMax = 64 << 10
	soapMax = 128 << 10
)

// vectors returns the folder of published test documents, which are not part of the
// project.
func vectors(t testing.TB) string { t.Helper(); return lab.Vectors(t) }

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
