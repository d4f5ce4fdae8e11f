package app_test

import (
	"strings"
	"testing"

	"sallyport/cmd/internal/demo"
	"sallyport/cmd/internal/trip"
)

// What operations ask about, the metrics answer: who signed in by which protocol and
// why not, where the time went, how domain controllers, pools, sessions and certificates are.
func TestMetricsAnswerWhatOperationsAsk(t *testing.T) {
	h := open(t, demo.Options{})
	b := h.Browser()
	h.signIn(t, b, "alice")
	h.signInPage(t, b, h.User("alice").UPN) // answered with the session
	other := h.Browser()
	h.password(t, other, h.signInPage(t, other, h.User("bob").UPN), "not-the-password")
	text := h.metrics(t)
	for _, want := range []string{
		`sallyport_signins_total{protocol="wsfed",reason="accepted",result="accepted"} 1`,
		`sallyport_signins_total{protocol="wsfed",reason="wrong_password",result="refused"} 1`,
		`sallyport_signin_step_seconds_count{step="resolve"} 2`,
		`sallyport_signin_step_seconds_count{step="bind"} 2`,
		`sallyport_directory_dc_usable{dc="dc1.corp.contoso.test",domain="corp.contoso.test"} 1`,
		`sallyport_directory_pool_connections{dc="dc2.corp.contoso.test",domain="corp.contoso.test",pool="bind",state="idle"}`,
		`sallyport_directory_latency_seconds{dc="dc1.corp.contoso.test",domain="corp.contoso.test"}`,
		`sallyport_directory_breaker_state{dc="dc1.corp.contoso.test",domain="corp.contoso.test"} 0`,
		`sallyport_signin_sessions_total{event="started"} 1`, `sallyport_signin_sessions_total{event="used"} 1`,
		`use="signing"} 364`, `use="listener"}`, `use="ldap_ca"}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics do not say %s", want)
		}
	}
}

// The id that Microsoft gives a request is on the error page, in the log and in the
// audit trail, so that both sides can look for the same thing.
func TestMicrosoftsIDOfARequestIsOnPageLogAndTrail(t *testing.T) {
	h := open(t, demo.Options{})
	const id = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
	p := h.open(t, h.Browser(), h.SignInURL()+"?wa=wsignin1.0&wtrealm=urn%3anobody&client-request-id="+id)
	if !strings.Contains(p.Text(), "Request "+id) {
		t.Errorf("the page shows no %s: %s", id, p.Text())
	}
	ref := h.cause(t, p, `"correlation_id":"`+id+`"`)
	h.event(t, map[string]any{"code": "SP110", "ref": ref, "correlation_id": id})

	b := h.Browser()
	u := h.User("alice")
	page := h.open(t, b, h.SignInURL()+signInQuery+"&client-request-id="+id)
	f := page.Forms()[0]
	f.Fields.Set("username", u.UPN)
	f.Fields.Set("password", u.Password)
	if _, err := b.Submit(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	h.event(t, map[string]any{"code": "SP100", "correlation_id": id})
	h.event(t, map[string]any{"code": "SP200", "correlation_id": id})

	// Anything else than a GUID is as if absent: it would be text of a stranger on our page.
	p = h.open(t, h.Browser(), h.SignInURL()+"?wa=wsignin1.0&wtrealm=urn%3anobody&client-request-id=Call+0900-1234")
	if strings.Contains(p.Body, "0900") || p.AsksPassword(trip.English) {
		t.Error("the page repeats what is no id")
	}
}
