package wsfed

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sallyport/federation"
	"sallyport/federation/web"
)

// The values of wa that this service answers.
const (
	signInAction  = "wsignin1.0"
	signOutAction = "wsignout1.0"
	cleanupAction = "wsignoutcleanup1.0"
)

// longestAge is where wfresh stops being a limit; it keeps the product of minutes
// within a Duration.
const longestAge = 10 * 365 * 24 * 60

// Parse reads the parameters of a wsignin1.0 message. Every refusal is a
// [*federation.Error] whose cause says which parameter was wrong.
func Parse(parties *Registry, params web.Params) (*federation.SignInRequest, error) {
	m, err := read(params)
	if err != nil {
		return nil, federation.Refuse(federation.ProblemBadRequest, nil, err)
	}
	return m.signIn(parties)
}

func (m *message) signIn(parties *Registry) (*federation.SignInRequest, error) {
	bad := func(rp *federation.RelyingParty, format string, args ...any) error {
		return federation.Refuse(federation.ProblemBadRequest, rp, fmt.Errorf("%w: "+format, append([]any{errMessage}, args...)...))
	}
	if m.wa.s != signInAction {
		return nil, bad(nil, "wa is %q", m.wa.s)
	}
	if m.wtrealm.s == "" {
		return nil, bad(nil, "wtrealm is missing")
	}
	rp := parties.ByIdentifier(m.wtrealm.s)
	if rp == nil {
		return nil, federation.Refuse(federation.ProblemUnknownParty, nil, unknownRealm(parties, m.wtrealm.s))
	}
	reply, ok := parties.Reply(rp, m.wreply.s)
	if !ok {
		return nil, federation.Refuse(federation.ProblemUnknownParty, rp,
			fmt.Errorf("wsfed: wreply %.300q is not registered for %s", m.wreply.s, rp.Key))
	}
	if !returnable(m.wctx.s) {
		return nil, bad(rp, "wctx holds bytes that a browser would not return unchanged")
	}
	req := &federation.SignInRequest{
		Protocol: "wsfed", Party: rp, Realm: m.wtrealm.s, ReplyTo: reply,
		State: m.wctx.s, HasState: m.wctx.set,
		LoginHint: m.hint(), CorrelationID: web.CorrelationID(m.correlation.s),
	}
	if err := m.freshness(req); err != nil {
		return nil, bad(rp, "%w", err)
	}
	if err := m.method(req); err != nil {
		return nil, federation.Refuse(federation.ProblemMethod, rp, err)
	}
	return req, nil
}

// unknownRealm names the identifier that was probably meant (CASES C10).
func unknownRealm(parties *Registry, realm string) error {
	if near := parties.Nearest(realm); near != "" {
		return fmt.Errorf("wsfed: wtrealm %.300q is not registered; the nearest known identifier is %q", realm, near)
	}
	return fmt.Errorf("wsfed: wtrealm %.300q is not registered", realm)
}

// freshness reads wfresh (minutes; WS-Federation 13.2.2), prompt and mfa_max_age.
func (m *message) freshness(req *federation.SignInRequest) error {
	if m.wfresh.s != "" {
		minutes, err := number(m.wfresh.s)
		if err != nil {
			return fmt.Errorf("wfresh %w", err)
		}
		req.ForceLogin = minutes == 0
		if minutes <= longestAge {
			req.MaxAge = time.Duration(minutes) * time.Minute
		}
	}
	if m.mfaMaxAge.s != "" { // nothing to renew: a second factor is never claimed
		if _, err := number(m.mfaMaxAge.s); err != nil {
			return fmt.Errorf("mfa_max_age %w", err)
		}
	}
	if m.prompt.s == "login" { // other values do not count ([MS-MWBF] 2.2.3)
		req.ForceLogin = true
	}
	return nil
}

var errNumber = errors.New("is not a number of at most ten digits")

func number(s string) (int64, error) {
	if len(s) > 10 || strings.Trim(s, "0123456789") != "" {
		return 0, errNumber
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, errNumber
	}
	return n, nil
}
