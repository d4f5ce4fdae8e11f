//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"sallyport/authn/directory/directorytest"
	"sallyport/certs"
)

const host = "sts.contoso.test"

// settings are the files of one gateway.
type settings struct {
	file  string
	roots *x509.CertPool
}

// build compiles one program of this module.
func build(ctx context.Context, to, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", to, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build %s: %w", pkg, err)
	}
	return nil
}

// writeSettings makes the keys and the settings file: the audit trail goes to a
// file, everything else is as it comes.
func writeSettings(dir string, ad *directorytest.Directory, fsync bool) (*settings, error) {
	s := &settings{file: filepath.Join(dir, "sallyport.yaml"), roots: x509.NewCertPool()}
	cert, key, err := listenerCertificate()
	if err != nil {
		return nil, err
	}
	s.roots.AppendCertsFromPEM(cert)
	signing, signingCert, err := certs.Generate(host, 2048, time.Now())
	if err != nil {
		return nil, err
	}
	signingDER, err := x509.MarshalPKCS8PrivateKey(signing)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		"tls.pem": cert, "tls.key": key, "dc-ca.pem": ad.CAPEM(), "service-account": []byte(ad.ServicePassword),
		"signing.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: signingDER}),
		"signing.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signingCert.Raw}),
		"sallyport.yaml": fmt.Appendf(nil, `public_url: https://%s
listen: 127.0.0.1:0
proxy: {trusted: [127.0.0.0/8]}
tls: {certificate_file: tls.pem, key_file: tls.key}
microsoft365: {domains: [{name: contoso.test}]}
directory:
  domains:
    - name: %s
      netbios: %s
      upn_suffixes: [contoso.test]
      servers: [{url: "%s", address: "%s"}]
  ca_file: dc-ca.pem
  service_account: {name: '%s', password_file: service-account}
sessions: {store: memory}
wstrust: everywhere
relying_parties:
  - key: wiki
    name: Wiki
    protocol: saml
    identifiers: ["%s"]
    saml: {sign: assertion, acs: [{url: "%s"}]}
signing: {key_file: signing.key, certificate_file: signing.crt}
audit: {file: audit.log, no_sync: %t}
ops: {listen: "127.0.0.1:0"}
`, host, ad.Domain, ad.NetBIOS, ad.DCs[0].URL, ad.DCs[0].Addr, ad.ServiceName, samlEntity, samlACS, !fsync),
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func listenerCertificate() (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 1, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}
