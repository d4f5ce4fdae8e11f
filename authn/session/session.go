package session

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"sallyport/authn"
)

// Session is what is remembered of one sign-in. See the package comment for what
// it leaves out and why.
type Session struct {
	// Account and Domain find the directory object again.
	Account authn.GUID
	Domain  string
	// Method is how the person proved who they are.
	Method authn.Method
	// AuthenticatedAt is when a DC accepted the proof: the instant that tokens
	// tell. Kept to the millisecond.
	AuthenticatedAt time.Time
	// StartedAt and Expires are set by the store: when the session began, and its
	// absolute end.
	StartedAt, Expires time.Time
	// PwdLastSet is the account's pwdLastSet at the sign-in; another value now
	// means that the password has changed since.
	PwdLastSet int64
	// Persistent is true when the person chose to stay signed in.
	Persistent bool
}

// ErrNone says that there is no live session with this ID: never begun, expired,
// signed out, or a record that was tampered with. All look the same on purpose.
var ErrNone = errors.New("session: none")

// ErrUnavailable says that the store could not answer. The person signs in by
// password; nobody is let in because of it.
var ErrUnavailable = errors.New("session: store unavailable")

// MaxParties is how many relying parties a session remembers for sign-out. With
// more, the ones used longest ago are forgotten.
const MaxParties = 32

// Store keeps sessions. Implementations are safe for concurrent use. All errors
// other than ErrNone wrap [ErrUnavailable] or say what in the caller's argument
// is wrong.
type Store interface {
	// Create begins a session that signed in to these parties, latest first, and
	// returns its new ID. It sets StartedAt and Expires of s. One round trip.
	Create(ctx context.Context, s *Session, parties ...string) (ID, error)
	// Use returns the session, counts as use of it, and remembers that it signed
	// in to party unless party is empty. One round trip.
	Use(ctx context.Context, id ID, party string) (*Session, error)
	// Peek returns the session without counting as use.
	Peek(ctx context.Context, id ID) (*Session, error)
	// End ends the session for every instance and returns the parties it was used
	// for, latest first. Ending what is not there yields ErrNone.
	End(ctx context.Context, id ID) (parties []string, err error)
	// Once reports true for the first call with this purpose and key, and false
	// for each later one until ttl has passed, on whichever instance.
	Once(ctx context.Context, purpose, key string, ttl time.Duration) (first bool, err error)
	// Seen reports whether Once would report false, and changes nothing. One round trip.
	Seen(ctx context.Context, purpose, key string) (bool, error)
	// Ping returns nil when the store can answer.
	Ping(ctx context.Context) error
	// Close lets go of connections and goroutines.
	Close()
}

// ID is a session's secret, the value of the browser's cookie. It prints as
// "redacted" everywhere except through [ID.Cookie].
type ID [32]byte

// persistentBit tells the two kinds of session apart by the ID alone, so that a
// store can extend the right idle limit in the same round trip in which it reads
// the record. It is no secret: the browser sees it in the cookie's lifetime. The
// other 255 bits are random.
const persistentBit = 0x01

// NewID returns a fresh random ID for a session of this kind.
func NewID(persistent bool) ID {
	var id ID
	rand.Read(id[:]) // never returns an error (crypto/rand)
	id[len(id)-1] &^= persistentBit
	if persistent {
		id[len(id)-1] |= persistentBit
	}
	return id
}

// Persistent reports the kind of session that the ID was made for.
func (id ID) Persistent() bool { return id[len(id)-1]&persistentBit != 0 }

// IsZero reports whether id is the zero ID, which no session has.
func (id ID) IsZero() bool { return id == ID{} }

// Cookie returns the text for the browser's cookie, unpadded base64url. It is the
// only method that tells the secret.
func (id ID) Cookie() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// ErrID says that a text is not an ID. The error does not repeat the text.
var ErrID = errors.New("session: not a session id")

// ParseID reads what Cookie wrote: exactly one spelling for each ID.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != base64.RawURLEncoding.EncodedLen(len(id)) {
		return ID{}, ErrID
	}
	n, err := base64.RawURLEncoding.Strict().Decode(id[:], []byte(s))
	if err != nil || n != len(id) || id.IsZero() {
		return ID{}, ErrID
	}
	return id, nil
}

const redacted = "redacted"

// String implements [fmt.Stringer] without telling the secret.
func (id ID) String() string { return redacted }

// GoString implements [fmt.GoStringer] without telling the secret.
func (id ID) GoString() string { return redacted }

// Format implements [fmt.Formatter] for all verbs without telling the secret.
func (id ID) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer] without telling the secret.
func (id ID) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler] without telling the secret.
func (id ID) MarshalText() ([]byte, error) { return []byte(redacted), nil }
