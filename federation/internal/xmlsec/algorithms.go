package xmlsec

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha1" // registers crypto.SHA1, for the named exception only
	_ "crypto/sha256"
	_ "crypto/sha512"
	"math/big"
)

const (
	moreURI = "http://www.w3.org/2001/04/xmldsig-more#"
	encURI  = "http://www.w3.org/2001/04/xmlenc#"
)

// method is a signature algorithm of the allow-list. HMAC, MD5, DSA and RSA-PSS
// are not in it and have no switch.
type method struct {
	hash  crypto.Hash
	ecdsa bool
}

func signatureAlgorithm(uri string, sha1 bool) (method, bool) {
	switch uri {
	case moreURI + "rsa-sha256":
		return method{crypto.SHA256, false}, true
	case moreURI + "rsa-sha384":
		return method{crypto.SHA384, false}, true
	case moreURI + "rsa-sha512":
		return method{crypto.SHA512, false}, true
	case moreURI + "ecdsa-sha256":
		return method{crypto.SHA256, true}, true
	case moreURI + "ecdsa-sha384":
		return method{crypto.SHA384, true}, true
	case dsigURI + "rsa-sha1":
		return method{crypto.SHA1, false}, sha1
	}
	return method{}, false
}

func digestAlgorithm(uri string, sha1 bool) (crypto.Hash, bool) {
	switch uri {
	case encURI + "sha256":
		return crypto.SHA256, true
	case moreURI + "sha384":
		return crypto.SHA384, true
	case encURI + "sha512":
		return crypto.SHA512, true
	case dsigURI + "sha1":
		return crypto.SHA1, sha1
	}
	return 0, false
}

// minBits is the smallest RSA key whose signatures count.
const minBits = 2048

// VerifyOctets checks a signature over octets, as the Redirect binding of SAML
// has it (SAML Bindings 2.0 §3.4.4.1), with the algorithm named by a URI of the
// allow-list, and returns the index of the first key that made it. All keys are
// tried that the algorithm can use. The error is ErrSignature.
func VerifyOctets(algorithm string, keys []crypto.PublicKey, octets, signature []byte, sha1 bool) (int, error) {
	m, ok := signatureAlgorithm(algorithm, sha1)
	if !ok {
		return 0, refuse("signature algorithm is not allowed")
	}
	h := m.hash.New()
	h.Write(octets)
	digest := h.Sum(nil)
	for i, key := range keys {
		if m.verify(key, digest, signature) {
			return i, nil
		}
	}
	return 0, refuse("not made by one of the %d registered keys", len(keys))
}

func (m method) verify(key crypto.PublicKey, digest, signature []byte) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return !m.ecdsa && key.N.BitLen() >= minBits && rsa.VerifyPKCS1v15(key, m.hash, digest, signature) == nil
	case *ecdsa.PublicKey:
		if !m.ecdsa || key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return false
		}
		// r and s side by side, each as long as the curve's order (RFC 4050 §3.3).
		n := (key.Curve.Params().N.BitLen() + 7) / 8
		if len(signature) != 2*n {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:n]), new(big.Int).SetBytes(signature[n:])
		return ecdsa.Verify(key, digest, r, s)
	default:
		return false
	}
}
