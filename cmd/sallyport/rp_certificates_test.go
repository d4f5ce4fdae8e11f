package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRpCertificatesPrintsWhatThePartySignsWith(t *testing.T) {
	_, certificate := signedAggregate(t, 0)
	data, err := os.ReadFile(certificate)
	must(t, err)
	block, _ := pem.Decode(data)
	key := `<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>` +
		base64.StdEncoding.EncodeToString(block.Bytes) + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`
	path := metadataFile(t, "<md:NameIDFormat>", key+key+"<md:NameIDFormat>") // Microsoft's lists one twice
	status, out, errs := call(t, "", "rp", "certificates", path)
	printed, rest := pem.Decode([]byte(out))
	if status != 0 || printed == nil || string(printed.Bytes) != string(block.Bytes) || len(rest) != 0 || !strings.HasPrefix(out, "# ") {
		t.Fatalf("status %d\n%s%s", status, out, errs)
	}
	if _, err := x509.ParseCertificate(printed.Bytes); err != nil {
		t.Error(err)
	}
	if status, out, errs = call(t, "", "rp", "certificates", metadataFile(t)); status != exitFailed || out != "" || !strings.Contains(errs, "no certificate") {
		t.Errorf("metadata without a key: %d %s%s", status, out, errs)
	}
	if status, _, _ = call(t, "", "rp", "certificates"); status != exitUsage {
		t.Errorf("no metadata: %d", status)
	}
	if status, _, errs = call(t, "", "rp", "certificates", filepath.Join(t.TempDir(), "none.xml")); status != exitFailed || errs == "" {
		t.Errorf("no such file: %d %s", status, errs)
	}
}
