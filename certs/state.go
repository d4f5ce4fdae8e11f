package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// State is where a key stands in its life.
type State string

// The states, in the order in which a key goes through them. It never goes back,
// but for a promotion that is taken back while the earlier key is still retired.
const (
	// Staged: the key exists durably and instances are loading it. An instance that
	// has loaded it lists its certificate in the metadata.
	Staged State = "staged"
	// Published: every live instance lists it. The time that relying parties have to
	// learn it runs, and those that are pushed to are being told.
	Published State = "published"
	// Signing: it signs tokens. Exactly one key of a ledger is in this state.
	Signing State = "signing"
	// Retired: it signs no more and stays listed until its last token has expired.
	Retired State = "retired"
	// Gone: no longer listed, its private key destroyed. Kept as a record.
	Gone State = "gone"
)

// Listed reports whether a certificate in this state belongs into the metadata.
func (s State) Listed() bool {
	return s == Staged || s == Published || s == Signing || s == Retired
}

// Origins of a key.
const (
	Generated = "generated" // made here
	Imported  = "imported"  // brought in by an admin
)

// Entry is one key of the ledger. It holds no secret: the private key lies in a
// [KeyStore] under Ref.
type Entry struct {
	// ID is the certificate's [Thumbprint].
	ID string `json:"id"`
	// Ref names the private key in the key store.
	Ref string `json:"ref"`
	// Certificate is DER.
	Certificate []byte `json:"certificate"`
	State       State  `json:"state"`
	// Since is when State was entered.
	Since time.Time `json:"since"`
	// SignsFrom is the instant from which a Signing key signs, the same on every
	// instance. Zero before the promotion.
	SignsFrom time.Time `json:"signs_from,omitzero"`
	// Exposed is how long the certificate has been in its state while the service
	// ran. It is added up in small steps and never computed from two clock readings
	// that lie far apart, so a clock that jumps makes nobody's time run out.
	Exposed Duration `json:"exposed"`
	// Origin is Generated or Imported.
	Origin string `json:"origin"`
	// Stolen marks a key that an emergency rotation replaced: it must never be
	// promoted again.
	Stolen bool `json:"stolen,omitempty"`
	// Hurried marks a key that began to sign before every party was known to hold its
	// certificate, in an emergency or by force: see [View.Uninformed].
	Hurried bool `json:"hurried,omitempty"`
	// Knows has, by relying party, how it came to be known that the party holds this
	// certificate.
	Knows map[string]Sighting `json:"knows,omitempty"`
}

// X509 parses the certificate.
func (e *Entry) X509() (*x509.Certificate, error) { return x509.ParseCertificate(e.Certificate) }

// Sighting is the reason to believe that a relying party holds a certificate.
type Sighting struct {
	At time.Time `json:"at"`
	// How is Fetched, ReadBack, Proved or Told.
	How string `json:"how"`
}

// The reasons, from weak to strong.
const (
	// Fetched: the party read the metadata while it listed the certificate.
	Fetched = "fetched"
	// Told: an admin says that the party holds it.
	Told = "told"
	// ReadBack: the party's own settings were read and name the certificate.
	ReadBack = "read-back"
	// Proved: moreover a token signed by the key was accepted by a verifier that knew
	// nothing but what was read back.
	Proved = "proved"
)

// Instance is what one running instance reports of itself.
type Instance struct {
	Seen time.Time `json:"seen"`
	// Loaded are the IDs of the keys that it holds and lists.
	Loaded []string `json:"loaded"`
	// Signs is the ID of the key that it signs with.
	Signs string `json:"signs"`
	// Trouble is why it lacks a key, and what else fails there, for `certs list`.
	Trouble string `json:"trouble,omitempty"`
	// Audited is the number of the last event in its audit trail.
	Audited uint64 `json:"audited"`
}

// Event is one change, for the audit trails of the instances.
type Event struct {
	Number uint64    `json:"number"`
	At     time.Time `json:"at"`
	// By is the instance, or the user and host of a command.
	By string `json:"by"`
	// Action is one of the Action constants.
	Action string `json:"action"`
	ID     string `json:"id,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// The actions that are recorded.
const (
	ActionStaged    = "staged"
	ActionPublished = "published"
	ActionPromoted  = "promoted"
	ActionGone      = "gone"
	ActionDiscarded = "discarded" // given up before it signed, or taken out early
	ActionImported  = "imported"
	ActionEmergency = "emergency"
	ActionTold      = "told" // an admin says that a party knows a certificate
)

// Lease is held by the one who makes keys. Their private keys lie under Refs, and
// whoever takes over a lease that ended without entries destroys them.
type Lease struct {
	Holder string    `json:"holder"`
	Refs   []string  `json:"refs"`
	Until  time.Time `json:"until"`
	// Orphans are refs of leases that ended without entries; their keys are being
	// destroyed.
	Orphans []string `json:"orphans,omitempty"`
}

// Ledger is the whole state that instances share: one document, replaced as a
// whole. A copy that was loaded is the caller's own.
type Ledger struct {
	// Version grows by one with each change.
	Version uint64  `json:"version"`
	Entries []Entry `json:"entries"`
	// Tick is when an instance last added to Exposed.
	Tick      time.Time           `json:"tick"`
	Instances map[string]Instance `json:"instances,omitempty"`
	Lease     *Lease              `json:"lease,omitempty"`
	// Events are the latest changes, oldest first, at most maxEvents.
	Events []Event `json:"events,omitempty"`
	// LastEvent is the number of the latest event ever.
	LastEvent uint64 `json:"last_event"`
}

// maxEvents bounds the ledger; trails keep everything.
const maxEvents = 64

// Of returns the entry with the state, the latest one, nil when there is none.
func (l *Ledger) Of(s State) *Entry {
	for i := len(l.Entries) - 1; i >= 0; i-- {
		if l.Entries[i].State == s {
			return &l.Entries[i]
		}
	}
	return nil
}

// Next returns the entry that will sign next: published or staged, nil when there
// is none.
func (l *Ledger) Next() *Entry {
	if e := l.Of(Published); e != nil {
		return e
	}
	return l.Of(Staged)
}

// Find returns the entry whose ID begins with id, which must be unambiguous.
func (l *Ledger) Find(id string) (*Entry, error) {
	var found *Entry
	for i := range l.Entries {
		if e := &l.Entries[i]; id != "" && len(id) <= len(e.ID) && equalFold(e.ID[:len(id)], id) {
			if found != nil {
				return nil, fmt.Errorf("%w: %s begins more than one thumbprint: write more of it", ErrRefused, id)
			}
			found = e
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%w: no key has the thumbprint %s", ErrRefused, id)
	}
	return found, nil
}

// check refuses a ledger that no version of this package wrote.
func (l *Ledger) check() error {
	signing, seen := 0, map[string]bool{}
	for i := range l.Entries {
		e := &l.Entries[i]
		c, err := e.X509()
		switch {
		case err != nil:
			return fmt.Errorf("ledger: certificate of %q: %w", e.ID, err)
		case Thumbprint(c) != e.ID:
			return fmt.Errorf("ledger: %q is not the thumbprint of its certificate", e.ID)
		case seen[e.ID]:
			return fmt.Errorf("ledger: %s stands in it twice", e.ID)
		case !slices.Contains([]State{Staged, Published, Signing, Retired, Gone}, e.State):
			return fmt.Errorf("ledger: %s is in the unknown state %q", e.ID, e.State)
		case !validRef(e.Ref):
			return fmt.Errorf("ledger: %s has no usable key reference", e.ID)
		}
		seen[e.ID] = true
		if e.State == Signing {
			signing++
		}
	}
	if signing != 1 {
		return fmt.Errorf("ledger: %d keys are signing, want exactly one", signing)
	}
	return nil
}

// note appends an event.
func (l *Ledger) note(e Event) {
	l.LastEvent++
	e.Number = l.LastEvent
	l.Events = append(l.Events, e)
	if n := len(l.Events) - maxEvents; n > 0 {
		l.Events = slices.Delete(l.Events, 0, n)
	}
}

// ErrRefused says that an action is not allowed now; the text says why and what to
// do. It is the admin's, not the machine's, business.
var ErrRefused = errors.New("refused")
