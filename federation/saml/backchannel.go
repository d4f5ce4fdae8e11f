package saml

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/beevik/etree"

	"sallyport/authn/audit"
	"sallyport/authn/session"
	"sallyport/federation"
	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/token"
	"sallyport/federation/web"
)

// LogoutPath is where parties sign people out server to server.
const LogoutPath = "/adfs/services/saml/logout"

const routeLogout = "saml_logout"

// backTime bounds one message to a party, connection included.
const backTime = 5 * time.Second

// BackChannel is how parties with the SOAP binding sign people out without the
// browser (SAML Profiles 2.0 §4.4.3): they send a LogoutRequest to [LogoutPath], and
// hear of other sign-outs by one that this service sends to them. Nil fields switch
// the half off that needs them.
type BackChannel struct {
	// URL is the endpoint's own address, for example
	// https://sts.contoso.test/adfs/services/saml/logout.
	URL string
	// Links lead from a party's name for a person to their sessions.
	Links session.Links
	// Person returns who had the session that ended, nil when the directory does not
	// say.
	Person func(ctx context.Context, s *session.Session, index string) *federation.Subject
	// Client sends messages to the addresses of the registry. It must not follow
	// redirects.
	Client *http.Client
	// Public sends to addresses that parties have named themselves, and must not reach
	// what is not of the internet. Nil: they are not told.
	Public *http.Client
}

// linkName is the name by which a party finds sessions of a person.
func linkName(key, nameID string) string { return "saml " + key + "\x00" + nameID }

// serveLogout answers a LogoutRequest of a party by SOAP.
func (h *Handler) serveLogout(w http.ResponseWriter, r *http.Request) error {
	if h.cfg.Back.Links == nil {
		return &federation.Error{Problem: federation.ProblemNotFound, Status: http.StatusNotFound, Cause: errors.New("saml: sign-outs by SOAP are not served")}
	}
	body, err := readBody(r)
	if err != nil {
		return err
	}
	doc, err := readSOAP(body)
	if err != nil {
		return h.refused(r, nil, err)
	}
	if root := doc.Unverified(); !xmlsec.Is(root, nsProtocol, "LogoutRequest") {
		return h.refused(r, nil, soapFault(nil, "Client", "message {%.80s}%.60s is not served", root.NamespaceURI(), root.Tag))
	}
	head, p, root, err := h.sender(r.Context(), &envelope{document: doc, at: h.cfg.Back.URL}, true)
	if err != nil {
		return h.refused(r, p, asFault(p, err))
	}
	if p.Logout == nil || p.Microsoft365 { // Microsoft's come by the browser, and nothing leads from its names to sessions
		return h.refused(r, p, soapFault(p, "Client", "the party is not registered for sign-outs by SOAP"))
	}
	top, second, err := h.endLinked(r, p, head, root)
	if err != nil {
		return h.refused(r, p, err)
	}
	answer, err := h.cfg.Responder.logoutResponse(p, head.id, "", top, second, true)
	if err != nil {
		return err
	}
	return sendSOAP(w, http.StatusOK, []byte(soapStart+`<S:Body>`+string(answer)+soapEnd))
}

// endLinked ends the sessions that a LogoutRequest names, and tells their other
// parties as far as no browser is needed for it.
func (h *Handler) endLinked(r *http.Request, p *Party, head *head, root *etree.Element) (top, second status, err error) {
	if second, ok := versionOf(head); !ok {
		return versionMismatch, second, nil
	}
	q, err := readLogout(head, root)
	if err != nil {
		return requester, "", nil
	}
	if !q.notOnOrAfter.IsZero() && !q.notOnOrAfter.After(h.cfg.Now()) {
		return "", "", soapFault(p, "Client", "the LogoutRequest has expired")
	}
	if err := h.cfg.Responder.once(r.Context(), "saml logout", q.issuer, q.id); err != nil {
		return "", "", soapFault(p, "Client", "%w", err)
	}
	if q.spNameQualifier != "" && q.spNameQualifier != q.issuer {
		return requester, unknownPrincipal, nil
	}
	ctx := context.WithoutCancel(r.Context()) // whoever is signed out stays so
	ended, err := h.cfg.Back.Links.EndLinked(ctx, linkName(p.Key, q.value), q.indexes)
	complete := err == nil
	if err != nil {
		h.cfg.Logger.ErrorContext(ctx, "sessions that a party ended may live on", "party", p.Key, "error", err)
	}
	told := make([]bool, len(ended))
	var wg sync.WaitGroup // side by side: a party that is down costs its time once
	for i := range ended {
		wg.Go(func() { told[i] = h.tellOthers(ctx, p, &ended[i]) })
		h.recordEnd(r, p, &ended[i])
	}
	wg.Wait()
	complete = complete && !slices.Contains(told, false)
	switch {
	case err != nil && len(ended) == 0:
		return responder, "", nil
	case !complete:
		return success, partialLogout, nil
	}
	return success, "", nil
}

// tellOthers tells the other parties of a session that has ended, and reports
// whether each of them has confirmed it.
func (h *Handler) tellOthers(ctx context.Context, p *Party, e *session.Ended) bool {
	var sub *federation.Subject
	if h.cfg.Back.Person != nil {
		sub = h.cfg.Back.Person(ctx, e.Session, e.Label)
	}
	c := h.chain(ctx, e.Parties, sub, p.Key)
	h.back(ctx, c)
	return len(c.Next)+len(c.Unknown)+len(c.Others) == 0
}

// recordEnd writes the audit event of a session that a party ended.
func (h *Handler) recordEnd(r *http.Request, p *Party, e *session.Ended) {
	if h.cfg.Audit == nil {
		return
	}
	info := web.From(r.Context())
	event := &audit.Event{
		Time: h.cfg.Now(), Code: audit.SessionEnded, Reference: info.Reference, CorrelationID: info.CorrelationID, Protocol: "saml",
		Client: info.Client.String(), Party: p.entity(), Account: e.Session.Account.String(), Method: e.Session.Method.String(), Reason: "signed_out",
	}
	if err := h.cfg.Audit.Record(context.WithoutCancel(r.Context()), event); err != nil {
		h.cfg.Logger.ErrorContext(r.Context(), "audit record lost", "code", string(event.Code), "error", err)
	}
}

// back takes the parties with the SOAP binding out of a chain and tells them, all at
// the same time.
func (h *Handler) back(ctx context.Context, c *chain) {
	var visits []visit
	c.Next = slices.DeleteFunc(c.Next, func(v visit) bool {
		p := h.cfg.Responder.Parties().ByKey(v.Key)
		if p == nil || p.Logout == nil || p.Logout.Binding != BindingSOAP {
			return false
		}
		visits = append(visits, v)
		return true
	})
	errs := make([]error, len(visits))
	var wg sync.WaitGroup
	for i := range visits {
		wg.Go(func() { errs[i] = h.send(ctx, &visits[i], c.SessionIndex) })
	}
	wg.Wait()
	for i, err := range errs {
		if err == nil {
			c.Ended = append(c.Ended, visits[i].Key)
			continue
		}
		c.Unknown = append(c.Unknown, visits[i].Key)
		h.cfg.Logger.WarnContext(ctx, "a party did not confirm a sign-out", "party", visits[i].Key, "error", err, "ref", web.From(ctx).Reference)
	}
}

// send sends a LogoutRequest by SOAP and judges the answer; nil says that the party
// has signed the person out.
func (h *Handler) send(ctx context.Context, v *visit, index string) error {
	p := h.cfg.Responder.Parties().ByKey(v.Key)
	client := h.cfg.Back.Client
	if p.Logout.Public {
		client = h.cfg.Back.Public
	}
	if client == nil {
		return errors.New("saml: messages to the party are switched off")
	}
	c := &chain{SessionIndex: index, Asked: token.NewID()}
	doc, err := appendLogoutRequest(p, v, c, h.cfg.Now(), h.cfg.Responder.Signer())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), backTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Logout.URL, bytes.NewReader([]byte(soapStart+`<S:Body>`+string(doc)+soapEnd)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", soapType)
	req.Header.Set("SOAPAction", `"http://www.oasis-open.org/committees/security"`)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxSOAP+1))
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK || len(body) > MaxSOAP:
		return fmt.Errorf("saml: the answer has status %d and at least %d bytes", res.StatusCode, len(body))
	}
	return h.confirmed(ctx, p, c.Asked, body)
}

// confirmed judges a LogoutResponse by SOAP.
func (h *Handler) confirmed(ctx context.Context, p *Party, asked string, body []byte) error {
	doc, err := readSOAP(body)
	if err != nil {
		return err
	}
	if !xmlsec.Is(doc.Unverified(), nsProtocol, "LogoutResponse") || !doc.Signed() {
		return errors.New("saml: the answer is no signed LogoutResponse")
	}
	root, err := h.verify(ctx, &envelope{document: doc}, p, doc.Unverified())
	if err != nil {
		return err
	}
	head, err := readHead(root)
	switch to, _ := xmlsec.Attr(root, "InResponseTo"); {
	case err != nil:
		return err
	case !slices.Contains(p.Identifiers, head.issuer) || to != asked || !h.cfg.Window.holds(head.instant, h.cfg.Now()):
		return errors.New("saml: the answer is another's, to another request, or stale")
	case topStatus(root) != success:
		return errors.New("saml: the party did not sign the person out, or not everywhere")
	}
	return nil
}

// indexesOf reads the SessionIndex elements of a LogoutRequest: none means all
// sessions.
func indexesOf(e *etree.Element) ([]string, error) {
	list := xmlsec.All(e, nsProtocol, "SessionIndex")
	if len(list) > maxListed {
		return nil, fmt.Errorf("%w: too many SessionIndex", errRequest)
	}
	var out []string
	for _, i := range list {
		text, err := xmlsec.Text(i)
		if err != nil {
			return nil, fmt.Errorf("%w: SessionIndex: %w", errRequest, err)
		}
		out = append(out, strings.Trim(text, " \t\r\n"))
	}
	return out, nil
}
