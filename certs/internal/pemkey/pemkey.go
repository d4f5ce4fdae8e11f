package pemkey

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
)

// ErrEncrypted says that a key needs a passphrase and none was given.
var ErrEncrypted = errors.New("the key is encrypted and no passphrase is at hand: name its file in signing.key_encryption_file, or write the key without one (openssl pkcs8 -topk8 -nocrypt)")

// Parse reads the one private key of a file. The passphrase is used only for an
// encrypted key and may be nil.
func Parse(data, passphrase []byte) (crypto.Signer, error) {
	var found crypto.Signer
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		signer, err := parseBlock(block, passphrase)
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

func parseBlock(block *pem.Block, passphrase []byte) (crypto.Signer, error) {
	switch block.Type {
	case "PRIVATE KEY":
		return ParseDER(block.Bytes)
	case "RSA PRIVATE KEY":
		if block.Headers["DEK-Info"] != "" {
			return nil, ErrEncrypted
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
		if len(passphrase) == 0 {
			return nil, ErrEncrypted
		}
		der, err := unlock(block.Bytes, passphrase)
		if err != nil {
			return nil, err
		}
		defer clear(der)
		key, err := ParseDER(der)
		if err != nil {
			return nil, errUnlock
		}
		return key, nil
	default:
		return nil, nil // parameters, certificates
	}
}

// ParseDER reads a plain PKCS#8 key.
func ParseDER(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("a damaged PKCS#8 key")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("a key that cannot sign")
	}
	return valid(signer)
}

func valid(signer crypto.Signer) (crypto.Signer, error) {
	if key, ok := signer.(*rsa.PrivateKey); ok {
		if err := key.Validate(); err != nil {
			return nil, errors.New("a damaged RSA key")
		}
	}
	return signer, nil
}

// Marshal writes a key as PKCS#8, encrypted when there is a passphrase. A key that
// does not leave its module is an error.
func Marshal(key crypto.Signer, passphrase []byte) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	block := &pem.Block{Type: "PRIVATE KEY", Bytes: der}
	if len(passphrase) > 0 {
		block.Type = "ENCRYPTED PRIVATE KEY"
		if block.Bytes, err = lock(der, passphrase); err != nil {
			return nil, err
		}
	}
	return pem.EncodeToMemory(block), nil
}

// Certificate returns the first certificate of a PEM file. Relying parties know the
// leaf, so a chain behind it is not used.
func Certificate(data []byte) (*x509.Certificate, error) {
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
