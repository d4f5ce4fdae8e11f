package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/cmd/internal/demo"
	"sallyport/cmd/internal/trip"
)

const (
	blogEntity = "https://blog.fabrikam.test/sp"
	persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
)

// everyProtocol is a house whose Microsoft 365 speaks SAML 2.0, with two more parties
// of SAML 2.0 that take part in single logout and one of WS-Federation.
type everyProtocol struct {
	*house
	wiki, blog *partyServer
	b          *trip.Browser
	upn        string
}

func openEveryProtocol(t *testing.T) *everyProtocol {
	t.Helper()
	wikiKey, wikiCertificate := partner(t)
	blogKey, blogCertificate := partner(t)
	x := &everyProtocol{wiki: startParty(t, wikiKey, wikiEntity), blog: startParty(t, blogKey, blogEntity)}
	secret := filepath.Join(t.TempDir(), "secret")
	writeFile(t, secret, strings.Repeat("0123456789abcdef", 4))
	party := func(key, entity, certificate, slo string) string {
		return fmt.Sprintf("  - {key: %[1]s, name: The %[1]s, protocol: saml, identifiers: [%[2]s], saml: {acs: [{url: \"https://%[1]s.fabrikam.test/saml/acs\"}], "+
			"request_certificates_file: %[3]s, logout: {url: \"%[4]s/slo\"}}}\n", key, entity, certificate, slo)
	}
	x.house = open(t, demo.Options{Settings: func(text string) string {
		return strings.Replace(text, "saml: {ecp: everywhere}\n", "saml: {ecp: everywhere, persistent_id_secret_file: "+secret+"}\n", 1) +
			"relying_parties:\n" + party("wiki", wikiEntity, wikiCertificate, x.wiki.URL) + party("blog", blogEntity, blogCertificate, x.blog.URL) + sharepoint
	}})
	roots := x.Roots().Clone()
	for _, p := range []*partyServer{x.wiki, x.blog} {
		p.gateway = x.SignInURL()
		roots.AddCert(p.Certificate())
	}
	x.b = trip.New(roots)
	t.Cleanup(x.b.Close)
	return x
}

// signInEverywhere begins one session that all four parties know: one password, and no
// question after it.
func (x *everyProtocol) signInEverywhere(t *testing.T, suffix string) (sessionIndex, blogName string) {
	t.Helper()
	u := x.User("alice")
	x.upn = u.UPN
	to := func(entity, id, body string) string {
		request := strings.Replace(authnRequest(entity, id+suffix, ""), "</samlp:AuthnRequest>", body+"</samlp:AuthnRequest>", 1)
		return x.SignInURL() + redirectQuery(request)
	}
	microsoft, form := answered(t, named(t, x.b, x.open(t, x.b, to("urn:federation:MicrosoftOnline", "_m", `<samlp:NameIDPolicy Format="`+persistent+`"/>`)), u.UPN, u.Password))
	if form.Action != x.Cloud.LoginSRF() {
		t.Fatalf("posted to %s", form.Action)
	}
	answered(t, x.open(t, x.b, to(wikiEntity, "_w", "")))
	// It asks for another kind of name than it is set up with.
	blog, _ := answered(t, x.open(t, x.b, to(blogEntity, "_b", `<samlp:NameIDPolicy Format="`+persistent+`"/>`)))
	if _, ok := x.open(t, x.b, x.SignInURL()+"?wa=wsignin1.0&wtrealm=urn:sharepoint:portal").FormWith("wresult"); !ok {
		t.Fatal("no token for SharePoint in the session")
	}
	blogName = blog.FindElement("./Assertion/Subject/NameID").Text()
	if blogName == u.UPN {
		t.Fatal("the blog did not get a persistent identifier")
	}
	return microsoft.FindElement("./Assertion/AuthnStatement").SelectAttrValue("SessionIndex", ""), blogName
}

func (x *everyProtocol) over(t *testing.T) {
	t.Helper()
	if !x.open(t, x.b, x.SignInURL()+redirectQuery(authnRequest(wikiEntity, fmt.Sprintf("_o%d", time.Now().UnixNano()), ""))).AsksPassword(trip.English) {
		t.Error("the session is still there")
	}
}

// framed are the parties that the page at the end tells in hidden frames.
func framed(p *trip.Page) string { return strings.Join(p.Frames(), " ") }

// One session of Microsoft 365 over SAML 2.0, two more SAML parties and one of
// WS-Federation ends for all of them, whoever begins: each SAML party hears the very
// name that it got, the others are told in frames, and the page says which is which.
func TestSignOutOfEveryProtocolFromEitherSide(t *testing.T) {
	t.Parallel()
	x := openEveryProtocol(t)

	t.Run("from ours", func(t *testing.T) {
		_, blogName := x.signInEverywhere(t, "1")
		page := x.open(t, x.b, x.SignInURL()+"?wa=wsignout1.0")
		if page.Heading() != "You are signed out" || !strings.Contains(page.Text(), "The wiki") || !strings.Contains(page.Text(), "The blog") {
			t.Errorf("%d %q", page.Status, page.Text())
		}
		if f := framed(page); len(page.Frames()) != 2 || !strings.Contains(f, x.Cloud.LoginSRF()) || !strings.Contains(f, "https://portal.contoso.test/_trust/") {
			t.Errorf("frames %s", f)
		}
		x.heard(t, x.upn, blogName)
		x.over(t)
	})
	t.Run("from Microsoft's", func(t *testing.T) {
		index, blogName := x.signInEverywhere(t, "2")
		logout := fmt.Sprintf(`<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_out" Version="2.0" IssueInstant="%s">`+
			`<saml:Issuer>urn:federation:MicrosoftOnline</saml:Issuer><saml:NameID>whoever</saml:NameID><samlp:SessionIndex>%s</samlp:SessionIndex></samlp:LogoutRequest>`,
			time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), index)
		page := x.open(t, x.b, x.SignInURL()+redirectQuery(logout)+"&RelayState=back%2F1")
		form, ok := page.FormWith("SAMLResponse")
		if !ok || form.Action != x.Cloud.LoginSRF() || form.Fields.Get("RelayState") != "back/1" {
			t.Fatalf("%d %q", page.Status, page.Text())
		}
		if f := framed(page); len(page.Frames()) != 1 || !strings.Contains(f, "https://portal.contoso.test/_trust/") {
			t.Errorf("frames %s", f)
		}
		if page.Heading() != "You are signed out" || !strings.Contains(page.Text(), "The wiki") || !strings.Contains(page.Text(), "The blog") || !strings.Contains(page.Text(), "SharePoint portal") {
			t.Errorf("the page does not say who was told: %q", page.Text())
		}
		root, _ := answered(t, page)
		if text := etreeText(t, root); root.Tag != "LogoutResponse" || root.SelectAttrValue("InResponseTo", "") != "_out" || !strings.Contains(text, "status:Success") || !strings.Contains(text, "status:PartialLogout") {
			t.Errorf("a party of WS-Federation cannot confirm: %s", text)
		}
		x.heard(t, x.upn, blogName)
		x.over(t)
	})
	t.Run("from Microsoft's by WS-Federation", func(t *testing.T) {
		_, blogName := x.signInEverywhere(t, "3")
		page := x.open(t, x.b, x.SignInURL()+"?wa=wsignout1.0&wreply="+url.QueryEscape(x.Cloud.LoginSRF()))
		if page.Status != http.StatusOK || !strings.Contains(framed(page), "https://portal.contoso.test/_trust/") || !strings.Contains(page.Body, x.Cloud.LoginSRF()) {
			t.Errorf("%d %q, frames %s", page.Status, page.Text(), framed(page))
		}
		x.heard(t, x.upn, blogName)
		x.over(t)
	})
}

// heard checks which name each SAML party was told, once since the last time.
func (x *everyProtocol) heard(t *testing.T, wiki, blog string) {
	t.Helper()
	if len(x.wiki.told) != 1 || x.wiki.told[0] != wiki || len(x.blog.told) != 1 || x.blog.told[0] != blog {
		t.Errorf("the wiki heard of %q, the blog of %q; they know %q and %q", x.wiki.told, x.blog.told, wiki, blog)
	}
	x.wiki.told, x.blog.told = nil, nil
}
