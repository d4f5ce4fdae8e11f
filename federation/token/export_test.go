package token

import (
	"crypto"
	"io"
)

// NullSigner returns a copy of s that neither signs nor verifies: what is left is
// the writer.
func NullSigner(s *Signer) *Signer {
	sig := make([]byte, s.pub.Size())
	null := &Signer{
		key: nullKey{s.pub, sig}, cert: s.cert, pub: s.pub, keyID: s.keyID, keyInfo: s.keyInfo,
	}
	null.state.New = func() any { return new(state) }
	return null
}

// nullKey gives the same signature for everything.
type nullKey struct {
	pub crypto.PublicKey
	sig []byte
}

func (k nullKey) Public() crypto.PublicKey { return k.pub }

func (k nullKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return k.sig, nil }
