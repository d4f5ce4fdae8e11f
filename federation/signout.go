package federation

// SignOut is one protocol's request to end the browser's session, made by a
// protocol handler after its own checks.
type SignOut struct {
	// Protocol is wsfed or saml.
	Protocol string
	// Party is the relying party that asked; nil when the request names none.
	Party *RelyingParty
	// ReplyTo is a registered address to go on to afterwards, empty for none. It
	// comes from the registry, never from a request.
	ReplyTo string
	// Onward is an answer to Party that the browser posts afterwards, in place of
	// ReplyTo; nil for none.
	Onward *Answer
	// Ended are the parties that confirmed the sign-out, Unknown those that did not, or
	// cannot be told.
	Ended, Unknown []*RelyingParty
	// CorrelationID is client-request-id when it has the form of a GUID.
	CorrelationID string
	// Quiet ends the session and its cookies and writes no body: the caller
	// answers by itself (wsignoutcleanup1.0, which parties load in a frame).
	Quiet bool
}
