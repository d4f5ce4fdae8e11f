package wsfed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"sallyport/federation"
	"sallyport/federation/token"
)

// Claims decides what a party is told about a person; package claims implements
// it. Errors are [*federation.Error].
type Claims interface {
	For(ctx context.Context, req *federation.SignInRequest, sub *federation.Subject) (*token.Assertion, error)
}

// Responder implements [federation.Responder]: the signed token in its frame, as
// the fields of the form that goes to the party.
type Responder struct {
	// Claims returns the engine in force; called for every token.
	Claims func() Claims
	// Signer returns the signer in force; called once for every token.
	Signer func() *token.Signer
}

// scratch holds buffers in which tokens are written, wiped after use: a buffer of
// its own would be the half of what a token takes of memory.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// Respond implements [federation.Responder]. The fields are those of [MS-MWBF]
// 2.2.4 in AD FS's order; wctx is there only if the request had one.
func (r *Responder) Respond(ctx context.Context, req *federation.SignInRequest, sub *federation.Subject) (*federation.Answer, error) {
	rp := req.Party
	// The request came back through the browser, sealed, and the registry may have
	// changed meanwhile: what is registered now decides.
	if !slices.Contains(rp.ReplyURLs, req.ReplyTo) || !slices.Contains(rp.Identifiers, req.Realm) {
		return nil, federation.Refuse(federation.ProblemUnknownParty, rp,
			fmt.Errorf("wsfed: %q at %q is not registered any more", req.Realm, req.ReplyTo))
	}
	a, err := r.Claims().For(ctx, req, sub)
	if err != nil {
		return nil, err
	}
	signer := r.Signer()
	buf := scratch.Get().(*[]byte)
	written, err := signer.AppendRSTR((*buf)[:0], a)
	wresult := string(written)
	if err == nil {
		clear(written)
		*buf = written
	}
	scratch.Put(buf)
	if err != nil {
		problem := federation.ProblemInternal
		if errors.Is(err, token.ErrCharacter) {
			problem = federation.ProblemNotReady
		}
		return nil, federation.Refuse(problem, rp, fmt.Errorf("wsfed: writing the token: %w", err))
	}
	fields := make([]federation.Field, 0, 3)
	fields = append(fields, federation.Field{Name: "wa", Value: signInAction}, federation.Field{Name: "wresult", Value: wresult})
	if req.HasState {
		fields = append(fields, federation.Field{Name: "wctx", Value: req.State})
	}
	return &federation.Answer{Action: req.ReplyTo, Fields: fields, TokenID: a.ID, KeyID: signer.KeyID(), NameID: a.NameID, Issuer: a.Issuer}, nil
}
