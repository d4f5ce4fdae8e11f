package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// The purposes for which keys are derived. The texts are part of every sealed
// value's key: changing one makes all values of that purpose unreadable.
const (
	PurposeSession     = "sallyport session record"      // records of sign-on sessions
	PurposeParties     = "sallyport session parties"     // relying parties of a session
	PurposeOnce        = "sallyport once name"           // names of things usable once
	PurposeTransaction = "sallyport sign-in transaction" // the sign-in form's hidden field
	PurposeCookie      = "sallyport cookie"              // cookies other than the session's
	PurposeSigningKey  = "sallyport signing key"         // token-signing keys in a shared store
	PurposeVerdict     = "sallyport verdict name"        // names of verdicts on messages that clients repeat
	PurposeLinks       = "sallyport session links"       // what leads to a session without the browser
	PurposeAudit       = "sallyport audit chain"         // chain of audit records
)

// MasterSize is the length of a master secret in bytes.
const MasterSize = 32

// Overhead is how many bytes longer a sealed value is than its plaintext.
const Overhead = 1 + nonceSize + tagSize

const (
	version1  = 1
	nonceSize = 12
	tagSize   = 16
	salt      = "sallyport seal v1"
)

// ErrMaster says that a master secret is missing or has the wrong length.
var ErrMaster = errors.New("seal: a master secret of exactly 32 random bytes is needed")

// ErrOpen says that a value was not sealed by one of the masters for this purpose
// and additional data, or was changed since. It tells nothing more on purpose.
var ErrOpen = errors.New("seal: value does not open")

// Box seals and opens values of one purpose. It is immutable and safe for
// concurrent use.
type Box struct {
	keys []boxKey // the first seals
}

type boxKey struct {
	random cipher.AEAD // takes a fresh nonce at every Seal
	fixed  cipher.AEAD // takes the nonce that it is given
	nonce  []byte      // key of the synthetic nonce
}

// New returns the box of a purpose. The first master seals, all open.
func New(purpose string, masters ...[]byte) (*Box, error) {
	if purpose == "" {
		return nil, errors.New("seal: no purpose given")
	}
	if len(masters) == 0 {
		return nil, ErrMaster
	}
	b := &Box{keys: make([]boxKey, 0, len(masters))}
	for _, m := range masters {
		k, err := newBoxKey(purpose, m)
		if err != nil {
			return nil, err
		}
		b.keys = append(b.keys, k)
	}
	return b, nil
}

func newBoxKey(purpose string, master []byte) (boxKey, error) {
	random, err := derivedAEAD(master, purpose+"/random", cipher.NewGCMWithRandomNonce)
	if err != nil {
		return boxKey{}, err
	}
	// The deterministic mode has keys of its own: a synthetic nonce must never
	// meet a random one under the same key.
	fixed, err := derivedAEAD(master, purpose+"/fixed", cipher.NewGCM)
	if err != nil {
		return boxKey{}, err
	}
	nonce, err := Key(purpose+"/fixed nonce", master)
	if err != nil {
		return boxKey{}, err
	}
	return boxKey{random: random, fixed: fixed, nonce: nonce}, nil
}

func derivedAEAD(master []byte, purpose string, mode func(cipher.Block) (cipher.AEAD, error)) (cipher.AEAD, error) {
	key, err := Key(purpose, master)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	aead, err := mode(block)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return aead, nil
}

// Key derives the 32-byte key of a purpose, for uses that need a key and no box,
// such as naming records by HMAC.
func Key(purpose string, master []byte) ([]byte, error) {
	if len(master) != MasterSize || isZero(master) {
		return nil, ErrMaster
	}
	key, err := hkdf.Key(sha256.New, master, []byte(salt), purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return key, nil
}

func isZero(b []byte) bool {
	var any byte
	for _, c := range b {
		any |= c
	}
	return any == 0
}

// Seal appends the sealed plaintext to dst. The additional data aad is bound to
// the value but not part of it: Open must be given the same.
func (b *Box) Seal(dst, plaintext, aad []byte) []byte {
	return b.keys[0].random.Seal(append(dst, version1), nil, plaintext, aad)
}

// SealSame appends a sealed form that is always the same for the same plaintext,
// aad and master, so that a store can find and remove it without opening it. It
// tells a reader of the store which values under one aad are equal, and nothing
// else; use it only where that is wanted. [Box.Open] does not open it.
func (b *Box) SealSame(dst, plaintext, aad []byte) []byte {
	k := &b.keys[0]
	nonce := syntheticNonce(k.nonce, plaintext, aad)
	dst = append(append(dst, version1), nonce[:nonceSize]...)
	return k.fixed.Seal(dst, nonce[:nonceSize], plaintext, aad)
}

// syntheticNonce is a pseudo-random function of everything that is sealed, as in
// SIV (RFC 5297 §2.6 gives the reasoning): two different values share a nonce
// only by a collision of 96 bits.
func syntheticNonce(key, plaintext, aad []byte) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, key)
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(aad)))
	mac.Write(n[:])
	mac.Write(aad)
	mac.Write(plaintext)
	mac.Sum(sum[:0])
	return sum
}

// Open appends the plaintext of a value that Seal made to dst. Any other value
// yields [ErrOpen].
func (b *Box) Open(dst, sealed, aad []byte) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != version1 {
		return nil, ErrOpen
	}
	for i := range b.keys {
		if out, err := b.keys[i].random.Open(dst, nil, sealed[1:], aad); err == nil {
			return out, nil
		}
	}
	return nil, ErrOpen
}

// OpenSame is Open for values that SealSame made.
func (b *Box) OpenSame(dst, sealed, aad []byte) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != version1 {
		return nil, ErrOpen
	}
	for i := range b.keys {
		if out, err := b.keys[i].fixed.Open(dst, sealed[1:1+nonceSize], sealed[1+nonceSize:], aad); err == nil {
			return out, nil
		}
	}
	return nil, ErrOpen
}

// NewMaster returns a fresh random master secret.
func NewMaster() []byte {
	m := make([]byte, MasterSize)
	rand.Read(m) // never returns an error (crypto/rand)
	return m
}
