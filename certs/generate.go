package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"sallyport/certs/internal/disk"
	"sallyport/certs/internal/pemkey"
)

// Generate makes a token-signing key and its self-signed certificate for a year,
// as AD FS does. Bits is 2048, 3072 or 4096.
func Generate(host string, bits int, now time.Time) (*rsa.PrivateKey, *x509.Certificate, error) {
	if bits < minBits || bits > maxBits {
		return nil, nil, fmt.Errorf("a signing key of %d bits: use 2048, 3072 or 4096", bits)
	}
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, nil, err
	}
	cert, err := selfSigned(signingTemplate(host, now, now.AddDate(1, 0, 0).Sub(now)), key)
	return key, cert, err
}

// commonName cuts to the 64 characters that X.520 allows.
func commonName(s string) string {
	if len(s) > 64 {
		return s[:64]
	}
	return s
}

func selfSigned(template *x509.Certificate, key crypto.Signer) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	_, _ = rand.Read(serial)
	serial[0] = serial[0]&0x7f | 0x40 // positive, and always of the same length
	template.SerialNumber = new(big.Int).SetBytes(serial)
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// generateListener makes the listener's own certificate: ECDSA P-256, whose
// handshakes cost a third of RSA's.
func generateListener(hosts []string, now time.Time) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		NotBefore:   now.Add(-5 * time.Minute),
		NotAfter:    now.AddDate(1, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for i, h := range hosts {
		if i == 0 {
			template.Subject.CommonName = commonName(h)
		}
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	cert, err := selfSigned(template, key)
	return key, cert, err
}

// generateMissing makes key and certificate when neither file exists. One of the
// two alone is an accident that must not be covered up: a new key would not be
// the one that relying parties know.
func generateMissing(cfg Config) error {
	haveKey, err := exists(cfg.KeyFile)
	if err != nil {
		return fmt.Errorf("signing key: %w", err)
	}
	haveCert, err := exists(cfg.CertificateFile)
	if err != nil {
		return fmt.Errorf("signing certificate: %w", err)
	}
	switch {
	case haveKey && haveCert:
		return nil
	case haveKey:
		return fmt.Errorf("there is a signing key (%s) but no certificate (%s): restore the one that relying parties know", cfg.KeyFile, cfg.CertificateFile)
	case haveCert:
		return fmt.Errorf("there is a signing certificate (%s) but no key (%s): restore it, or take the certificate away to have a new pair made", cfg.CertificateFile, cfg.KeyFile)
	}
	bits := cfg.Bits
	if bits == 0 {
		bits = minBits
	}
	key, cert, err := Generate(cfg.Host, bits, cfg.Now())
	if err != nil {
		return fmt.Errorf("making a signing key: %w", err)
	}
	return store(cfg, key, cert)
}

// CheckPlace says whether Load could make a key where cfg wants it: ErrPermissions
// with what to do when the directory is there and lets others in.
func CheckPlace(cfg Config) error {
	dir := filepath.Dir(cfg.KeyFile)
	if there, err := exists(dir); err != nil || !there {
		return err
	}
	return disk.CheckDirectory(dir)
}

// store writes the pair durably, the certificate first: a crash in between
// leaves a certificate that never signed, and the message above says what to do.
func store(cfg Config, key *rsa.PrivateKey, cert *x509.Certificate) error {
	keyPEM, err := pemkey.Marshal(key, cfg.Passphrase)
	if err != nil {
		return err
	}
	defer clear(keyPEM)
	if err := os.MkdirAll(filepath.Dir(cfg.KeyFile), 0o700); err != nil {
		return fmt.Errorf("directory for the signing key: %w", err)
	}
	if err := disk.CheckDirectory(filepath.Dir(cfg.KeyFile)); err != nil {
		return err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if err := create(cfg.CertificateFile, certPEM, 0o644); err != nil {
		return fmt.Errorf("signing certificate: %w", err)
	}
	if err := create(cfg.KeyFile, keyPEM, 0o600); err != nil {
		return fmt.Errorf("signing key: %w", err)
	}
	return nil
}

func create(path string, data []byte, mode os.FileMode) error {
	return disk.Dir{Path: filepath.Dir(path), Public: mode&0o044 != 0}.Create(filepath.Base(path), data, mode)
}
