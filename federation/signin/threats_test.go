package signin_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/federation"
	"sallyport/federation/signin"
)

func TestL10_PostFromElsewhereIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		header  http.Header
		cookies bool
		ok      bool
	}{
		"same origin":                    {http.Header{"Sec-Fetch-Site": {"same-origin"}}, true, true},
		"cross site":                     {http.Header{"Sec-Fetch-Site": {"cross-site"}}, true, false},
		"neighbour":                      {http.Header{"Sec-Fetch-Site": {"same-site"}}, true, false},
		"old browser, own origin":        {http.Header{"Sec-Fetch-Site": nil, "Origin": {"own"}}, true, true},
		"old browser, foreign origin":    {http.Header{"Sec-Fetch-Site": nil, "Origin": {"https://evil.test"}}, true, false},
		"old browser, null origin":       {http.Header{"Sec-Fetch-Site": nil, "Origin": {"null"}}, true, false},
		"no header, no cookie (Lax)":     {http.Header{"Sec-Fetch-Site": nil}, false, false},
		"cross site without any cookie":  {http.Header{"Sec-Fetch-Site": {"cross-site"}}, false, false},
		"no header, same browser":        {http.Header{"Sec-Fetch-Site": nil}, true, true},
		"says same origin, other origin": {http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"own"}}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			b := l.browser()
			token := b.get(signInQuery).token()
			if !c.cookies {
				b = l.browser()
			}
			delete(b.header, "Sec-Fetch-Site")
			for k, v := range c.header {
				if len(v) == 1 && v[0] == "own" {
					v = []string{l.server.URL}
				}
				if v != nil {
					b.header[k] = v
				}
			}
			for _, action := range []string{"", "again", "other"} {
				p := b.post("t", token, "username", "alice", "password", rightPassword, "action", action)
				switch {
				case action == "" && p.isHandOver() != c.ok:
					t.Errorf("token: %v\n%.1500s", p.isHandOver(), p.body)
				case action == "" && !c.ok && (len(l.passwords.calls) != 0 || p.status != 400):
					t.Errorf("status %d, %d attempts", p.status, len(l.passwords.calls))
				case action != "" && c.header.Get("Sec-Fetch-Site") == "cross-site" && p.status != 400:
					t.Errorf("%s from elsewhere: %d", action, p.status)
				}
			}
		})
	}
}

func TestL11_TransactionBelongsToOneBrowserAndOneParty(t *testing.T) {
	l := newLab(t, nil)
	one, two := l.browser(), l.browser()
	token := one.get(signInQuery).token()
	two.get(signInQuery)
	two.post("t", token, "username", "bob", "password", rightPassword).wants(400, "no longer valid", "Start again")
	if len(l.passwords.calls) != 0 || two.sessionCookie() != "" {
		t.Error("another browser finished the transaction")
	}
	// Each byte of the sealed text matters; so does its length.
	raw := []byte(token)
	for i := 0; i < len(raw); i += 7 {
		bad := append([]byte(nil), raw...)
		bad[i] = map[bool]byte{true: 'A', false: 'B'}[bad[i] != 'A']
		one.post("t", string(bad), "username", "bob", "password", rightPassword).wants(400, "no longer valid", `href="https://www.example.test/"`)
	}
	for _, bad := range []string{"", "-", token[:len(token)-4], token + "AAAA", strings.Repeat("A", 30000), token + "=", token + "\n"} {
		one.post("t", bad, "username", "bob", "password", rightPassword).wants(400, "no longer valid")
	}
	// Fields beside the token cannot turn it to another party or address.
	p := one.post("t", token, "username", "alice", "password", rightPassword, "wtrealm", "urn:wiki", "wreply", "https://evil.test/", "party", "wiki")
	p.wants(200, `action="https://login.example.test/login.srf"`)
}

func TestTransactionOfAnotherKeyIsStale(t *testing.T) {
	l, other := newLab(t, nil), newLab(t, nil)
	b := l.browser()
	b.get(signInQuery)
	b.post("t", other.browser().get(signInQuery).token(), "username", "alice", "password", rightPassword).wants(400, "no longer valid")
}

func TestR03_EachSignInGetsANewSessionAndEndsTheOld(t *testing.T) {
	l := newLab(t, nil)
	attacker, victim := l.browser(), l.browser()
	attacker.signIn("bob")
	planted := attacker.sessionCookie()

	// A planted cookie: the victim's sign-in does not adopt it, and kills it.
	u, _ := url.Parse(l.server.URL)
	victim.client.Jar.SetCookies(u, []*http.Cookie{{Name: signin.SessionCookie, Value: planted, Path: "/", Secure: true}})
	victim.post("t", victim.get(signInQuery+"&wfresh=0").token(), "username", "alice", "password", rightPassword)
	if got := victim.sessionCookie(); got == planted || got == "" {
		t.Fatalf("session id after the sign-in: %q", got)
	}
	if p := attacker.get(signInQuery); p.isHandOver() {
		t.Error("the planted id is still alive")
	}
	// Signing in again changes the id again, and the old one is dead.
	old := victim.sessionCookie()
	victim.post("t", victim.get(signInQuery+"&wfresh=0").token(), "username", "alice", "password", rightPassword)
	if victim.sessionCookie() == old {
		t.Error("the id was kept")
	}
	thief := l.browser()
	thief.client.Jar.SetCookies(u, []*http.Cookie{{Name: signin.SessionCookie, Value: old, Path: "/", Secure: true}})
	if thief.get(signInQuery).isHandOver() {
		t.Error("the old id is still alive")
	}
	// Ids are taken from the cookie only.
	id := victim.sessionCookie()
	fresh := l.browser()
	for _, query := range []string{"&" + signin.SessionCookie + "=" + id, "&session=" + id, "&sid=" + id, ";jsessionid=" + id} {
		if fresh.get(signInQuery + query).isHandOver() {
			t.Errorf("id taken from %s", query)
		}
	}
	if p := fresh.post("t", fresh.get(signInQuery).token(), signin.SessionCookie, id, "username", "alice", "password", "wrong"); p.isHandOver() {
		t.Error("id taken from a form")
	}
	// Two cookies of one name: one of them is not ours, so none counts.
	r, _ := http.NewRequest(http.MethodGet, l.server.URL+"/adfs/ls/"+signInQuery, nil)
	r.Header.Set("Cookie", signin.SessionCookie+"=x; "+signin.SessionCookie+"="+id)
	if l.browser().do(r).isHandOver() {
		t.Error("one of two cookies was chosen")
	}
}

func TestR04_CookiesHaveAllTheirFlags(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	seen := map[string]bool{}
	for _, p := range []*page{
		b.get(signInQuery), b.get(signInQuery + "&lang=nl"), b.signIn("alice"), b.get(signInQuery), b.get(""),
		b.post("t", b.get(signInQuery+"&wfresh=0").token(), "username", "alice", "password", rightPassword, "keep", "1"), b.get("?wa=wsignout1.0"),
	} {
		for _, line := range p.header.Values("Set-Cookie") {
			c, err := http.ParseSetCookie(line)
			if err != nil {
				t.Fatal(err)
			}
			seen[c.Name] = true
			if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode || len(line) > 400 {
				t.Errorf("cookie %s", line)
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("cookies seen: %v", seen)
	}
}

func TestW06_SixthTokenInTwentySecondsStops(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.signIn("alice") // the first token
	for i := 2; i <= 5; i++ {
		l.advance(3 * time.Second)
		if p := b.get(signInQuery); !p.isHandOver() {
			t.Fatalf("token %d was refused:\n%.1500s", i, p.body)
		}
	}
	for range 2 {
		b.get(signInQuery).wants(400, "Sign-in keeps going round in a circle", "Microsoft 365", "K7QF-3M9D")
	}
	if n := l.responder.issued(); n != 5 {
		t.Errorf("%d tokens", n)
	}
	if e := l.trail.find(audit.TokenRefused); len(e) != 2 || e[0].Reason != "loop" {
		t.Errorf("audit: %+v", e)
	}
	// Another party, and another browser of the same person, are not in the loop.
	if !b.get("?wa=wsignin1.0&wtrealm=urn:wiki").isHandOver() {
		t.Error("another party was stopped")
	}
	if !l.browser().signIn("alice").isHandOver() {
		t.Error("another browser was stopped")
	}
	l.advance(9 * time.Second) // 21 s after the first token
	if !b.get(signInQuery).isHandOver() {
		t.Error("the stop does not end")
	}
}

func TestLoopCookieOfStrangersIsHarmless(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.signIn("alice")
	for _, value := range []string{"", "x", strings.Repeat("A", 200), "____________", "AAAA/AAA", "AAAAAAVmZmZmZmZmZmZmZmZmZmZmZmZmZmY"} {
		r, _ := http.NewRequest(http.MethodGet, l.server.URL+"/adfs/ls/"+signInQuery, nil)
		r.Header.Set("Cookie", signin.SessionCookie+"="+b.sessionCookie()+"; "+signin.LoopCookie+"="+value)
		c := l.browser()
		if p := c.do(r); !p.isHandOver() {
			t.Errorf("%q: status %d", value, p.status)
		}
	}
}

func TestC21_BackButtonPostsNoSecondToken(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	token := b.get(signInQuery).token()
	if !b.post("t", token, "username", "alice", "password", rightPassword).isHandOver() {
		t.Fatal("no token")
	}
	// Back to the form and sent again, or the post repeated by reload.
	for range 2 {
		p := b.post("t", token, "username", "alice", "password", rightPassword)
		p.wants(200, "You are signed in", "This sign-in is already finished. You can go on to Microsoft 365", "alice@contoso.test")
		if p.isHandOver() {
			t.Error("second token")
		}
	}
	if l.responder.issued() != 1 {
		t.Errorf("%d tokens for one transaction", l.responder.issued())
	}
	// Signed out since: the page is stale, and starting again asks for the password.
	b.get("?wa=wsignout1.0")
	p := b.post("t", token, "username", "alice", "password", rightPassword)
	p.wants(400, "no longer valid", "Start again")
	b.post("t", p.token(), "action", "again").wants(200, "Sign in", `name="password"`)
}

// A request that was answered before is no fault of ours, and the record says what it is.
func TestS05_AnsweredRequestIsRecordedAsUsed(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.signIn("alice")
	l.responder.err = fmt.Errorf("request _1: %w", federation.ErrUsed)
	b.get(signInQuery).wants(200, "This sign-in is already finished")
	if events := l.trail.find(audit.TokenRefused); len(events) != 1 || events[0].Reason != "used" {
		t.Errorf("%+v", events)
	}
}

func TestI08_TokensLeaveInBodiesThatNobodyKeeps(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	for name, p := range map[string]*page{"password": b.signIn("alice"), "session": b.get(signInQuery)} {
		if !p.isHandOver() || p.header.Get("Cache-Control") != "no-store" || p.header.Get("Referrer-Policy") != "no-referrer" || p.header.Get("Location") != "" {
			t.Errorf("%s: %v", name, p.header)
		}
		if !strings.Contains(p.header.Get("Content-Security-Policy"), "form-action https:;") {
			t.Errorf("%s: policy %s", name, p.header.Get("Content-Security-Policy"))
		}
	}
}

func TestEachErrorPageHasItsAuditEvent(t *testing.T) {
	l := newLab(t, nil)
	b, stranger := l.browser(), l.browser()
	stranger.get(signInQuery)
	token := b.get(signInQuery).token()
	l.passwords.reasons["down"] = authn.Result{Reason: authn.Unavailable} // the pipeline records this one
	cross := l.browser()
	cross.header.Set("Sec-Fetch-Site", "cross-site")
	for name, c := range map[string]struct {
		send   func() *page
		reason string
	}{
		"elsewhere":     {func() *page { return cross.post("t", token) }, "bad_request"},
		"other browser": {func() *page { return stranger.post("t", token) }, "stale"},
		"no cookie":     {func() *page { return l.browser().post("t", token) }, "cookies"},
		"no token":      {func() *page { return b.post("t", "x") }, "stale"},
		"two names":     {func() *page { return b.post("t", token, "username", "a", "username", "b") }, "bad_request"},
	} {
		before := len(l.trail.find(audit.RequestRefused))
		if p := c.send(); p.status != 400 || !p.has("K7QF-3M9D") {
			t.Errorf("%s: status %d", name, p.status)
		}
		events := l.trail.find(audit.RequestRefused)
		if len(events) != before+1 || events[before].Reason != c.reason || events[before].Reference != "K7QF-3M9D" || events[before].Detail == "" {
			t.Errorf("%s: %+v", name, events[before:])
		}
	}
}
