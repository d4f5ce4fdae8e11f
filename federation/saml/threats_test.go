package saml_test

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/authn/session"
	"sallyport/federation"
	"sallyport/federation/saml"
)

const acsAttr = `Destination="` + address + `"`

// wrappings are the classic shapes of signature wrapping, made of a valid signed
// request: good is the request, evil the same one with another id and content.
func wrappings(good, evil string) map[string]string {
	sigStart, sigEnd := strings.Index(good, "<ds:Signature"), strings.Index(good, "</ds:Signature>")+len("</ds:Signature>")
	sig := good[sigStart:sigEnd]
	plain := good[:sigStart] + good[sigEnd:]
	object := strings.Replace(sig, "</ds:Signature>", "<ds:Object>"+plain+"</ds:Object></ds:Signature>", 1)
	behindIssuer := func(doc, insert string) string {
		return strings.Replace(doc, "</saml:Issuer>", "</saml:Issuer>"+insert, 1)
	}
	atEnd := func(doc, insert string) string {
		return strings.Replace(doc, "</samlp:AuthnRequest>", insert+"</samlp:AuthnRequest>", 1)
	}
	return map[string]string{
		"XSW1 original inside the signature": behindIssuer(evil, object),
		"XSW2 original before":               behindIssuer(evil, plain+sig),
		"XSW3 signed original as child":      atEnd(evil, good),
		"XSW4 original wraps evil":           atEnd(good, evil),
		"XSW5 evil keeps the signature":      behindIssuer(evil, sig),
		"XSW6 original in Object":            behindIssuer(evil, strings.Replace(sig, "</ds:Signature>", "<ds:Object>"+good+"</ds:Object></ds:Signature>", 1)),
		"XSW7 original in Extensions":        behindIssuer(evil, "<samlp:Extensions>"+good+"</samlp:Extensions>"),
		"XSW8 evil in Object":                strings.Replace(good, "</ds:Signature>", "<ds:Object>"+evil+"</ds:Object></ds:Signature>", 1),
		"two signatures":                     behindIssuer(good, sig),
		"signature moved to the end":         atEnd(plain, sig),
		"sibling":                            "<r>" + good + evil + "</r>",
		"attribute added":                    strings.Replace(good, "<samlp:AuthnRequest ", `<samlp:AuthnRequest ForceAuthn="false" `, 1),
		"second issuer":                      behindIssuer(good, "<saml:Issuer>"+wiki+"</saml:Issuer>"),
		"signature removed":                  plain,
	}
}

func TestS01_WrappedRequestsAreRefused(t *testing.T) {
	p := keyOf(t, "party", 2048)
	good := signedXML(t, p, requestOf(signer, acsAttr, `<samlp:NameIDPolicy AllowCreate="true"></samlp:NameIDPolicy>`))
	evil := requestOf(signer, acsAttr+` AssertionConsumerServiceURL="https://evil.test/acs"`, "")
	g := newRig(t)
	if err := g.post(posted(good)); err != nil || g.tokens() != 1 {
		t.Fatalf("the request itself is refused: %v", err)
	}
	for name, doc := range wrappings(good, evil) {
		t.Run(name, func(t *testing.T) {
			for binding, send := range map[string]func(*rig) error{
				"post":     func(g *rig) error { return g.post(posted(doc)) },
				"redirect": func(g *rig) error { return g.get(redirect(doc)) },
			} {
				g := newRig(t)
				if err := send(g); err == nil {
					t.Errorf("%s: accepted", binding)
				}
				g.nothing(t)
			}
		})
	}
}

func TestS02_WeakAlgorithmsAreRefused(t *testing.T) {
	p := keyOf(t, "party", 2048)
	query := signedQuery(t, p, requestOf(signer, acsAttr, ""), "")
	for _, alg := range []string{"http://www.w3.org/2000/09/xmldsig#rsa-sha1", "http://www.w3.org/2000/09/xmldsig#hmac-sha1",
		"http://www.w3.org/2001/04/xmldsig-more#rsa-md5", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", "", "none"} {
		g := newRig(t)
		if err := g.get(strings.Replace(query, url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"), url.QueryEscape(alg), 1)); err == nil {
			t.Errorf("%q accepted", alg)
		}
		g.nothing(t)
	}
	weak := keyOf(t, "weak", 1024)
	if _, err := saml.NewRegistry(&saml.Party{RelyingParty: federation.RelyingParty{Key: "k", Identifiers: []string{"urn:k"}},
		Consumers: []saml.Endpoint{{URL: "https://k.test/acs"}}, Certificates: append(parties(t)[1].Certificates, weak.cert)}); err == nil {
		t.Error("a key of 1024 bits can be registered")
	}
}

func TestS03_OnlyRegisteredKeysCount(t *testing.T) {
	stranger := keyOf(t, "stranger", 2048)
	doc := signedXML(t, stranger, requestOf(signer, acsAttr, "")) // brings its own certificate
	unsignedParty := signedXML(t, stranger, request(acsAttr, "")) // a party without any certificate
	for _, send := range []func(*rig) error{
		func(g *rig) error { return g.post(posted(doc)) },
		func(g *rig) error { return g.get(signedQuery(t, stranger, requestOf(signer, acsAttr, ""), "")) },
		func(g *rig) error { return g.post(posted(unsignedParty)) },
		func(g *rig) error { return g.get(signedQuery(t, stranger, request(acsAttr, ""), "")) },
	} {
		g := newRig(t)
		if err := send(g); !local(err, federation.ProblemBadRequest) {
			t.Errorf("a stranger's signature: %v", err)
		}
		g.nothing(t)
	}
}

func TestS03_WantedSignaturesAreDemanded(t *testing.T) {
	g := newRig(t)
	doc := requestOf(signer, acsAttr, "")
	if err := g.post(posted(doc)); !local(err, federation.ProblemBadRequest) {
		t.Errorf("unsigned by POST: %v", err)
	}
	if err := g.get(redirect(doc)); !local(err, federation.ProblemBadRequest) {
		t.Errorf("unsigned by Redirect: %v", err)
	}
	g.nothing(t)
}

// lowerHex finds the escapes of a query.
var lowerHex = regexp.MustCompile("%[0-9A-F]{2}")

func TestS04_RedirectParameters(t *testing.T) {
	p := keyOf(t, "party", 2048)
	fresh := func() string { return signedQuery(t, p, requestOf(signer, acsAttr, ""), "a b") }
	good := fresh()
	g := newRig(t)
	if err := g.get(good); err != nil || g.tokens() != 1 {
		t.Fatalf("the query itself: %v", err)
	}
	pairs := strings.Split(fresh(), "&")
	turned := pairs[3] + "&" + pairs[2] + "&" + pairs[1] + "&" + pairs[0]
	if err := g.get("x=1&" + turned + "&y=2"); err != nil || g.tokens() != 2 {
		t.Errorf("another order in the URL: %v", err)
	}
	// Also where no signature is asked for, half of one is none.
	if err := g.get(redirect(request("", "")) + "&SigAlg=" + url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")); err == nil {
		t.Error("an algorithm without a signature: accepted")
	}
	good = fresh()
	other := requestOf(signer, acsAttr, "")
	for name, query := range map[string]string{
		"request twice":          good + "&SAMLRequest=" + url.QueryEscape(deflated(other)),
		"request twice, first":   "SAMLRequest=" + url.QueryEscape(deflated(other)) + "&" + good,
		"other spelling":         good + "&samlrequest=" + url.QueryEscape(deflated(other)),
		"escaped name":           good + "&%53AMLRequest=" + url.QueryEscape(deflated(other)),
		"response beside":        good + "&SAMLResponse=" + url.QueryEscape(deflated(other)),
		"artifact beside":        good + "&SAMLart=AAQA",
		"relay state twice":      good + "&RelayState=x",
		"relay state changed":    strings.Replace(good, "RelayState=a+b", "RelayState=a+c", 1),
		"relay state re-encoded": strings.Replace(good, "RelayState=a+b", "RelayState=a%20b", 1),
		"message re-encoded":     lowerHex.ReplaceAllStringFunc(good[:strings.Index(good, "&")], strings.ToLower) + good[strings.Index(good, "&"):],
		"relay state removed":    strings.Replace(good, "&RelayState=a+b", "", 1),
		"algorithm twice":        good + "&SigAlg=" + url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"),
		"signature twice":        good + "&Signature=AAAA",
		"empty signature":        good[:strings.Index(good, "&Signature=")] + "&Signature=",
		"no signature":           good[:strings.Index(good, "&Signature=")],
		"signature only":         strings.Replace(good, "&SigAlg=", "&x=", 1),
		"encoding":               good + "&SAMLEncoding=" + url.QueryEscape("urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"),
		"message exchanged":      "SAMLRequest=" + url.QueryEscape(deflated(other)) + good[strings.Index(good, "&"):],
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			if err := g.get(query); err == nil {
				t.Error("accepted")
			}
			g.nothing(t)
		})
	}
}

// One request sent a hundred times at once to two instances is worth one token.
func TestS05_ReplayIsWorthOneToken(t *testing.T) {
	one, two := newRig(t), newRig(t)
	two.responder.Used = one.once // the shared store
	doc := redirect(request("", ""))
	var wait sync.WaitGroup
	var used sync.Map
	for i := range 100 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			g := one
			if i%2 == 1 {
				g = two
			}
			if err := g.get(doc); err != nil {
				used.Store(i, err)
			}
		}()
	}
	wait.Wait()
	if n := one.tokens() + two.tokens(); n != 1 {
		t.Errorf("%d tokens", n)
	}
	n := 0
	used.Range(func(_, err any) bool {
		n++
		if !errors.Is(err.(error), federation.ErrUsed) {
			t.Errorf("refused with %v", err)
		}
		return true
	})
	if n != 99 {
		t.Errorf("%d refusals", n)
	}
}

// A store that is down keeps nobody out, and this instance remembers by itself.
func TestS05_ReplayWithoutTheSharedStore(t *testing.T) {
	g := newRig(t)
	g.responder.Used = downStore{}
	doc := redirect(request("", ""))
	if err := g.get(doc); err != nil {
		t.Fatal(err)
	}
	if err := g.get(doc); !errors.Is(err, federation.ErrUsed) || g.tokens() != 1 {
		t.Errorf("second use: %v, %d tokens", err, g.tokens())
	}
}

// What was answered while the store was down stays answered when it is back.
func TestS05_ReplayAfterAnOutage(t *testing.T) {
	g := newRig(t)
	shared := g.responder.Used
	g.responder.Fallback = session.NewMemory(session.Config{Now: g.clock})
	g.responder.Used = downStore{}
	doc := redirect(request("", ""))
	if err := g.get(doc); err != nil {
		t.Fatal(err)
	}
	g.responder.Used = shared
	if err := g.get(doc); !errors.Is(err, federation.ErrUsed) || g.tokens() != 1 {
		t.Errorf("second use: %v, %d tokens", err, g.tokens())
	}
}

// Before a password is asked for, each instance can say whether the request was
// answered, by the shared store or by its own memory, and saying so uses nothing up.
func TestS05_AnInstanceTellsWhatWasAnswered(t *testing.T) {
	one, two := newRig(t), newRig(t)
	two.responder.Used = one.once
	doc := redirect(request("", ""))
	two.account = nil // the sign-in page
	if err := two.get(doc); err != nil {
		t.Fatal(err)
	}
	req := two.begun[0]
	for range 2 {
		if err := two.responder.Answered(t.Context(), req); err != nil || !two.responder.Named(req) {
			t.Errorf("before: %v, named %v", err, two.responder.Named(req))
		}
	}
	if err := one.get(doc); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*saml.Responder{"here": one.responder, "elsewhere": two.responder} {
		if err := r.Answered(t.Context(), req); !errors.Is(err, federation.ErrUsed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	one.responder.Used, two.responder.Used = downStore{}, downStore{}
	if err := one.responder.Answered(t.Context(), req); !errors.Is(err, federation.ErrUsed) {
		t.Errorf("here, without the store: %v", err)
	}
	if err := two.responder.Answered(t.Context(), req); err != nil {
		t.Errorf("elsewhere, where nobody can say: %v", err)
	}
	other := *req
	other.Realm = "https://other.fabrikam.test/sp" // ids are each party's own
	if err := one.responder.Answered(t.Context(), &other); err != nil {
		t.Errorf("of another party: %v", err)
	}
}

func TestS05_OldAndFutureRequests(t *testing.T) {
	for shift, ok := range map[time.Duration]bool{
		0: true, -4 * time.Minute: true, 2 * time.Minute: true, -6 * time.Minute: false, 4 * time.Minute: false,
		10 * time.Minute: false, -10 * time.Minute: false, 365 * 24 * time.Hour: false, -365 * 24 * time.Hour: false,
	} {
		g := newRig(t)
		err := g.get(redirect(request(`IssueInstant="`+noon.Add(shift).Format(time.RFC3339)+`"`, "")))
		if ok != (err == nil) {
			t.Errorf("%v: %v", shift, err)
		}
		if !ok {
			g.nothing(t)
			continue
		}
		cond := g.answer().FindElement("./Assertion/Conditions")
		if got := cond.SelectAttrValue("NotBefore", ""); got != noon.Add(-30*time.Second).Format("2006-01-02T15:04:05.000Z") {
			t.Errorf("%v: NotBefore %s follows the request's clock", shift, got)
		}
	}
}

func TestS06_AnswersGoToRegisteredAddressesOnly(t *testing.T) {
	for _, acs := range []string{
		"https://evil.test/acs", "https://wiki.fabrikam.test@evil.test/saml/acs", wikiACS + "#x", wikiACS + "?x", wikiACS + "/", wikiACS + "/..",
		`https:\\wiki.fabrikam.test\saml\acs`, "https://wiki.fabrikam.test/saml/./acs", "https://wiki.fabrikam.test:443/saml/acs",
		"https://WIKI.fabrikam.test/saml/acs", "https://wiki.fabrikam.test./saml/acs", "https://wiki.fabrikam.test/saml/%61cs", "http://wiki.fabrikam.test/saml/acs",
		"javascript:alert(1)", "data:text/html,x", "//evil.test", "https://wiki.fabrıkam.test/saml/acs", " " + wikiACS, "https://sp.fabrikam.test/acs",
	} {
		g := newRig(t)
		err := g.get(redirect(request(`AssertionConsumerServiceURL="`+acs+`"`, "")))
		if !local(err, federation.ProblemUnknownParty) {
			t.Errorf("%q: %v", acs, err)
		}
		g.nothing(t)
	}
	for _, bad := range []string{"http://k.test/", "javascript:alert(1)", "https://u@k.test/", "https://k.test/#f", "https://k.test/\"", "https:k.test", ""} {
		if _, err := saml.NewRegistry(&saml.Party{RelyingParty: federation.RelyingParty{Key: "k", Identifiers: []string{"urn:k"}},
			Consumers: []saml.Endpoint{{URL: bad}}}); err == nil {
			t.Errorf("%q can be registered", bad)
		}
	}
}

func TestS07_NothingOfTheRequestBecomesMarkup(t *testing.T) {
	for _, id := range []string{`a"b`, "a b", "1a", "a:b", "<x>", "a&amp;b", strings.Repeat("a", 257), "", "_&#10;x"} {
		g := newRig(t)
		if err := g.get(redirect(request(`ID="`+strings.NewReplacer(`"`, "&quot;", "<", "&lt;").Replace(id)+`"`, ""))); err == nil {
			t.Errorf("id %q accepted", id)
		}
		g.nothing(t)
	}
	g := newRig(t)
	if err := g.get(redirect(request("", "")) + "&RelayState=" + url.QueryEscape(`"><script>alert(1)</script>&'`)); err != nil {
		t.Fatal(err)
	}
	if got, _ := relayState(g.answers[0]); got != `"><script>alert(1)</script>&'` {
		t.Errorf("RelayState %q", got)
	}
}

func TestS08_Destination(t *testing.T) {
	p := keyOf(t, "party", 2048)
	for destination, ok := range map[string]bool{
		address: true, "https://sts.contoso.test/adfs/ls": true, "https://STS.contoso.test:443/ADFS/ls/": true,
		"https://evil.test/adfs/ls/": false, "http://sts.contoso.test/adfs/ls/": false, "https://sts.contoso.test/adfs/ls/?x": false,
		"https://sts.contoso.test:8443/adfs/ls/": false, "https://u@sts.contoso.test/adfs/ls/": false, "https://sts.contoso.test/other": false,
	} {
		g := newRig(t)
		if err := g.get(redirect(request(`Destination="`+destination+`"`, ""))); ok != (err == nil) {
			t.Errorf("unsigned %q: %v", destination, err)
		}
		g = newRig(t)
		if err := g.post(posted(signedXML(t, p, requestOf(signer, `Destination="`+destination+`"`, "")))); ok != (err == nil) {
			t.Errorf("signed %q: %v", destination, err)
		}
	}
	g := newRig(t)
	if err := g.get(redirect(request("", ""))); err != nil {
		t.Errorf("none, unsigned: %v", err)
	}
	g = newRig(t)
	if err := g.post(posted(signedXML(t, p, requestOf(signer, "", "")))); err == nil {
		t.Error("none, signed: accepted")
	}
	g.nothing(t)
}

func TestS10_RelayStateIsReturnedOrRefused(t *testing.T) {
	for state, ok := range map[string]bool{
		"": true, "x": true, "ü€😀": true, strings.Repeat("r", 8192): true, strings.Repeat("r", 8193): false, "a\r\nb": false, "a\x00b": false, "\xff": false,
	} {
		for _, binding := range []string{"redirect", "post"} {
			g := newRig(t)
			doc := request("", "")
			err := error(nil)
			if binding == "post" {
				form := posted(doc)
				form.Set("RelayState", state)
				err = g.post(form)
			} else {
				err = g.get(redirect(doc) + "&RelayState=" + url.QueryEscape(state))
			}
			if ok != (err == nil) {
				t.Errorf("%s %.20q: %v", binding, state, err)
			}
			if !ok {
				g.nothing(t)
			} else if got, has := relayState(g.answers[0]); !has || got != state {
				t.Errorf("%s: %.20q came back as %.20q", binding, state, got)
			}
		}
	}
}

// What is not proved is told to the person at this service, never to a party.
func TestS13_UnprovedRequestsAreRefusedHere(t *testing.T) {
	for name, doc := range map[string]string{
		"unknown party":    requestOf("https://evil.test/<script>", "", ""),
		"no issuer":        `<samlp:AuthnRequest xmlns:samlp="` + protocol + `" ID="_x" Version="2.0" IssueInstant="2026-12-01T09:00:00Z"/>`,
		"another root":     `<samlp:Response xmlns:samlp="` + protocol + `" ID="_x" Version="2.0" IssueInstant="2026-12-01T09:00:00Z"/>`,
		"attribute query":  strings.ReplaceAll(request("", ""), "AuthnRequest", "AttributeQuery"),
		"wrong namespace":  strings.Replace(request("", ""), protocol, "urn:evil", 1),
		"comment":          strings.Replace(request("", ""), "fabrikam", "fabri<!-- x -->kam", 1),
		"doctype":          `<!DOCTYPE x [<!ENTITY e "x">]>` + request("", ""),
		"child in issuer":  strings.Replace(request("", ""), wiki, wiki+"<x/>", 1),
		"not even XML":     "<",
		"no IssueInstant":  strings.Replace(request("", ""), `IssueInstant="2026-12-01T09:00:00Z"`, "", 1),
		"issuer not found": strings.Replace(request("", ""), "<saml:Issuer>", `<saml:Issuer Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">`, 1),
	} {
		g := newRig(t)
		for _, err := range []error{g.get(redirect(strings.Replace(doc, "evil.test/<", "evil.test/&lt;", 1))), g.post(posted(doc))} {
			var fe *federation.Error
			if !errors.As(err, &fe) {
				t.Errorf("%s: %v", name, err)
			}
		}
		g.nothing(t)
		if len(g.events) != 2 {
			t.Errorf("%s: %d audit events", name, len(g.events))
		}
	}
}
