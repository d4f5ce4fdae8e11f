package web

import (
	"context"
	"crypto/rand"
	"net/netip"
	"time"

	"sallyport/authn"
)

// Info is what the edge knows of one request. All of it was established by the
// edge itself; nothing is a client's claim, except CorrelationID, which is a name
// for log records and nothing else.
type Info struct {
	// Reference is the short reference shown on pages, for example K7QF-3M9D. It
	// finds the log record and the audit events of the request.
	Reference string
	// CorrelationID is the sender's client-request-id in registry form, empty when
	// it sent none or one that is not a GUID.
	CorrelationID string
	// Client is the person's address: the peer, or the right-most address that is
	// not a proxy when the peer is a configured proxy.
	Client netip.Addr
	// Via is the service that signs the person in in their name, the zero Addr when
	// there is none; see [Trust].
	Via netip.Addr
	// Program is what Via says that the person uses, for example
	// Microsoft.Exchange.ActiveSync; for records only. It may be empty.
	Program string
	// Inside is true when Client is certain and lies in the corporate networks.
	Inside bool
	// Framed is true when the browser says that the answer will be shown inside
	// another page (Sec-Fetch-Dest). For records and refusals, never for a grant.
	Framed bool
	// Route is the name of the matched route, empty when there is none.
	Route string
	// Start is when the edge received the request.
	Start time.Time
}

// Behalf says for an audit record who signed the person in in their name; it is empty
// when nobody did.
func (i *Info) Behalf() string {
	switch {
	case !i.Via.IsValid():
		return ""
	case i.Program != "":
		return "signed in by " + i.Via.String() + " in their name, from " + i.Program
	}
	return "signed in by " + i.Via.String() + " in their name"
}

type infoKey struct{}

// With returns a context that carries info; tests and callers outside HTTP use it.
func With(ctx context.Context, info *Info) context.Context {
	return context.WithValue(ctx, infoKey{}, info)
}

// From returns the request's Info. Outside an [Edge] it returns an empty one, so
// that a caller need not check; its zero Client is never inside.
func From(ctx context.Context) *Info {
	if info, ok := ctx.Value(infoKey{}).(*Info); ok {
		return info
	}
	return &Info{}
}

// referenceAlphabet is Crockford's base 32: no I, L, O and U, so that a reference
// survives the telephone.
const referenceAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewReference returns a fresh reference: two groups of four characters, 40
// random bits.
func NewReference() string {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never returns an error (crypto/rand)
	var out [9]byte
	for i, b := range raw {
		at := i
		if i >= 4 {
			at++
		}
		out[at] = referenceAlphabet[b&31]
	}
	out[4] = '-'
	return string(out[:])
}

// CorrelationID returns s in registry form when it is a GUID, and an empty string
// otherwise: whatever else a sender puts there never reaches a log or a page.
func CorrelationID(s string) string {
	if len(s) > 38 {
		return ""
	}
	g, err := authn.ParseGUID(s)
	if err != nil || g.IsZero() {
		return ""
	}
	return g.String()
}
