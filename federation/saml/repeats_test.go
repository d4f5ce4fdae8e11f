package saml_test

import (
	"net/http"
	"testing"
	"time"

	"sallyport/authn/audit"
	"sallyport/authn/session"
)

// instances are two of one service: they share notes and the directory.
func instances(t *testing.T) (both [2]*enhanced, clock *time.Time) {
	t.Helper()
	clock = &time.Time{}
	*clock = noon
	notes := session.NewMemory(session.Config{Now: func() time.Time { return *clock }})
	t.Cleanup(notes.Close)
	both[0] = newInstance(t, notes, nil)
	both[1] = newInstance(t, notes, both[0].passwords)
	return both, clock
}

// TestT03_ARefusedEnhancedRequestIsOneAttempt: clients send a refused request again
// by themselves, and each copy would be a step towards a locked account.
func TestT03_ARefusedEnhancedRequestIsOneAttempt(t *testing.T) {
	both, clock := instances(t)
	judged := both[0].passwords
	body := envelope(request(`ID="_again"`, ""))
	for i := range 6 {
		if w := both[i%2].send(body, "wrong"); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("copy %d: %d", i, w.Code)
		}
	}
	if judged.asked != 1 {
		t.Errorf("%d passwords were judged for one request at two instances", judged.asked)
	}
	if e := both[1].events[len(both[1].events)-1]; e.Code != audit.RequestRefused || e.Reason != "repeated" {
		t.Errorf("audit %+v", e)
	}
	for name, other := range map[string]func() int{
		"another password": func() int { return both[1].send(body, "wronG").Code },
		"another id":       func() int { return both[1].send(envelope(request("", "")), "wrong").Code },
		"another name": func() int {
			return both[1].send(body, "", func(r *http.Request) { r.SetBasicAuth(`CONTOSO\bob`, "wrong") }).Code
		},
	} {
		before := judged.asked
		if code := other(); code != http.StatusUnauthorized || judged.asked != before+1 {
			t.Errorf("%s: %d, taken for a copy: %v", name, code, judged.asked == before)
		}
	}
	*clock = noon.Add(61 * time.Second)
	for _, g := range both {
		g.now = *clock
	}
	before := judged.asked
	if both[1].send(body, "wrong"); judged.asked != before+1 {
		t.Error("the verdict holds for longer than a minute")
	}
}

// Whoever sends the request again after an answer that was lost on the way gets
// another one: the password is in each copy. By a browser it still counts once.
func TestAnAnsweredEnhancedRequestMayComeAgain(t *testing.T) {
	both, _ := instances(t)
	doc := request("", "")
	for i := range 3 {
		_, res := opened(t, both[i%2].send(envelope(doc), secret))
		if res.FindElement("./Assertion") == nil {
			t.Errorf("copy %d: no assertion", i)
		}
	}
	if both[0].passwords.asked != 3 {
		t.Errorf("%d passwords judged for three copies", both[0].passwords.asked)
	}
	g := both[0]
	if err := g.get(redirect(doc)); err != nil || g.tokens() != 1 {
		t.Errorf("by a browser: %v", err)
	}
	if err := g.get(redirect(doc)); err == nil {
		t.Error("by a browser: a second token")
	}
}
