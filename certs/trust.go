package certs

import (
	"context"
	"crypto/x509"
	"time"
)

// Slots are the two certificates that a pushed-to party holds: for a domain of
// Microsoft 365, signingCertificate and nextSigningCertificate of its federation
// settings. Tokens of either are taken to be accepted, which is why both are read
// back before a promotion and both are replaced in an emergency.
type Slots struct {
	Current *x509.Certificate
	// Next is nil when the slot is empty.
	Next *x509.Certificate
}

// Hold reports whether c stands in one of the slots, byte for byte.
func (s Slots) Hold(c *x509.Certificate) bool {
	return c != nil && (s.Current != nil && s.Current.Equal(c) || s.Next != nil && s.Next.Equal(c))
}

// Equal reports whether both slots hold the same certificates.
func (s Slots) Equal(o Slots) bool { return same(s.Current, o.Current) && same(s.Next, o.Next) }

func same(a, b *x509.Certificate) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b)
}

// Trust reaches the parties whose certificates are pushed rather than read from
// metadata: the federated domains of Microsoft 365, through Graph. It is safe for
// concurrent use. Errors are passing unless they say otherwise: the loop tries
// again and nothing is promoted meanwhile.
type Trust interface {
	// Slots reads back what the party holds now, from the party's own service and
	// never from a memory of an earlier Push.
	Slots(ctx context.Context, party string) (Slots, error)
	// Push makes the party hold want. Where a slot cannot be emptied (want.Next is
	// nil), the implementation may put want.Current there. It need not wait until
	// the change has spread: Slots is asked later.
	Push(ctx context.Context, party string, want Slots) error
}

// Prove makes a token as the party would get it, signed by key, and has it judged
// by a verifier that knows nothing but what was read back. Nil means accepted.
type Prove func(ctx context.Context, party string, key *Key, held Slots) error

// Party is a relying party as the life cycle sees it.
type Party struct {
	// Key names it: a domain for Pushed, the key in the settings otherwise.
	Key string
	// Name is for people.
	Name string
	// Pushed: the [Trust] of the [Manager] reaches it. It holds a certificate only
	// when that was read back and proved; time does not count.
	Pushed bool
	// ByHand: it learns certificates only when somebody acts, and an admin must say
	// so (Told); time does not count. It is so for a domain of Microsoft 365 without
	// Graph, whose polling of metadata is promised to nobody.
	ByHand bool
	// Single: it holds one certificate only, so an admin must promote at the moment
	// that was agreed with it.
	Single bool
}

// Policy is when what happens. The zero value of a field means its default.
type Policy struct {
	// Manual: nothing happens by itself but publishing, pushing, and taking a
	// retired certificate out.
	Manual bool
	// StageBefore is how long before the end of the signing certificate the next key
	// is made. Default 45 days: Microsoft Entra ID first looks 35 days before.
	StageBefore time.Duration
	// PromoteAfter is how long a certificate is published at least before it signs.
	// Default 15 days.
	PromoteAfter time.Duration
	// PartyTime is how long parties that were not seen to know it are given.
	// Default 25 days.
	PartyTime time.Duration
	// AlarmBefore is how long before the end of the signing certificate there is an
	// alarm when it still signs. Default 15 days.
	AlarmBefore time.Duration
	// RetireFor is how long a certificate stays listed after it signed. Default 24
	// hours; at least the longest lifetime of a token.
	RetireFor time.Duration
	// Live is how long after its last report an instance counts as running. Default
	// 5 minutes.
	Live time.Duration
	// Validity of a generated certificate. Default one year, as AD FS has it.
	Validity time.Duration
	// Bits of a generated key. Default 2048.
	Bits int
}

const day = 24 * time.Hour

// WithDefaults fills in what is zero.
func (p Policy) WithDefaults() Policy {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&p.StageBefore, 45*day)
	def(&p.PromoteAfter, 15*day)
	def(&p.PartyTime, 25*day)
	def(&p.AlarmBefore, 15*day)
	def(&p.RetireFor, day)
	def(&p.Live, 5*time.Minute)
	def(&p.Validity, 365*day)
	if p.Bits == 0 {
		p.Bits = minBits
	}
	return p
}
