package signin_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/authn/session"
	"sallyport/federation"
	"sallyport/federation/signin"
)

// gone is a request with a session's cookie whose browser has closed the
// connection.
func (l *lab) gone(query string) (*http.Request, session.ID) {
	l.t.Helper()
	id, err := l.store.Create(l.t.Context(), &session.Session{Account: aliceID, Domain: "corp.contoso.test", Method: authn.MethodPassword,
		AuthenticatedAt: l.clock(), PwdLastSet: alice().PwdLastSet})
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(l.t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", "https://sts.contoso.test/adfs/ls/"+query, nil)
	r.AddCookie(&http.Cookie{Name: signin.SessionCookie, Value: id.Cookie()})
	return r, id
}

func TestR05_SignOutIsCarriedThroughThoughTheBrowserHasGone(t *testing.T) {
	l := newLab(t, nil)
	r, id := l.gone("?wa=wsignout1.0")
	if err := l.flow.SignOut(httptest.NewRecorder(), r, &federation.SignOut{Protocol: "wsfed"}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.store.Peek(t.Context(), id); !errors.Is(err, session.ErrNone) {
		t.Errorf("the session lives: %v", err)
	}
	if len(l.trail.find(audit.SessionEnded)) != 1 {
		t.Error("no audit event")
	}
}

func TestI10_DisabledAccountLosesItsSessionThoughTheBrowserHasGone(t *testing.T) {
	l := newLab(t, nil)
	l.accounts.change(aliceID, func(a *authn.Account) { a.State |= authn.StateDisabled })
	r, id := l.gone("")
	if err := l.flow.Start(httptest.NewRecorder(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := l.store.Peek(t.Context(), id); !errors.Is(err, session.ErrNone) {
		t.Errorf("the session lives: %v", err)
	}
	if len(l.trail.find(audit.SessionEnded)) != 1 {
		t.Error("no audit event")
	}
}

func TestC02_NoTokenLeavesForABrowserThatHasGone(t *testing.T) {
	l := newLab(t, nil)
	r, _ := l.gone(signInQuery)
	p := l.parties["microsoft365"]
	w := httptest.NewRecorder()
	err := l.flow.Begin(w, r, &federation.SignInRequest{Protocol: "wsfed", Party: p, Realm: p.Identifiers[0], ReplyTo: p.ReplyURLs[0]})
	if err == nil || w.Body.Len() > 0 || len(l.trail.find(audit.TokenIssued)) != 0 {
		t.Errorf("error %v, %d bytes, events %v", err, w.Body.Len(), l.trail.find(audit.TokenIssued))
	}
}
