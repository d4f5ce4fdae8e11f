package ptaagent

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"sallyport/ptaagent/internal/enroll"
)

// Key is an agent's private key: RSA of 2048 bits, which signs in TLS handshakes and
// decrypts with OAEP (opts is an [rsa.OAEPOptions] with SHA-1).
type Key interface {
	crypto.Signer
	crypto.Decrypter
}

// KeyStore keeps private keys where they never leave, as a PKCS#11 token does. The
// directory then holds certificates alone. It must be safe for concurrent use.
type KeyStore interface {
	// Generate makes a key that is found again by ref, a short text.
	Generate(ctx context.Context, ref string) (Key, error)
	// Open finds a key.
	Open(ctx context.Context, ref string) (Key, error)
	// Destroy removes a key; one that is not there is no error.
	Destroy(ctx context.Context, ref string) error
}

// ErrKeyAway says that a [KeyStore] does not answer: nobody can say whether a password
// is right.
var ErrKeyAway = errors.New("the store of the agent's key does not answer")

// The types of PEM blocks, and the header with which a certificate names its key in a
// store.
const (
	blockKey         = "PRIVATE KEY"
	blockCertificate = "CERTIFICATE"
	headerKey        = "Key"
)

// newKey makes a key in the store, or in memory where there is none.
func newKey(ctx context.Context, store KeyStore) (key Key, ref string, err error) {
	if store == nil {
		key, err := enroll.NewKey()
		return key, "", err
	}
	ref = "pta-" + strings.ToLower(rand.Text())
	if key, err = store.Generate(ctx, ref); err != nil {
		return nil, "", fmt.Errorf("key of the agent: %w", err)
	}
	if pub, ok := key.Public().(*rsa.PublicKey); !ok || pub.N.BitLen() != 2048 {
		return nil, "", errors.New("key of the agent: the store made another kind of key than RSA of 2048 bits")
	}
	return key, ref, nil
}

// dropKey removes the key of a certificate that was not issued after all, and returns
// why it was not.
func dropKey(ctx context.Context, store KeyStore, ref string, cause error) error {
	if cause == nil || ref == "" {
		return cause
	}
	return errors.Join(cause, store.Destroy(context.WithoutCancel(ctx), ref))
}

// encode returns the file of a credential.
func (c *credential) encode() ([]byte, error) {
	certificate := &pem.Block{Type: blockCertificate, Bytes: c.cert.Raw}
	if c.ref != "" {
		certificate.Headers = map[string]string{headerKey: c.ref}
		return pem.EncodeToMemory(certificate), nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	return append(pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: der}), pem.EncodeToMemory(certificate)...), nil
}

// readCredential reads a file of a credential.
func readCredential(path string, store KeyStore) (*credential, error) {
	text, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	var key Key
	var cert *x509.Certificate
	ref := ""
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case blockKey:
			var k crypto.PrivateKey
			if k, err = x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
				key, _ = k.(*rsa.PrivateKey)
			}
		case blockCertificate:
			ref = block.Headers[headerKey]
			cert, err = x509.ParseCertificate(block.Bytes)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if ref != "" && store == nil {
		return nil, fmt.Errorf("%s: its key is in a module, and the settings name none: write pta.pkcs11", path)
	}
	if ref != "" && key == nil {
		if key, err = store.Open(context.Background(), ref); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if cert == nil || key == nil || !samePublic(key, cert) {
		return nil, fmt.Errorf("%s does not hold one RSA key and its certificate", path)
	}
	return newCredential(key, ref, cert), nil
}

func samePublic(key Key, cert *x509.Certificate) bool {
	pub, ok := key.Public().(*rsa.PublicKey)
	return ok && pub.Equal(cert.PublicKey)
}
