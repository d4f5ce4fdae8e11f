package saml_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/authn/session"
	"sallyport/federation"
	"sallyport/federation/saml"
	"sallyport/federation/web"
)

const logoutAddress = "https://sts.contoso.test/adfs/services/saml/logout"

// backRig has a party that signs people out by SOAP, and another that is told so.
type backRig struct {
	*walker
	store *session.Memory
	edge  *web.Edge
	mu    sync.Mutex             // guards asked
	asked []string               // LogoutRequests to the parties' own endpoint
	reply func(id string) string // what the party answers
	// careful counts what the client for addresses of metadata was asked for.
	careful int
}

// RoundTrip makes the rig the transport of that client, which reaches nobody.
func (g *backRig) RoundTrip(*http.Request) (*http.Response, error) {
	g.careful++
	return nil, errors.New("refused")
}

func newBack(t *testing.T) *backRig {
	t.Helper()
	g := &backRig{}
	wiki := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		g.mu.Lock()
		g.asked = append(g.asked, string(body))
		g.mu.Unlock()
		e := tree(t, string(body)).FindElement("./Body/LogoutRequest")
		if e == nil {
			t.Errorf("no LogoutRequest: %s", body)
			return
		}
		_, _ = io.WriteString(w, g.reply(e.SelectAttrValue("ID", "")))
	}))
	t.Cleanup(wiki.Close)
	g.walker = newWalker(t, func(p []*saml.Party) {
		withTwo(t)(p)
		p[1].Logout = &saml.Logout{URL: slo, Binding: saml.BindingSOAP}
		p[0].Logout = &saml.Logout{URL: wiki.URL + "/slo", Binding: saml.BindingSOAP}
	})
	g.reply = func(id string) string {
		return envelope(signedXML(t, keyOf(t, "wiki", 2048), logoutAnswer("https://wiki.fabrikam.test/sp", id, "Success", "")))
	}
	g.store = session.NewMemory(session.Config{Now: g.clock})
	t.Cleanup(g.store.Close)
	var err error
	g.handler, err = saml.New(saml.Config{URL: address, Issuers: func() []string { return []string{issuer} }, Responder: g.responder,
		Flow: g, Seal: sealer(t), Party: func(key string) *federation.RelyingParty { return g.registry.RelyingParty(key) }, SessionCookie: cookie, Audit: g, Now: g.clock,
		Back: saml.BackChannel{URL: logoutAddress, Links: g.store, Client: wiki.Client(), Public: &http.Client{Transport: g},
			Person: func(_ context.Context, s *session.Session, index string) *federation.Subject {
				return &federation.Subject{Account: alice(), Method: s.Method, AuthenticatedAt: s.AuthenticatedAt, SessionStarted: s.StartedAt, SessionIndex: index}
			}}})
	if err != nil {
		t.Fatal(err)
	}
	g.edge, err = web.New(web.Config{Trust: web.Trust{Hosts: []string{"sts.contoso.test"}},
		Pages: saml.Pages{Realm: "sts", Next: errorPage(func(e *federation.Error) { t.Errorf("a page for people: %v", e) })}}, g.handler)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// signIn makes a session that the signer can find, and returns it with what the
// signer knows of it.
func (g *backRig) signIn(t *testing.T, parties ...string) (id session.ID, nameID, index string) {
	t.Helper()
	id, err := g.store.Create(t.Context(), &session.Session{Account: alice().ID, Domain: alice().Domain, Method: authn.MethodPassword, AuthenticatedAt: g.clock()})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append([]string{"saml:signer"}, parties...) {
		if _, err := g.store.Use(t.Context(), id, p); err != nil {
			t.Fatal(err)
		}
	}
	serialNumber++
	index = strings.Repeat("0", 31) + string(rune('a'+serialNumber%26))
	req := &federation.SignInRequest{Protocol: "saml", Party: g.registry.RelyingParty("signer"), Realm: signer, ReplyTo: "https://sp.fabrikam.test/acs", Extra: "\x00" + "zzzz\x00" + saml.FormatPersistent + "\x00\x00\x00"}
	req.Extra = strings.Replace(req.Extra, "zzzz", base36(g.clock()), 1)
	ans, err := g.responder.Respond(t.Context(), req, &federation.Subject{Account: alice(), Method: authn.MethodPassword, AuthenticatedAt: g.clock(), SessionStarted: g.clock(), SessionIndex: index})
	if err != nil || ans.Link == "" {
		t.Fatalf("the answer names no link: %v", err)
	}
	if err := g.store.Link(t.Context(), id, ans.Link, ans.LinkLabel); err != nil {
		t.Fatal(err)
	}
	return id, ans.NameID, index
}

var serialNumber int

func (g *backRig) send(t *testing.T, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	g.edge.ServeHTTP(w, httptest.NewRequest(http.MethodPost, logoutAddress, strings.NewReader(body)))
	return w
}

// soapLogout is a signed LogoutRequest of the signer in an envelope.
func soapLogout(t *testing.T, nameID string, indexes ...string) string {
	doc := logoutRequest(nameElement(nameID, `Format="`+saml.FormatPersistent+`"`), "")
	doc = strings.Replace(doc, address, logoutAddress, 1)
	list := ""
	for _, i := range indexes {
		list += "<samlp:SessionIndex>" + i + "</samlp:SessionIndex>"
	}
	doc = strings.Replace(doc, "<samlp:SessionIndex>0123456789abcdef0123456789abcdef</samlp:SessionIndex>", list, 1)
	return envelope(signedXML(t, keyOf(t, "party", 2048), doc))
}

func (g *backRig) alive(t *testing.T, id session.ID) bool {
	t.Helper()
	_, err := g.store.Peek(t.Context(), id)
	return err == nil
}

func TestPartySignsOutBySOAP(t *testing.T) {
	g := newBack(t)
	one, name, index := g.signIn(t)
	two, _, _ := g.signIn(t)
	w := g.send(t, soapLogout(t, name, index))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	res := tree(t, w.Body.String()).FindElement("./Body/LogoutResponse")
	if res == nil || codes(res) != "Success" {
		t.Fatalf("answer: %s", w.Body)
	}
	goodSignature(t, g.rig, res)
	if g.alive(t, one) || !g.alive(t, two) {
		t.Errorf("the session named lives %v, another one %v", g.alive(t, one), g.alive(t, two))
	}
	if e := g.events[len(g.events)-1]; e.Code != audit.SessionEnded || e.Party != signer {
		t.Errorf("audit: %+v", e)
	}
	three, _, _ := g.signIn(t)
	if w := g.send(t, soapLogout(t, name)); w.Code != http.StatusOK || g.alive(t, two) || g.alive(t, three) {
		t.Errorf("without an index not all sessions ended: %d %s", w.Code, w.Body)
	}
	if w := g.send(t, soapLogout(t, name)); codes(tree(t, w.Body.String()).FindElement("./Body/LogoutResponse")) != "Success" {
		t.Errorf("nobody signed in: %s", w.Body)
	}
}

func TestSOAPSignOutTellsTheOtherParties(t *testing.T) {
	for name, c := range map[string]struct {
		parties []string
		reply   func(*backRig) func(string) string
		want    string
		asked   int
	}{
		"another by SOAP": {[]string{"saml:wiki"}, nil, "Success", 1},
		"one that refuses": {[]string{"saml:wiki"}, func(g *backRig) func(string) string {
			return func(id string) string {
				return envelope(signedXML(t, keyOf(t, "wiki", 2048), logoutAnswer(wiki, id, "Responder", "")))
			}
		}, "Success PartialLogout", 1},
		"an answer by a stranger": {[]string{"saml:wiki"}, func(g *backRig) func(string) string {
			return func(id string) string {
				return envelope(signedXML(t, keyOf(t, "stranger", 2048), logoutAnswer(wiki, id, "Success", "")))
			}
		}, "Success PartialLogout", 1},
		"an unsigned answer": {[]string{"saml:wiki"}, func(g *backRig) func(string) string {
			return func(id string) string { return envelope(logoutAnswer(wiki, id, "Success", "")) }
		}, "Success PartialLogout", 1},
		"an answer to another request": {[]string{"saml:wiki"}, func(g *backRig) func(string) string {
			return func(string) string {
				return envelope(signedXML(t, keyOf(t, "wiki", 2048), logoutAnswer(wiki, "_other", "Success", "")))
			}
		}, "Success PartialLogout", 1},
		"no envelope":            {[]string{"saml:wiki"}, func(g *backRig) func(string) string { return func(string) string { return "ok" } }, "Success PartialLogout", 1},
		"one that needs frames":  {[]string{"wsfed:party"}, nil, "Success PartialLogout", 0},
		"one without an address": {[]string{"saml:microsoft365"}, nil, "Success PartialLogout", 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := newBack(t)
			if c.reply != nil {
				g.reply = c.reply(g)
			}
			_, id, index := g.signIn(t, c.parties...)
			w := g.send(t, soapLogout(t, id, index))
			if got := codes(tree(t, w.Body.String()).FindElement("./Body/LogoutResponse")); got != c.want || len(g.asked) != c.asked {
				t.Errorf("%s after %d requests, want %s after %d", got, len(g.asked), c.want, c.asked)
			}
			for _, body := range g.asked {
				e := tree(t, body).FindElement("./Body/LogoutRequest")
				goodSignature(t, g.rig, e)
				if e.FindElement("./NameID").Text() != "alice@contoso.test" || e.FindElement("./SessionIndex").Text() != index {
					t.Errorf("wiki is asked: %s", body)
				}
			}
		})
	}
}

// TestS09_ForcedLogoutBySOAP: only the party itself ends sessions, only its own, and
// once.
func TestS09_ForcedLogoutBySOAP(t *testing.T) {
	for name, change := range map[string]func(good string) string{
		"unsigned":           func(s string) string { return cut(s, "<ds:Signature", "</ds:Signature>") },
		"another name":       func(s string) string { return strings.Replace(s, "</saml:NameID>", "x</saml:NameID>", 1) },
		"another issuer":     func(s string) string { return strings.Replace(s, signer, wiki, 1) },
		"for somewhere else": func(s string) string { return strings.Replace(s, logoutAddress, address, 1) },
		"no envelope":        func(s string) string { return tail(s) },
		"must be understood": func(s string) string {
			return strings.Replace(s, "<S:Body>", `<S:Header><x xmlns="urn:x" S:mustUnderstand="1"/></S:Header><S:Body>`, 1)
		},
		"a sign-in":           func(string) string { return envelope(requestOf(signer, "", "")) },
		"beside another body": func(s string) string { return strings.Replace(s, "<S:Body>", "<S:Body><x/>", 1) },
	} {
		g := newBack(t)
		id, nameID, index := g.signIn(t)
		if w := g.send(t, change(soapLogout(t, nameID, index))); w.Code != http.StatusInternalServerError || !g.alive(t, id) {
			t.Errorf("%s: %d, the session lives %v", name, w.Code, g.alive(t, id))
		}
	}
	g := newBack(t)
	_, nameID, index := g.signIn(t)
	body := soapLogout(t, nameID, index)
	if w := g.send(t, body); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	again, _, _ := g.signIn(t)
	if w := g.send(t, body); w.Code == http.StatusOK || !g.alive(t, again) {
		t.Errorf("replay: %d", w.Code)
	}
	g.now = g.now.Add(time.Hour)
	if w := g.send(t, soapLogout(t, nameID)); w.Code == http.StatusOK || !g.alive(t, again) {
		t.Errorf("stale: %d", w.Code)
	}
	// One that has ended while the party's clock still agrees with ours.
	g = newBack(t)
	for _, c := range []struct {
		left time.Duration
		ends bool
	}{{-time.Second, false}, {0, false}, {time.Second, true}} {
		id, nameID, index := g.signIn(t)
		doc := strings.Replace(logoutRequest(nameElement(nameID, `Format="`+saml.FormatPersistent+`"`), `NotOnOrAfter="`+g.now.Add(c.left).UTC().Format(time.RFC3339)+`"`), address, logoutAddress, 1)
		doc = strings.Replace(doc, "0123456789abcdef0123456789abcdef", index, 1)
		if w := g.send(t, envelope(signedXML(t, keyOf(t, "party", 2048), doc))); (w.Code == http.StatusOK) != c.ends || g.alive(t, id) == c.ends {
			t.Errorf("%s before its end: %d, the session lives %v", c.left, w.Code, g.alive(t, id))
		}
	}
	// A party that is not registered for sign-outs signs nobody out.
	g = newBack(t)
	id, nameID, index := g.signIn(t)
	g.registry.ByKey("signer").Logout = nil
	if w := g.send(t, soapLogout(t, nameID, index)); w.Code == http.StatusOK || !g.alive(t, id) {
		t.Errorf("not registered for sign-outs: %d", w.Code)
	}
}

// The metadata names the SOAP binding to everybody, so a party that hears of
// sign-outs through the browser may use it for its own.
func TestPartyOfTheBrowserSignsOutBySOAP(t *testing.T) {
	g := newBack(t)
	g.registry.ByKey("signer").Logout.Binding = saml.BindingRedirect
	id, nameID, index := g.signIn(t)
	if w := g.send(t, soapLogout(t, nameID, index)); w.Code != http.StatusOK || g.alive(t, id) {
		t.Errorf("%d %s, the session lives %v", w.Code, w.Body, g.alive(t, id))
	}
}

// A sign-out in the browser tells parties with SOAP on the way.
func TestSignOutTellsPartiesBySOAP(t *testing.T) {
	g := newBack(t)
	g.others = []string{"saml:wiki", "wsfed:party"}
	if _, err := g.leave(&federation.SignOut{Protocol: "wsfed"}); err != nil {
		t.Fatal(err)
	}
	if g.signedOut == nil || !slices.Equal(called(g.signedOut.Ended), []string{"Wiki"}) || len(g.asked) != 1 || len(g.cookies) != 0 {
		t.Errorf("%+v after %d requests", g.signedOut, len(g.asked))
	}
}

// cut takes out what stands from first to last, both included.
func cut(s, first, last string) string {
	a, b := strings.Index(s, first), strings.Index(s, last)
	return s[:a] + s[b+len(last):]
}

// tail is what stands in the body of an envelope.
func tail(s string) string {
	return strings.TrimSuffix(s[strings.Index(s, "<S:Body>")+len("<S:Body>"):], "</S:Body></S:Envelope>")
}

// TestSessionsOfOnePersonEndSideBySide: a party that answers late is waited for once,
// not once for each of the sessions, or the one that asked would hear nothing before
// its patience ends.
func TestSessionsOfOnePersonEndSideBySide(t *testing.T) {
	g := newBack(t)
	const sessions = 3
	var nameID string
	for range sessions {
		_, nameID, _ = g.signIn(t, "saml:wiki")
	}
	var together sync.WaitGroup
	together.Add(sessions)
	all := make(chan struct{})
	go func() { together.Wait(); close(all) }()
	answer := g.reply
	g.reply = func(id string) string {
		together.Done()
		select {
		case <-all:
		case <-t.Context().Done():
		}
		g.mu.Lock() // answers are numbered
		defer g.mu.Unlock()
		return answer(id)
	}
	w := g.send(t, soapLogout(t, nameID))
	if got := codes(tree(t, w.Body.String()).FindElement("./Body/LogoutResponse")); got != "Success" {
		t.Errorf("answered with %s", got)
	}
	if len(g.asked) != sessions {
		t.Errorf("the other party was told %d times", len(g.asked))
	}
}

// TestS12_AddressOfMetadataGetsTheCarefulClient: Public goes with the party's address.
func TestS12_AddressOfMetadataGetsTheCarefulClient(t *testing.T) {
	g := newBack(t)
	g.registry.ByKey("wiki").Logout.Public = true
	_, nameID, _ := g.signIn(t, "saml:wiki")
	w := g.send(t, soapLogout(t, nameID))
	if got := codes(tree(t, w.Body.String()).FindElement("./Body/LogoutResponse")); got != "Success PartialLogout" || len(g.asked) != 0 || g.careful != 1 {
		t.Errorf("%s, asked %d times, the careful client %d times", got, len(g.asked), g.careful)
	}
}
