package saml

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"sallyport/federation"
	"sallyport/federation/token"
	"sallyport/federation/web"
)

// Claims decides what a party is told about a person; package claims implements
// it. Errors are [*federation.Error].
type Claims interface {
	For(ctx context.Context, req *federation.SignInRequest, sub *federation.Subject) (*token.Assertion, error)
}

// Once remembers that something was used; the session store implements it. It
// reports true for the first call with a key and false for later ones until ttl
// has passed, and is safe for concurrent use.
type Once interface {
	Once(ctx context.Context, purpose, key string, ttl time.Duration) (first bool, err error)
	// Seen reports whether Once would report false, and changes nothing.
	Seen(ctx context.Context, purpose, key string) (bool, error)
}

// answerWithin is how long after its arrival a request may be answered. Ids are
// remembered for that long and the window of their instants.
const answerWithin = 2 * time.Hour

// Responder implements [federation.Responder]: the Response in the form that goes
// to the party.
type Responder struct {
	// Parties returns the registry in force.
	Parties func() *Registry
	// Claims returns the engine in force.
	Claims func() Claims
	// Signer returns the signer in force; called once for every answer.
	Signer func() *token.Signer
	// Issuer returns the service's own entity id, which names answers without a
	// person. Called for every answer.
	Issuer func() string
	// Identifiers computes opaque name identifiers.
	Identifiers Identifiers
	// Used remembers answered requests on every instance; Fallback on this one, for
	// as long as Used does not answer. Both required.
	Used, Fallback Once
	// Issued is told the key of each party for which a token was made. Nil: nobody is.
	Issued func(party string)
	// Logger is told when Used does not answer. Nil: nobody is.
	Logger *slog.Logger
	// Now is the clock. Nil: [time.Now].
	Now func() time.Time
}

func (r *Responder) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// Respond implements [federation.Responder].
func (r *Responder) Respond(ctx context.Context, req *federation.SignInRequest, sub *federation.Subject) (*federation.Answer, error) {
	p := r.Parties().ByKey(req.Party.Key)
	// The request came back through the browser, sealed, and the registry may have
	// changed meanwhile: what is registered now decides.
	if p == nil || !slices.Contains(p.ReplyURLs, req.ReplyTo) || !slices.Contains(p.Identifiers, req.Realm) {
		return nil, federation.Refuse(federation.ProblemUnknownParty, req.Party,
			fmt.Errorf("saml: %q at %q is not registered any more", req.Realm, req.ReplyTo))
	}
	x, err := parseExtra(req.Extra)
	if err != nil {
		return nil, err
	}
	if age := r.now().Sub(x.accepted); age > answerWithin {
		return nil, federation.Refuse(federation.ProblemStale, &p.RelyingParty, fmt.Errorf("saml: the request is %v old", age))
	}
	own := *req
	own.Party = &p.RelyingParty
	answer, err := r.answer(ctx, p, &own, sub, x)
	var told *refusal
	if errors.As(err, &told) {
		told.to = &Endpoint{URL: req.ReplyTo}
		return r.refuse(ctx, &p.RelyingParty, told, x.id, req)
	}
	return answer, err
}

// purposeRequest is under which answered requests are remembered.
const purposeRequest = "saml request"

// first marks the request as answered.
func (r *Responder) first(ctx context.Context, req *federation.SignInRequest, x *extra) error {
	if x.id == "" || x.repeatable {
		return nil
	}
	return r.once(ctx, purposeRequest, req.Realm, x.id)
}

// once marks an id of a party as used.
func (r *Responder) once(ctx context.Context, purpose, entity, id string) error {
	key := entity + " " + id
	if seen, err := r.Fallback.Seen(ctx, purpose, key); err == nil && seen { // while the store was down
		return used(entity, id)
	}
	first, err := r.Used.Once(ctx, purpose, key, answerWithin+time.Hour)
	if err != nil {
		if r.Logger != nil {
			r.Logger.LogAttrs(ctx, slog.LevelWarn, "answered requests are remembered by this instance alone", slog.String("error", err.Error()))
		}
		if first, err = r.Fallback.Once(ctx, purpose, key, answerWithin+time.Hour); err != nil {
			return fmt.Errorf("saml: nobody can say whether the request was answered before: %w", err)
		}
	}
	if !first {
		return used(entity, id)
	}
	return nil
}

// used refuses an id that was used before.
func used(entity, id string) error {
	return fmt.Errorf("saml: request %s of %s: %w", id, entity, federation.ErrUsed)
}

// Named implements [federation.Ledger]: sign-ins that begin here have no id.
func (r *Responder) Named(req *federation.SignInRequest) bool {
	x, err := parseExtra(req.Extra)
	return err == nil && x.id != ""
}

// Answered implements [federation.Ledger].
func (r *Responder) Answered(ctx context.Context, req *federation.SignInRequest) error {
	x, err := parseExtra(req.Extra)
	if err != nil || x.id == "" {
		return nil
	}
	for _, memory := range []Once{r.Fallback, r.Used} { // what is near first
		if seen, err := memory.Seen(ctx, purposeRequest, req.Realm+" "+x.id); err == nil && seen {
			return used(req.Realm, x.id)
		}
	}
	return nil
}

// answer makes the token and its Response, for the POST binding.
func (r *Responder) answer(ctx context.Context, p *Party, req *federation.SignInRequest, sub *federation.Subject, x *extra) (*federation.Answer, error) {
	m, err := r.make(ctx, p, req, sub, x)
	if err != nil {
		return nil, err
	}
	out := post(req.ReplyTo, m.message, req)
	out.Detail = x.detail
	out.TokenID, out.KeyID, out.NameID, out.Issuer = m.assertion.ID, m.keyID, m.assertion.NameID, m.assertion.Issuer
	// Whatever the party's own binding: parties that offer the browser may still sign
	// people out server to server where metadata names that.
	if p.Logout != nil && len(p.Certificates) > 0 && !p.Microsoft365 {
		out.Link, out.LinkLabel = linkName(p.Key, m.assertion.NameID), m.assertion.SessionIndex
	}
	return out, nil
}

// made is a Response with its assertion.
type made struct {
	message   []byte
	assertion *token.Assertion
	keyID     string
}

// make makes the token and its Response. Errors are [*federation.Error], or a
// [*refusal] when the party is told.
func (r *Responder) make(ctx context.Context, p *Party, req *federation.SignInRequest, sub *federation.Subject, x *extra) (*made, error) {
	a, err := r.Claims().For(ctx, req, sub)
	if err != nil {
		return nil, tellable(p, err)
	}
	if err := r.complete(a, p, sub, x); err != nil {
		return nil, err
	}
	if err := r.first(ctx, req, x); err != nil {
		return nil, err
	}
	signer := r.Signer()
	write := signer.AppendAssertion
	if p.Sign == SignResponse {
		write = token.AppendUnsigned // the response's signature covers it
	}
	assertion, err := write(nil, a)
	if err != nil {
		problem := federation.ProblemInternal
		if errors.Is(err, token.ErrCharacter) {
			problem = federation.ProblemNotReady
		}
		return nil, tellable(p, federation.Refuse(problem, req.Party, fmt.Errorf("saml: writing the token: %w", err)))
	}
	if p.Encrypt != nil {
		if assertion, err = encryptAssertion(assertion, p); err != nil {
			return nil, fmt.Errorf("saml: encrypting the token: %w", err)
		}
	}
	res := &response{
		id: token.NewID(), inResponseTo: x.id, destination: req.ReplyTo, issuer: a.Issuer, instant: a.IssueInstant,
		top: success, assertion: assertion,
	}
	by := signer
	if p.Sign == SignAssertion {
		by = nil
	}
	message, err := appendResponse(nil, res, by)
	if err != nil {
		return nil, fmt.Errorf("saml: writing the response: %w", err)
	}
	if r.Issued != nil {
		r.Issued(p.Key)
	}
	return &made{message, a, signer.KeyID()}, nil
}

// tellable makes a refusal that is about the person one that the party is told, who
// would otherwise wait for an answer. People of Microsoft 365 who are not set up for
// it see our page: Microsoft's would say less.
func tellable(p *Party, err error) error {
	switch federation.ProblemOf(err) {
	case federation.ProblemNotAllowed:
		return &refusal{top: responder, second: requestDenied, cause: err}
	case federation.ProblemNotReady:
		if p.Microsoft365 {
			return err
		}
		return &refusal{top: responder, second: requestDenied, cause: err}
	case federation.ProblemDisabled, federation.ProblemAccountExpired:
		return &refusal{top: responder, second: authnFailed, cause: err}
	}
	return err
}

// complete adds what SAML's answer has beside the claims.
func (r *Responder) complete(a *token.Assertion, p *Party, sub *federation.Subject, x *extra) error {
	a.InResponseTo, a.SessionIndex = x.id, sub.SessionIndex
	if x.class != "" {
		a.AuthnMethod = x.class
	}
	if p.Microsoft365 {
		// IDPEmail has neither a namespace nor a format.
		a.Attributes = append([]token.Attribute{{Name: "IDPEmail", Values: []string{sub.Account.UPN}}}, a.Attributes...)
	}
	format := x.format
	if format == formatEncrypted {
		format = p.NameIDFormat
	}
	if err := r.Identifiers.name(a, p, format, sub); err != nil {
		return &refusal{top: requester, second: invalidNameIDPolicy, cause: fmt.Errorf("%w: %s", err, format)}
	}
	if x.format == formatEncrypted {
		if p.Encrypt == nil { // not any more
			return noKey()
		}
		var err error
		if a.EncryptedID, err = encryptID(a, p); err != nil {
			return fmt.Errorf("saml: encrypting the name identifier: %w", err)
		}
	}
	if x.subject != "" && !sameSubject(x, a, sub) {
		return refuse(responder, unknownPrincipal, "the party asked for %.200q", x.subject)
	}
	return nil
}

// refuse makes the answer that tells a party why it gets no token.
func (r *Responder) refuse(ctx context.Context, rp *federation.RelyingParty, told *refusal, inResponseTo string, req *federation.SignInRequest) (*federation.Answer, error) {
	message, keyID, err := r.refusal(ctx, told, inResponseTo)
	if err != nil {
		return nil, err
	}
	out := post(told.to.URL, message, req)
	out.Refusal, out.KeyID, out.Issuer = federation.Refuse(told.problem(), rp, told), keyID, r.Issuer()
	return out, nil
}

// refusal writes the Response that tells a party why it gets no token.
func (r *Responder) refusal(ctx context.Context, told *refusal, inResponseTo string) (message []byte, keyID string, err error) {
	signer := r.Signer()
	message, err = appendResponse(nil, &response{
		id: token.NewID(), inResponseTo: inResponseTo, destination: told.to.URL, issuer: r.Issuer(), instant: r.now(),
		top: told.top, second: told.second, reference: web.From(ctx).Reference,
	}, signer)
	if err != nil {
		return nil, "", fmt.Errorf("saml: writing the response: %w", err)
	}
	return message, signer.KeyID(), nil
}

// post is the form of the POST binding (SAML Bindings 2.0 §3.5.4).
func post(to string, message []byte, req *federation.SignInRequest) *federation.Answer {
	fields := append(make([]federation.Field, 0, 2), federation.Field{Name: "SAMLResponse", Value: base64.StdEncoding.EncodeToString(message)})
	if req.HasState {
		fields = append(fields, federation.Field{Name: "RelayState", Value: req.State})
	}
	return &federation.Answer{Action: to, Fields: fields}
}
