package directorytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"
)

// CertificateKind says what certificate a DC presents.
type CertificateKind uint8

// The kinds. The zero value is a right one.
const (
	CertificateGood      CertificateKind = iota
	CertificateExpired                   // ended in 2021
	CertificateWrongName                 // for another host
	CertificateForeignCA                 // from a CA that nobody trusts
	CertificateNoSAN                     // name in the subject's CN only
	CertificateNotYet                    // begins in 2200
)

// authority is the domain's CA. Its certificates are valid from 2020 to 2049, so
// that a test's clock may stand anywhere.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var (
	validFrom  = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	validUntil = time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC)
)

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Directory stand-in CA"},
		NotBefore: validFrom, NotAfter: validUntil, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key}, nil
}

func serial() *big.Int {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[0] |= 1
	return new(big.Int).SetBytes(b[:])
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// issue makes a server certificate of the given kind for a host name.
func (a *authority) issue(kind CertificateKind, host string) (*tls.Certificate, error) {
	if kind == CertificateForeignCA {
		var err error
		if a, err = newAuthority(); err != nil {
			return nil, err
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if kind == CertificateWrongName {
		host = "other." + host
	}
	template := &x509.Certificate{
		SerialNumber: serial(), NotBefore: validFrom, NotAfter: validUntil,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	switch kind {
	case CertificateNoSAN:
		template.Subject.CommonName = host
	case CertificateExpired:
		template.NotAfter = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
	case CertificateNotYet:
		template.NotBefore, template.NotAfter = validUntil.AddDate(150, 0, 0), validUntil.AddDate(151, 0, 0)
	}
	if kind != CertificateNoSAN {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
