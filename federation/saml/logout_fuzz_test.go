package saml_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"sallyport/federation"
	"sallyport/federation/saml"
)

// Whatever the message, by whichever binding: no panic, a session ends for nobody who
// has no key (Microsoft 365, whose messages need none, apart), and what leaves goes to
// registered addresses.
func FuzzLogout(f *testing.F) {
	party := keyOf(f, "party", 2048)
	good := logoutRequest(nameElement("alice@contoso.test", ""), `NotOnOrAfter="2026-12-01T09:05:00Z" Reason="urn:x"`)
	signed := signedXML(f, party, good)
	for _, seed := range []string{
		good, signed, strings.Replace(good, signer, federation.MicrosoftOnline, 1), strings.Replace(good, "NameID", "EncryptedID", 2),
		strings.Replace(signed, "alice@", "bob@", 1), strings.Replace(good, "<samlp:SessionIndex>", "<samlp:SessionIndex/><samlp:SessionIndex>", 1),
		logoutAnswer(signer, "_x", "Success", ""), "<", "",
	} {
		f.Add(seed, "state")
	}
	allowed := []string{slo, sloDone, wikiSLO, address, "https://login.microsoftonline.com/login.srf"}
	f.Fuzz(func(t *testing.T, doc, state string) {
		w := newWalker(t, withTwo(t))
		w.others = []string{"saml:wiki", "wsfed:party"}
		form := posted(doc)
		form.Set("RelayState", state)
		answer := url.Values{"SAMLResponse": form["SAMLRequest"]}
		for _, send := range []func() (string, error){
			func() (string, error) { return w.query(redirect(doc) + "&RelayState=" + url.QueryEscape(state)) },
			func() (string, error) {
				return w.query(strings.Replace(redirect(doc), "SAMLRequest", "SAMLResponse", 1))
			},
			func() (string, error) { return "", w.form(form) },
			func() (string, error) { return "", w.form(answer) },
		} {
			to, err := send()
			at, _, _ := strings.Cut(to, "?")
			if to != "" && (err != nil || !slices.Contains(allowed, at)) {
				t.Fatalf("the browser is sent to %q with %v", to, err)
			}
			if w.account == nil && !strings.Contains(doc, federation.MicrosoftOnline) && !strings.Contains(doc, "SignatureValue") {
				t.Fatalf("a session ended for nobody: %q", doc)
			}
		}
		for _, a := range w.handed {
			if !slices.Contains(allowed, a.Action) && !slices.Contains(w.registry.ByKey("wiki").ReplyURLs, a.Action) {
				t.Fatalf("an answer goes to %q", a.Action)
			}
		}
	})
}

// The same for the server's own door, where only a signature counts.
func FuzzLogoutEnvelope(f *testing.F) {
	good := strings.Replace(logoutRequest(nameElement("alice@contoso.test", ""), ""), address, logoutAddress, 1)
	for _, seed := range []string{envelope(good), envelope(strings.Replace(good, signer, federation.MicrosoftOnline, 1)), envelope(logoutAnswer(signer, "_x", "Success", "")), envelope(""), "<"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		g := newBack(t)
		id, _, _ := g.signIn(t)
		w := httptest.NewRecorder()
		g.edge.ServeHTTP(w, httptest.NewRequest(http.MethodPost, logoutAddress, strings.NewReader(body)))
		if strings.Contains(w.Body.String(), "status:Success") {
			t.Fatalf("an unsigned sign-out is answered: %q", body)
		}
		if _, err := g.store.Peek(t.Context(), id); err != nil {
			t.Fatalf("the session ended by %q: %v", body, err)
		}
	})
}

// Whatever the query: a sign-in begins here only to a party that is switched on for it,
// and goes to its own address.
func FuzzInitiated(f *testing.F) {
	f.Add("loginToRp=" + url.QueryEscape(wiki) + "&RelayState=a")
	f.Add("RelayState=" + url.QueryEscape("RPID="+url.QueryEscape(wiki)+"&RelayState="+url.QueryEscape("https://x.test/?a=b")))
	f.Add("loginToRp=" + url.QueryEscape(signer))
	f.Add("loginToRp=a&loginToRp=b&RelayState=%00")
	f.Fuzz(func(t *testing.T, query string) {
		g := newRig(t, func(p []*saml.Party) { p[0].Unsolicited = true })
		_ = g.initiate(query)
		for _, req := range g.begun {
			if req.Party.Key != "wiki" || req.ReplyTo != wikiACS {
				t.Fatalf("%q begins at %s, to %s", query, req.Party.Key, req.ReplyTo)
			}
		}
	})
}
