package saml_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/saml"
	"sallyport/federation/token"
	"sallyport/federation/web"
)

// refusing are claims that nobody gets.
type refusing struct{ err error }

func (r refusing) For(context.Context, *federation.SignInRequest, *federation.Subject) (*token.Assertion, error) {
	return nil, r.err
}

// The party hears that a person gets no token, by a Status with the reference that
// finds our record; trouble of ours ends on our page, and so does what Microsoft's
// page would say less about.
func TestPartyHearsWhyAPersonGetsNoToken(t *testing.T) {
	for _, c := range []struct {
		err    error
		entity string
		second string // empty: a page of ours
	}{
		{federation.Refuse(federation.ProblemNotAllowed, nil, claims.ErrDenied), wiki, "RequestDenied"},
		{federation.Refuse(federation.ProblemNotReady, nil, claims.ErrTooManyGroups), wiki, "RequestDenied"},
		{federation.Refuse(federation.ProblemDisabled, nil, errors.New("turned off")), wiki, "AuthnFailed"},
		{federation.Refuse(federation.ProblemAccountExpired, nil, errors.New("ended")), wiki, "AuthnFailed"},
		{federation.Refuse(federation.ProblemNotReady, nil, claims.ErrNoUPN), federation.MicrosoftOnline, ""},
		{federation.Refuse(federation.ProblemDirectory, nil, claims.ErrNoGroups), wiki, ""},
		{errors.New("a fault"), wiki, ""},
	} {
		g := newRig(t)
		g.responder.Claims = func() saml.Claims { return refusing{c.err} }
		err := g.get(redirect(requestOf(c.entity, "", "")))
		if c.second == "" {
			if err == nil || len(g.answers)+len(g.handed) != 0 {
				t.Errorf("%v at %s: told to the party", c.err, c.entity)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", c.err, err)
			continue
		}
		if top, second := g.status(); top != "Responder" || second != c.second {
			t.Errorf("%v: %s %s", c.err, top, second)
		}
		if got := federation.ProblemOf(g.answers[0].Refusal); got != federation.ProblemOf(c.err) {
			t.Errorf("%v: our own record says %s", c.err, got)
		}
	}
}

// S13: what a Status says in words is ours, and the reference.
func TestS13_StatusNamesTheReference(t *testing.T) {
	g := newRig(t)
	handler, err := web.New(web.Config{Trust: web.Trust{Hosts: []string{"sts.contoso.test"}}, Pages: errorPage(func(e *federation.Error) { t.Errorf("a page: %v", e) })},
		mountFunc(func(r *web.Router) {
			r.Handle(web.Route{Name: "ls", Path: "/adfs/ls", Methods: []string{http.MethodGet}, Handler: g.handler.Serve})
		}))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, address+"?"+redirect(request("", `<samlp:NameIDPolicy Format="urn:evil&lt;script&gt;"/>`)), nil)
	handler.ServeHTTP(httptest.NewRecorder(), r)
	doc := message(t, g.handed[0])
	text := tree(t, doc).FindElement("./Status/StatusMessage")
	if text == nil || !strings.HasPrefix(text.Text(), "The request was not met. [ref ") || len(g.events) == 0 || g.events[0].Reference == "" || !strings.Contains(text.Text(), g.events[0].Reference) || strings.Contains(doc, "evil") {
		t.Errorf("%s; audit %+v", doc, g.events)
	}
	xmlsec1(t, g, doc, "Response")
}

type mountFunc func(*web.Router)

func (f mountFunc) Routes(r *web.Router) { f(r) }

// Nobody looks at a page where a party asks passively: it hears of our trouble, too.
func TestS11_PassiveRequestsAreAlwaysAnswered(t *testing.T) {
	for _, c := range []struct {
		err  error
		told bool
	}{
		{federation.Refuse(federation.ProblemDirectory, nil, claims.ErrNoGroups), true},
		{federation.Refuse(federation.ProblemBusy, nil, errors.New("full")), true},
		{errors.New("a fault"), true},
		{federation.Refuse(federation.ProblemBadRequest, nil, errors.New("no good")), false},
		{federation.Refuse(federation.ProblemLoop, nil, errors.New("again")), false},
		{federation.ErrUsed, false},
	} {
		for _, passive := range []bool{true, false} {
			g := newRig(t)
			g.responder.Claims = func() saml.Claims { return refusing{c.err} }
			attributes := ""
			if passive {
				attributes = `IsPassive="true"`
			}
			err := g.get(redirect(request(attributes, "")))
			if want := c.told && passive; want != (err == nil) || want != (len(g.handed) == 1) {
				t.Errorf("%v, passive %v: %v, %d told", c.err, passive, err, len(g.handed))
				continue
			}
			if err != nil {
				continue
			}
			if top, second := g.status(); top != "Responder" || second != "" {
				t.Errorf("%v: %s %s", c.err, top, second)
			}
		}
	}
}

func TestSignOutsOfOtherVersionsEndNothing(t *testing.T) {
	p := keyOf(t, "party", 2048)
	for version, want := range map[string]string{"1.1": "VersionMismatch RequestVersionTooLow", "2.1": "VersionMismatch RequestVersionTooHigh"} {
		g := newRig(t, withLogout(""))
		doc := strings.Replace(logoutRequest(nameElement(aliceAt(t), ""), ""), `Version="2.0"`, `Version="`+version+`"`, 1)
		to, err := g.getTo(signedQuery(t, p, doc, ""))
		if err != nil || g.account == nil {
			t.Fatalf("%s: %v, the session lives: %v", version, err, g.account != nil)
		}
		if got := codes(verifyQuery(t, g, to, "SAMLResponse")); got != want {
			t.Errorf("%s: %s", version, got)
		}
		b := newBack(t)
		_, name, index := b.signIn(t)
		soap := strings.Replace(logoutRequest(nameElement(name, ""), ""), `Version="2.0"`, `Version="`+version+`"`, 1)
		soap = strings.Replace(soap, "0123456789abcdef0123456789abcdef", index, 1)
		w := b.send(t, envelope(signedXML(t, p, strings.Replace(soap, address, logoutAddress, 1))))
		if !strings.Contains(w.Body.String(), "VersionMismatch") || len(b.asked) != 0 {
			t.Errorf("%s by SOAP: %d %s", version, w.Code, w.Body)
		}
	}
}
