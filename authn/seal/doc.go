// Package seal makes bytes that leave the process (a session record in Redis, a
// form's hidden field, a cookie) unreadable and unchangeable for everybody who
// lacks the deployment's master secret.
//
// One master secret of 32 bytes, which every instance has and no store ever
// sees, is stretched by HKDF-SHA256 (RFC 5869) into one key for each purpose, so
// that a value sealed for one purpose never opens for another and the leak of
// one derived key tells nothing of its siblings. The purposes are the Purpose
// constants; a new use gets a new constant, never a second meaning.
//
// Values are sealed by AES-256-GCM with a random 96-bit nonce (NIST SP 800-38D
// §8.2.2), which keeps its margin up to 2^32 values for one purpose and master:
// a hundred a second for sixteen months. Masters can be replaced without a break:
// a [Box] seals with its first master and opens with all of them. To rotate, add
// the new one behind the old one on every instance, then swap the two, then,
// after the longest lifetime of a sealed value, drop the old one.
//
// The threat is a person who can read and write the store or the form: they must
// not learn the content, not make a value of their own, not move a value to
// another key. The last is the caller's share: the additional data given to
// [Box.Seal] names the place where the value belongs.
//
// Sealed form, version 1:
//
//	byte  0      version, 1
//	bytes 1-12   nonce
//	then         ciphertext, 16-byte tag
package seal
