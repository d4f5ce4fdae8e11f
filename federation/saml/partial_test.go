package saml_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"sallyport/federation/web"
)

func TestPartyHearsWhetherAllOthersAreSignedOut(t *testing.T) {
	for name, c := range map[string]struct{ status, more, want string }{
		"all":         {"Success", "", "Success"},
		"one refused": {"Responder", "", "Success PartialLogout"},
		"one is partial itself": {"Success",
			`<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:PartialLogout"/>`, "Success PartialLogout"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWalker(t, withTwo(t))
			w.others = []string{"saml:signer", "saml:wiki"}
			doc := logoutRequest(nameElement(aliceAt(t), ""), "")
			if _, err := w.query(signedQuery(t, keyOf(t, "party", 2048), doc, "r s")); err != nil {
				t.Fatal(err)
			}
			if w.account != nil {
				t.Error("the session lives while others are told")
			}
			id := w.postedRequest().SelectAttrValue("ID", "")
			response := signedXML(t, keyOf(t, "wiki", 2048), logoutAnswer(wiki, id, c.status, c.more))
			r := httptest.NewRequest(http.MethodPost, address, strings.NewReader(url.Values{"SAMLResponse": {base64Of(response)}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if _, err := web.Form(r); err != nil {
				t.Fatal(err)
			}
			to, err := w.serve(r, w.handler.Serve)
			if err != nil || !strings.HasPrefix(to, sloDone+"?SAMLResponse=") {
				t.Fatalf("%v, sent to %.80q", err, to)
			}
			root := verifyQuery(t, w.rig, to, "SAMLResponse")
			u, _ := url.Parse(to)
			if got := codes(root); got != c.want || root.SelectAttrValue("InResponseTo", "") != tree(t, doc).SelectAttrValue("ID", "") || u.Query().Get("RelayState") != "r s" {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// With parties of other protocols there is a page between, as nobody confirms there.
// A party that is answered by POST keeps nobody from telling the others first: the page
// with their frames posts the answer.
func TestPostedAnswerWaitsForPartiesInFrames(t *testing.T) {
	w := newWalker(t, withTwo(t))
	w.others = []string{"saml:wiki", "wsfed:party"}
	request := signedXML(t, keyOf(t, "wiki", 2048), strings.Replace(logoutRequest(`<saml:NameID>alice@contoso.test</saml:NameID>`, ""), signer, wiki, 1))
	if err := w.form(url.Values{"SAMLRequest": {base64Of(request)}, "RelayState": {"s"}}); err != nil {
		t.Fatal(err)
	}
	if w.signedOut == nil || w.signedOut.Onward == nil || w.signedOut.Onward.Action != wikiSLO || w.farewell != "" || !slices.Equal(w.told, []string{"wsfed:party"}) {
		t.Fatalf("%+v tells %v", w.signedOut, w.told)
	}
	if state, _ := relayState(w.signedOut.Onward); state != "s" {
		t.Errorf("RelayState %q", state)
	}
	if doc := message(t, w.signedOut.Onward); !strings.Contains(doc, "status:PartialLogout") || !strings.Contains(doc, "<ds:Signature") {
		t.Errorf("%s", doc)
	}
}

func TestLogoutWithOtherProtocolsIsPartial(t *testing.T) {
	w := newWalker(t, withLogout(""))
	w.others = []string{"saml:signer", "wsfed:microsoft365", "saml:wiki"}
	if _, err := w.query(signedQuery(t, keyOf(t, "party", 2048), logoutRequest(nameElement(aliceAt(t), ""), ""), "s")); err != nil {
		t.Fatal(err)
	}
	if got := codes(verifyQuery(t, w.rig, w.farewell, "SAMLResponse")); got != "Success PartialLogout" || !slices.Equal(w.told, []string{"wsfed:microsoft365"}) ||
		!slices.Equal(called(w.signedOut.Unknown), []string{"Wiki"}) {
		t.Errorf("%s, tells %v, %+v", got, w.told, w.signedOut)
	}
}
