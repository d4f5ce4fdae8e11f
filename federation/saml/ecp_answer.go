package saml

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/authn/password"
	"sallyport/federation"
	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/token"
	"sallyport/federation/web"
)

// tell answers a request that cannot be met with a Status.
func (h *ECP) tell(w http.ResponseWriter, r *http.Request, q *enhanced, told *refusal) error {
	to := q.party.enhancedConsumer()
	if told.to != nil {
		to = told.to
	}
	told.to = to
	message, _, err := h.cfg.Messages.cfg.Responder.refusal(r.Context(), told, q.head.id)
	if err != nil {
		return err
	}
	_ = h.cfg.Messages.audited(r, q.party, strings.TrimPrefix(string(told.second), statusPrefix), told)
	return h.send(w, to.URL, q.signed, message)
}

// issue answers a person who has proved who they are.
func (h *ECP) issue(w http.ResponseWriter, r *http.Request, q *enhanced, res *authn.Result) error {
	ctx := r.Context()
	sub := &federation.Subject{
		Account: res.Account, Method: authn.MethodPassword, AuthenticatedAt: res.At, SessionStarted: res.At,
		InsideNetwork: web.From(ctx).Inside,
		SessionIndex:  token.NewID(), // parties expect one; it leads to no session
	}
	x, err := parseExtra(q.req.Extra)
	if err != nil {
		return err
	}
	x.repeatable = true // each copy brings the password itself
	made, err := h.cfg.Messages.cfg.Responder.make(ctx, q.party, q.req, sub, x)
	if err != nil {
		return h.noToken(r, q, sub, err)
	}
	e := h.event(r, audit.TokenIssued, q, sub.Account)
	e.Method, e.TokenID, e.KeyID, e.Subject, e.Issuer = authn.MethodPassword.String(), made.assertion.ID, made.keyID, made.assertion.NameID, made.assertion.Issuer
	if err := h.cfg.Audit.Record(ctx, e); err != nil {
		return h.count("failed", fmt.Errorf("saml: audit: %w", err))
	}
	return h.count("issued", h.send(w, q.req.ReplyTo, q.signed, made.message))
}

// noToken answers a person who is known and gets no token. That the password was
// right shows neither in the answer nor in the time.
func (h *ECP) noToken(r *http.Request, q *enhanced, sub *federation.Subject, cause error) error {
	problem := federation.ProblemOf(cause)
	var told *refusal
	if errors.As(cause, &told) {
		problem = told.problem()
	}
	e := h.event(r, audit.TokenRefused, q, sub.Account)
	e.Reason, e.Detail = string(problem), cause.Error()
	if err := h.cfg.Audit.Record(context.WithoutCancel(r.Context()), e); err != nil {
		cause = errors.Join(cause, fmt.Errorf("saml: audit: %w", err))
	}
	switch problem {
	case federation.ProblemInternal, federation.ProblemDirectory, federation.ProblemBusy:
		return h.count("failed", cause)
	}
	password.Schedule{}.Wait(r.Context(), q.begun)
	return h.count("refused", unauthorized(q.party, cause))
}

// event begins an audit event of this request.
func (h *ECP) event(r *http.Request, code audit.Code, q *enhanced, acc *authn.Account) *audit.Event {
	info := web.From(r.Context())
	return &audit.Event{
		Time: h.cfg.Now(), Code: code, Reference: info.Reference, CorrelationID: info.CorrelationID, Protocol: protocolECP,
		Inside: info.Inside, Client: info.Client.String(), Party: q.req.Realm,
		Account: acc.ID.String(), AccountName: acc.Name(), UPN: acc.UPN, Detail: info.Behalf(),
	}
}

// send writes the envelope (SAML Profiles 2.0 §4.2.4.2): the address lets the client
// see that the answer is for the party that it asked for.
func (h *ECP) send(w http.ResponseWriter, to string, authenticated bool, message []byte) error {
	var x xmlsec.Writer
	x.Reset(make([]byte, 0, 1024+len(message)))
	block := ` xmlns:ecp="` + nsECP + `" S:actor="http://schemas.xmlsoap.org/soap/actor/next" S:mustUnderstand="`
	x.Raw(soapStart + `<S:Header><ecp:Response` + block + `1" AssertionConsumerServiceURL="`)
	x.Attr("AssertionConsumerServiceURL", to)
	x.Raw(`"/>`)
	if authenticated {
		x.Raw(`<ecp:RequestAuthenticated` + block + `0"/>`)
	}
	x.Raw(`</S:Header><S:Body>`)
	x.RawBytes(message)
	x.Raw(soapEnd)
	body, err := x.Bytes()
	if err != nil {
		return err
	}
	return sendSOAP(w, http.StatusOK, body)
}
