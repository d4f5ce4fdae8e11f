package signin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"sallyport/authn/audit"
	"sallyport/authn/session"
	"sallyport/federation"
	"sallyport/federation/signin/pages"
	"sallyport/federation/web"
)

const levelInfo = slog.LevelInfo

func str(key, value string) slog.Attr { return slog.String(key, value) }

// partyName is how a session remembers a party: with the protocol that it speaks, and
// behind a space with the kind of name that it knows the person by, where that is not
// the usual one.
func (f *Flow) partyName(req *federation.SignInRequest) string {
	name := req.Protocol + ":" + req.Party.Key
	if n, ok := f.cfg.Responders[req.Protocol].(federation.Namer); ok {
		if kind := n.NameOf(req); kind != "" {
			name += " " + kind
		}
	}
	return name
}

// sessionIndex is a public name of a session that does not tell its secret.
func sessionIndex(id session.ID) string {
	sum := sha256.Sum256(append([]byte("sallyport session index "), id[:]...))
	return hex.EncodeToString(sum[:16])
}

// answer makes the token, has it recorded, and hands it over.
func (f *Flow) answer(w http.ResponseWriter, r *http.Request, req *federation.SignInRequest, sub *federation.Subject, id session.ID) error {
	page, err := f.issue(w, r, req, sub, id)
	switch {
	case errors.Is(err, federation.ErrUsed):
		return f.used(w, r, req, err)
	case err != nil:
		return f.again(err, req)
	}
	f.metrics.pages.WithLabelValues("handover").Inc()
	return f.pages.Load().HandOver(w, r, *page)
}

// issue returns the hand-over page of a token whose audit record was taken. On
// error no token may leave.
func (f *Flow) issue(w http.ResponseWriter, r *http.Request, req *federation.SignInRequest, sub *federation.Subject, id session.ID) (*pages.HandOver, error) {
	ctx := r.Context()
	count := func(result string) { f.metrics.tokens.WithLabelValues(req.Protocol, req.Party.Label(), result).Inc() }
	if !f.passLoop(w, r, req.Party.Key) {
		count("loop")
		f.refused(ctx, req, sub, "loop", nil)
		return nil, federation.Refuse(federation.ProblemLoop, req.Party, errors.New("signin: too many tokens for one party in a row"))
	}
	done := f.metrics.step("token")
	ans, err := f.cfg.Responders[req.Protocol].Respond(ctx, req, sub)
	done()
	if err != nil {
		reason, result := string(federation.ProblemOf(err)), "refused"
		switch {
		case errors.Is(err, federation.ErrUsed): // a page that was loaded again, or a replay
			reason = "used"
		case reason == string(federation.ProblemInternal):
			result = "error"
		}
		count(result)
		f.refused(ctx, req, sub, reason, err)
		return nil, fmt.Errorf("signin: no token: %w", err)
	}
	page := &pages.HandOver{Party: f.pages.Load().Name(r, "", req.Party), Action: ans.Action, Fields: ans.Fields,
		FormActions: req.Party.FormActions, FrameOrigins: req.Party.FrameOrigins}
	if err := page.Validate(); err != nil {
		count("error")
		f.refused(ctx, req, sub, string(federation.ProblemBadRequest), err)
		return nil, federation.Refuse(federation.ProblemBadRequest, req.Party, err)
	}
	if ans.Refusal != nil {
		count("refused")
		f.refused(ctx, req, sub, string(federation.ProblemOf(ans.Refusal)), ans.Refusal)
		return page, nil
	}
	e := f.event(ctx, audit.TokenIssued, req, sub)
	e.TokenID, e.KeyID, e.Subject, e.Issuer = ans.TokenID, ans.KeyID, ans.NameID, ans.Issuer
	e.Detail = ans.Detail
	done = f.metrics.step("audit")
	err = f.cfg.Audit.Record(ctx, e)
	done()
	if err != nil {
		count("audit")
		return nil, fmt.Errorf("signin: no token without its audit record: %w", err)
	}
	count("issued")
	f.link(ctx, id, ans)
	return page, nil
}

// link lets the party of an answer find the session without the browser. A party
// that cannot is one that misses a sign-out.
func (f *Flow) link(ctx context.Context, id session.ID, ans *federation.Answer) {
	links, ok := f.cfg.Sessions.(session.Links)
	if ans.Link == "" || id.IsZero() || !ok {
		return
	}
	if err := links.Link(ctx, id, ans.Link, ans.LinkLabel); err != nil {
		f.storeDown(ctx, "link", err)
	}
}

// Hand posts an answer without a token to a party: a refusal that the protocol
// tells it, or a message that the browser has to bring back with its cookies.
func (f *Flow) Hand(w http.ResponseWriter, r *http.Request, rp *federation.RelyingParty, ans *federation.Answer) error {
	page := pages.HandOver{Party: f.pages.Load().Name(r, "", rp), Action: ans.Action, Fields: ans.Fields, FormActions: rp.FormActions}
	if ans.Refusal != nil { // an answer to the party's request, not a message of a sign-out
		page.FrameOrigins = rp.FrameOrigins
	}
	if err := page.Validate(); err != nil {
		return federation.Refuse(federation.ProblemBadRequest, rp, err)
	}
	f.metrics.pages.WithLabelValues("handover").Inc()
	return f.pages.Load().HandOver(w, r, page)
}

// event describes a subject in an audit record.
func (f *Flow) event(ctx context.Context, code audit.Code, req *federation.SignInRequest, sub *federation.Subject) *audit.Event {
	e := &audit.Event{
		Code: code, CorrelationID: req.CorrelationID, Protocol: req.Protocol, Party: req.Realm,
		Account: sub.Account.ID.String(), AccountName: sub.Account.Name(), UPN: sub.Account.UPN, Method: sub.Method.String(),
	}
	f.complete(ctx, e)
	return e
}

// complete adds the facts of the request.
func (f *Flow) complete(ctx context.Context, e *audit.Event) {
	info := web.From(ctx)
	e.Time, e.Reference, e.Inside = f.cfg.Now(), info.Reference, info.Inside
	if e.CorrelationID == "" {
		e.CorrelationID = info.CorrelationID
	}
	if info.Client.IsValid() {
		e.Client = info.Client.String()
	}
}

// refused records that a person who is known got no token.
func (f *Flow) refused(ctx context.Context, req *federation.SignInRequest, sub *federation.Subject, reason string, cause error) {
	e := f.event(ctx, audit.TokenRefused, req, sub)
	e.Reason = reason
	if cause != nil {
		e.Detail = cause.Error()
	}
	f.record(ctx, e)
}

// refuse records that a request was refused before anybody was known, so that the
// reference on the page finds an event, and returns err.
func (f *Flow) refuse(r *http.Request, req *federation.SignInRequest, err error) error {
	e := &audit.Event{Code: audit.RequestRefused, Reason: string(federation.ProblemOf(err)), Detail: err.Error()}
	if req != nil {
		e.Protocol, e.Party, e.CorrelationID = req.Protocol, req.Realm, req.CorrelationID
	}
	if errors.Is(err, errFramed) {
		e.Reason = "framed"
	}
	f.record(r.Context(), e)
	return err
}

// record writes an event on which no token depends; a loss is logged. The browser
// may be gone already; the event is written all the same.
func (f *Flow) record(ctx context.Context, e *audit.Event) {
	ctx = context.WithoutCancel(ctx)
	f.complete(ctx, e)
	if err := f.cfg.Audit.Record(ctx, e); err != nil {
		f.cfg.Logger.LogAttrs(ctx, slog.LevelError, "audit record lost", str("code", string(e.Code)), str("error", err.Error()))
	}
}

// storeDown reports that the session store did not answer; sign-in goes on.
func (f *Flow) storeDown(ctx context.Context, step string, err error) {
	f.metrics.sessions.WithLabelValues("unavailable").Inc()
	f.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "session store did not answer",
		str("step", step), str("error", err.Error()), str("ref", web.From(ctx).Reference))
}
