package enroll

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/ptaagent/internal/binxml"
)

// keyBits is the size that the service expects.
const keyBits = 2048

// NewKey makes an agent's key.
func NewKey() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, keyBits) }

var (
	oidKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage   = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidSubjectKeyID  = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidClientAuth    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
	oidAgent         = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 82, 1}
	keyUsageOfAgents = asn1.BitString{Bytes: []byte{0xf0}, BitLength: 4}
)

// NewRequest returns a certificate request (DER) for the key: an empty subject, as
// the service sets its own, and the usages that its certificates have.
func NewRequest(key crypto.Signer) ([]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	id := sha1.Sum(spki) // an identifier, RFC 5280 §4.2.1.2
	var extensions []pkix.Extension
	for _, e := range []struct {
		id    asn1.ObjectIdentifier
		value any
	}{{oidKeyUsage, keyUsageOfAgents}, {oidExtKeyUsage, []asn1.ObjectIdentifier{oidClientAuth}}, {oidSubjectKeyID, id[:]}} {
		der, err := asn1.Marshal(e.value)
		if err != nil {
			return nil, err
		}
		extensions = append(extensions, pkix.Extension{Id: e.id, Value: der})
	}
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		SignatureAlgorithm: x509.SHA256WithRSA, ExtraExtensions: extensions,
	}, key)
}

// ErrCertificate says that an issued certificate is not one for this agent.
var ErrCertificate = errors.New("the issued certificate is not for this agent")

// CheckCertificate returns the agent id of a certificate that was issued for the key
// and tenant (GUID in lower case), and can be used now.
func CheckCertificate(cert *x509.Certificate, key crypto.PublicKey, tenant string, now time.Time) (agent string, err error) {
	pub, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok || !pub.Equal(key) {
		return "", fmt.Errorf("%w: it is for another key", ErrCertificate)
	}
	if !strings.EqualFold(cert.Subject.CommonName, tenant) {
		return "", fmt.Errorf("%w: it is for tenant %.60q, not %s", ErrCertificate, cert.Subject.CommonName, tenant)
	}
	if !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		return "", fmt.Errorf("%w: it is not for client authentication", ErrCertificate)
	}
	if now.After(cert.NotAfter) {
		return "", fmt.Errorf("%w: it expired on %s", ErrCertificate, cert.NotAfter.Format(time.RFC3339))
	}
	if now.Add(5 * time.Minute).Before(cert.NotBefore) {
		return "", fmt.Errorf("%w: it holds from %s, or this machine's clock is wrong", ErrCertificate, cert.NotBefore.Format(time.RFC3339))
	}
	for _, e := range cert.Extensions {
		if e.Id.Equal(oidAgent) && len(e.Value) == 16 {
			return binxml.FormatGUID([16]byte(e.Value)), nil
		}
	}
	return "", fmt.Errorf("%w: it carries no agent id", ErrCertificate)
}

// issued reads the result of registration and renewal.
func issued(doc []byte, name string) (*x509.Certificate, error) {
	result, err := answer(doc, name)
	if err != nil {
		return nil, err
	}
	if result.value("IsSuccessful") != "true" {
		return nil, fmt.Errorf("the service refuses: %.400q", result.value("ErrorMessage"))
	}
	text := strings.Join(strings.Fields(result.value("Certificate")), "")
	der, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: its certificate is not Base64", ErrAnswer)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if !bytes.Equal(cert.Raw, der) {
		return nil, fmt.Errorf("%w: bytes behind its certificate", ErrAnswer)
	}
	return cert, nil
}
