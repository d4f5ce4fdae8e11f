package certs

import (
	"crypto"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"
	"sync/atomic"
)

// Key is one token-signing key with its certificate. It is read-only.
type Key struct {
	// Signer signs; it may be used by many goroutines at once.
	Signer crypto.Signer
	// Certificate is what relying parties know the key by.
	Certificate *x509.Certificate
	// ID is the certificate's [Thumbprint].
	ID string
}

// Thumbprint returns the SHA-1 hash of a certificate in upper-case hex, by which
// Windows, AD FS and Microsoft Entra ID name it. It is a name, not a proof.
func Thumbprint(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// Keys is the set of token-signing keys in use. It is safe for concurrent use.
type Keys struct{ now atomic.Pointer[set] }

// set is one state; it is never changed, only replaced.
type set struct {
	version   uint64
	published []*Key
}

// NewKeys returns a set in which current signs and others are published beside
// it: next or retired ones.
func NewKeys(current *Key, others ...*Key) *Keys {
	k := &Keys{}
	k.now.Store(&set{version: 1, published: order(current, others)})
	return k
}

func order(current *Key, others []*Key) []*Key {
	list := []*Key{current}
	for _, o := range others {
		if !slices.ContainsFunc(list, func(k *Key) bool { return k.ID == o.ID }) {
			list = append(list, o)
		}
	}
	return list
}

// Current returns the key that signs now.
func (k *Keys) Current() *Key { return k.now.Load().published[0] }

// Published returns all keys whose certificates the metadata lists, the current
// one first: parties that read one certificate only must get the right one (case
// C23).
func (k *Keys) Published() []*Key { return slices.Clone(k.now.Load().published) }

// Version grows with each change, so that a cache can tell whether it is stale.
func (k *Keys) Version() uint64 { return k.now.Load().version }

// Replace puts another state in force, for signer and metadata in the same
// instant. It reports whether anything changed.
func (k *Keys) Replace(current *Key, others ...*Key) bool {
	for {
		old := k.now.Load()
		list := order(current, others)
		if slices.EqualFunc(old.published, list, func(a, b *Key) bool { return a.ID == b.ID }) {
			return false
		}
		if k.now.CompareAndSwap(old, &set{version: old.version + 1, published: list}) {
			return true
		}
	}
}
