package saml

import (
	"errors"
	"fmt"

	"sallyport/federation"
)

// refusal is a refusal that the party is told by a Status. Everything else that
// goes wrong is a [*federation.Error] and a page of ours.
type refusal struct {
	top, second status
	// to is where the answer goes: an address of the registry.
	to    *Endpoint
	cause error
}

// Error implements error; the text is for logs.
func (r *refusal) Error() string { return string(r.second) + ": " + r.cause.Error() }

// Unwrap returns the cause.
func (r *refusal) Unwrap() error { return r.cause }

// problem is what our own records call it.
func (r *refusal) problem() federation.Problem {
	var fe *federation.Error
	if errors.As(r.cause, &fe) {
		return fe.Problem
	}
	return federation.ProblemNotAllowed
}

func refuse(top, second status, format string, args ...any) *refusal {
	return &refusal{top: top, second: second, cause: fmt.Errorf("saml: "+format, args...)}
}

// bad is a message that is answered by a page of ours.
func bad(p *Party, format string, args ...any) error {
	var rp *federation.RelyingParty
	if p != nil {
		rp = &p.RelyingParty
	}
	return federation.Refuse(federation.ProblemBadRequest, rp, fmt.Errorf("saml: "+format, args...))
}
