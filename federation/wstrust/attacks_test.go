package wstrust_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sallyport/federation"
	"sallyport/federation/wstrust"
)

// An identifier is a text and nothing else: what begins with a registered one, or
// means the same to some reader, is another one.
func TestT06_AppliesToIsExact(t *testing.T) {
	ns := `xmlns:wsp="http://schemas.xmlsoap.org/ws/2004/09/policy"`
	list := []variant{}
	for _, to := range []string{
		federation.MicrosoftOnline + ".evil.test", federation.MicrosoftOnline + "/", federation.MicrosoftOnline + "#x", federation.MicrosoftOnline + "%20",
		federation.MicrosoftOnline + " " + federation.MicrosoftOnline, "urn:federation:microsoftonline", "URN:federation:MicrosoftOnline", "urn:federation:", "urn:federation:MicrosoftOnline\u00a0",
		"https://crm.contoso.test", "https://crm.contoso.test/x", "https://crm.contoso.test./", "https://CRM.contoso.test/", "https://crm.contoso.test:443/", "https://crm.contoso.test@evil.test/", "https://crm.contoso.test//",
		"https://login.windows.net", "https://login.windows.net/x", "https://login.microsoftonline.com/extSTS.srf?x", "https://login.microsoftonline.com/extsts.srf", "*", "https://crm.contoso.test/\u200b",
	} {
		list = append(list, variant{"AppliesTo " + to, message{version: wstrust.Trust13, audience: to}.String(), "Sender InvalidScope"})
	}
	list = append(list,
		variant{"an empty address", m13("<wsa:Address>urn:federation:MicrosoftOnline</wsa:Address>", "<wsa:Address/>"), "Sender InvalidScope"},
		variant{"a policy of another edition", m13(ns, `xmlns:wsp="http://www.w3.org/ns/ws-policy"`), "Sender InvalidRequest"},
		variant{"an address of another edition", m13("<wsa:EndpointReference><wsa:Address>urn:federation:MicrosoftOnline", `<wsa:EndpointReference xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing"><wsa:Address>urn:federation:MicrosoftOnline`), "Sender InvalidRequest"},
		variant{"a comment in it", m13("urn:federation:MicrosoftOnline", "urn:federation:<!-- -->MicrosoftOnline"), "Sender InvalidRequest"},
	)
	refuseAll(t, list)
	// A header block is not where the party is read from.
	w := newRig(t, nil).send(m13("</s:Header>", `<wsp:AppliesTo `+ns+`><wsa:EndpointReference><wsa:Address>https://crm.contoso.test/</wsa:Address></wsa:EndpointReference></wsp:AppliesTo></s:Header>`), wstrust.Trust13, outsider)
	if w.Code != 200 || strings.Contains(w.Body.String(), "crm.contoso.test") {
		t.Errorf("AppliesTo in the header: %d", w.Code)
	}
}

// A token for one party is of no use at another: each names the one that was asked for.
func TestI03_EachPartyHasItsOwnAudience(t *testing.T) {
	for _, to := range []string{"https://crm.contoso.test/", federation.MicrosoftOnline, "https://login.windows.net/"} {
		g := newRig(t, nil)
		w := g.send(message{version: wstrust.Trust13, audience: to}.String(), wstrust.Trust13, outsider)
		body := w.Body.String()
		if w.Code != 200 || strings.Count(body, "<saml:Audience>") != 1 || !strings.Contains(body, "<saml:Audience>"+to+"</saml:Audience>") {
			t.Errorf("%s: %d %s", to, w.Code, body)
		}
	}
}

// Times that one reader takes for another instant than the next one.
func TestT03_TimesWithOneReading(t *testing.T) {
	good := map[string]string{
		"an offset to the east": raw("2026-12-01T14:30:00+05:30", "2026-12-01T14:40:00+05:30"),
		"an offset to the west": raw("2026-11-30T21:00:00-12:00", "2026-11-30T21:10:00-12:00"),
		"minus nothing":         raw("2026-12-01T09:00:00-00:00", "2026-12-01T09:10:00-00:00"),
		"nine digits":           raw("2026-12-01T09:00:00.123456789Z", "2026-12-01T09:10:00.1Z"),
		"blanks around it":      raw("\n 2026-12-01T09:00:00Z ", "2026-12-01T09:10:00Z"),
	}
	for name, stamp := range good {
		if _, err := wstrust.Parse([]byte(message{version: wstrust.Trust13, timestamp: stamp}.String()), target(wstrust.Trust13)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var list []variant
	for name, stamp := range map[string]string{
		"a leap second":                 raw("2026-12-01T08:59:60Z", "2026-12-01T09:10:00Z"),
		"hour 24":                       raw("2026-11-30T24:00:00Z", "2026-12-01T09:10:00Z"),
		"day 32":                        raw("2026-11-32T09:00:00Z", "2026-12-01T09:10:00Z"),
		"an offset that hides an hour":  raw("2026-12-01T09:00:00-01:00", "2026-12-01T09:10:00-01:00"),
		"an offset that hides its age":  raw("2026-12-01T09:00:00+02:00", "2026-12-01T09:10:00Z"),
		"an offset of a day":            raw("2026-12-02T09:00:00+24:00", "2026-12-02T09:10:00+24:00"),
		"two instants":                  raw("2026-12-01T09:00:00Z2026-12-01T09:00:00Z", "2026-12-01T09:10:00Z"),
		"the reader's zone":             raw("2026-12-01 09:00:00", "2026-12-01T09:10:00Z"),
		"a comma in the seconds":        raw("2026-12-01T09:00:00,5Z", "2026-12-01T09:10:00Z"),
		"a date":                        raw("2026-12-01", "2026-12-02"),
		"seconds since 1970":            raw("1796115600", "1796116200"),
		"year 12026":                    raw("12026-12-01T09:00:00Z", "12026-12-01T09:10:00Z"),
		"a year before Christ":          raw("-2026-12-01T09:00:00Z", "2026-12-01T09:10:00Z"),
		"digits of another script":      raw("２０２６-12-01T09:00:00Z", "2026-12-01T09:10:00Z"),
		"an end that is a leap second":  raw("2026-12-01T09:00:00Z", "2026-12-01T09:10:60Z"),
		"the end before the beginning":  raw("2026-12-01T09:00:00Z", "2026-12-01T09:10:00+02:00"),
		"Created of another namespace":  strings.Replace(raw("2026-12-01T09:00:00Z", "2026-12-01T09:10:00Z"), "<wsu:Created>", `<wsu:Created xmlns:wsu="urn:x">`, 1),
		"Timestamp of another language": strings.ReplaceAll(raw("2026-12-01T09:00:00Z", "2026-12-01T09:10:00Z"), "wsu:Timestamp", "wsu:timestamp"),
	} {
		list = append(list, variant{name, message{version: wstrust.Trust13, timestamp: stamp}.String(), "Sender InvalidSecurity"})
	}
	refuseAll(t, list)
}

// Hosts in wsa:To that are not this service, and the Host header, which decides
// nothing that is written and is refused when it is another's.
func TestT05_AnotherHostIsNotThisOne(t *testing.T) {
	path := wstrust.Trust13.Path()
	var list []variant
	for _, to := range []string{
		"https://sts.contoso.test.evil.test" + path, "https://sts.contoso.test." + path, "https://sts.contoso.test%2eevil.test" + path, "https://sts%2econtoso.test" + path,
		"https://evil.test#sts.contoso.test" + path, "https://evil.test?sts.contoso.test" + path, `https://evil.test\\sts.contoso.test` + path, "https://sts.contoso.test:0443" + path,
		"https://sts.contoso.test:80" + path, "https://sts.contoso.test:443:443" + path, "//sts.contoso.test" + path, path, "https:sts.contoso.test" + path, "https://sts.c\u043entoso.test" + path,
		"https://sts.contoso.test" + path + "/", "https://sts.contoso.test" + path + ";x", "https://sts.contoso.test/x/.." + path, "https://sts.contoso.test/" + path, "net.tcp://sts.contoso.test" + path, "urn:x", "",
		"https://sts.contoso.test" + path + "#", "https://:x@sts.contoso.test" + path, "https://127.0.0.1" + path,
	} {
		m := message{version: wstrust.Trust13, to: to}
		body := m.String()
		if to == "" {
			body = strings.Replace(body, public+path+"</wsa:To>", "</wsa:To>", 1)
		}
		list = append(list, variant{"To " + to, body, "Sender DestinationUnreachable"})
	}
	refuseAll(t, list)
	for _, host := range []string{"evil.test", "sts.contoso.test.evil.test", "sts.contoso.test.", "sts.contoso.test@evil.test", "127.0.0.1", ""} {
		g := newRig(t, nil)
		r := httptest.NewRequest("GET", public+wstrust.MexPath, nil)
		r.Host = host
		if w := g.do(r, outsider); w.Code == 200 || strings.Contains(w.Body.String(), "usernamemixed") {
			t.Errorf("MEX for host %q: %d", host, w.Code)
		}
		r = httptest.NewRequest("POST", public+path, strings.NewReader(message{version: wstrust.Trust13}.String()))
		r.Header.Set("Content-Type", "application/soap+xml")
		r.Host = host
		if w := g.do(r, outsider); w.Code == 200 || g.people.calls() != 0 {
			t.Errorf("a message for host %q: %d, %d passwords tried", host, w.Code, g.people.calls())
		}
	}
}

// Further spellings of a second credential, and of a password that is a digest.
func TestT02_OneCredentialForEveryReader(t *testing.T) {
	const digest = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest"
	const other = `<u:UsernameToken xmlns:u="http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd"><u:Username>bob@contoso.test</u:Username><u:Password>x</u:Password></u:UsernameToken>`
	token := `<wsse:Username>bob@contoso.test</wsse:Username><wsse:Password>x</wsse:Password>`
	refuseAll(t, []variant{
		{"a token of another edition beside it", message{version: wstrust.Trust13, security: other}.String(), "Sender InvalidSecurity"},
		{"a token in the Timestamp", m13("</wsu:Timestamp>", "<wsse:UsernameToken>"+token+"</wsse:UsernameToken></wsu:Timestamp>"), "Sender InvalidSecurity"},
		{"a token in the token", m13("<wsse:Username>", "<wsse:UsernameToken>"+token+"</wsse:UsernameToken><wsse:Username>"), "Sender InvalidSecurity"},
		{"a name by another prefix", m13("<wsse:Username>", `<w:Username xmlns:w="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd">bob</w:Username><wsse:Username>`), "Sender InvalidSecurity"},
		{"a name by the default namespace", m13("<wsse:Username>", `<Username xmlns="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd">bob</Username><wsse:Username>`), "Sender InvalidSecurity"},
		{"a name in no namespace", m13("<wsse:Username>", `<Username>bob</Username><wsse:Username>`), "Sender InvalidSecurity"},
		{"the prefix means something else inside", m13("<wsse:Username>", `<wsse:Username xmlns:wsse="urn:x">`), "Sender InvalidSecurity"},
		{"a token in the body", m13("</wst:RequestSecurityToken>", "<wsse:UsernameToken "+nsWSSE+">"+token+"</wsse:UsernameToken></wst:RequestSecurityToken>"), "Sender InvalidRequest"},
		{"a reference to a token", m13("</wsse:Security>", `<wsse:SecurityTokenReference><wsse:Reference URI="#UnPwSecTok"/></wsse:SecurityTokenReference></wsse:Security>`), "Sender InvalidSecurity"},
		{"a digest with a nonce", message{version: wstrust.Trust13, passAttr: ` Type="` + digest + `"`, password: "weYI3nXd8LjMNVksCKFV8t3rgHh3Rw==</wsse:Password><wsse:Nonce>WScqanjCEAC4mQoBE07sAQ==</wsse:Nonce><wsu:Created>2026-12-01T09:00:00Z</wsu:Created><wsse:Password>x"}.String(), "Sender InvalidSecurity"},
		{"a digest by its end", message{version: wstrust.Trust13, passAttr: ` Type="#PasswordDigest"`}.String(), "Sender InvalidSecurity"},
		{"a digest behind a text", message{version: wstrust.Trust13, passAttr: ` Type="` + strings.Replace(digest, "Digest", "Text ", 1) + `"`}.String(), "Sender InvalidSecurity"},
	})
}

// Whoever learns a message id gains nothing: a refusal is kept for the one who got
// it, and a right password under a used id is judged by itself.
func TestT03_AMessageIDCarriesNoVerdict(t *testing.T) {
	g := newRig(t, nil)
	bad := message{version: wstrust.Trust13, id: "urn:uuid:7", password: "wrong"}
	if got := subcode(t, g.send(bad.String(), wstrust.Trust13, outsider)); got != "Sender FailedAuthentication" {
		t.Fatal(got)
	}
	good := message{version: wstrust.Trust13, id: "urn:uuid:7"}
	if w := g.send(good.String(), wstrust.Trust13, colleague); w.Code != 200 {
		t.Errorf("the right password under the id of a refused message: %d", w.Code)
	}
	if got := subcode(t, g.send(bad.String(), wstrust.Trust13, outsider)); got != "Sender FailedAuthentication" {
		t.Errorf("the wrong password under the id of an accepted message: %s", got)
	}
	other := message{version: wstrust.Trust13, id: "urn:uuid:7", name: "bob@contoso.test", password: "wrong"}
	before := g.people.calls()
	if got := subcode(t, g.send(other.String(), wstrust.Trust13, outsider)); got != "Sender FailedAuthentication" || g.people.calls() != before+1 {
		t.Errorf("another person under the same id: %s, %d binds more", got, g.people.calls()-before)
	}
	// Two ids, as two clients spell them: the first one is the message's.
	two := message{version: wstrust.Trust13, id: "urn:uuid:8", header: "<wsa:messageID>urn:uuid:9</wsa:messageID>"}
	if f := readFault(t, g.send(strings.Replace(two.String(), escape(right), "wrong", 1), wstrust.Trust13, outsider)); f.RelatesTo != "urn:uuid:8" {
		t.Errorf("two ids: the answer relates to %q", f.RelatesTo)
	}
	g.clock = now.Add(time.Second)
	for _, id := range []string{"]]>", "&lt;x/&gt;", "\" onload=\"x", "x\r\ny"} {
		w := g.send(message{version: wstrust.Trust13, id: strings.ReplaceAll(id, ">", "&gt;"), password: "wrong"}.String(), wstrust.Trust13, outsider)
		if strings.Contains(w.Body.String(), "<x/>") {
			t.Errorf("%q became markup", id)
		}
		readFault(t, w)
	}
}
