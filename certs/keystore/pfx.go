package keystore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	"software.sslmate.com/src/go-pkcs12"

	"sallyport/certs/internal/disk"
	"sallyport/certs/internal/pemkey"
)

var (
	// ErrPassword says that a PFX does not open with the password.
	ErrPassword = errors.New("the password is wrong")
	// ErrNoPassword says that a PFX needs a password and none was given.
	ErrNoPassword = errors.New("the file needs a password, and none was given")
	// ErrDamaged says that a file is not a PFX, or a damaged one.
	ErrDamaged = errors.New("the file is damaged, or no PFX")
)

// maxPFX bounds a PFX; with a chain one has some ten kilobytes.
const maxPFX = 1 << 20

// ReadPFX returns the private key and its certificate out of a PFX (PKCS#12), as AD
// FS and certlm.msc export them: with a chain or without, encrypted in the old way
// (RC2, 3DES) or with AES, with attributes of a CNG provider. Of several
// certificates it is the one that belongs to the key. Errors never repeat what the
// file holds.
func ReadPFX(data, password []byte) (crypto.Signer, *x509.Certificate, error) {
	if len(data) > maxPFX {
		return nil, nil, fmt.Errorf("%w: more than %d bytes", ErrDamaged, maxPFX)
	}
	key, leaf, chain, err := pkcs12.DecodeChain(data, string(password))
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword) && len(password) == 0:
		return nil, nil, ErrNoPassword
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return nil, nil, ErrPassword
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("the key in it is a %T, which cannot sign", key)
	}
	for _, c := range append([]*x509.Certificate{leaf}, chain...) {
		if pub, ok := signer.Public().(interface{ Equal(x crypto.PublicKey) bool }); ok && c != nil && pub.Equal(c.PublicKey) {
			return signer, c, nil
		}
	}
	return nil, nil, errors.New("none of the certificates in it belongs to the key: export the certificate with its private key")
}

// ReadPair returns the private key and its certificate out of a PFX, or out of PEM
// in which both stand. The file must not be readable by others.
func ReadPair(path string, password []byte) (crypto.Signer, *x509.Certificate, error) {
	data, err := disk.ReadPrivate(path)
	if err != nil {
		return nil, nil, err
	}
	defer clear(data)
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		if len(data) == 0 || data[0] != 0x30 { // what every DER sequence begins with
			return nil, nil, fmt.Errorf("%s: %w: it is neither a PFX nor PEM", path, ErrDamaged)
		}
		key, cert, err := ReadPFX(data, password)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		return key, cert, nil
	}
	key, err := pemkey.Parse(data, password)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	cert, err := pemkey.Certificate(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, cert, nil
}
