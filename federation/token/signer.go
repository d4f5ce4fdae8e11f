package token

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // names a certificate as Windows does; secures nothing
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"sallyport/federation/internal/xmlsec"
)

// minBits is the smallest RSA key that may sign tokens.
const minBits = 2048

// ErrFault says that a signature did not verify with the certificate's key right
// after it was made. The signature has been thrown away: a faulty one can give
// the private key away.
var ErrFault = errors.New("token: the signer returned a signature that does not verify")

// Signer signs with one key. It is immutable and safe for concurrent use if the
// [crypto.Signer] is.
type Signer struct {
	key   crypto.Signer
	cert  *x509.Certificate
	pub   *rsa.PublicKey
	keyID string
	// keyInfo is ds:KeyInfo and the end of ds:Signature, ready to append.
	keyInfo string
	verify  func(pub *rsa.PublicKey, hash crypto.Hash, hashed, sig []byte) error // nil: the key verifies
	state   sync.Pool                                                            // *state
}

// state is the scratch memory of one token.
type state struct {
	w         xmlsec.Writer
	digest    []byte
	signature []byte
	info      []byte
}

// SelfVerifying is a key that verifies each signature before it returns it, as
// crypto/rsa does with an [rsa.PrivateKey] (a faulty signature made with the
// Chinese remainder theorem gives the key away). The signatures of every other
// kind of key, one in a hardware module for instance, are verified by the Signer.
type SelfVerifying interface {
	crypto.Signer
	SelfVerifying()
}

// NewSigner returns a Signer for key, whose certificate is cert. It proves by a
// signature that the two belong together, and refuses keys other than RSA with
// at least 2048 bits. Whether the certificate is in date is its owner's business.
func NewSigner(key crypto.Signer, cert *x509.Certificate) (*Signer, error) {
	if key == nil || cert == nil {
		return nil, errors.New("token: a signer needs a key and a certificate")
	}
	pub, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("token: the signing certificate's key is %T, not RSA", cert.PublicKey)
	}
	if pub.N.BitLen() < minBits {
		return nil, fmt.Errorf("token: the signing key has %d bits, fewer than %d", pub.N.BitLen(), minBits)
	}
	if !pub.Equal(key.Public()) {
		return nil, errors.New("token: the signing key is not the certificate's")
	}
	thumb := sha1.Sum(cert.Raw) //nolint:gosec // see the import
	s := &Signer{
		key:     key,
		cert:    cert,
		pub:     pub,
		keyID:   strings.ToUpper(hex.EncodeToString(thumb[:])),
		keyInfo: keyInfoStart + base64.StdEncoding.EncodeToString(cert.Raw) + keyInfoEnd,
		verify:  rsa.VerifyPKCS1v15,
	}
	s.state.New = func() any { return new(state) }
	probe := sha256.Sum256([]byte("sallyport: does this key belong to this certificate?"))
	if _, err := s.sign(probe[:]); err != nil {
		return nil, err
	}
	switch key.(type) {
	case *rsa.PrivateKey, SelfVerifying:
		s.verify = nil
	}
	return s, nil
}

// KeyID names the certificate: its SHA-1 thumbprint in upper-case hexadecimal,
// the form in which Windows and the Microsoft tools show it.
func (s *Signer) KeyID() string { return s.keyID }

// sign returns the signature over a SHA-256 digest, verified by the key or here.
func (s *Signer) sign(digest []byte) ([]byte, error) {
	sig, err := s.key.Sign(rand.Reader, digest, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("token: sign: %w", err)
	}
	if s.verify != nil && s.verify(s.pub, crypto.SHA256, digest, sig) != nil {
		return nil, ErrFault
	}
	return sig, nil
}

// The parts of an enveloped signature (XML-DSIG §4). SignedInfo is written twice:
// in the element, where ds:Signature declares the prefix, and canonical on its
// own for the signature, where it declares the prefix itself.
const (
	dsNS           = `xmlns:ds="http://www.w3.org/2000/09/xmldsig#"`
	signatureStart = `<ds:Signature ` + dsNS + `>`
	infoStart      = `<ds:SignedInfo>`
	infoStartC14N  = `<ds:SignedInfo ` + dsNS + `>`
	infoToID       = `<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod>` +
		`<ds:Reference URI="#`
	infoToDigest = `"><ds:Transforms>` +
		`<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>` +
		`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>`
	infoEnd        = `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	signatureValue = `<ds:SignatureValue>`
	keyInfoStart   = `</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>`
	keyInfoEnd     = `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>`
)

// AppendSignature appends the enveloped ds:Signature for the element whose id
// attribute is id and whose exclusive canonical form has the SHA-256 digest. It
// is for documents of this service that are not assertions (metadata, responses);
// they must be written with the Writer of xmlsec or be canonical otherwise.
func (s *Signer) AppendSignature(dst []byte, id string, digest [sha256.Size]byte) ([]byte, error) {
	if !xmlsec.IsNCName(id) {
		return dst, &FieldError{"ID", "is not an NCName of at most 256 bytes"}
	}
	st := s.state.Get().(*state)
	defer s.state.Put(st)
	st.digest = append(st.digest[:0], digest[:]...)
	return s.appendSignature(dst, st, id)
}

// appendSignature signs st.digest. id is a checked NCName: no escaping.
func (s *Signer) appendSignature(dst []byte, st *state, id string) ([]byte, error) {
	info := append(st.info[:0], infoStartC14N...)
	info = append(info, infoToID...)
	info = append(info, id...)
	info = append(info, infoToDigest...)
	info = base64.StdEncoding.AppendEncode(info, st.digest)
	info = append(info, infoEnd...)
	st.info = info

	sum := sha256.Sum256(info)
	st.digest = append(st.digest[:0], sum[:]...)
	sig, err := s.sign(st.digest)
	if err != nil {
		return dst, err
	}
	dst = append(dst, signatureStart...)
	dst = append(dst, infoStart...)
	dst = append(dst, info[len(infoStartC14N):]...)
	dst = append(dst, signatureValue...)
	dst = base64.StdEncoding.AppendEncode(dst, sig)
	return append(dst, s.keyInfo...), nil
}

// SignOctets returns the RSA-SHA256 signature over octets, as the Redirect binding
// of SAML has it (SAML Bindings 2.0 §3.4.4.1).
func (s *Signer) SignOctets(octets []byte) ([]byte, error) {
	sum := sha256.Sum256(octets)
	return s.sign(sum[:])
}

// Is reports whether s signs for cert.
func (s *Signer) Is(cert *x509.Certificate) bool { return s.cert.Equal(cert) }

// Certificate returns the certificate whose key signs.
func (s *Signer) Certificate() *x509.Certificate { return s.cert }
