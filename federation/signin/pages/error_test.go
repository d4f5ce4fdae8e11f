package pages_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sallyport/federation"
	"sallyport/federation/signin/pages"
	"sallyport/federation/web"
)

func TestErrorPagesFollowTheCatalogue(t *testing.T) {
	s := newSet(t, config())
	cases := []struct {
		problem federation.Problem
		status  int
		says    string // on the page, in English
		button  string // with a stored request; empty for none
		desk    bool
	}{
		{federation.ProblemChangeElsewhere, 200, "Your password is right, but it cannot be changed on this page", "Change your password", true},
		{federation.ProblemDisabled, 403, "Your account is turned off", "", true},
		{federation.ProblemAccountExpired, 403, "reached its end date", "", true},
		{federation.ProblemHours, 403, "cannot sign in at this time", "", true},
		{federation.ProblemRestricted, 403, "cannot be used here", "", true},
		{federation.ProblemNotReady, 403, "not set up for Microsoft 365", "", true},
		{federation.ProblemNotAllowed, 403, "have access to Microsoft 365", "Use another account", true},
		{federation.ProblemDirectory, 503, "does not count as a failed attempt", "Try again", true},
		{federation.ProblemThrottled, 429, "Wait 7 minutes", "Try again", true},
		{federation.ProblemBusy, 503, "very busy", "Try again", true},
		{federation.ProblemStale, 400, "no longer valid", "Start again", false},
		{federation.ProblemCookies, 400, "cookies from sts.contoso.test", "Start again", false},
		{federation.ProblemLoop, 400, "We stopped it. Microsoft 365 keeps asking again", "", true},
		{federation.ProblemUnknownParty, 400, "enter your password", "", true},
		{federation.ProblemBadRequest, 400, "not valid", "", false},
		{federation.ProblemMethod, 400, "Microsoft 365 asks for a sign-in method", "", true},
		{federation.ProblemNotFound, 404, "no page at this address", "", true},
		{federation.ProblemInternal, 500, "on our side", "Try again", true},
	}
	if len(cases) != len(pages.Problems()) {
		t.Errorf("%d problems tried of %d", len(cases), len(pages.Problems()))
	}
	for _, c := range cases {
		t.Run(string(c.problem), func(t *testing.T) {
			w, doc := draw(t, drawing{string(c.problem), nil}.of(s, &federation.Error{
				Problem: c.problem, Party: microsoft, Retry: "c2VhbGVk", RetryAfter: 390 * time.Second}), get("en"))
			page := text(doc)
			if w.Code != c.status {
				t.Errorf("status %d, want %d", w.Code, c.status)
			}
			for _, want := range []string{c.says, c.button, "K7QF-3M9D", "2026-11-25 13:32:07 UTC", "7f0c2b1e-52a4-4d0b-9a0e-3f6f2c1d8e55"} {
				if !strings.Contains(page, want) {
					t.Errorf("page lacks %q:\n%s", want, page)
				}
			}
			if got := strings.Contains(page, "Contact the service desk"); got != c.desk {
				t.Errorf("service desk offered: %v", got)
			}
			if got := w.Header().Get("Retry-After"); got != "390" {
				t.Errorf("Retry-After %q", got)
			}
		})
	}
}

func TestErrorWithoutStoredRequestLeadsToThePartyOrNowhere(t *testing.T) {
	s := newSet(t, config())
	for _, c := range []struct {
		e    federation.Error
		want string
	}{
		{federation.Error{Problem: federation.ProblemStale, Party: microsoft}, `href="https://www.example.test/"`},
		{federation.Error{Problem: federation.ProblemStale}, ""},
		{federation.Error{Problem: federation.ProblemStale, Party: &federation.RelyingParty{Name: "x", StartURL: "javascript:alert(1)"}}, ""},
		{federation.Error{Problem: federation.ProblemNotAllowed, Party: microsoft}, ""},
	} {
		w, doc := draw(t, drawing{"", nil}.of(s, &c.e), get("en"))
		if len(named(doc, "form")) != 0 {
			t.Errorf("%v: a form without a request", c.e.Problem)
		}
		got := strings.Contains(w.Body.String(), `class="button"`)
		if got != (c.want != "") || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%v: wrong way on:\n%s", c.e.Problem, w.Body)
		}
	}
}

func TestUnknownProblemIsOurSide(t *testing.T) {
	s := newSet(t, config())
	w, doc := draw(t, drawing{"", nil}.of(s, &federation.Error{Problem: "made-up"}), get("en"))
	if w.Code != 500 || !strings.Contains(text(doc), "Something went wrong on our side") {
		t.Errorf("%d %s", w.Code, text(doc))
	}
}

func TestErrorStatusOfTheEdgeWins(t *testing.T) {
	s := newSet(t, config())
	for status, problem := range map[int]federation.Problem{405: federation.ProblemNotFound, 413: federation.ProblemBadRequest, 421: federation.ProblemNotFound} {
		w := httptest.NewRecorder()
		s.Error(w, get("en"), facts, &federation.Error{Problem: problem, Status: status})
		if w.Code != status {
			t.Errorf("status %d, want %d", w.Code, status)
		}
	}
}

func TestErrorWithoutReferenceHasNoEmptyBox(t *testing.T) {
	s := newSet(t, config())
	w := httptest.NewRecorder()
	s.Error(w, get("en"), &web.Info{}, &federation.Error{Problem: federation.ProblemNotFound})
	if strings.Contains(w.Body.String(), "facts") {
		t.Error("empty reference shown")
	}
}
