package authn

import (
	"net/netip"
	"time"
)

// Method is how a person proved who they are in this session.
type Method uint8

// The methods. The zero value is no method and must never reach a token.
const (
	MethodNone     Method = iota
	MethodPassword        // password checked by a bind at a DC
	MethodKerberos        // service ticket of the person's own domain log-on
)

// String returns a stable lower-case name for logs and metrics.
func (m Method) String() string {
	switch m {
	case MethodPassword:
		return "password"
	case MethodKerberos:
		return "kerberos"
	default:
		return "none"
	}
}

// Credentials is a name as typed and its password. The name is kept as received:
// resolving it to one directory object is the pipeline's work.
type Credentials struct {
	Name     string
	Password *Password
}

// Attempt is the context in which credentials are offered. It holds facts that
// the gateway established itself, never a client's claim about itself.
type Attempt struct {
	// Protocol is the door: wsfed, saml, wstrust, pta, cli.
	Protocol string
	// Party is the relying party's identifier, empty when there is none.
	Party string
	// Client is the person's address as the trusted proxies report it.
	Client netip.Addr
	// Inside is true when Client lies in the configured corporate networks.
	Inside bool
	// Reference is the short reference shown on pages (K7QF-3M9D).
	Reference string
	// CorrelationID is the sender's client-request-id when it has the form of a
	// GUID, else empty.
	CorrelationID string
}

// Result is the end of one attempt.
type Result struct {
	// Reason is Accepted only after a DC accepted the password in this attempt.
	Reason Reason
	// Account is the directory object; nil when the name led to none.
	Account *Account
	// At is when the DC gave its verdict.
	At time.Time
	// Cause is the detail for log and audit; never shown to the person.
	Cause error
	// RetryAfter is set with Throttled and Busy.
	RetryAfter time.Duration
}
