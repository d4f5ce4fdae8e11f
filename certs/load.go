package certs

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"sallyport/certs/internal/disk"
	"sallyport/certs/internal/pemkey"
)

const (
	minBits = 2048
	maxBits = 4096
	// renewBefore is how long before its end a certificate is worth a warning: a
	// month is what Microsoft Entra ID leaves for picking up a new one.
	renewBefore = 30 * 24 * time.Hour
)

// Config says where the token-signing key lies.
type Config struct {
	// KeyFile and CertificateFile are PEM. Required.
	KeyFile, CertificateFile string
	// Passphrase opens an encrypted key. Default: none.
	Passphrase []byte
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
var ErrPermissions = disk.ErrPermissions

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
	keyPEM, err := disk.ReadPrivate(cfg.KeyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("signing key: %w", err)
	}
	defer clear(keyPEM)
	certPEM, err := disk.ReadPublic(cfg.CertificateFile)
	if err != nil {
		return nil, nil, fmt.Errorf("signing certificate: %w", err)
	}
	signer, err := pemkey.Parse(keyPEM, cfg.Passphrase)
	if err != nil {
		return nil, nil, fmt.Errorf("signing key %s: %w", cfg.KeyFile, err)
	}
	cert, err := pemkey.Certificate(certPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("signing certificate %s: %w", cfg.CertificateFile, err)
	}
	return New(signer, cert, cfg.Now())
}

// New judges a key and its certificate as [Load] does, wherever they come from.
func New(signer crypto.Signer, cert *x509.Certificate, now time.Time) (*Key, []Warning, error) {
	pub, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, nil, fmt.Errorf("the signing certificate holds no RSA key but %s: Microsoft 365 takes RSA only", cert.PublicKeyAlgorithm)
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

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
