package domain

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Credential proves the application's identity at Microsoft's token endpoint.
// It is safe for concurrent use.
type Credential interface {
	// proof returns the form fields that prove clientID at the endpoint, and what
	// of them must never be shown.
	proof(endpoint, clientID string, now time.Time) (fields url.Values, secret string, err error)
}

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// assertionLife is how long an assertion holds. Microsoft asks for at most 5 to
	// 10 minutes; it is sent at once.
	assertionLife = 5 * time.Minute
	// assertionSkew dates an assertion back, for clocks that differ.
	assertionSkew = time.Minute
)

// certificate is a key pair whose certificate is registered with the application.
type certificate struct {
	key    crypto.Signer
	method jwt.SigningMethod
	sha256 string
}

// NewCertificate returns the credential of a key whose certificate is registered
// with the application. Microsoft takes RSA of at least 2048 bits here.
func NewCertificate(key crypto.Signer, cert *x509.Certificate) (Credential, error) {
	pub, ok := key.Public().(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("the application's key is not RSA, which Microsoft asks for")
	}
	if pub.N.BitLen() < 2048 {
		return nil, fmt.Errorf("the application's key has %d bits: make one of 2048 or more", pub.N.BitLen())
	}
	if !pub.Equal(cert.PublicKey) {
		return nil, errors.New("the application's key does not belong to its certificate")
	}
	sum := sha256.Sum256(cert.Raw)
	return &certificate{key, signingMethod{}, base64.RawURLEncoding.EncodeToString(sum[:])}, nil
}

// proof signs an assertion as "Microsoft identity platform application
// authentication certificate credentials" describes it: PS256, the certificate
// named by x5t#S256.
func (c *certificate) proof(endpoint, clientID string, now time.Time) (url.Values, string, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return nil, "", err
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // RFC 9562 §5.4
	token := jwt.NewWithClaims(c.method, jwt.RegisteredClaims{
		Issuer: clientID, Subject: clientID, Audience: jwt.ClaimStrings{endpoint},
		ID:       fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now.Add(-assertionSkew)),
		ExpiresAt: jwt.NewNumericDate(now.Add(assertionLife)),
	})
	token.Header["x5t#S256"] = c.sha256
	signed, err := token.SignedString(c.key)
	if err != nil {
		return nil, "", fmt.Errorf("signing the client assertion: %w", err)
	}
	return url.Values{"client_assertion_type": {assertionType}, "client_assertion": {signed}}, signed, nil
}

// signingMethod is PS256 with any [crypto.Signer]; the library's own takes keys
// in memory only.
type signingMethod struct{}

// Alg implements [jwt.SigningMethod].
func (signingMethod) Alg() string { return "PS256" }

// Verify implements [jwt.SigningMethod]; nothing is verified here.
func (signingMethod) Verify(string, []byte, any) error { return jwt.ErrInvalidKeyType }

// Sign implements [jwt.SigningMethod] (RFC 7518 §3.5: the salt is as long as the
// hash).
func (signingMethod) Sign(signingString string, key any) ([]byte, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, jwt.ErrInvalidKeyType
	}
	sum := sha256.Sum256([]byte(signingString))
	return signer.Sign(rand.Reader, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
}

// secret is a client secret that is read each time it is needed.
type secret struct{ read func() ([]byte, error) }

// NewSecret returns the credential of a client secret. read is called for each
// token, so that a changed file counts at once; it may be called from several
// goroutines.
func NewSecret(read func() ([]byte, error)) Credential { return &secret{read} }

func (s *secret) proof(string, string, time.Time) (url.Values, string, error) {
	b, err := s.read()
	if err != nil {
		return nil, "", err
	}
	if len(b) == 0 {
		return nil, "", errors.New("the client secret is empty")
	}
	return url.Values{"client_secret": {string(b)}}, string(b), nil
}
