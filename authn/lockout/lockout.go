package lockout

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"sallyport/authn"
)

// Attempt is what is about to be tried.
type Attempt struct {
	// Domain and Account are the directory object, zero when the name led to none.
	Domain  string
	Account authn.GUID
	// Name is the name as typed; it counts only when Account is zero.
	Name string
	// Client is the person's address; the zero Addr has no budget.
	Client netip.Addr
	// Inside is true for the organisation's own networks, whose budgets are ten
	// times as large.
	Inside bool
}

// Ticket is one attempt's place in the counts. It must be settled.
type Ticket struct {
	attempt  Attempt
	scope    Scope
	epoch    uint32
	bucket   int
	side     int
	familiar bool
	address  uint64
	budgeted bool
	instead  *Refused
}

// Instead returns what a person must be told when this attempt fails, nil when it
// is what they would be told anyway. It is set for one of the account's own places
// whose address has used up its budget: there every name but this one is told so,
// and another answer would tell that the account exists.
func (t Ticket) Instead() *Refused { return t.instead }

// Outcome is how an attempt ended.
type Outcome uint8

// The outcomes.
const (
	Undecided Outcome = iota // nobody judged the password: no count moves
	Failed                   // wrong password or no such account
	Denied                   // refused without a verdict on the password (locked in AD)
	Proven                   // right password, but no sign-in (expired, disabled …)
	Accepted                 // signed in
)

// OutcomeOf returns what a reason means to the counts.
func OutcomeOf(r authn.Reason) Outcome {
	switch {
	case r == authn.Accepted:
		return Accepted
	case r.Undecided():
		return Undecided
	case r.ProvesPassword():
		return Proven
	case r.Counts(), r == authn.UnknownUser, r == authn.Ambiguous:
		return Failed
	default:
		return Denied
	}
}

// Scope names the count that refused an attempt.
type Scope string

// The scopes.
const (
	ScopeAccount Scope = "account"
	ScopeName    Scope = "name"
	ScopeAddress Scope = "address"
	ScopeNetwork Scope = "network"
	ScopeFull    Scope = "full" // no room to count, so nothing may be tried
)

// Refused says that the attempt must not be made. It never tells a person more
// than a wrong password would.
type Refused struct {
	Scope      Scope
	RetryAfter time.Duration
}

// Error implements error, for logs.
func (r *Refused) Error() string {
	return fmt.Sprintf("lockout: too many failures (%s), again in %v", r.Scope, r.RetryAfter)
}

// NormalName brings the spellings of one name together for counting: white space
// and final dots cut, compatibility forms and case folded, domain prefix and
// suffix dropped. It merges names of different domains, which is harmless: only
// names that lead to no account are counted by it.
func NormalName(typed string) string {
	if len(typed) > 1024 {
		typed = typed[:1024]
	}
	s := norm.NFKC.String(strings.ToValidUTF8(typed, "\ufffd"))
	s = norm.NFKC.String(cases.Fold().String(s))
	if i := strings.LastIndexByte(s, '\\'); i >= 0 {
		s = s[i+1:]
	}
	if i := strings.IndexByte(s, '@'); i > 0 {
		s = s[:i]
	}
	return strings.Trim(s, " \t\r\n\v\f.\u0085\u2028\u2029\ufeff\u200b")
}
