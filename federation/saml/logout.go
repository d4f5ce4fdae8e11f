package saml

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"

	"sallyport/federation"
	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/token"
)

// Logout is where a party hears of sign-outs.
type Logout struct {
	// URL takes requests, ResponseURL answers; empty means URL.
	URL, ResponseURL string
	// Binding is [BindingRedirect] (also when empty), [BindingPost], or [BindingSOAP]
	// for a party that needs no browser for it.
	Binding string
	// Public says that the address is the party's own word, not an admin's: with
	// BindingSOAP it is reached by [BackChannel].Public.
	Public bool
}

func (l *Logout) answerTo() string {
	if l.ResponseURL != "" {
		return l.ResponseURL
	}
	return l.URL
}

// logoutRequest is a LogoutRequest (SAML Core 2.0 §3.7.1).
type logoutRequest struct {
	head
	value, format, nameQualifier, spNameQualifier string
	notOnOrAfter                                  time.Time
	indexes                                       []string
}

// readLogout reads what a head left.
func readLogout(h *head, e *etree.Element) (*logoutRequest, error) {
	q := &logoutRequest{head: *h}
	if value, ok := xmlsec.Attr(e, "NotOnOrAfter"); ok {
		var err error
		if q.notOnOrAfter, err = xmlsec.Instant(value); err != nil {
			return nil, fmt.Errorf("%w: NotOnOrAfter: %w", errRequest, err)
		}
	}
	id, err := xmlsec.One(e, nsAssertion, "NameID")
	if err != nil {
		return nil, fmt.Errorf("%w: NameID: %w", errRequest, err)
	}
	if q.value, err = xmlsec.Text(id); err != nil || q.value == "" {
		return nil, fmt.Errorf("%w: NameID is empty or no text", errRequest)
	}
	q.format, _ = xmlsec.Attr(id, "Format")
	q.nameQualifier, _ = xmlsec.Attr(id, "NameQualifier")
	q.spNameQualifier, _ = xmlsec.Attr(id, "SPNameQualifier")
	q.indexes, err = indexesOf(e)
	return q, err
}

// unsignedLogout reports whether a sign-out that the party's message asks for counts
// without a signature, and whomever it names: Microsoft 365's, of which nobody has
// published whether it is signed or what names the person. It can do no more than
// wsignout1.0 on the same address, which anybody may send ([MS-MWBF] note 5).
func (p *Party) unsignedLogout(e *envelope) bool {
	return p.Microsoft365 && e.at == "" && !e.response
}

// logout serves a LogoutRequest of a party. It must be signed whatever the party's
// settings say, or strangers could sign people out (SAML Profiles 2.0 §4.4.4.1); see
// [Party.unsignedLogout].
func (h *Handler) logout(w http.ResponseWriter, r *http.Request, e *envelope) error {
	head, p, root, err := h.sender(r.Context(), e, true)
	switch {
	case err != nil:
		return h.refused(r, p, err)
	case p.Logout == nil:
		return h.refused(r, p, bad(p, "the party has no address for answers to its sign-outs"))
	case p.Logout.Binding == BindingSOAP:
		return h.refused(r, p, bad(p, "the party signs people out by SOAP and not by the browser"))
	}
	if second, ok := versionOf(head); !ok {
		return h.answerLogout(w, r, p, head.id, "", e, versionMismatch, second)
	}
	q, err := readLogout(head, root)
	if err != nil {
		return h.answerLogout(w, r, p, head.id, "", e, requester, "")
	}
	if !q.notOnOrAfter.IsZero() && !q.notOnOrAfter.After(h.cfg.Now()) {
		return h.refused(r, p, federation.Refuse(federation.ProblemStale, &p.RelyingParty, errors.New("saml: the LogoutRequest has expired")))
	}
	if h.roundTrip(r, e) {
		return h.cfg.Flow.Hand(w, r, h.self(p), h.again(e))
	}
	if err := h.cfg.Responder.once(r.Context(), "saml logout", q.issuer, q.id); err != nil {
		return h.refused(r, p, federation.Refuse(federation.ProblemStale, &p.RelyingParty, err))
	}
	sub, err := h.cfg.Flow.SignedOn(w, r)
	switch {
	case err != nil:
		return err
	case sub == nil: // ended before, here or elsewhere
		return h.answerLogout(w, r, p, head.id, "", e, success, "")
	case !p.unsignedLogout(e) && !h.cfg.Responder.names(r.Context(), p, q, sub):
		_ = h.audited(r, p, "UnknownPrincipal", errors.New("saml: the LogoutRequest names somebody else than the person signed in"))
		return h.answerLogout(w, r, p, head.id, "", e, requester, unknownPrincipal)
	}
	parties := h.cfg.Flow.End(w, r, &federation.SignOut{Protocol: "saml", Party: &p.RelyingParty})
	c := h.chain(r.Context(), parties, sub, p.Key)
	c.Origin = origin{Key: p.Key, ID: head.id, State: e.state, HasState: e.hasState}
	if p.Microsoft365 { // it knows this service by the issuer of the person's domain
		if a, err := h.cfg.Responder.identified(r.Context(), p, q.issuer, FormatPersistent, sub); err == nil {
			c.Origin.Issuer = a.Issuer
		}
	}
	return h.forward(w, r, c)
}

// partialLogout says that not every participant is known to be signed out.
const partialLogout status = statusPrefix + "PartialLogout"

// answerLogout sends the LogoutResponse by the party's binding. An empty issuer is the
// service's own.
func (h *Handler) answerLogout(w http.ResponseWriter, r *http.Request, p *Party, id, issuer string, e *envelope, top, second status) error {
	if p.Logout.Binding == BindingPost {
		doc, err := h.cfg.Responder.logoutResponse(p, id, issuer, top, second, true)
		if err != nil {
			return err
		}
		return h.cfg.Flow.Hand(w, r, &p.RelyingParty, postLogout(p, doc, e))
	}
	to, err := h.cfg.Responder.redirectLogoutResponse(p, id, issuer, top, second, e)
	if err != nil {
		return err
	}
	redirect(w, r, to)
	return nil
}

// postLogout is the form that carries a LogoutResponse to a party.
func postLogout(p *Party, doc []byte, e *envelope) *federation.Answer {
	return post(p.Logout.answerTo(), doc, &federation.SignInRequest{State: e.state, HasState: e.hasState})
}

// names reports whether a LogoutRequest names the person who is signed in, by the
// identifier that the party got. The party's own name as SPNameQualifier is the
// same as none, and without a format the value decides (CASES C06). SessionIndex
// does not: the message came by this browser, and a session that was renewed has
// another one while the party still holds the old.
func (r *Responder) names(ctx context.Context, p *Party, q *logoutRequest, sub *federation.Subject) bool {
	if q.spNameQualifier != "" && q.spNameQualifier != q.issuer {
		return false
	}
	formats := []string{q.format}
	if q.format == "" || q.format == FormatUnspecified {
		formats = []string{FormatUnspecified, FormatEmail, FormatWindows, FormatPersistent, FormatTransient}
	}
	for _, format := range formats {
		a, err := r.identified(ctx, p, q.issuer, format, sub)
		if err == nil && a.NameID == q.value && (q.nameQualifier == "" || q.nameQualifier == a.Issuer) {
			return true
		}
	}
	return false
}

// identified is an assertion with the identifier that a party knows a person by.
func (r *Responder) identified(ctx context.Context, p *Party, entity, format string, sub *federation.Subject) (*token.Assertion, error) {
	if !supported(p, format) {
		return nil, errIdentifier
	}
	a, err := r.Claims().For(ctx, &federation.SignInRequest{Protocol: "saml", Party: &p.RelyingParty, Realm: entity, ReplyTo: p.defaultConsumer().URL}, sub)
	if err != nil {
		return nil, err
	}
	return a, r.Identifiers.name(a, p, format, sub)
}

// logoutResponse writes a LogoutResponse (SAML Core 2.0 §3.7.2).
func (r *Responder) logoutResponse(p *Party, inResponseTo, issuer string, top, second status, signed bool) ([]byte, error) {
	if issuer == "" {
		issuer = r.Issuer()
	}
	res := &response{
		element: "LogoutResponse", id: token.NewID(), inResponseTo: inResponseTo, destination: p.Logout.answerTo(),
		issuer: issuer, instant: r.now(), top: top, second: second,
	}
	var by *token.Signer
	if signed {
		by = r.Signer()
	}
	return appendResponse(nil, res, by)
}

func (r *Responder) redirectLogoutResponse(p *Party, inResponseTo, issuer string, top, second status, e *envelope) (string, error) {
	doc, err := r.logoutResponse(p, inResponseTo, issuer, top, second, false)
	if err != nil {
		return "", err
	}
	return signedURL(r.Signer(), p.Logout.answerTo(), "SAMLResponse", doc, e.state, e.hasState)
}

// signedURL is a message by the Redirect binding: percent-encoded in upper case,
// signed as it stands (SAML Bindings 2.0 §3.4.4.1).
func signedURL(signer *token.Signer, to, name string, doc []byte, state string, hasState bool) (string, error) {
	q := name + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(deflate(doc)))
	if hasState {
		q += "&RelayState=" + url.QueryEscape(state)
	}
	q += "&SigAlg=" + url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")
	signature, err := signer.SignOctets([]byte(q))
	if err != nil {
		return "", err
	}
	separator := "?"
	if strings.Contains(to, "?") {
		separator = "&"
	}
	return to + separator + q + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature)), nil
}
