package certs

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

const (
	minBits = 2048
	maxBits = 4096
	// maxPEM bounds key and certificate files.
	maxPEM = 256 << 10
	// renewBefore is how long before its end a certificate is worth a warning: a
	// month is what Microsoft Entra ID leaves for picking up a new one.
	renewBefore = 30 * 24 * time.Hour
)

// Config says where the token-signing key lies.
type Config struct {
	// KeyFile and CertificateFile are PEM. Required.
	KeyFile, CertificateFile string
	// Generate makes both, self-signed for a year, when neither file exists.
	Generate bool
	// Host is the service's name in a generated certificate's subject.
	Host string
	// Bits is the size of a generated RSA key. Default 2048.
	Bits int
	// Now is the clock. Default [time.Now].
	Now func() time.Time
}

// ErrPermissions says that others could read or exchange the key.
var ErrPermissions = errors.New("the signing key is not safe from other users")

// Warning is something about a loaded key that needs an admin soon.
type Warning struct{ Message string }

// Load reads key and certificate, or makes them where cfg says so and there are
// none. The key comes back only if it is safe in its place, strong enough, inside
// its certificate's validity, and proved by a signature to be the certificate's.
func Load(cfg Config) (*Key, []Warning, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Generate {
		if err := generateMissing(cfg); err != nil {
			return nil, nil, err
		}
	}
	keyPEM, err := readKeyFile(cfg.KeyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("signing key: %w", err)
	}
	defer clear(keyPEM)
	certPEM, err := readLimited(cfg.CertificateFile)
	if err != nil {
		return nil, nil, fmt.Errorf("signing certificate: %w", err)
	}
	signer, err := parseKey(keyPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("signing key %s: %w", cfg.KeyFile, err)
	}
	cert, err := parseCertificate(certPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("signing certificate %s: %w", cfg.CertificateFile, err)
	}
	return New(signer, cert, cfg.Now())
}

// New judges a key and its certificate as [Load] does, wherever they come from.
func New(signer crypto.Signer, cert *x509.Certificate, now time.Time) (*Key, []Warning, error) {
	pub, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, nil, fmt.Errorf("the signing certificate holds a %s key: Microsoft 365 takes RSA only", cert.PublicKeyAlgorithm)
	}
	if n := pub.N.BitLen(); n < minBits || n > maxBits {
		return nil, nil, fmt.Errorf("the signing key has %d bits: use 2048, 3072 or 4096", n)
	}
	switch cert.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return nil, nil, fmt.Errorf("the signing certificate is itself signed with %s: make one with SHA-256", cert.SignatureAlgorithm)
	}
	if now.After(cert.NotAfter) {
		return nil, nil, fmt.Errorf("the signing certificate expired on %s: relying parties refuse its tokens; install a new one and make it known to them", date(cert.NotAfter))
	}
	if now.Before(cert.NotBefore) {
		return nil, nil, fmt.Errorf("the signing certificate is valid only from %s: check this machine's clock", date(cert.NotBefore))
	}
	if err := prove(signer, cert); err != nil {
		return nil, nil, err
	}
	var warnings []Warning
	if left := cert.NotAfter.Sub(now); left < renewBefore {
		warnings = append(warnings, Warning{fmt.Sprintf("the signing certificate ends on %s, in %d days: publish the next one now", date(cert.NotAfter), int(left.Hours()/24))})
	}
	return &Key{Signer: signer, Certificate: cert, ID: Thumbprint(cert)}, warnings, nil
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02") }

// prove signs something and verifies it with the certificate's key: comparing
// public halves would believe a key file whose private half is damaged.
func prove(signer crypto.Signer, cert *x509.Certificate) error {
	var challenge [32]byte
	_, _ = rand.Read(challenge[:])
	digest := sha256.Sum256(append([]byte("sallyport key proof\x00"), challenge[:]...))
	sig, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return fmt.Errorf("the signing key does not sign: %w", err)
	}
	if err := rsa.VerifyPKCS1v15(cert.PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], sig); err != nil {
		return errors.New("the signing key and the signing certificate do not belong together: install the pair again")
	}
	return nil
}

// readKeyFile reads a file that only its owner may read. What is judged is the
// opened file, so it cannot be exchanged in between.
func readKeyFile(path string) ([]byte, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkPrivate(f, path); err != nil {
		return nil, err
	}
	return readAll(f, path)
}

func readLimited(path string) ([]byte, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, path)
}

func readAll(f *os.File, path string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(data) > maxPEM {
		err = fmt.Errorf("%s has more than %d bytes", path, maxPEM)
	}
	return data, err
}

// parseKey reads one unencrypted private key: PKCS#8 or PKCS#1. Its errors never
// repeat what the file holds.
func parseKey(data []byte) (crypto.Signer, error) {
	var found crypto.Signer
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		signer, err := parseKeyBlock(block)
		clear(block.Bytes)
		switch {
		case err != nil:
			return nil, err
		case signer != nil && found != nil:
			return nil, errors.New("the file holds more than one private key")
		case signer != nil:
			found = signer
		}
	}
	if found == nil {
		return nil, errors.New("no private key in PEM form (-----BEGIN PRIVATE KEY-----)")
	}
	return found, nil
}

func parseKeyBlock(block *pem.Block) (crypto.Signer, error) {
	switch block.Type {
	case "PRIVATE KEY":
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("a damaged PKCS#8 key")
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, errors.New("a key that cannot sign")
		}
		return valid(signer)
	case "RSA PRIVATE KEY":
		if block.Headers["DEK-Info"] != "" {
			return nil, errEncrypted
		}
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("a damaged PKCS#1 key")
		}
		return valid(key)
	case "EC PRIVATE KEY":
		key, err := x509.ParseECPrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("a damaged EC key")
		}
		return key, nil
	case "ENCRYPTED PRIVATE KEY":
		return nil, errEncrypted
	default:
		return nil, nil // parameters, certificates
	}
}

var errEncrypted = errors.New("the key is encrypted with a passphrase, which nobody could type at a restart: write it without one (openssl pkcs8 -topk8 -nocrypt)")

func valid(signer crypto.Signer) (crypto.Signer, error) {
	if key, ok := signer.(*rsa.PrivateKey); ok {
		if err := key.Validate(); err != nil {
			return nil, errors.New("a damaged RSA key")
		}
	}
	return signer, nil
}

// parseCertificate returns the first certificate of a PEM file. Relying parties
// know the leaf, so a chain behind it is not used.
func parseCertificate(data []byte) (*x509.Certificate, error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			if bytes.Contains(data, []byte("-----BEGIN")) {
				return nil, errors.New("damaged PEM")
			}
			return nil, errors.New("no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
