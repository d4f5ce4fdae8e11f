package federation

import (
	"cmp"
	"context"
	"errors"
	"time"

	"sallyport/authn"
)

// MicrosoftOnline is the identifier by which Microsoft 365 knows itself on the
// browser endpoints, in every cloud.
const MicrosoftOnline = "urn:federation:MicrosoftOnline"

// TokenType is the kind of assertion a relying party gets.
type TokenType uint8

// The token types.
const (
	SAML11 TokenType = iota + 1
	SAML20
)

// RelyingParty is one registered party. It is read-only after load.
type RelyingParty struct {
	// Key is a short stable name for logs, for example "microsoft365". In metrics it is
	// Label.
	Key string
	// Name is shown to people in plain text, for example "Microsoft 365".
	Name string
	// Names are names for people by language (two letters, lower case) that take the
	// place of Name, see [RelyingParty.NameIn]. Nil: there are none.
	Names map[string]string
	// Identifiers are the exact strings (wtrealm, entityID) that name the party;
	// the first is the default.
	Identifiers []string
	// ReplyURLs are the only addresses a token may be sent to; the first is the
	// default. Compared after URL parsing: https, exact host and path.
	ReplyURLs []string
	// StartURL is where "start again" leads when there is no stored request.
	StartURL string
	// Microsoft365 marks the built-in party: issuer by the user's domain,
	// ImmutableID, the claim set of Entra Connect's rules.
	Microsoft365 bool
	TokenType    TokenType
	// TokenLifetime is how long a token's conditions hold; at most 60 minutes.
	TokenLifetime time.Duration
	// FormActions are the origins that the hand-over page's CSP names; empty
	// means the scheme source https: (see ui.md section 7).
	FormActions []string
	// FrameOrigins are the https origins whose pages may frame the page that posts an
	// answer to the party; empty means nobody's.
	FrameOrigins []string
	// Rules is the key of the party's claim rules; empty means Key.
	Rules string
	// OwnNames says that the rules take the name identifier from an attribute that was
	// chosen for the party, whose value then also is what the party gets as an e-mail
	// address or a persistent identifier.
	OwnNames bool
}

// Label names the party in metrics. It is from a closed set: parties that came by
// requests share the name of their rules.
func (rp *RelyingParty) Label() string { return cmp.Or(rp.Rules, rp.Key) }

// NameIn returns the party's name for people who read a language, given by its two
// letters.
func (rp *RelyingParty) NameIn(language string) string {
	if name := rp.Names[language]; name != "" {
		return name
	}
	return rp.Name
}

// SignInRequest is one protocol request in one shape. It is made by a protocol
// handler after every check that needs no person, sealed into the sign-in page,
// and read back when the page is posted.
type SignInRequest struct {
	// Protocol is wsfed or saml.
	Protocol string
	// Party is the relying party.
	Party *RelyingParty
	// Realm is the identifier exactly as the request named the party; audience
	// and AppliesTo echo it.
	Realm string
	// ReplyTo is the registered address the answer goes to.
	ReplyTo string
	// State is wctx or RelayState byte for byte; HasState tells an empty value
	// from an absent one.
	State    string
	HasState bool
	// ForceLogin asks for credentials now, whatever session exists (wfresh=0,
	// prompt=login, ForceAuthn).
	ForceLogin bool
	// MaxAge is the greatest age of the authentication; zero means no limit.
	MaxAge time.Duration
	// Passwords is true when the request demands a password sign-in as its
	// method (wauth=…/password); a Kerberos session does not satisfy it.
	Passwords bool
	// Passive is true when nothing may be asked of the person (IsPassive): what
	// cannot be answered from a session ends in [ErrPassive].
	Passive bool
	// LoginHint prefills the name field; never an identity.
	LoginHint string
	// CorrelationID is client-request-id when it has the form of a GUID.
	CorrelationID string
	// Query is the raw query of the request, for links that repeat it (language).
	Query string
	// Extra is what the protocol needs to answer and the flow does not (for SAML
	// the request's id). It is sealed with the rest; keep it small.
	Extra string
}

// Subject is a person who is signed in, with the facts of this session.
type Subject struct {
	Account *authn.Account
	Method  authn.Method
	// AuthenticatedAt is the true instant at which the method was performed.
	AuthenticatedAt time.Time
	// SessionStarted is when the sign-on session began.
	SessionStarted time.Time
	// Persistent is true when the person chose to stay signed in.
	Persistent bool
	// InsideNetwork is a fact of this request's client address.
	InsideNetwork bool
	// SessionIndex is a public name of the session, not its secret.
	SessionIndex string
}

// Field is one hidden field of the hand-over form.
type Field struct{ Name, Value string }

// Answer is what a protocol sends to a relying party through the browser: a form
// that posts itself. Action comes from the registry, never from a request.
type Answer struct {
	Action string
	Fields []Field
	// TokenID, KeyID, NameID and Issuer describe the token for the audit record.
	TokenID, KeyID, NameID, Issuer string
	// Link is set for a party that signs people out server to server: the name by which
	// it finds the session, and what tells sessions of one name apart.
	Link, LinkLabel string
	// Detail is what else the audit record of the token says of the request.
	Detail string
	// Refusal is set when the fields hold no token but tell the party why there is
	// none; it is the reason, for the audit record.
	Refusal error
}

// ErrPassive says that a passive request cannot be answered without asking the
// person something. The protocol tells its party so.
var ErrPassive = errors.New("federation: a passive request needs the person")

// ErrUsed says that a request has been answered with a token before. The flow
// shows the finished page where the browser is signed in, and an error elsewhere.
var ErrUsed = errors.New("federation: the request was answered before")

// Responder makes a protocol's answer for a signed-in subject. Errors are
// [*Error] where the person can be told more than "our side".
type Responder interface {
	Respond(ctx context.Context, req *SignInRequest, sub *Subject) (*Answer, error)
}

// Namer is a [Responder] whose parties may know a person by more than one name.
type Namer interface {
	// NameOf returns what a session keeps beside the party of a request, so that a later
	// sign-out finds the name that the answer will have: no space, and empty for the
	// usual one.
	NameOf(req *SignInRequest) string
}

// Ledger is a [Responder] that answers each request of a name once, so that a request
// which comes again, in whatever browser, is refused before anybody types a password.
type Ledger interface {
	// Named reports whether the request has a name and Respond answers it once.
	Named(req *SignInRequest) bool
	// Answered returns an error that wraps [ErrUsed] when a named request was answered
	// before, and nil when it was not or nobody can say: Respond decides.
	Answered(ctx context.Context, req *SignInRequest) error
}

// Problem is a key of the error catalogue (ui.md section 5): the public half of
// an error. Pages take their texts from it.
type Problem string

// The problems that have a page of their own. In-place messages of the sign-in
// form are listed with package signin.
const (
	ProblemDisabled       Problem = "disabled"
	ProblemAccountExpired Problem = "account_expired"
	ProblemHours          Problem = "hours"
	ProblemRestricted     Problem = "restricted"
	ProblemNotReady       Problem = "not_ready"
	ProblemNotAllowed     Problem = "not_allowed"
	ProblemDirectory      Problem = "directory"
	ProblemThrottled      Problem = "throttled"
	ProblemBusy           Problem = "busy"
	ProblemStale          Problem = "stale"
	ProblemCookies        Problem = "cookies"
	ProblemLoop           Problem = "loop"
	ProblemUnknownParty   Problem = "unknown_party"
	ProblemBadRequest     Problem = "bad_request"
	ProblemMethod         Problem = "method"
	ProblemNotFound       Problem = "notfound"
	ProblemInternal       Problem = "internal"
	// ProblemChangeElsewhere: the password is right but has to be changed, and
	// cannot be changed here.
	ProblemChangeElsewhere Problem = "change_elsewhere"
)

// Error is an error with two audiences: Problem is what the person is told, Cause
// what the log record says. Status is the HTTP status; zero means the problem's
// usual one.
type Error struct {
	Problem Problem
	Status  int
	// Party is set once the relying party is known, for texts and "start again".
	Party *RelyingParty
	// RetryAfter fills {n} and the Retry-After header; zero means none.
	RetryAfter time.Duration
	// Retry is the sealed sign-in transaction with which "try again" and "start
	// again" go on; package signin sets it. Empty means there is none.
	Retry string
	// Cause is for logs and audit; it may hold request values, never secrets.
	Cause error
}

// Error implements error; the text is for logs.
func (e *Error) Error() string {
	if e.Cause == nil {
		return string(e.Problem)
	}
	return string(e.Problem) + ": " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Refuse returns an [*Error] for a protocol request that is refused.
func Refuse(p Problem, rp *RelyingParty, cause error) *Error {
	return &Error{Problem: p, Party: rp, Cause: cause}
}

// ProblemOf returns the problem that err carries, [ProblemInternal] when none.
func ProblemOf(err error) Problem {
	var e *Error
	if errors.As(err, &e) {
		return e.Problem
	}
	return ProblemInternal
}
