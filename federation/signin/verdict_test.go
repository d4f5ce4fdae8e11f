package signin_test

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/lockout"
	"sallyport/federation"
	"sallyport/federation/signin"
)

// masked is a page without what differs from one showing to the next by design.
func masked(p *page) string {
	body := regexp.MustCompile(`nonce="[^"]*"`).ReplaceAllString(p.body, `nonce=""`)
	return regexp.MustCompile(`name="t" value="[^"]*"`).ReplaceAllString(body, `name="t" value=""`)
}

func TestL05_AllRefusedCredentialsGetTheSameBytes(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	token := b.get(signInQuery).token()
	cases := map[string]authn.Result{
		"wrong password":        {Reason: authn.WrongPassword, Account: alice(), Cause: errors.New("52e")},
		"unknown user":          {Reason: authn.UnknownUser},
		"ambiguous":             {Reason: authn.Ambiguous},
		"locked":                {Reason: authn.LockedOut, Account: alice(), Cause: errors.New("775")},
		"paused, account":       {Reason: authn.Throttled, Account: alice(), Cause: &lockout.Refused{Scope: lockout.ScopeAccount, RetryAfter: time.Minute}, RetryAfter: time.Minute},
		"paused, name":          {Reason: authn.Throttled, Cause: &lockout.Refused{Scope: lockout.ScopeName, RetryAfter: time.Hour}, RetryAfter: time.Hour},
		"paused, no room":       {Reason: authn.Throttled, Cause: &lockout.Refused{Scope: lockout.ScopeFull, RetryAfter: time.Hour}, RetryAfter: time.Hour},
		"bad input":             {Reason: authn.BadInput, Cause: errors.New("NUL")},
		"unclear code":          {Reason: authn.Rejected, Account: alice(), Cause: errors.New("data 99")},
		"disabled, wrong pw":    {Reason: authn.WrongPassword, Account: &authn.Account{State: authn.StateDisabled}},
		"a reason of tomorrow":  {Reason: authn.Reason(200), Account: alice()},
		"the fiftieth in a row": {Reason: authn.WrongPassword, Account: alice()},
	}
	var want, wantHeader, first string
	for name, res := range cases {
		// One typed name for all: what was typed is shown again and may differ.
		l.passwords.reasons["someone"] = res
		p := b.post("t", token, "username", "someone", "password", "guess", "keep", "1")
		p.wants(200, "The user name or password is not right.")
		p.header.Del("Date")
		p.header.Set("Content-Security-Policy", regexp.MustCompile(`nonce-[^']*`).ReplaceAllString(p.header.Get("Content-Security-Policy"), ""))
		header := fmt.Sprint(p.header)
		if want == "" {
			want, wantHeader, first = masked(p), header, name
			continue
		}
		if got := masked(p); got != want {
			t.Errorf("%s differs from %s", name, first)
		}
		if header != wantHeader {
			t.Errorf("%s: headers\n%s\nof %s:\n%s", name, header, first, wantHeader)
		}
	}
}

func TestVerdictTellsOnlyWhatWasProven(t *testing.T) {
	problems := map[authn.Reason]federation.Problem{
		authn.PasswordExpired: federation.ProblemChangeElsewhere, authn.MustChange: federation.ProblemChangeElsewhere,
		authn.Disabled: federation.ProblemDisabled, authn.AccountExpired: federation.ProblemAccountExpired,
		authn.LogonHours: federation.ProblemHours, authn.Workstation: federation.ProblemRestricted,
		authn.TooManyGroups: federation.ProblemNotReady, authn.NotReady: federation.ProblemNotReady, authn.NotAllowed: federation.ProblemNotAllowed,
		authn.NoVerdict: federation.ProblemDirectory, authn.Unavailable: federation.ProblemDirectory, authn.Misconfigured: federation.ProblemDirectory,
		authn.Busy: federation.ProblemBusy,
	}
	for _, reason := range authn.Reasons() {
		problem, inPlace := signin.Verdict(&authn.Result{Reason: reason, Account: alice()})
		want, known := problems[reason]
		switch {
		case reason == authn.Accepted:
			if problem != "" || inPlace {
				t.Errorf("accepted: %q, %v", problem, inPlace)
			}
		case known && (problem != want || inPlace):
			t.Errorf("%s: %q, in place %v, want %q", reason, problem, inPlace, want)
		case !known && !inPlace:
			t.Errorf("%s: %q", reason, problem)
		}
		if !reason.ProvesPassword() && !reason.Undecided() && !inPlace {
			t.Errorf("%s says more than was proven", reason)
		}
	}
	if problem, inPlace := signin.Verdict(&authn.Result{Reason: authn.Accepted}); problem != federation.ProblemDirectory || inPlace {
		t.Errorf("accepted without an account: %q, %v", problem, inPlace)
	}
	for scope, want := range map[lockout.Scope]federation.Problem{
		lockout.ScopeAddress: federation.ProblemThrottled, lockout.ScopeNetwork: federation.ProblemThrottled, lockout.ScopeAccount: "", lockout.ScopeName: "", lockout.ScopeFull: "",
	} {
		if problem, _ := signin.Verdict(&authn.Result{Reason: authn.Throttled, Cause: &lockout.Refused{Scope: scope}}); problem != want {
			t.Errorf("throttled by %s: %q, want %q", scope, problem, want)
		}
	}
}

func TestC14_RightButExpiredPasswordIsSaidToBeRight(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	for name, c := range map[string]struct {
		reason authn.Reason
		status int
		says   string
	}{
		"expired":     {authn.PasswordExpired, 200, "Your password is right, but it cannot be changed on this page"},
		"must-change": {authn.MustChange, 200, "Change it on a computer at work"},
		"disabled":    {authn.Disabled, 403, "Your account is turned off"},
		"end-date":    {authn.AccountExpired, 403, "reached its end date"},
	} {
		l.passwords.reasons[name] = authn.Result{Reason: c.reason, Account: alice()}
		p := b.post("t", b.get(signInQuery).token(), "username", name, "password", "x")
		p.wants(c.status, c.says, "Contact the service desk", "K7QF-3M9D")
		if b.sessionCookie() != "" || p.has("is not right") {
			t.Errorf("%s: session %q", name, b.sessionCookie())
		}
	}
}

func TestNobodyToJudgeIsNotAWrongPassword(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	for name, c := range map[string]struct {
		res    authn.Result
		status int
		says   string
	}{
		"down": {authn.Result{Reason: authn.Unavailable}, 503, "does not count as a failed attempt"},
		"busy": {authn.Result{Reason: authn.Busy, RetryAfter: 3 * time.Second}, 503, "very busy"},
		"many": {authn.Result{Reason: authn.Throttled, Cause: &lockout.Refused{Scope: lockout.ScopeAddress}, RetryAfter: 5 * time.Minute}, 429, "Wait 5 minutes"},
	} {
		l.passwords.reasons[name] = c.res
		p := b.post("t", b.get(signInQuery+"&username=hint").token(), "username", name, "password", "x")
		p.wants(c.status, c.says, "Try again")
		if c.res.RetryAfter > 0 && p.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", name)
		}
		// The stored request goes on with the name that was typed.
		p = b.post("t", p.token(), "action", "again")
		p.wants(200, `value="`+name+`"`)
	}
}
