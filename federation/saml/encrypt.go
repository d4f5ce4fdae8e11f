package saml

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RSA-OAEP's mask and label hash; collisions do not matter there
	"crypto/x509"
	"encoding/base64"
	"errors"
)

// The algorithms of an EncryptedAssertion: AES-256-GCM for the content and RSA-OAEP
// with MGF1 and SHA-1 for the key (XML-ENC §5.2.4, §5.5.2), which every party has
// that has GCM at all. SHA-1 as OAEP's hash is no weakness.
const (
	encryptedStart = `<saml:EncryptedAssertion xmlns:saml="` + nsAssertion + `">` +
		`<xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" Type="http://www.w3.org/2001/04/xmlenc#Element">` +
		`<xenc:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"></xenc:EncryptionMethod>` +
		`<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedKey>` +
		`<xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p">` +
		`<ds:DigestMethod Algorithm="http://www.w3.org/2000/09/xmldsig#sha1"></ds:DigestMethod></xenc:EncryptionMethod>` +
		`<xenc:CipherData><xenc:CipherValue>`
	encryptedKeyEnd = `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo>` +
		`<xenc:CipherData><xenc:CipherValue>`
	encryptedEnd = `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml:EncryptedAssertion>`
)

// encrypt returns the EncryptedAssertion of a signed assertion, in canonical form.
// Nothing is decrypted anywhere in this service.
func encrypt(assertion []byte, to *x509.Certificate) ([]byte, error) {
	pub, ok := to.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("the certificate's key is not RSA")
	}
	key := make([]byte, 32)
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
	sealed := gcm.Seal(nil, nil, assertion, nil)
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, pub, key, nil) //nolint:gosec // see the import
	if err != nil {
		return nil, err
	}
	enc := base64.StdEncoding
	out := make([]byte, 0, len(encryptedStart)+len(encryptedKeyEnd)+len(encryptedEnd)+enc.EncodedLen(len(wrapped))+enc.EncodedLen(len(sealed)))
	out = enc.AppendEncode(append(out, encryptedStart...), wrapped)
	out = enc.AppendEncode(append(out, encryptedKeyEnd...), sealed)
	return append(out, encryptedEnd...), nil
}
