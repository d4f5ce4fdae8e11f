package signin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"sallyport/authn/audit"
	"sallyport/authn/session"
	"sallyport/federation"
	"sallyport/federation/signin/pages"
)

// begin starts the session of a person who has just proved who they are: always
// under a new id. Without a store there is none, and sign-in goes on.
func (f *Flow) begin(ctx context.Context, sub *federation.Subject, party string) (session.ID, *session.Session) {
	defer f.metrics.step("session")()
	s := &session.Session{
		Account: sub.Account.ID, Domain: sub.Account.Domain, Method: sub.Method,
		AuthenticatedAt: sub.AuthenticatedAt, PwdLastSet: sub.Account.PwdLastSet, Persistent: sub.Persistent,
	}
	id, err := f.cfg.Sessions.Create(ctx, s, party)
	if err != nil {
		f.storeDown(ctx, "create", err)
		sub.Persistent = false // a promise that could not be kept
		return id, nil
	}
	sub.SessionStarted, sub.SessionIndex = s.StartedAt, sessionIndex(id)
	return id, s
}

// answerNew issues the token of a new session, replaces the browser's old session
// by it, and hands the token over.
func (f *Flow) answerNew(w http.ResponseWriter, r *http.Request, t *transaction, sub *federation.Subject, id session.ID, s *session.Session) error {
	page, err := f.issue(w, r, &t.req, sub, id)
	if err != nil {
		return err
	}
	ctx := r.Context()
	parties := f.replace(ctx, r, sub)
	if s == nil {
		setCookie(w, SessionCookie, "", -1) // the old id must not come alive with the store
	} else {
		if len(parties) > 0 { // this one is the latest, as it was for Create
			parties = append(parties, f.partyName(&t.req))
		}
		for _, party := range parties {
			if _, err := f.cfg.Sessions.Use(ctx, id, party); err != nil {
				f.storeDown(ctx, "use", err)
				break
			}
		}
		age := s.Expires.Sub(s.StartedAt)
		if !s.Persistent {
			age = 0
		}
		setCookie(w, SessionCookie, id.Cookie(), age)
		f.metrics.sessions.WithLabelValues("started").Inc()
		e := f.event(ctx, audit.SessionStarted, &t.req, sub)
		f.record(ctx, e)
	}
	f.metrics.pages.WithLabelValues("handover").Inc()
	return f.pages.Load().HandOver(w, r, *page)
}

// replace ends the session that the browser had before. When it was the same
// person's, the parties that know it are returned in the order of their use, so
// that a later sign-out reaches them.
func (f *Flow) replace(ctx context.Context, r *http.Request, sub *federation.Subject) []string {
	old, ok := sessionID(r)
	if !ok {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // the new session is begun, so the old one must end
	s, err := f.cfg.Sessions.Peek(ctx, old)
	if err != nil {
		if !errors.Is(err, session.ErrNone) {
			f.storeDown(ctx, "peek", err)
		}
		return nil
	}
	parties, err := f.cfg.Sessions.End(ctx, old)
	if err != nil && !errors.Is(err, session.ErrNone) {
		f.storeDown(ctx, "end", err)
	}
	f.record(ctx, &audit.Event{Code: audit.SessionEnded, Account: s.Account.String(), Method: s.Method.String(), Reason: "replaced"})
	if s.Account != sub.Account.ID {
		return nil
	}
	for i, j := 0, len(parties)-1; i < j; i, j = i+1, j-1 {
		parties[i], parties[j] = parties[j], parties[i]
	}
	return parties
}

// SignOut ends the browser's session for every instance, clears its cookie, and
// tells the parties that know the session. It needs no proof of intent: the
// protocol has none ([MS-MWBF] note 5).
//
// It is carried through when the browser has gone meanwhile: whoever leaves the
// page at once wants to be signed out no less.
func (f *Flow) SignOut(w http.ResponseWriter, r *http.Request, out *federation.SignOut) error {
	ctx := context.WithoutCancel(r.Context())
	was := f.end(ctx, r, out)
	setCookie(w, SessionCookie, "", -1)
	setCookie(w, loopCookie, "", -1)
	if out.Quiet {
		return nil
	}
	if was.session == nil && len(was.parties) == 0 {
		if gone, err := f.resume(w, r); gone || err != nil {
			return err
		}
	}
	if f.cfg.Tell != nil && slices.ContainsFunc(was.parties, func(name string) bool { return strings.HasPrefix(name, "saml:") }) {
		return f.cfg.Tell(w, r, out, was.parties, f.person(ctx, was))
	}
	return f.Farewell(w, r, out, was.parties)
}

// person is who had the session that ended, nil when the directory does not say.
func (f *Flow) person(ctx context.Context, was *over) *federation.Subject {
	if was.session == nil {
		return nil
	}
	return f.PersonOf(ctx, was.session, sessionIndex(was.id))
}

// PersonOf returns who has or had a session, with the public name of the session,
// nil when the directory does not say.
func (f *Flow) PersonOf(ctx context.Context, s *session.Session, index string) *federation.Subject {
	acc, err := f.cfg.Accounts.Account(ctx, s.Domain, s.Account, s.AuthenticatedAt.Add(-attemptTime))
	if err != nil || acc == nil {
		return nil
	}
	return &federation.Subject{
		Account: acc, Method: s.Method, AuthenticatedAt: s.AuthenticatedAt, SessionStarted: s.StartedAt, SessionIndex: index,
	}
}

// SignedOn returns the person of the browser's session, nil when there is none.
func (f *Flow) SignedOn(w http.ResponseWriter, r *http.Request) (*federation.Subject, error) {
	s, err := f.current(w, r, "")
	if err != nil || s == nil {
		return nil, err
	}
	return f.subject(r, s), nil
}

// End ends the browser's session for every instance, clears its cookie and returns
// the parties that know it, as PROTOCOL:KEY.
func (f *Flow) End(w http.ResponseWriter, r *http.Request, out *federation.SignOut) []string {
	was := f.end(context.WithoutCancel(r.Context()), r, out)
	setCookie(w, SessionCookie, "", -1)
	setCookie(w, loopCookie, "", -1)
	return was.parties
}

// Farewell is the page after a sign-out. It tells parties of it in hidden frames,
// says who confirmed it, and leads on to out.ReplyTo or with out.Onward; with nothing
// to tell anybody it goes to out.ReplyTo at once.
func (f *Flow) Farewell(w http.ResponseWriter, r *http.Request, out *federation.SignOut, parties []string) error {
	p := pages.SignedOut{Onward: out.ReplyTo, Party: out.Party, Ended: f.names(r, out.Ended), Unknown: f.names(r, out.Unknown)}
	if p.Party == nil {
		p.Party = f.cfg.Parties(f.cfg.Home)
	}
	if out.Onward != nil && out.Party != nil {
		p.Form = &pages.HandOver{Action: out.Onward.Action, Fields: out.Onward.Fields, FormActions: out.Party.FormActions}
	}
	for _, name := range parties {
		protocol, key, _ := strings.Cut(name, ":")
		rp := f.cfg.Parties(key)
		if rp == nil {
			continue
		}
		if address := f.cfg.CleanUp(protocol, rp); address != "" {
			p.Services = append(p.Services, f.pages.Load().Name(r, "", rp))
			p.CleanUp = append(p.CleanUp, address)
		}
	}
	if out.ReplyTo != "" && len(p.CleanUp)+len(p.Unknown) == 0 && r.Method == http.MethodGet {
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, out.ReplyTo, http.StatusSeeOther)
		return nil
	}
	f.metrics.pages.WithLabelValues("signedout").Inc()
	return f.pages.Load().SignedOut(w, r, p)
}

// names are the names of parties for the person, each once.
func (f *Flow) names(r *http.Request, parties []*federation.RelyingParty) []string {
	var list []string
	for _, rp := range parties {
		if name := f.pages.Load().Name(r, "", rp); !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

func (f *Flow) resume(w http.ResponseWriter, r *http.Request) (bool, error) {
	if f.cfg.Resume == nil || r.Method == http.MethodHead {
		return false, nil
	}
	return f.cfg.Resume(w, r)
}

// over is a session that has ended. Its fields are empty when there was none.
type over struct {
	id      session.ID
	session *session.Session // nil when the store did not answer
	parties []string
}

// end ends the session at the store.
func (f *Flow) end(ctx context.Context, r *http.Request, out *federation.SignOut) *over {
	id, ok := sessionID(r)
	if !ok {
		return &over{}
	}
	s, err := f.cfg.Sessions.Peek(ctx, id)
	if errors.Is(err, session.ErrNone) {
		return &over{}
	}
	parties, endErr := f.cfg.Sessions.End(ctx, id)
	if err := errors.Join(err, endErr); err != nil && !errors.Is(endErr, session.ErrNone) {
		f.storeDown(ctx, "end", err)
	}
	f.metrics.sessions.WithLabelValues("ended").Inc()
	e := &audit.Event{Code: audit.SessionEnded, Protocol: out.Protocol, CorrelationID: out.CorrelationID, Reason: "signed_out"}
	if s != nil {
		e.Account, e.Method = s.Account.String(), s.Method.String()
	}
	f.record(ctx, e)
	return &over{id, s, parties}
}

// cleanUpAddress is where a WS-Federation party hears of a sign-out ([MS-MWBF]
// 3.2.5.2): its first reply address.
func cleanUpAddress(protocol string, rp *federation.RelyingParty) string {
	if protocol != "wsfed" || len(rp.ReplyURLs) == 0 {
		return ""
	}
	separator := "?"
	if strings.Contains(rp.ReplyURLs[0], "?") {
		separator = "&"
	}
	return rp.ReplyURLs[0] + separator + "wa=wsignoutcleanup1.0"
}

// Start answers the sign-in address without a request: who is signed in, or where
// to begin.
func (f *Flow) Start(w http.ResponseWriter, r *http.Request) error {
	home := f.cfg.Parties(f.cfg.Home)
	s, err := f.current(w, r, "")
	if err != nil {
		return f.refuse(r, nil, err)
	}
	if s == nil {
		if gone, err := f.resume(w, r); gone || err != nil {
			return err
		}
		f.metrics.pages.WithLabelValues("start").Inc()
		return f.pages.Load().Start(w, r, home)
	}
	f.metrics.pages.WithLabelValues("signedin").Inc()
	return f.pages.Load().SignedIn(w, r, pages.SignedIn{User: displayName(s.account), Party: home})
}
