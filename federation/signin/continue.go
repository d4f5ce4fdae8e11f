package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"sallyport/authn"
	"sallyport/authn/lockout"
	"sallyport/federation"
	"sallyport/federation/signin/pages"
	"sallyport/federation/web"
)

var (
	errNoCookie = errors.New("signin: the browser-binding cookie did not come back")
	errBrowser  = errors.New("signin: the page belongs to another browser")
	errExpired  = errors.New("signin: the page is too old")
	errUsed     = errors.New("signin: the page was used before")
)

// Continue answers a post of our own form (field t).
func (f *Flow) Continue(w http.ResponseWriter, r *http.Request) error {
	if err := f.origins.Check(r); err != nil {
		return f.refuse(r, nil, federation.Refuse(federation.ProblemBadRequest, nil, fmt.Errorf("signin: post from elsewhere: %w", err)))
	}
	in, err := readForm(w, r)
	defer in.password.Wipe()
	if err != nil {
		return f.refuse(r, nil, err)
	}
	t, err := f.open(in.token)
	if err != nil {
		return f.refuse(r, nil, err)
	}
	switch in.action {
	case pages.ActionAgain, pages.ActionOther:
		return f.restart(w, r, t, in)
	}
	if err := f.usable(r, t); err != nil {
		return f.again(f.refuse(r, &t.req, err), &t.req)
	}
	if in.language != "" {
		p := pages.SignIn{Fresh: t.req.ForceLogin, Again: true, User: in.name, Keep: in.keep, Language: in.language}
		return f.show(w, r, t, p)
	}
	return f.password(w, r, t, in)
}

// restart begins the stored request anew. It needs no binding: whoever has the
// page could as well have sent the request.
func (f *Flow) restart(w http.ResponseWriter, r *http.Request, t *transaction, in *form) error {
	if age := f.cfg.Now().Sub(t.issued); age > restartFor || age < -time.Minute {
		return f.refuse(r, &t.req, federation.Refuse(federation.ProblemStale, t.req.Party, errExpired))
	}
	req := t.req
	if in.action == pages.ActionAgain {
		return f.Begin(w, r, &req)
	}
	req.ForceLogin, req.LoginHint = true, ""
	fresh := f.begun(&req)
	fresh.other = true
	return f.page(w, r, fresh, pages.SignIn{})
}

// usable checks that a page is young enough and comes from the browser that it
// was made for.
func (f *Flow) usable(r *http.Request, t *transaction) error {
	secret, ok := browserOf(r)
	age := f.cfg.Now().Sub(t.issued)
	switch {
	case !ok:
		return federation.Refuse(federation.ProblemCookies, t.req.Party, errNoCookie)
	case !t.boundTo(secret):
		return federation.Refuse(federation.ProblemStale, t.req.Party, errBrowser)
	case age > f.cfg.PageLifetime || age < -time.Minute:
		return federation.Refuse(federation.ProblemStale, t.req.Party, errExpired)
	}
	return nil
}

// password judges name and password of the form.
func (f *Flow) password(w http.ResponseWriter, r *http.Request, t *transaction, in *form) error {
	p := pages.SignIn{Fresh: t.req.ForceLogin, Again: true, User: in.name, Keep: in.keep}
	if in.name == "" {
		p.Trouble |= pages.UserEmpty
	}
	if in.password.Len() == 0 {
		p.Trouble |= pages.PasswordEmpty
	}
	if p.Trouble != 0 {
		return f.show(w, r, t, p)
	}
	info := web.From(r.Context())
	done := f.metrics.step("password")
	res := f.cfg.Passwords.Verify(r.Context(), authn.Attempt{
		Protocol: t.req.Protocol, Party: t.req.Realm, Client: info.Client, Inside: info.Inside,
		Reference: info.Reference, CorrelationID: t.req.CorrelationID,
	}, authn.Credentials{Name: in.name, Password: in.password})
	done()
	problem, inPlace := verdict(&res)
	switch {
	case inPlace:
		p.Trouble = pages.Credentials
		return f.show(w, r, t, p)
	case problem != "":
		req := t.req
		if len(in.name) <= maxHint {
			req.LoginHint = in.name
		}
		return f.again(&federation.Error{
			Problem: problem, Status: statusOf(problem), Party: t.req.Party, RetryAfter: res.RetryAfter,
			Cause: fmt.Errorf("signin: %s: %w", res.Reason, orReason(res.Cause, res.Reason)),
		}, &req)
	}
	return f.accepted(w, r, t, in, &res)
}

// maxHint bounds a typed name that is carried to the next page.
const maxHint = 1024

func orReason(err error, reason authn.Reason) error {
	if err == nil {
		return &authn.Error{Reason: reason}
	}
	return err
}

// accepted goes on with a person whose password the directory accepted.
func (f *Flow) accepted(w http.ResponseWriter, r *http.Request, t *transaction, in *form, res *authn.Result) error {
	ctx := r.Context()
	if f.ledger(&t.req) == nil { // else the request itself is marked, when it is answered
		first, err := f.cfg.Sessions.Once(ctx, "signin", t.key(), f.cfg.PageLifetime+time.Minute)
		switch {
		case err != nil:
			f.storeDown(ctx, "once", err)
		case !first:
			return f.used(w, r, &t.req, errUsed)
		}
	}
	sub := &federation.Subject{
		Account: res.Account, Method: authn.MethodPassword, AuthenticatedAt: res.At, SessionStarted: f.cfg.Now(),
		Persistent: in.keep && f.pages.Load().KeepOffered(), InsideNetwork: web.From(ctx).Inside,
	}
	id, s := f.begin(ctx, sub, f.partyName(&t.req))
	if err := f.answerNew(w, r, t, sub, id, s); err != nil {
		if s != nil { // nobody gets to know this session
			if _, err := f.cfg.Sessions.End(context.WithoutCancel(ctx), id); err != nil {
				f.storeDown(ctx, "end", err)
			}
		}
		if errors.Is(err, federation.ErrUsed) {
			return f.used(w, r, &t.req, err)
		}
		return f.again(err, &t.req)
	}
	return nil
}

// used answers for a page or a request that led to a token before. A request that has
// a name is not offered once more.
func (f *Flow) used(w http.ResponseWriter, r *http.Request, req *federation.SignInRequest, cause error) error {
	s, err := f.current(w, r, "")
	switch {
	case err != nil:
		return f.again(f.refuse(r, req, err), req)
	case s != nil:
		f.metrics.pages.WithLabelValues("signedin").Inc()
		return f.pages.Load().SignedIn(w, r, pages.SignedIn{User: displayName(s.account), Party: req.Party, Used: true})
	}
	err = f.refuse(r, req, federation.Refuse(federation.ProblemStale, req.Party, cause))
	if f.ledger(req) != nil {
		return err
	}
	return f.again(err, req)
}

// displayName is the name by which a person knows their account.
func displayName(a *authn.Account) string {
	if a.UPN != "" {
		return a.UPN
	}
	return a.Name()
}

// verdict turns the end of an attempt into what the person is told: nothing wrong,
// a message in place, or a problem with a page of its own. Only reasons that
// prove a right password may say something about the account.
func verdict(res *authn.Result) (problem federation.Problem, inPlace bool) {
	if res.Reason == authn.Accepted && res.Account != nil {
		return "", false
	}
	if res.Reason == authn.Throttled && addressLimited(res.Cause) {
		return federation.ProblemThrottled, false
	}
	if res.Reason.Undecided() || res.Reason == authn.Accepted {
		return undecided(res.Reason), false
	}
	if !res.Reason.ProvesPassword() {
		return "", true
	}
	switch res.Reason {
	case authn.PasswordExpired, authn.MustChange:
		return federation.ProblemChangeElsewhere, false
	case authn.Disabled:
		return federation.ProblemDisabled, false
	case authn.AccountExpired:
		return federation.ProblemAccountExpired, false
	case authn.LogonHours:
		return federation.ProblemHours, false
	case authn.TooManyGroups, authn.NotReady:
		return federation.ProblemNotReady, false
	case authn.NotAllowed:
		return federation.ProblemNotAllowed, false
	default: // Workstation
		return federation.ProblemRestricted, false
	}
}

// undecided is the problem when nobody judged a password.
func undecided(reason authn.Reason) federation.Problem {
	if reason == authn.Busy {
		return federation.ProblemBusy
	}
	return federation.ProblemDirectory
}

// addressLimited reports whether an attempt was refused for the client's address
// or network. Only then may the page say so: it is true of every name alike. A
// pause of one account, or of one name, looks like a wrong password.
func addressLimited(cause error) bool {
	var refused *lockout.Refused
	return errors.As(cause, &refused) && (refused.Scope == lockout.ScopeAddress || refused.Scope == lockout.ScopeNetwork)
}

// statusOf sets the one status that the edge would take for an error.
func statusOf(p federation.Problem) int {
	if p == federation.ProblemChangeElsewhere {
		return http.StatusOK
	}
	return 0
}
