package authn

import (
	"fmt"
	"log/slog"
)

const redacted = "redacted"

// Password is a secret as the client sent it: UTF-8 bytes, never trimmed,
// folded or normalised. Every printing and marshalling method says "redacted".
// The zero value is the empty password. A Password is owned by one goroutine.
type Password struct{ b []byte }

// NewPassword takes ownership of b; the caller must not use b afterwards.
func NewPassword(b []byte) *Password { return &Password{b: b} }

// Bytes returns the secret itself. The slice is valid until [Password.Wipe].
func (p *Password) Bytes() []byte {
	if p == nil {
		return nil
	}
	return p.b
}

// Len returns the length in bytes.
func (p *Password) Len() int { return len(p.Bytes()) }

// Wipe overwrites the secret with zeros and forgets it. Copies that a library
// made (go-ldap takes a string) are out of its reach.
func (p *Password) Wipe() {
	if p == nil {
		return
	}
	clear(p.b)
	p.b = nil
}

// String implements [fmt.Stringer] without telling the secret.
func (p *Password) String() string { return redacted }

// GoString implements [fmt.GoStringer] without telling the secret.
func (p *Password) GoString() string { return redacted }

// Format implements [fmt.Formatter] for all verbs without telling the secret.
func (p *Password) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue implements [slog.LogValuer] without telling the secret.
func (p *Password) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler] without telling the secret;
// JSON, XML and YAML encoders use it.
func (p *Password) MarshalText() ([]byte, error) { return []byte(redacted), nil }
