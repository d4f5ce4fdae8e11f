package signin_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/authn/session"
	"sallyport/federation"
	"sallyport/federation/signin"
	"sallyport/federation/signin/pages"
)

func TestPersonSignsInAndThenSilently(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.get(signInQuery+"&username=alice%40contoso.test").wants(200, "to continue to", `value="alice@contoso.test"`)
	p := b.signIn("alice@contoso.test")
	p.wants(200, "Signing you in", `action="https://login.example.test/login.srf"`)
	if got := p.field("wctx"); got != "LoginOptions=3&estsredirect=2" {
		t.Errorf("wctx = %q", got)
	}
	l.advance(time.Hour)
	if p := b.get(signInQuery); !p.isHandOver() {
		t.Errorf("session was not used:\n%s", p.body)
	}
	sub := l.responder.last
	if l.responder.issued() != 2 || !sub.AuthenticatedAt.Equal(start) || sub.Method != authn.MethodPassword || sub.SessionIndex == "" || sub.Account.UPN != "alice@contoso.test" {
		t.Errorf("%d tokens, the last for %+v", l.responder.issued(), sub)
	}
	issued := l.trail.find(audit.TokenIssued)
	if len(issued) != 2 || issued[0].TokenID != "_t1" || issued[0].Account != aliceID.String() || issued[0].Reference != "K7QF-3M9D" || issued[0].Party != federation.MicrosoftOnline || issued[0].Method != "password" {
		t.Errorf("audit: %+v", issued)
	}
	if n := len(l.trail.find(audit.SessionStarted)); n != 1 {
		t.Errorf("%d sessions started", n)
	}
}

func TestSessionIndexIsNotTheSecret(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.signIn("alice")
	first := l.responder.last.SessionIndex
	b.get(signInQuery)
	if again := l.responder.last.SessionIndex; again != first || strings.Contains(b.sessionCookie(), first) {
		t.Errorf("index %q, then %q, cookie %q", first, again, b.sessionCookie())
	}
}

func TestEmptyFieldsAreAskedForWithoutAnAttempt(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	token := b.get(signInQuery).token()
	for _, c := range []struct{ name, password, wants, not string }{
		{"", "", "Enter your user name.", "is not right"},
		{"", "x", "Enter your user name.", "Enter your password."},
		{"alice", "", "Enter your password.", "Enter your user name."},
	} {
		p := b.post("t", token, "username", c.name, "password", c.password)
		p.wants(200, c.wants)
		if p.has(c.not) {
			t.Errorf("%q/%q also says %q", c.name, c.password, c.not)
		}
	}
	if len(l.passwords.calls) != 0 {
		t.Errorf("attempts: %v", l.passwords.calls)
	}
}

func TestL07_ThePasswordReachesThePipelineAsSent(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	for _, pw := range []string{" blanks at both ends ", "päß wörd 🔑", "a+b%2b&c=d;e", strings.Repeat("x", 300), "tab\tin", "\"<>&'"} {
		b.post("t", b.get(signInQuery).token(), "username", "alice", "password", pw).wants(200, "is not right")
		if got := l.passwords.seen[len(l.passwords.seen)-1]; string(got) != pw {
			t.Errorf("pipeline saw %q for %q", got, pw)
		}
	}
}

func TestKeepMeSignedInDecidesHowLongTheCookieLasts(t *testing.T) {
	for _, c := range []struct {
		name string
		keep pages.Keep
		send string
		want time.Duration
	}{{"not ticked", pages.KeepOff, "", 0}, {"ticked", pages.KeepOff, "1", 24 * time.Hour}, {"ticked but not offered", pages.KeepHidden, "1", 0}} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, func(l *lab, cfg *signin.Config) {
				cfg.Pages = newPages(t, func(p *pages.Config) { p.Keep = c.keep })
			})
			b := l.browser()
			p := b.post("t", b.get(signInQuery).token(), "username", "alice", "password", rightPassword, "keep", c.send)
			cookie := p.cookie[signin.SessionCookie]
			if cookie == nil || cookie.MaxAge != int(c.want/time.Second) {
				t.Errorf("cookie %+v, want %v", cookie, c.want)
			}
			if l.responder.last.Persistent != (c.want > 0) {
				t.Errorf("persistent: %v", l.responder.last.Persistent)
			}
		})
	}
}

func TestFreshnessAndMethodDecideWhetherASessionWillDo(t *testing.T) {
	cases := []struct {
		name   string
		age    time.Duration
		change func(*federation.SignInRequest)
		silent bool
	}{
		{"nothing asked", time.Hour, func(*federation.SignInRequest) {}, true},
		{"forced", 0, func(r *federation.SignInRequest) { r.ForceLogin = true }, false},
		{"young enough", 10 * time.Minute, func(r *federation.SignInRequest) { r.MaxAge = 10 * time.Minute }, true},
		{"too old", 10*time.Minute + time.Second, func(r *federation.SignInRequest) { r.MaxAge = 10 * time.Minute }, false},
		{"password asked, password given", time.Hour, func(r *federation.SignInRequest) { r.Passwords = true }, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, nil)
			b := l.browser()
			b.signIn("alice")
			l.advance(c.age)
			l.request = c.change
			p := b.get(signInQuery)
			if p.isHandOver() != c.silent {
				t.Fatalf("silent: %v\n%s", p.isHandOver(), p.body)
			}
			if c.silent {
				return
			}
			p.wants(200, "Enter your password again to continue to")
			// The page satisfies the request: no second prompt, and a new instant.
			p = b.post("t", p.token(), "username", "alice", "password", rightPassword)
			if !p.isHandOver() || !l.responder.last.AuthenticatedAt.Equal(l.clock()) {
				t.Errorf("after the password: %v, authenticated at %v", p.isHandOver(), l.responder.last.AuthenticatedAt)
			}
		})
	}
}

func TestI10_AccountThatChangedEndsItsSession(t *testing.T) {
	for name, change := range map[string]func(*authn.Account){
		"password_changed":     func(a *authn.Account) { a.PwdLastSet++ },
		"password_must_change": func(a *authn.Account) { a.State |= authn.StateMustChange; a.PwdLastSet = 0 },
		"password_expired":     func(a *authn.Account) { a.State |= authn.StatePasswordExpired },
		"disabled":             func(a *authn.Account) { a.State |= authn.StateDisabled },
		"locked_out":           func(a *authn.Account) { a.State |= authn.StateLocked },
		"account_expired":      func(a *authn.Account) { a.State |= authn.StateAccountExpired },
		"unknown_user":         func(a *authn.Account) { a.Domain = "gone" },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			b := l.browser()
			b.signIn("alice")
			old := b.sessionCookie()
			l.accounts.change(aliceID, change)
			p := b.get(signInQuery)
			if p.isHandOver() || l.responder.issued() != 1 {
				t.Fatalf("token for a changed account:\n%s", p.body)
			}
			p.wants(200, "Sign in")
			if c := p.cookie[signin.SessionCookie]; c == nil || c.MaxAge >= 0 {
				t.Errorf("cookie was kept: %+v", c)
			}
			ended := l.trail.find(audit.SessionEnded)
			if len(ended) != 1 || ended[0].Reason != name {
				t.Errorf("audit: %+v", ended)
			}
			// For every instance: the id is dead though the account recovers.
			l.accounts.all[aliceID] = alice()
			r, _ := http.NewRequest(http.MethodGet, l.server.URL+"/adfs/ls/"+signInQuery, nil)
			r.Header.Set("Cookie", signin.SessionCookie+"="+old)
			if l.browser().do(r).isHandOver() {
				t.Error("the ended session was used again")
			}
		})
	}
}

func TestDirectoryDownNeitherUsesNorEndsASession(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.signIn("alice")
	l.accounts.err = &authn.Error{Reason: authn.Unavailable, Cause: errors.New("no DC")}
	p := b.get(signInQuery)
	p.wants(503, "directory is not answering", "Try again", "K7QF-3M9D")
	l.accounts.err = nil
	if p := b.post("t", p.token(), "action", "again"); !p.isHandOver() {
		t.Errorf("try again did not go on:\n%s", p.body)
	}
}

func TestStoreDownGoesOnWithThePassword(t *testing.T) { // threats R06, the flow's share
	l := newLab(t, nil)
	b := l.browser()
	b.signIn("alice")
	l.store.setDown(true)
	p := b.get(signInQuery)
	if p.isHandOver() {
		t.Fatal("a session that nobody can read was used")
	}
	p = b.post("t", p.token(), "username", "bob", "password", rightPassword, "keep", "1")
	if !p.isHandOver() || l.responder.last.Persistent {
		t.Errorf("sign-in without a store: %v, persistent %v", p.isHandOver(), l.responder.last.Persistent)
	}
	l.store.setDown(false)
	// Alice's old session must not come alive in the browser that bob now uses.
	if p := b.get(signInQuery); p.isHandOver() {
		t.Errorf("signed in as %s", l.responder.last.Account.UPN)
	}
}

func TestNoTokenWithoutItsAuditRecord(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.signIn("alice")
	token := b.get(signInQuery + "&wfresh=0").token()
	l.trail.err = errors.New("disk full")
	for name, p := range map[string]*page{"session": b.get(signInQuery), "password": b.post("t", token, "username", "alice", "password", rightPassword)} {
		p.wants(500, "on our side")
		if strings.Contains(p.body, "wresult") || strings.Contains(p.body, "disk full") {
			t.Errorf("%s: token or cause left:\n%s", name, p.body)
		}
	}
}

func TestRefusedSubjectGetsItsPageAndNoSession(t *testing.T) {
	l := newLab(t, nil)
	l.responder.err = federation.Refuse(federation.ProblemNotAllowed, nil, errors.New("rule 7"))
	b := l.browser()
	p := b.signIn("alice")
	p.wants(403, "You don’t have access to Microsoft 365", "Use another account")
	if n := l.store.Store.(*session.Memory).Len(); b.sessionCookie() != "" || n != 0 {
		t.Errorf("a session was left behind: cookie %q, %d at the store", b.sessionCookie(), n)
	}
	refused := l.trail.find(audit.TokenRefused)
	if len(refused) != 1 || refused[0].Reason != "not_allowed" || !strings.Contains(refused[0].Detail, "rule 7") {
		t.Errorf("audit: %+v", refused)
	}
	l.responder.err = nil
	p = b.post("t", p.token(), "action", "other")
	p.wants(200, "to continue to")
	if p.has("Enter your password again") {
		t.Error("another account is asked for its password again")
	}
	if p := b.post("t", p.token(), "username", "bob", "password", rightPassword); !p.isHandOver() {
		t.Error("another account got no token")
	}
}

func TestPartyThatLeftTheRegistryGetsNoToken(t *testing.T) {
	for name, change := range map[string]func(*lab){
		"party":   func(l *lab) { delete(l.parties, "microsoft365") },
		"address": func(l *lab) { l.parties["microsoft365"].ReplyURLs = []string{"https://other.example.test/"} },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			b := l.browser()
			token := b.get(signInQuery).token()
			change(l)
			b.post("t", token, "username", "alice", "password", rightPassword).wants(400, "We don’t know the service")
			if l.responder.issued() != 0 || len(l.passwords.calls) != 0 {
				t.Error("went on")
			}
		})
	}
}

func TestStateIsCarriedUpToItsLimit(t *testing.T) { // threats W05
	l := newLab(t, nil)
	b := l.browser()
	for _, c := range []struct{ size, status int }{{signin.MaxState, 200}, {signin.MaxState + 1, 400}} {
		l.request = func(req *federation.SignInRequest) { req.State = strings.Repeat("~", c.size) }
		p := b.get(signInQuery)
		p.wants(c.status)
		if c.status != 200 {
			continue
		}
		p = b.post("t", p.token(), "username", "alice", "password", rightPassword)
		if got := p.field("wctx"); len(got) != c.size {
			t.Errorf("state of %d bytes came back with %d", c.size, len(got))
		}
	}
}

func TestHeadIssuesNothing(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.signIn("alice")
	r, _ := http.NewRequest(http.MethodHead, l.server.URL+"/adfs/ls/"+signInQuery, nil)
	if p := b.do(r); p.status != 200 || l.responder.issued() != 1 {
		t.Errorf("status %d, %d tokens", p.status, l.responder.issued())
	}
}

func TestLanguageButtonKeepsThePageAndWhatWasTyped(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	p := b.post("t", b.get(signInQuery).token(), "username", "alice", "password", "typed", "keep", "1", "lang", "nl")
	p.wants(200, "Aanmelden", `lang="nl"`, `value="alice"`, "checked")
	if len(l.passwords.calls) != 0 || p.has("typed") {
		t.Error("the language button tried the password")
	}
	if c := p.cookie[pages.LanguageCookie]; c == nil || c.Value != "nl" {
		t.Errorf("choice was not remembered: %+v", c)
	}
	b.get(signInQuery).wants(200, `lang="nl"`)
	if p := b.post("t", p.token(), "username", "alice", "password", rightPassword); !p.isHandOver() {
		t.Error("the page cannot be finished after the switch")
	}
}

func TestStartPageKnowsWhoIsSignedIn(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.get("").wants(200, "You are not signed in", `href="https://www.example.test/"`)
	b.signIn("alice")
	p := b.get("")
	p.wants(200, "You are signed in", "alice@contoso.test", "Go to Microsoft 365", "Sign out")
	// No form: its policy would judge the redirects to other parties too.
	p.wants(200, `href="/adfs/ls/?wa=wsignout1.0"`)
	p = b.get("?wa=wsignout1.0")
	p.wants(200, "You are signed out", "Microsoft 365")
	b.get("").wants(200, "You are not signed in")
}

func TestNewReportsWhatIsMissing(t *testing.T) {
	_, err := signin.New(signin.Config{})
	for _, want := range []string{"password pipeline", "session store", "account reader", "registry", "seal", "audit", "page set", "responder"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}
