package saml_test

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"sallyport/federation"
	"sallyport/federation/saml"
	"sallyport/federation/web"
)

const wikiSLO = "https://wiki.fabrikam.test/slo"

// withTwo gives both hand-made parties an address for sign-outs: the signer by
// Redirect, wiki by POST.
func withTwo(t testing.TB) func([]*saml.Party) {
	return func(p []*saml.Party) {
		withLogout(saml.BindingRedirect)(p)
		p[0].Logout = &saml.Logout{URL: wikiSLO, Binding: saml.BindingPost}
		p[0].Certificates = []*x509.Certificate{keyOf(t, "wiki", 2048).cert}
	}
}

// walker is a browser on its way through a sign-out: it keeps cookies.
type walker struct {
	*rig
	cookies map[string]string
}

func (w *walker) serve(r *http.Request, f func(http.ResponseWriter, *http.Request) error) (string, error) {
	w.t.Helper()
	for name, value := range w.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	err := f(rec, r)
	seen := map[string]bool{}
	for _, c := range rec.Result().Cookies() {
		if seen[c.Name] {
			w.t.Errorf("cookie %s is set twice", c.Name)
		}
		if seen[c.Name] = true; c.MaxAge < 0 {
			delete(w.cookies, c.Name)
		} else {
			w.cookies[c.Name] = c.Value
		}
		if !c.Secure || !c.HttpOnly || c.Path != "/" || c.SameSite != http.SameSiteLaxMode {
			w.t.Errorf("cookie %s: %+v", c.Name, c)
		}
	}
	return rec.Header().Get("Location"), err
}

func newWalker(t testing.TB, change ...func([]*saml.Party)) *walker {
	return &walker{rig: newRig(t, change...), cookies: map[string]string{}}
}

// leave begins a sign-out at another door.
func (w *walker) leave(out *federation.SignOut) (string, error) {
	w.t.Helper()
	sub, err := w.SignedOn(nil, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	parties := w.End(nil, nil, nil)
	return w.serve(httptest.NewRequest(http.MethodGet, address+"?wa=wsignout1.0", nil), func(rw http.ResponseWriter, r *http.Request) error {
		return w.handler.Propagate(rw, r, out, parties, sub)
	})
}

func (w *walker) query(q string) (string, error) {
	w.t.Helper()
	return w.serve(httptest.NewRequest(http.MethodGet, address+"?"+q, nil), w.handler.Serve)
}

func (w *walker) form(form url.Values, edit ...func(*http.Request)) error {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, f := range edit {
		f(r)
	}
	if _, err := web.Form(r); err != nil {
		w.t.Fatal(err)
	}
	_, err := w.serve(r, w.handler.Serve)
	return err
}

var answered int

// logoutAnswer is a party's LogoutResponse.
func logoutAnswer(entity, inResponseTo, status, more string) string {
	answered++
	return fmt.Sprintf(`<samlp:LogoutResponse xmlns:samlp="%s" xmlns:saml="%s" ID="_a%d" Version="2.0" IssueInstant="2026-12-01T09:00:20Z" Destination="%s" InResponseTo="%s"><saml:Issuer>%s</saml:Issuer>`+
		`<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:%s">%s</samlp:StatusCode></samlp:Status></samlp:LogoutResponse>`,
		protocol, names, answered, address, inResponseTo, entity, status, more)
}

// asked is the LogoutRequest in the address that the browser was sent to.
func (w *walker) asked(to string) *etree.Element {
	w.t.Helper()
	if !strings.HasPrefix(to, slo+"?SAMLRequest=") {
		w.t.Fatalf("sent to %.80q", to)
	}
	return verifyQuery(w.t.(*testing.T), w.rig, to, "SAMLRequest")
}

// postedRequest is the LogoutRequest that was handed over for wiki.
func (w *walker) postedRequest() *etree.Element {
	w.t.Helper()
	if len(w.handed) == 0 || w.handed[len(w.handed)-1].Action != wikiSLO {
		w.t.Fatalf("nothing was posted to wiki: %v", w.handed)
	}
	raw := decoded(w.t, w.handed[len(w.handed)-1], "SAMLRequest")
	xmlsec1(w.t.(*testing.T), w.rig, raw, "LogoutRequest")
	return tree(w.t, raw)
}

// signedAnswer signs with "SAMLResponse" in the octets, as the binding asks.
func signedAnswer(t testing.TB, key, doc string) string {
	return answerQuery(t, keyOf(t, key, 2048), doc)
}

func TestSignOutVisitsEachParty(t *testing.T) {
	w := newWalker(t, withTwo(t))
	w.others = []string{"saml:signer", "wsfed:party", "saml:wiki", "saml:microsoft365"}
	to, err := w.leave(&federation.SignOut{Protocol: "wsfed", ReplyTo: "https://party.test/bye"})
	if err != nil {
		t.Fatal(err)
	}
	first := w.asked(to)
	if first.FindElement("./NameID").Text() != aliceAt(t) || first.FindElement("./SessionIndex").Text() != "0123456789abcdef0123456789abcdef" || first.SelectAttr("NotOnOrAfter") == nil ||
		first.SelectAttrValue("Destination", "") != slo || first.FindElement("./Issuer").Text() != issuer {
		t.Errorf("LogoutRequest: %v", first.Attr)
	}
	if _, err := w.query(signedAnswer(t, "party", logoutAnswer(signer, first.SelectAttrValue("ID", ""), "Success", ""))); err != nil {
		t.Fatal(err)
	}
	second := w.postedRequest()
	if got := second.FindElement("./NameID").Text(); got != "alice@contoso.test" {
		t.Errorf("wiki is told of %q", got)
	}
	doc := signedXML(t, keyOf(t, "wiki", 2048), logoutAnswer(wiki, second.SelectAttrValue("ID", ""), "Responder", ""))
	if err := w.form(url.Values{"SAMLResponse": {base64Of(doc)}}); err != nil {
		t.Fatal(err)
	}
	if w.signedOut == nil || !slices.Equal(called(w.signedOut.Ended), []string{"Signer"}) || !slices.Equal(called(w.signedOut.Unknown), []string{"Wiki"}) ||
		!slices.Equal(w.told, []string{"wsfed:party", "wsfed:microsoft365"}) || w.farewell != "https://party.test/bye" {
		t.Errorf("the page: %+v, tells %v, leads to %q", w.signedOut, w.told, w.farewell)
	}
	if len(w.cookies) != 0 {
		t.Errorf("cookies left: %v", w.cookies)
	}
}

// A party that is down leaves the browser on an error page of its own. Whoever comes
// back here is led on, and the page at the end does not count that party as ended.
func TestSignOutGoesOnWithoutAPartyThatIsDown(t *testing.T) {
	w := newWalker(t, withTwo(t))
	w.others = []string{"saml:signer", "saml:wiki"}
	resume := func() (gone bool) {
		t.Helper()
		_, err := w.serve(httptest.NewRequest(http.MethodGet, address, nil), func(rw http.ResponseWriter, r *http.Request) (err error) {
			gone, err = w.handler.Resume(rw, r)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return gone
	}
	if resume() {
		t.Fatal("resumed what nobody began")
	}
	to, err := w.leave(&federation.SignOut{Protocol: "wsfed"})
	if err != nil {
		t.Fatal(err)
	}
	late := w.asked(to).SelectAttrValue("ID", "")
	if !resume() {
		t.Fatal("the sign-out stays where it was")
	}
	second := w.postedRequest()
	if _, err := w.query(signedAnswer(t, "party", logoutAnswer(signer, late, "Success", ""))); err == nil {
		t.Error("an answer was taken of a party that is not being visited any more")
	}
	doc := signedXML(t, keyOf(t, "wiki", 2048), logoutAnswer(wiki, second.SelectAttrValue("ID", ""), "Success", ""))
	if err := w.form(url.Values{"SAMLResponse": {base64Of(doc)}}); err != nil {
		t.Fatal(err)
	}
	if w.signedOut == nil || !slices.Equal(called(w.signedOut.Ended), []string{"Wiki"}) || !slices.Equal(called(w.signedOut.Unknown), []string{"Signer"}) {
		t.Errorf("the page: %+v", w.signedOut)
	}
	if resume() {
		t.Error("resumed after the end")
	}
}

// A party hears the name that it asked for last, whatever it is set up with.
func TestSignOutNamesThePersonAsThePartyKnowsThem(t *testing.T) {
	w := newWalker(t, withTwo(t))
	w.others = []string{"saml:signer " + saml.FormatWindows, "saml:signer", "saml:signer " + saml.FormatEmail}
	to, err := w.leave(&federation.SignOut{Protocol: "wsfed"})
	if err != nil {
		t.Fatal(err)
	}
	id := w.asked(to).FindElement("./NameID")
	if id.Text() != `CONTOSO\alice` || id.SelectAttrValue("Format", "") != saml.FormatWindows {
		t.Errorf("told of %q, %s", id.Text(), id.SelectAttrValue("Format", ""))
	}
	if to, err = w.query(signedAnswer(t, "party", logoutAnswer(signer, w.asked(to).SelectAttrValue("ID", ""), "Success", ""))); err != nil || to != "" {
		t.Errorf("it is visited again: %q, %v", to, err)
	}
}

// TestS09_NobodyElseConfirmsASignOut: what is not the awaited party's own signed
// answer to this browser's own request changes nothing.
func TestS09_NobodyElseConfirmsASignOut(t *testing.T) {
	begin := func() (*walker, string) {
		w := newWalker(t, withTwo(t))
		w.others = []string{"saml:signer"}
		to, err := w.leave(&federation.SignOut{Protocol: "wsfed"})
		if err != nil {
			t.Fatal(err)
		}
		return w, w.asked(to).SelectAttrValue("ID", "")
	}
	for name, send := range map[string]func(w *walker, id string) error{
		"unsigned": func(w *walker, id string) error {
			_, err := w.query(strings.Replace(redirect(logoutAnswer(signer, id, "Success", "")), "SAMLRequest", "SAMLResponse", 1))
			return err
		},
		"by a stranger": func(w *walker, id string) error {
			_, err := w.query(signedAnswer(t, "stranger", logoutAnswer(signer, id, "Success", "")))
			return err
		},
		"by another party": func(w *walker, id string) error {
			_, err := w.query(signedAnswer(t, "wiki", logoutAnswer(wiki, id, "Success", "")))
			return err
		},
		"to another request": func(w *walker, id string) error {
			_, err := w.query(signedAnswer(t, "party", logoutAnswer(signer, "_other", "Success", "")))
			return err
		},
		"to no request": func(w *walker, id string) error {
			_, err := w.query(signedAnswer(t, "party", strings.Replace(logoutAnswer(signer, id, "Success", ""), ` InResponseTo="`+id+`"`, "", 1)))
			return err
		},
		"for somewhere else": func(w *walker, id string) error {
			_, err := w.query(signedAnswer(t, "party", strings.Replace(logoutAnswer(signer, id, "Success", ""), address, "https://evil.test/", 1)))
			return err
		},
		"in another browser": func(w *walker, id string) error {
			w.cookies = map[string]string{}
			_, err := w.query(signedAnswer(t, "party", logoutAnswer(signer, id, "Success", "")))
			return err
		},
		"with a changed cookie": func(w *walker, id string) error {
			for k, v := range w.cookies {
				w.cookies[k] = v[:len(v)-2] + "AA"
			}
			_, err := w.query(signedAnswer(t, "party", logoutAnswer(signer, id, "Success", "")))
			return err
		},
		"too late": func(w *walker, id string) error {
			w.now = w.now.Add(11 * time.Minute)
			doc := strings.Replace(logoutAnswer(signer, id, "Success", ""), "09:00:20Z", "09:11:20Z", 1)
			_, err := w.query(signedAnswer(t, "party", doc))
			return err
		},
		"a sign-in response": func(w *walker, id string) error {
			_, err := w.query(signedAnswer(t, "party", strings.ReplaceAll(logoutAnswer(signer, id, "Success", ""), "LogoutResponse", "Response")))
			return err
		},
	} {
		w, id := begin()
		if err := send(w, id); err == nil || w.signedOut != nil {
			t.Errorf("%s: %v, page %+v", name, err, w.signedOut)
		}
	}
	w, id := begin()
	answer := signedAnswer(t, "party", logoutAnswer(signer, id, "Success", ""))
	if _, err := w.query(answer); err != nil || !slices.Equal(called(w.signedOut.Ended), []string{"Signer"}) {
		t.Fatalf("the answer itself: %v", err)
	}
	if _, err := w.query(answer); err == nil {
		t.Error("the answer counts twice")
	}
}

// TestC21_PostedLogoutResponseComesBackWithItsCookie: browsers withhold the cookie
// from the party's own post.
func TestC21_PostedLogoutResponseComesBackWithItsCookie(t *testing.T) {
	w := newWalker(t, withTwo(t))
	w.others = []string{"saml:wiki"}
	if _, err := w.leave(&federation.SignOut{Protocol: "wsfed"}); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"SAMLResponse": {base64Of(signedXML(t, keyOf(t, "wiki", 2048), logoutAnswer(wiki, w.postedRequest().SelectAttrValue("ID", ""), "Success", "")))}}
	kept := w.cookies
	w.cookies = map[string]string{}
	if err := w.form(form, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }); err != nil {
		t.Fatal(err)
	}
	back := w.handed[len(w.handed)-1]
	if back.Action != address || back.Fields[0].Name != "SAMLResponse" || w.signedOut != nil {
		t.Fatalf("not sent round: %+v", back)
	}
	w.cookies = kept
	if err := w.form(url.Values{"SAMLResponse": {back.Fields[0].Value}}, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }); err != nil {
		t.Fatal(err)
	}
	if w.signedOut == nil || !slices.Equal(called(w.signedOut.Ended), []string{"Wiki"}) {
		t.Errorf("the page: %+v", w.signedOut)
	}
}

// A state that no cookie holds costs the other parties their notice, and nobody the
// sign-out.
func TestSignOutWithoutRoomForItsState(t *testing.T) {
	w := newWalker(t, withTwo(t))
	w.others = []string{"saml:signer", "saml:wiki"}
	state := strings.Repeat("s", 6000)
	to, err := w.query(signedQuery(t, keyOf(t, "party", 2048), logoutRequest(nameElement(aliceAt(t), ""), ""), state))
	if err != nil || w.account != nil || len(w.handed) != 0 {
		t.Fatalf("%v, session lives: %v, posted %v", err, w.account != nil, w.handed)
	}
	u, _ := url.Parse(to)
	if got := codes(verifyQuery(t, w.rig, to, "SAMLResponse")); got != "Success PartialLogout" || u.Query().Get("RelayState") != state {
		t.Errorf("%s", got)
	}
}

// called are the parties' names.
func called(parties []*federation.RelyingParty) (names []string) {
	for _, rp := range parties {
		names = append(names, rp.Name)
	}
	return names
}
