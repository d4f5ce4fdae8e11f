package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/authn/session"
	"sallyport/federation"
	"sallyport/federation/signin/pages"
	"sallyport/federation/web"
)

var errFramed = errors.New("signin: framed")

// Begin answers a protocol request: with a token when the browser has a session
// that is good enough, else with the sign-in page.
func (f *Flow) Begin(w http.ResponseWriter, r *http.Request, req *federation.SignInRequest) error {
	if req == nil || req.Party == nil || f.cfg.Responders[req.Protocol] == nil {
		return fmt.Errorf("signin: request without party or known protocol")
	}
	if len(req.State) > MaxState {
		return f.refuse(r, req, federation.Refuse(federation.ProblemBadRequest, req.Party,
			fmt.Errorf("signin: state has %d bytes, at most %d are carried", len(req.State), MaxState)))
	}
	if len(req.Party.FrameOrigins) == 0 { // else an answer that needs nobody can be framed
		if err := f.refuseFramed(r, req); err != nil {
			return err
		}
	}
	if req.ForceLogin || r.Method == http.MethodHead {
		if req.Passive {
			return federation.ErrPassive
		}
		return f.page(w, r, f.begun(req), pages.SignIn{Fresh: req.ForceLogin})
	}
	s, err := f.current(w, r, f.partyName(req))
	switch {
	case err != nil:
		return f.again(f.refuse(r, req, err), req)
	case (s == nil || !f.satisfies(req, s.session)) && req.Passive:
		return federation.ErrPassive
	case s == nil || !f.satisfies(req, s.session):
		return f.page(w, r, f.begun(req), pages.SignIn{Fresh: s != nil})
	}
	f.metrics.sessions.WithLabelValues("used").Inc()
	return f.answer(w, r, req, f.subject(r, s), s.id)
}

// subject is the person of a live session in this request.
func (f *Flow) subject(r *http.Request, s *signedOn) *federation.Subject {
	return &federation.Subject{
		Account: s.account, Method: s.session.Method, AuthenticatedAt: s.session.AuthenticatedAt,
		SessionStarted: s.session.StartedAt, Persistent: s.session.Persistent,
		InsideNetwork: web.From(r.Context()).Inside, SessionIndex: sessionIndex(s.id),
	}
}

// refuseFramed refuses a request that the browser makes for a frame: a page would
// stay blank there and the application would wait for nothing. It leaves no
// transaction and no cookie.
func (f *Flow) refuseFramed(r *http.Request, req *federation.SignInRequest) error {
	info := web.From(r.Context())
	if !info.Framed {
		return nil
	}
	f.metrics.framed.WithLabelValues(req.Party.Label()).Inc()
	f.cfg.Logger.LogAttrs(r.Context(), levelInfo, "sign-in request refused",
		str("reason", "framed"), str("party", req.Party.Key), str("protocol", req.Protocol), str("ref", info.Reference))
	return f.refuse(r, req, federation.Refuse(federation.ProblemBadRequest, req.Party, errFramed))
}

// satisfies reports whether a session is what the request asks for.
func (f *Flow) satisfies(req *federation.SignInRequest, s *session.Session) bool {
	if req.Passwords && s.Method != authn.MethodPassword {
		return false
	}
	return req.MaxAge <= 0 || f.cfg.Now().Sub(s.AuthenticatedAt) <= req.MaxAge
}

// page shows the sign-in page of a new transaction, which no frame gets, and nobody
// for a request that was answered before: a password typed there would be for nothing.
func (f *Flow) page(w http.ResponseWriter, r *http.Request, t *transaction, p pages.SignIn) error {
	if err := f.refuseFramed(r, &t.req); err != nil {
		return err
	}
	if l := f.ledger(&t.req); l != nil {
		if err := l.Answered(r.Context(), &t.req); err != nil {
			return f.used(w, r, &t.req, err)
		}
	}
	return f.show(w, r, t, p)
}

// ledger is who answers the request once, nil when it has no name.
func (f *Flow) ledger(req *federation.SignInRequest) federation.Ledger {
	if l, ok := f.cfg.Responders[req.Protocol].(federation.Ledger); ok && l.Named(req) {
		return l
	}
	return nil
}

// begun is a new transaction of a request.
func (f *Flow) begun(req *federation.SignInRequest) *transaction {
	return newTransaction(req, [16]byte{}, f.cfg.Now())
}

// show draws the sign-in page of a transaction and binds it to the browser.
func (f *Flow) show(w http.ResponseWriter, r *http.Request, t *transaction, p pages.SignIn) error {
	t.browser = bind(w, r)
	var err error
	if p.Token, err = f.seal(t); err != nil {
		return err
	}
	p.Party = f.pages.Load().Name(r, p.Language, t.req.Party)
	if !p.Again {
		p.User = t.req.LoginHint
	}
	p.Fresh = p.Fresh && !t.other
	kind := "signin"
	switch {
	case p.Trouble != 0:
		kind = "refused"
	case p.Fresh:
		kind = "fresh"
	}
	f.metrics.pages.WithLabelValues(kind).Inc()
	return f.pages.Load().SignIn(w, r, p)
}

// signedOn is a live session with its account.
type signedOn struct {
	id      session.ID
	session *session.Session
	account *authn.Account
}

// attemptTime is the longest time between reading an account at a sign-in and
// the verdict on its password.
const attemptTime = 10 * time.Second

// current returns the browser's session for a party, nil when there is none. The
// session of an account that changed since is ended here. An error means that
// nobody can say: neither a token nor a password page would be right.
func (f *Flow) current(w http.ResponseWriter, r *http.Request, party string) (*signedOn, error) {
	id, ok := sessionID(r)
	if !ok {
		return nil, nil
	}
	ctx := r.Context()
	s, err := f.use(ctx, id, party)
	switch {
	case errors.Is(err, session.ErrNone):
		setCookie(w, SessionCookie, "", -1)
		return nil, nil
	case err != nil:
		f.storeDown(ctx, "use", err)
		return nil, nil
	}
	switch revoked, err := f.cfg.Revoked(ctx, s); {
	case err != nil:
		f.storeDown(ctx, "revoked", err)
		return nil, nil
	case revoked:
		f.revoke(ctx, id, s, nil, "all_sessions_ended", "")
		setCookie(w, SessionCookie, "", -1)
		return nil, nil
	}
	done := f.metrics.step("account")
	acc, err := f.cfg.Accounts.Account(ctx, s.Domain, s.Account, s.AuthenticatedAt.Add(-attemptTime))
	done()
	reason := judgeAccount(s, acc, err)
	switch {
	case reason == authn.Accepted:
		return &signedOn{id: id, session: s, account: acc}, nil
	case reason.Undecided():
		return nil, federation.Refuse(undecided(reason), nil, fmt.Errorf("signin: account of a session: %w", err))
	}
	why, detail := reason.String(), ""
	if reason == authn.MustChange && acc != nil && acc.State&authn.StateMustChange == 0 {
		why, detail = "password_changed", "pwdLastSet differs from the session's"
	}
	f.revoke(ctx, id, s, acc, why, detail)
	setCookie(w, SessionCookie, "", -1)
	return nil, nil
}

func (f *Flow) use(ctx context.Context, id session.ID, party string) (*session.Session, error) {
	defer f.metrics.step("session")()
	return f.cfg.Sessions.Use(ctx, id, party)
}

// judgeAccount says whether a session may go on: Accepted, an undecided reason
// when the directory gave no answer, or the reason to end the session.
func judgeAccount(s *session.Session, acc *authn.Account, err error) authn.Reason {
	if err != nil {
		return authn.ReasonOf(err)
	}
	switch {
	case acc == nil || acc.ID != s.Account:
		return authn.UnknownUser
	case acc.State&authn.StateDisabled != 0:
		return authn.Disabled
	case acc.State&authn.StateLocked != 0:
		return authn.LockedOut
	case acc.State&authn.StateAccountExpired != 0:
		return authn.AccountExpired
	case acc.State&authn.StateMustChange != 0 || acc.PwdLastSet != s.PwdLastSet:
		return authn.MustChange
	case acc.State&authn.StatePasswordExpired != 0:
		return authn.PasswordExpired
	}
	return authn.Accepted
}

// revoke ends a session that must not be used any more.
func (f *Flow) revoke(ctx context.Context, id session.ID, s *session.Session, acc *authn.Account, why, detail string) {
	ctx = context.WithoutCancel(ctx)
	if _, err := f.cfg.Sessions.End(ctx, id); err != nil && !errors.Is(err, session.ErrNone) {
		f.storeDown(ctx, "end", err)
	}
	f.metrics.sessions.WithLabelValues("revoked").Inc()
	e := &audit.Event{Code: audit.SessionEnded, Account: s.Account.String(), Method: s.Method.String(), Reason: why, Detail: detail}
	if acc != nil {
		e.AccountName, e.UPN = acc.Name(), acc.UPN
	}
	f.record(ctx, e)
}

// again lets the error page go on with the request.
func (f *Flow) again(err error, req *federation.SignInRequest) error {
	var found *federation.Error
	if !errors.As(err, &found) {
		return err
	}
	e := *found // it may be shared
	e.Party = req.Party
	if token, sealErr := f.seal(newTransaction(req, [16]byte{}, f.cfg.Now())); sealErr == nil {
		e.Retry = token
	}
	return &e
}
