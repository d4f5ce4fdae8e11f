package certs

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Store keeps the ledger for all instances. It is safe for concurrent use, also
// by several processes.
type Store interface {
	// Load returns the ledger, [ErrNoLedger] when there is none yet.
	Load(ctx context.Context) (*Ledger, error)
	// Swap makes next the ledger if the one in force has the version before it
	// (next.Version-1; none for version 1), else it returns [ErrConflict]. When it
	// returns nil, next is durable; after any other error it is unknown whether next
	// is in force, and Load tells.
	Swap(ctx context.Context, next *Ledger) error
}

// KeyStore keeps private keys under references that this package makes up. It is
// safe for concurrent use.
type KeyStore interface {
	// Generate makes an RSA key and returns it once it is durable.
	Generate(ctx context.Context, ref string, bits int) (crypto.Signer, error)
	// Import stores a key that was made elsewhere.
	Import(ctx context.Context, ref string, key crypto.Signer) error
	// Open returns a key, [ErrNoKey] when there is none under ref.
	Open(ctx context.Context, ref string) (crypto.Signer, error)
	// Destroy deletes a key. There being none is no error.
	Destroy(ctx context.Context, ref string) error
}

var (
	// ErrNoLedger says that no key has been made or imported yet.
	ErrNoLedger = errors.New("there is no ledger of signing keys yet")
	// ErrConflict says that somebody else changed the ledger in between.
	ErrConflict = errors.New("the ledger of signing keys was changed by somebody else")
	// ErrNoKey says that a key store has nothing under a reference.
	ErrNoKey = errors.New("no such private key")
)

// Duration is a [time.Duration] that is written as text.
type Duration time.Duration

// MarshalText implements [encoding.TextMarshaler].
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// maxLedger bounds what is read as a ledger.
const maxLedger = 1 << 20

// EncodeLedger returns the form in which stores keep a ledger.
func EncodeLedger(l *Ledger) ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	return json.MarshalIndent(l, "", " ")
}

// DecodeLedger reads what [EncodeLedger] wrote and refuses everything else.
func DecodeLedger(data []byte) (*Ledger, error) {
	if len(data) > maxLedger {
		return nil, errors.New("ledger: too large")
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	l := new(Ledger)
	if err := dec.Decode(l); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if dec.More() {
		return nil, errors.New("ledger: something stands behind it")
	}
	return l, l.check()
}

// validRef tells names that are safe as file names and key names.
func validRef(ref string) bool {
	if ref == "" || len(ref) > 64 {
		return false
	}
	for _, c := range ref {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }
