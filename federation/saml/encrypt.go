package saml

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // RSA-OAEP's mask and label hash; collisions do not matter there
	_ "crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/token"
)

// The algorithms that assertions can be encrypted with (XML-ENC §5.2.4, §5.5.2).
// There is no CBC and no RSA 1.5: whoever decrypts those can be asked by an attacker.
const (
	AES256GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
	AES128GCM = "http://www.w3.org/2009/xmlenc11#aes128-gcm"
	// OAEPMGF1 masks with SHA-1 always; OAEP says what it masks with.
	OAEPMGF1 = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
	OAEP     = "http://www.w3.org/2009/xmlenc11#rsa-oaep"

	DigestSHA1   = "http://www.w3.org/2000/09/xmldsig#sha1"
	DigestSHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
	MaskSHA1     = "http://www.w3.org/2009/xmlenc11#mgf1sha1"
	MaskSHA256   = "http://www.w3.org/2009/xmlenc11#mgf1sha256"
)

// Encryption is how assertions to a party are encrypted. The zero value is AES-256-GCM
// and [OAEPMGF1] with SHA-1, which every party has that has GCM at all. SHA-1 as
// OAEP's hash is no weakness.
type Encryption struct {
	// Content is [AES256GCM], also when empty, or [AES128GCM].
	Content string
	// Transport is [OAEPMGF1], also when empty, or [OAEP].
	Transport string
	// Digest is [DigestSHA1] or [DigestSHA256]. Empty: SHA-1 with OAEPMGF1, SHA-256
	// with OAEP.
	Digest string
	// Mask is [MaskSHA1] or [MaskSHA256], with OAEP only. Empty: that of the digest.
	Mask string
}

// complete fills in defaults; the error names what is not known.
func (e Encryption) complete() (Encryption, error) {
	unknown := func(what, value string) (Encryption, error) {
		return e, fmt.Errorf("%s %q is not offered", what, value)
	}
	fill := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	fill(&e.Content, AES256GCM)
	fill(&e.Transport, OAEPMGF1)
	switch {
	case e.Content != AES256GCM && e.Content != AES128GCM:
		return unknown("content encryption", e.Content)
	case e.Transport == OAEP:
		fill(&e.Digest, DigestSHA256)
		fill(&e.Mask, map[string]string{DigestSHA1: MaskSHA1}[e.Digest])
		fill(&e.Mask, MaskSHA256)
	case e.Transport == OAEPMGF1:
		fill(&e.Digest, DigestSHA1)
		fill(&e.Mask, MaskSHA1)
		if e.Mask != MaskSHA1 {
			return unknown("mask for "+OAEPMGF1, e.Mask)
		}
	default:
		return unknown("key transport", e.Transport)
	}
	if e.Digest != DigestSHA1 && e.Digest != DigestSHA256 {
		return unknown("digest of the key transport", e.Digest)
	}
	if e.Mask != MaskSHA1 && e.Mask != MaskSHA256 {
		return unknown("mask of the key transport", e.Mask)
	}
	return e, nil
}

// options are what crypto/rsa calls them.
func (e Encryption) options() *rsa.OAEPOptions {
	o := &rsa.OAEPOptions{Hash: crypto.SHA1, MGFHash: crypto.SHA1}
	if e.Digest == DigestSHA256 {
		o.Hash = crypto.SHA256
	}
	if e.Mask == MaskSHA256 {
		o.MGFHash = crypto.SHA256
	}
	return o
}

// The frame of EncryptedData, in canonical form.
const (
	encryptedStart = `<xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" Type="http://www.w3.org/2001/04/xmlenc#Element">` +
		`<xenc:EncryptionMethod Algorithm="`
	encryptedKeyStart = `"></xenc:EncryptionMethod>` +
		`<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="`
	encryptedDigest  = `"><ds:DigestMethod Algorithm="`
	encryptedMask    = `"></ds:DigestMethod><xenc11:MGF xmlns:xenc11="http://www.w3.org/2009/xmlenc11#" Algorithm="`
	encryptedMaskEnd = `"></xenc11:MGF></xenc:EncryptionMethod><xenc:CipherData><xenc:CipherValue>`
	encryptedKey     = `"></ds:DigestMethod></xenc:EncryptionMethod><xenc:CipherData><xenc:CipherValue>`
	encryptedKeyEnd  = `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo>` +
		`<xenc:CipherData><xenc:CipherValue>`
	encryptedEnd = `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>`
)

// head is everything before the wrapped key.
func (e Encryption) head() string {
	s := encryptedStart + e.Content + encryptedKeyStart + e.Transport + encryptedDigest + e.Digest
	if e.Transport == OAEP {
		return s + encryptedMask + e.Mask + encryptedMaskEnd
	}
	return s + encryptedKey
}

// encryptAssertion returns the EncryptedAssertion of a signed assertion, in canonical
// form.
func encryptAssertion(assertion []byte, p *Party) ([]byte, error) {
	return encrypt(`<saml:EncryptedAssertion xmlns:saml="`+nsAssertion+`">`, assertion, `</saml:EncryptedAssertion>`, p.Encrypt, p.Encryption)
}

// encryptID returns the EncryptedID of an assertion's name identifier, in the
// canonical form that it has inside of the assertion.
func encryptID(a *token.Assertion, p *Party) ([]byte, error) {
	var w xmlsec.Writer
	w.Reset(nil)
	appendNameID(&w, a.NameIDFormat, a.NameID)
	id, err := w.Bytes()
	if err != nil {
		return nil, err
	}
	return encrypt(`<saml:EncryptedID>`, id, `</saml:EncryptedID>`, p.Encrypt, p.Encryption)
}

// encrypt returns the EncryptedData of an element between a start and an end tag.
// Nothing is decrypted anywhere in this service.
func encrypt(start string, element []byte, end string, to *x509.Certificate, e Encryption) ([]byte, error) {
	pub, ok := to.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("the certificate's key is not RSA")
	}
	e, err := e.complete()
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	if e.Content == AES128GCM {
		key = key[:16]
	}
	rand.Read(key) // never fails
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block) // nonce, ciphertext, tag, as XML-ENC has it
	if err != nil {
		return nil, err
	}
	sealed := gcm.Seal(nil, nil, element, nil)
	wrapped, err := rsa.EncryptOAEPWithOptions(rand.Reader, pub, key, e.options())
	if err != nil {
		return nil, err
	}
	enc, head := base64.StdEncoding, e.head()
	out := make([]byte, 0, len(start)+len(head)+len(encryptedKeyEnd)+len(encryptedEnd)+len(end)+enc.EncodedLen(len(wrapped))+enc.EncodedLen(len(sealed)))
	out = enc.AppendEncode(append(append(out, start...), head...), wrapped)
	out = enc.AppendEncode(append(out, encryptedKeyEnd...), sealed)
	return append(append(out, encryptedEnd...), end...), nil
}
