package wstrust

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/authn/password"
	"sallyport/federation"
	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/token"
	"sallyport/federation/web"
)

// The authentication method of a password in SAML 1.1 (SAML Core 1.1 §7.1.1), and
// the claim that repeats it.
const (
	methodPassword = "urn:oasis:names:tc:SAML:1.0:am:password"
	claimMethods   = "authnmethodsreferences"
)

// issue answers according to the verdict on the password.
func (h *Handler) issue(w http.ResponseWriter, r *http.Request, req *Request, rp *federation.RelyingParty, res authn.Result) error {
	if res.Reason != authn.Accepted {
		return h.verdict(r, req, rp, res)
	}
	sub := &federation.Subject{
		Account: res.Account, Method: authn.MethodPassword, AuthenticatedAt: res.At, SessionStarted: res.At,
		InsideNetwork: web.From(r.Context()).Inside,
	}
	a, err := h.assertion(r.Context(), req, rp, sub)
	if err != nil {
		return h.noToken(r, req, rp, sub, err)
	}
	signer := h.cfg.Signer()
	answer, err := appendAnswer(make([]byte, 0, 12<<10), req, a, signer, h.cfg.Now())
	if err != nil {
		if errors.Is(err, token.ErrCharacter) {
			err = federation.Refuse(federation.ProblemNotReady, rp, err)
		}
		return h.noToken(r, req, rp, sub, fmt.Errorf("writing the token: %w", err))
	}
	e := h.event(r, audit.TokenIssued, rp, sub.Account)
	e.Party, e.Method, e.TokenID, e.KeyID, e.Subject, e.Issuer = req.AppliesTo, authn.MethodPassword.String(), a.ID, signer.KeyID(), a.NameID, a.Issuer
	if err := h.cfg.Audit.Record(r.Context(), e); err != nil {
		return h.failed(req, rp, fmt.Errorf("audit: %w", err))
	}
	head := w.Header()
	head.Set("Content-Type", soapType)
	head.Set("Content-Length", strconv.Itoa(len(answer)))
	_, err = w.Write(answer)
	return h.count(req.Version.route(), "issued", err)
}

// assertion asks the claims engine, and narrows what it says to what was asked.
func (h *Handler) assertion(ctx context.Context, req *Request, rp *federation.RelyingParty, sub *federation.Subject) (*token.Assertion, error) {
	sr := &federation.SignInRequest{Protocol: protocol, Party: rp, Realm: req.AppliesTo, ReplyTo: req.AppliesTo}
	if len(rp.ReplyURLs) > 0 {
		sr.ReplyTo = rp.ReplyURLs[0]
	}
	a, err := h.cfg.Claims().For(ctx, sr, sub)
	if err != nil {
		return nil, err
	}
	if a.Version == federation.SAML11 {
		was := a.AuthnMethod
		a.AuthnMethod = methodPassword
		for i := range a.Attributes {
			at := &a.Attributes[i]
			if at.Name == claimMethods && len(at.Values) == 1 && at.Values[0] == was {
				at.Values = []string{methodPassword}
			}
		}
	}
	if wish := a.IssueInstant.Add(req.Lifetime); req.Lifetime > 0 && wish.Before(a.NotOnOrAfter) {
		a.NotOnOrAfter = wish
		if a.Version == federation.SAML20 && wish.Before(a.SubjectNotOnOrAfter) {
			a.SubjectNotOnOrAfter = wish
		}
	}
	return a, nil
}

// verdict answers credentials that were not accepted: one fault for all of them.
func (h *Handler) verdict(r *http.Request, req *Request, rp *federation.RelyingParty, res authn.Result) error {
	if res.Reason.Undecided() || res.Reason == authn.Accepted {
		err := fmt.Errorf("nobody could judge the password: %s", res.Reason)
		if res.Reason == authn.Busy {
			return h.failed(req, rp, &federation.Error{Problem: federation.ProblemBusy, Cause: err})
		}
		return h.failed(req, rp, &federation.Error{Problem: federation.ProblemDirectory, Cause: err})
	}
	kind := faultAuthentication
	expired := res.Reason == authn.PasswordExpired || res.Reason == authn.MustChange
	if expired && h.cfg.TellExpired != nil && h.cfg.TellExpired() && web.From(r.Context()).Inside {
		kind = faultExpired
	}
	// The pipeline has written the audit event; the log record has the same reason.
	return h.count(req.Version.route(), faults[kind].result,
		refusal(&fault{kind: kind, relatesTo: req.MessageID, cause: errors.New(res.Reason.String())}, rp))
}

// repeated answers a message whose first copy was refused, with that verdict.
func (h *Handler) repeated(r *http.Request, v Version, req *Request, res authn.Result) error {
	e := h.event(r, audit.RequestRefused, nil, nil)
	e.Party, e.Reason, e.Detail = req.AppliesTo, "repeated", "copy of a message that was refused: "+res.Reason.String()
	if err := h.cfg.Audit.Record(context.WithoutCancel(r.Context()), e); err != nil {
		h.cfg.Logger.Error("audit event of a repeated message was not recorded", "ref", e.Reference, "error", err)
	}
	h.results.WithLabelValues(v.route(), "repeated").Inc()
	return h.verdict(r, req, nil, res)
}

// noToken answers a person who is known and gets no token. That the password was
// right shows neither in the text nor in the time.
func (h *Handler) noToken(r *http.Request, req *Request, rp *federation.RelyingParty, sub *federation.Subject, cause error) error {
	problem := federation.ProblemOf(cause)
	e := h.event(r, audit.TokenRefused, rp, sub.Account)
	e.Party, e.Reason, e.Detail = req.AppliesTo, string(problem), cause.Error()
	if err := h.cfg.Audit.Record(context.WithoutCancel(r.Context()), e); err != nil {
		cause = errors.Join(cause, fmt.Errorf("audit: %w", err))
	}
	switch problem {
	case federation.ProblemInternal, federation.ProblemDirectory, federation.ProblemBusy:
		return h.failed(req, rp, cause)
	}
	password.Schedule{}.Wait(r.Context(), req.begun)
	return h.count(req.Version.route(), faults[faultAuthentication].result,
		refusal(&fault{kind: faultAuthentication, relatesTo: req.MessageID, cause: cause}, rp))
}

// failed answers what is our side's fault.
func (h *Handler) failed(req *Request, rp *federation.RelyingParty, cause error) error {
	e := refusal(&fault{kind: faultFailed, relatesTo: req.MessageID, cause: cause}, rp)
	if e.Problem == federation.ProblemBusy {
		e.Status, e.RetryAfter = http.StatusServiceUnavailable, busyRetry
	}
	return h.count(req.Version.route(), faults[faultFailed].result, e)
}

// busyRetry is what clients are told when there is too much to do.
const busyRetry = 30 * time.Second

// refused counts and records the refusal of a message before any credentials.
func (h *Handler) refused(r *http.Request, v Version, rp *federation.RelyingParty, err error) error {
	f := faultOf(err)
	e := h.event(r, audit.RequestRefused, rp, nil)
	e.Reason, e.Detail = faults[f.kind].result, f.Error()
	if aerr := h.cfg.Audit.Record(context.WithoutCancel(r.Context()), e); aerr != nil {
		h.cfg.Logger.Error("audit event of a refused message was not recorded", "ref", e.Reference, "error", aerr)
	}
	return h.count(v.route(), faults[f.kind].result, err)
}

// event begins an audit event of this request.
func (h *Handler) event(r *http.Request, code audit.Code, rp *federation.RelyingParty, acc *authn.Account) *audit.Event {
	info := web.From(r.Context())
	e := &audit.Event{
		Time: h.cfg.Now(), Code: code, Reference: info.Reference, CorrelationID: info.CorrelationID, Protocol: protocol, Inside: info.Inside, Detail: info.Behalf(),
	}
	if info.Client.IsValid() {
		e.Client = info.Client.String()
	}
	if rp != nil {
		e.Party = rp.Identifiers[0]
	}
	if acc != nil {
		e.Account, e.AccountName, e.UPN = acc.ID.String(), acc.Name(), acc.UPN
	}
	return e
}

// soapType is the content type of every SOAP answer.
const soapType = "application/soap+xml; charset=utf-8"

// appendAnswer appends the whole answer: the frame, and in it the assertion byte
// for byte as it was signed, alone in its element (WS-Trust §4.4.2). Lifetime
// repeats its conditions, AppliesTo its audience.
func appendAnswer(dst []byte, req *Request, a *token.Assertion, s *token.Signer, now time.Time) ([]byte, error) {
	ed := req.Version.edition()
	p := ed.prefix + ":"
	var w xmlsec.Writer
	w.Reset(dst)
	header(&w, ed.response, req.MessageID, now)
	w.Raw(ed.wrapStart + `<` + p + `RequestSecurityTokenResponse`)
	if ed.wrapStart == "" {
		w.Raw(` xmlns:` + ed.prefix + `="` + ed.ns + `"`)
	}
	w.Raw(`><` + p + `Lifetime><wsu:Created xmlns:wsu="` + nsWSU + `">`)
	w.Time("NotBefore", a.NotBefore)
	w.Raw(`</wsu:Created><wsu:Expires xmlns:wsu="` + nsWSU + `">`)
	w.Time("NotOnOrAfter", a.NotOnOrAfter)
	w.Raw(`</wsu:Expires></` + p + `Lifetime><wsp:AppliesTo xmlns:wsp="` + nsPolicy + `"><wsa:EndpointReference xmlns:wsa="` + nsWSA + `"><wsa:Address>`)
	w.Text("AppliesTo", a.Audience)
	w.Raw(`</wsa:Address></wsa:EndpointReference></wsp:AppliesTo><` + p + `RequestedSecurityToken>`)
	out, err := w.Bytes()
	if err != nil {
		return dst, err
	}
	if out, err = s.AppendAssertion(out, a); err != nil {
		return dst, err
	}
	w.Reset(out)
	w.Raw(`</` + p + `RequestedSecurityToken>`)
	for _, name := range [...]string{"RequestedAttachedReference", "RequestedUnattachedReference"} {
		w.Raw(`<` + p + name + `>`)
		reference(&w, a)
		w.Raw(`</` + p + name + `>`)
	}
	kind := tokenSAML11
	if a.Version == federation.SAML20 {
		kind = tokenSAML20
	}
	w.Raw(`<` + p + `TokenType>` + kind + `</` + p + `TokenType><` + p + `RequestType>` + ed.ns + `/Issue</` + p + `RequestType><` + p +
		`KeyType>` + ed.keyType + `</` + p + `KeyType></` + p + `RequestSecurityTokenResponse>` + ed.wrapEnd + envelopeEnd)
	return w.Bytes()
}

// reference names the assertion as the SAML token profiles say (1.1 §3.4).
func reference(w *xmlsec.Writer, a *token.Assertion) {
	kind, value := samlProfile11+"#SAMLV1.1", samlProfile10+"#SAMLAssertionID"
	if a.Version == federation.SAML20 {
		kind, value = samlProfile11+"#SAMLV2.0", samlProfile11+"#SAMLID"
	}
	w.Raw(`<o:SecurityTokenReference xmlns:o="` + nsWSSE + `" xmlns:k="` + nsWSSE11 + `" k:TokenType="` + kind +
		`"><o:KeyIdentifier ValueType="` + value + `">` + a.ID + `</o:KeyIdentifier></o:SecurityTokenReference>`)
}
