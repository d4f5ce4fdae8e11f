package wstrust_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/federation"
	"sallyport/federation/wstrust"
)

const (
	nsSOAP = `xmlns:s="http://www.w3.org/2003/05/soap-envelope"`
	nsDS   = `xmlns:ds="http://www.w3.org/2000/09/xmldsig#"`
	nsWSSE = `xmlns:wsse="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"`
)

// accepted reads a message that must be taken.
func accepted(t *testing.T, body string, v wstrust.Version) *wstrust.Request {
	t.Helper()
	req, err := wstrust.Parse([]byte(body), target(v))
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return req
}

// variant is a message that must be refused, with what it is refused as.
type variant struct{ name, body, want string }

func refuseAll(t *testing.T, variants []variant) {
	t.Helper()
	for _, c := range variants {
		g := newRig(t, nil)
		w := g.send(c.body, wstrust.Trust13, outsider)
		if got := subcode(t, w); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if g.people.calls() != 0 {
			t.Errorf("%s: the password was tried", c.name)
		}
	}
}

// m13 is a good message of WS-Trust 1.3, changed by text.
func m13(old, replacement string) string {
	s := message{version: wstrust.Trust13, id: "urn:uuid:1"}.String()
	if !strings.Contains(s, old) {
		panic("the message has no " + old)
	}
	return strings.Replace(s, old, replacement, 1)
}

func twice(s string) string { return m13(s, s+s) }

func TestTheUnchangedMessageIsTaken(t *testing.T) {
	for _, v := range wstrust.Versions() {
		req := accepted(t, message{version: v, id: "urn:uuid:1"}.String(), v)
		if req.Name != "alice@contoso.test" || string(req.Password.Bytes()) != right || req.AppliesTo != federation.MicrosoftOnline || req.MessageID != "urn:uuid:1" || req.TokenType != 0 {
			t.Errorf("%+v", req)
		}
	}
}

func TestT02_ExactlyOneOfEach(t *testing.T) {
	token := `<wsse:UsernameToken wsu:Id="UnPwSecTok"><wsse:Username>alice@contoso.test</wsse:Username><wsse:Password>p&amp;w&lt;é</wsse:Password></wsse:UsernameToken>`
	second := strings.ReplaceAll(token, `wsu:Id="UnPwSecTok"`, "")
	whole := message{version: wstrust.Trust13, id: "urn:uuid:1"}.String()
	security := whole[strings.Index(whole, "<wsse:Security"):strings.Index(whole, "</s:Header>")]
	plain := strings.NewReplacer(` wsu:Id="UnPwSecTok"`, "", ` wsu:Id="MSATimeStamp"`, "").Replace(security)
	body := whole[strings.Index(whole, "<s:Body>"):strings.Index(whole, "</s:Envelope>")]
	rst := body[len("<s:Body>") : len(body)-len("</s:Body>")]
	header := whole[strings.Index(whole, "<s:Header>"):strings.Index(whole, "<s:Body>")]
	signature := `<ds:Signature ` + nsDS + `><ds:SignedInfo/></ds:Signature>`
	refuseAll(t, []variant{
		{"two user names", twice("<wsse:Username>alice@contoso.test</wsse:Username>"), "Sender InvalidSecurity"},
		{"the injection of an unescaped name", m13("alice@contoso.test", "alice@contoso.test</wsse:Username><wsse:Username>bob@contoso.test"), "Sender InvalidSecurity"},
		{"two passwords", twice("<wsse:Password>p&amp;w&lt;é</wsse:Password>"), "Sender InvalidSecurity"},
		{"no user name", m13("<wsse:Username>alice@contoso.test</wsse:Username>", ""), "Sender InvalidSecurity"},
		{"no password", m13("<wsse:Password>p&amp;w&lt;é</wsse:Password>", ""), "Sender InvalidSecurity"},
		{"an element inside the user name", m13("alice@", "alice<x/>@"), "Sender InvalidSecurity"},
		{"an element inside the password", m13("p&amp;w", "p<x/>&amp;w"), "Sender InvalidSecurity"},
		{"two tokens", m13(token, token+second), "Sender InvalidSecurity"},
		{"a token with the same id", m13(token, token+token), "Sender InvalidRequest"},
		{"no token", m13(token, ""), "Sender InvalidSecurity"},
		{"token wrapped", m13(token, "<wrap>"+token+"</wrap>"), "Sender InvalidSecurity"},
		{"token beside Security", m13("<wsse:Security", "<wsse:UsernameToken "+nsWSSE+"/><wsse:Security"), "Sender InvalidRequest"},
		{"token in a header that may be ignored", m13("<wsse:Security", "<x><y><wsse:UsernameToken "+nsWSSE+"/></y></x><wsse:Security"), "Sender InvalidRequest"},
		{"user name in a header that may be ignored", m13("<wsse:Security", "<wsse:Username "+nsWSSE+">bob@contoso.test</wsse:Username><wsse:Security"), "Sender InvalidRequest"},
		{"Envelope in a header that may be ignored", m13("<wsse:Security", "<s:Envelope/><wsse:Security"), "Sender InvalidRequest"},
		{"two Security headers", m13(security, security+plain), "Sender InvalidSecurity"},
		{"a Security header for an actor", m13(security, security+strings.Replace(plain, "<wsse:Security", `<wsse:Security s:role="urn:x"`, 1)), "Sender InvalidSecurity"},
		{"no Security header", m13(security, ""), "Sender InvalidSecurity"},
		{"Security in the body", m13("<s:Body>", "<s:Body>"+plain), "Sender InvalidRequest"},
		{"two bodies", m13(body, body+body), "Sender InvalidRequest"},
		{"no body", m13(body, ""), "Sender InvalidRequest"},
		{"body before header", m13(header+body, body+header), "Sender InvalidRequest"},
		{"two headers", m13("<s:Body>", "<s:Header/><s:Body>"), "Sender InvalidRequest"},
		{"two requests", m13(rst, rst+rst), "Sender InvalidRequest"},
		{"something beside the request", m13(rst, rst+"<x/>"), "Sender InvalidRequest"},
		{"request wrapped", m13(rst, "<wrap>"+rst+"</wrap>"), "Sender InvalidRequest"},
		{"request in the header", m13("</s:Header>"+body, rst+"</s:Header><s:Body/>"), "Sender InvalidRequest"},
		{"request of the other edition", m13(`xmlns:wst="`+trust13, `xmlns:wst="`+trust05), "Sender InvalidRequest"},
		{"two AppliesTo", m13(`<wst:KeyType>`, `<wsp:AppliesTo xmlns:wsp="http://schemas.xmlsoap.org/ws/2004/09/policy"><wsa:EndpointReference><wsa:Address>urn:x</wsa:Address></wsa:EndpointReference></wsp:AppliesTo><wst:KeyType>`), "Sender InvalidRequest"},
		{"two addresses", m13("<wsa:Address>urn:federation", "<wsa:Address>urn:x</wsa:Address><wsa:Address>urn:federation"), "Sender InvalidRequest"},
		{"no AppliesTo", message{version: wstrust.Trust13}.without("<wsp:AppliesTo", "</wsp:AppliesTo>"), "Sender InvalidScope"},
		{"signature in Security", m13("</wsse:Security>", signature+"</wsse:Security>"), "Sender InvalidSecurity"},
		{"signature in another header", m13("<wsse:Security", "<x>"+signature+"</x><wsse:Security"), "Sender InvalidSecurity"},
		{"signature in the request's token type", m13("</wst:RequestType>", "</wst:RequestType>"+signature), "Sender InvalidSecurity"},
		{"a binary token", m13("</wsse:Security>", "<wsse:BinarySecurityToken>AAAA</wsse:BinarySecurityToken></wsse:Security>"), "Sender InvalidSecurity"},
		{"text in Security", m13("</wsse:Security>", "x</wsse:Security>"), "Sender InvalidSecurity"},
		{"text in the Envelope", m13("<s:Body>", "x<s:Body>"), "Sender InvalidRequest"},
		{"something behind the Body", m13("</s:Envelope>", "<x/></s:Envelope>"), "Sender InvalidRequest"},
		{"something behind the Envelope", m13("</s:Envelope>", "</s:Envelope><x/>"), "Sender InvalidRequest"},
		{"SOAP 1.1", strings.ReplaceAll(whole, "http://www.w3.org/2003/05/soap-envelope", "http://schemas.xmlsoap.org/soap/envelope/"), "Sender InvalidRequest"},
		{"wsse of another namespace", strings.ReplaceAll(whole, "secext-1.0.xsd", "secext-1.1.xsd"), "MustUnderstand InvalidRequest"},
	})
}

// without cuts everything from one mark to the end of the next.
func (m message) without(from, to string) string {
	s := m.String()
	i := strings.Index(s, from)
	return s[:i] + s[i+strings.Index(s[i:], to)+len(to):]
}

func TestT04_NothingBesidesPlainXML(t *testing.T) {
	bom := "\uFEFF"
	if _, err := wstrust.Parse([]byte(bom+message{version: wstrust.Trust13}.String()), target(wstrust.Trust13)); err != nil {
		t.Errorf("a byte order mark: %v", err)
	}
	refuseAll(t, []variant{
		{"DOCTYPE", `<!DOCTYPE x [<!ENTITY e "v">]>` + m13("x", "x"), "Sender InvalidRequest"},
		{"external entity", `<!DOCTYPE x SYSTEM "http://127.0.0.1/x">` + m13("x", "x"), "Sender InvalidRequest"},
		{"processing instruction", m13("<s:Body>", "<?x y?><s:Body>"), "Sender InvalidRequest"},
		{"comment in the user name", m13("alice@contoso.test", "alice@contoso.test<!-- -->.evil.test"), "Sender InvalidRequest"},
		{"unknown entity", m13("alice", "&alice;"), "Sender InvalidRequest"},
		{"undeclared prefix", m13("<s:Body>", "<y:x/><s:Body>"), "Sender InvalidRequest"},
		{"UTF-16", `<?xml version="1.0" encoding="utf-16"?>` + m13("x", "x"), "Sender InvalidRequest"},
		{"Latin-1 bytes", m13("é", "\xe9"), "Sender InvalidRequest"},
		{"XOP include for the password", m13("p&amp;w&lt;é", `<xop:Include xmlns:xop="http://www.w3.org/2004/08/xop/include" href="cid:1"/>`), "Sender InvalidSecurity"},
		{"attribute twice", m13(`wsu:Id="UnPwSecTok"`, `wsu:Id="UnPwSecTok" wsu:Id="b"`), "Sender InvalidRequest"},
		{"id twice", m13(`wsu:Id="UnPwSecTok"`, `wsu:Id="MSATimeStamp"`), "Sender InvalidRequest"},
		{"300 elements", m13("<wsse:Security", strings.Repeat("<x/>", 300)+"<wsse:Security"), "Sender InvalidRequest"},
		{"40 levels", m13("<wsse:Security", strings.Repeat("<x>", 40)+strings.Repeat("</x>", 40)+"<wsse:Security"), "Sender InvalidRequest"},
		{"nothing", "", "Sender InvalidRequest"},
		{"no XML", "alice", "Sender InvalidRequest"},
	})
}

func TestT03_Timestamp(t *testing.T) {
	stamp := func(created, expires time.Duration) string {
		return message{version: wstrust.Trust13, created: now.Add(created), expires: now.Add(expires)}.String()
	}
	for name, body := range map[string]string{
		"made now": stamp(0, 10*time.Minute), "68 ms ahead": stamp(68*time.Millisecond, 10*time.Minute), "5 min ahead": stamp(5*time.Minute, 15*time.Minute),
		"ended within the skew": stamp(-10*time.Minute, -5*time.Minute+time.Millisecond), "20 min long": stamp(-time.Minute, 19*time.Minute), "30 min old": stamp(-30*time.Minute, time.Minute),
		"with an offset":  message{version: wstrust.Trust13, timestamp: raw("2026-12-01T10:00:00+01:00", "2026-12-01T10:05:00+01:00")}.String(),
		"without decimal": message{version: wstrust.Trust13, timestamp: raw("2026-12-01T09:00:00Z", "2026-12-01T09:05:00Z")}.String(),
	} {
		if _, err := wstrust.Parse([]byte(body), target(wstrust.Trust13)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	one := raw("2026-12-01T09:00:00Z", "2026-12-01T09:05:00Z")
	refuseAll(t, []variant{
		{"more than 5 min ahead", stamp(5*time.Minute+time.Millisecond, 15*time.Minute), "Sender InvalidSecurity"},
		{"ended before the skew", stamp(-10*time.Minute, -5*time.Minute), "Sender InvalidSecurity"},
		{"old, but ends late", stamp(-30*time.Minute-time.Millisecond, time.Hour), "Sender InvalidSecurity"},
		{"a day long and old", stamp(-2*time.Hour, 22*time.Hour), "Sender InvalidSecurity"},
		{"ends before it begins", stamp(time.Minute, 0), "Sender InvalidSecurity"},
		{"missing", message{version: wstrust.Trust13}.without("<wsu:Timestamp", "</wsu:Timestamp>"), "Sender InvalidSecurity"},
		{"twice", message{version: wstrust.Trust13, timestamp: one + one}.String(), "Sender InvalidSecurity"},
		{"empty", message{version: wstrust.Trust13, timestamp: "<wsu:Timestamp/>"}.String(), "Sender InvalidSecurity"},
		{"without Expires", message{version: wstrust.Trust13, timestamp: "<wsu:Timestamp><wsu:Created>2026-12-01T09:00:00Z</wsu:Created></wsu:Timestamp>"}.String(), "Sender InvalidSecurity"},
		{"Created twice", message{version: wstrust.Trust13, timestamp: strings.Replace(one, "<wsu:Expires>", "<wsu:Created>2026-12-01T09:00:00Z</wsu:Created><wsu:Expires>", 1)}.String(), "Sender InvalidSecurity"},
		{"without a zone", message{version: wstrust.Trust13, timestamp: raw("2026-12-01T09:00:00", "2026-12-01T09:05:00")}.String(), "Sender InvalidSecurity"},
		{"no time", message{version: wstrust.Trust13, timestamp: raw("now", "later")}.String(), "Sender InvalidSecurity"},
		{"year 0001", message{version: wstrust.Trust13, timestamp: raw("0001-01-01T00:00:00Z", "2026-12-01T09:05:00Z")}.String(), "Sender InvalidSecurity"},
	})
}

func raw(created, expires string) string {
	return "<wsu:Timestamp><wsu:Created>" + created + "</wsu:Created><wsu:Expires>" + expires + "</wsu:Expires></wsu:Timestamp>"
}

func TestT05_Addressing(t *testing.T) {
	for _, to := range []string{
		"https://sts.contoso.test/adfs/services/trust/13/usernamemixed", "https://STS.Contoso.Test:443/ADFS/services/Trust/13/UserNameMixed", "HTTPS://sts.contoso.test/adfs/services/trust/13/usernamemixed",
	} {
		accepted(t, message{version: wstrust.Trust13, to: to}.String(), wstrust.Trust13)
	}
	accepted(t, message{version: wstrust.Trust13}.without("<wsa:To", "</wsa:To>"), wstrust.Trust13)
	accepted(t, message{version: wstrust.Trust13}.without("<wsa:ReplyTo", "</wsa:ReplyTo>"), wstrust.Trust13)
	accepted(t, message{version: wstrust.Trust13, header: `<x:y xmlns:x="urn:x">1</x:y><x:z s:mustUnderstand="0" xmlns:x="urn:x"/>`}.String(), wstrust.Trust13)
	if req := accepted(t, message{version: wstrust.Trust13, id: "4711", idName: "messageID"}.String(), wstrust.Trust13); req.MessageID != "4711" {
		t.Errorf("the other spelling: %q", req.MessageID)
	}
	to := func(s string) string { return message{version: wstrust.Trust13, to: s}.String() }
	refuseAll(t, []variant{
		{"action of the other edition", message{version: wstrust.Trust13, action: trust05 + "/RST/Issue"}.String(), "Sender ActionNotSupported"},
		{"action to renew", message{version: wstrust.Trust13, action: trust13 + "/RST/Renew"}.String(), "Sender ActionNotSupported"},
		{"no action", message{version: wstrust.Trust13}.without("<wsa:Action", "</wsa:Action>"), "Sender ActionNotSupported"},
		{"two actions", m13("<wsa:ReplyTo>", "<wsa:Action>"+trust13+"/RST/Issue</wsa:Action><wsa:ReplyTo>"), "Sender InvalidRequest"},
		{"another host", to("https://evil.test/adfs/services/trust/13/usernamemixed"), "Sender DestinationUnreachable"},
		{"another path", to("https://sts.contoso.test/adfs/services/trust/2005/usernamemixed"), "Sender DestinationUnreachable"},
		{"http", to("http://sts.contoso.test/adfs/services/trust/13/usernamemixed"), "Sender DestinationUnreachable"},
		{"another port", to("https://sts.contoso.test:8443/adfs/services/trust/13/usernamemixed"), "Sender DestinationUnreachable"},
		{"a user in To", to("https://sts.contoso.test@evil.test/adfs/services/trust/13/usernamemixed"), "Sender DestinationUnreachable"},
		{"a query in To", to("https://sts.contoso.test/adfs/services/trust/13/usernamemixed?x"), "Sender DestinationUnreachable"},
		{"ReplyTo elsewhere", m13("http://www.w3.org/2005/08/addressing/anonymous", "http://127.0.0.1:1/"), "Sender InvalidRequest"},
		{"FaultTo elsewhere", message{version: wstrust.Trust13, header: `<wsa:FaultTo><wsa:Address>https://evil.test/</wsa:Address></wsa:FaultTo>`}.String(), "Sender InvalidRequest"},
		{"an unknown header that must be understood", message{version: wstrust.Trust13, header: `<x:y s:mustUnderstand="1" xmlns:x="urn:x"/>`}.String(), "MustUnderstand InvalidRequest"},
		{"the same, by a word", message{version: wstrust.Trust13, header: `<x:y s:mustUnderstand="true" xmlns:x="urn:x"/>`}.String(), "MustUnderstand InvalidRequest"},
		{"must it?", message{version: wstrust.Trust13, header: `<x:y s:mustUnderstand="perhaps" xmlns:x="urn:x"/>`}.String(), "Sender InvalidRequest"},
		{"a long id", message{version: wstrust.Trust13, id: strings.Repeat("x", 257)}.String(), "Sender InvalidRequest"},
	})
}

func TestT06_NothingButABearerTokenForOneself(t *testing.T) {
	rst := func(s string) string { return message{version: wstrust.Trust13, rst: s}.String() }
	var list []variant
	for _, name := range []string{"OnBehalfOf", "Entropy", "UseKey", "Claims", "Participants", "RenewTarget", "CancelTarget", "ValidateTarget", "DelegateTo", "Forwardable", "Delegatable", "Renewing", "AllowPostdating", "SignChallenge", "Encryption", "ProofEncryption"} {
		list = append(list, variant{name, rst("<wst:" + name + "/>"), "Sender InvalidRequest"})
	}
	for _, name := range []string{"Renew", "Validate", "Cancel", "issue", ""} {
		list = append(list, variant{"RequestType " + name, message{version: wstrust.Trust13, requestType: trust13 + "/" + name}.String(), "Sender InvalidRequest"})
	}
	list = append(list,
		variant{"ActAs", rst(`<x:ActAs xmlns:x="http://docs.oasis-open.org/ws-sx/ws-trust/200802"/>`), "Sender InvalidRequest"},
		variant{"no RequestType", message{version: wstrust.Trust13}.without("<wst:RequestType>", "</wst:RequestType>"), "Sender InvalidRequest"},
		variant{"RequestType twice", twice("<wst:RequestType>" + trust13 + "/Issue</wst:RequestType>"), "Sender InvalidRequest"},
		variant{"KeyType symmetric", m13(trust13+"/Bearer", trust13+"/SymmetricKey"), "Sender InvalidRequest"},
		variant{"KeyType public", m13(trust13+"/Bearer", trust13+"/PublicKey"), "Sender InvalidRequest"},
		variant{"an unknown token type", message{version: wstrust.Trust13, tokenType: "urn:ietf:params:oauth:token-type:jwt"}.String(), "Sender RequestFailed"},
		variant{"a lifetime of nothing", rst("<wst:Lifetime/>"), "Sender InvalidRequest"},
		variant{"a lifetime that has ended", rst("<wst:Lifetime><wsu:Created>2026-12-01T09:00:00Z</wsu:Created><wsu:Expires>2026-12-01T08:00:00Z</wsu:Expires></wst:Lifetime>"), "Sender InvalidRequest"},
		variant{"another element in AppliesTo", m13("</wsa:EndpointReference></wsp:AppliesTo>", "<wsa:ReferenceParameters/></wsa:EndpointReference></wsp:AppliesTo>"), "Sender InvalidRequest"},
	)
	refuseAll(t, list)
	accepted(t, message{version: wstrust.Trust13}.without("<wst:KeyType>", "</wst:KeyType>"), wstrust.Trust13)
}

func TestT06_LifetimeOnlyShortens(t *testing.T) {
	for wish, want := range map[string]string{"2026-12-01T09:10:00Z": "2026-12-01T09:10:00.000Z", "2026-12-02T09:00:00Z": "2026-12-01T09:59:30.000Z"} {
		m := message{version: wstrust.Trust13, rst: "<wst:Lifetime><wsu:Created>2026-12-01T09:00:00Z</wsu:Created><wsu:Expires>" + wish + "</wsu:Expires></wst:Lifetime>"}
		w := newRig(t, nil).send(m.String(), m.version, outsider)
		if w.Code != 200 || strings.Count(w.Body.String(), want) != 2 {
			t.Errorf("wish %s: %d, not until %s: %s", wish, w.Code, want, w.Body)
		}
	}
}

func TestT08_PasswordTypes(t *testing.T) {
	kind := func(s string) string {
		return message{version: wstrust.Trust13, passAttr: ` Type="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#` + s + `"`}.String()
	}
	accepted(t, kind("PasswordText"), wstrust.Trust13)
	refuseAll(t, []variant{
		{"digest", kind("PasswordDigest"), "Sender InvalidSecurity"},
		{"unknown", kind("PasswordTEXT"), "Sender InvalidSecurity"},
		{"empty", message{version: wstrust.Trust13, passAttr: ` Type=""`}.String(), "Sender InvalidSecurity"},
	})
}

func TestC11_ReservedCharacters(t *testing.T) {
	const user, password = `r&d-service@contoso.test`, `Na<&>ko&&<bz z>'"]]>é`
	for name, spelling := range map[string]string{
		"escaped":    escape(password),
		"CDATA":      `<![CDATA[Na<&>ko&&<bz z>'"]]]]><![CDATA[>é]]>`,
		"references": `Na&#60;&#x26;&gt;ko&amp;&amp;&lt;bz z&#62;&apos;&quot;]]&gt;&#233;`,
		"both":       `Na&lt;<![CDATA[&>ko&]]>&amp;&lt;bz z>'"]]&gt;é`,
	} {
		for _, v := range wstrust.Versions() {
			req := accepted(t, message{version: v, name: "r&amp;d-service@contoso.test", password: spelling}.String(), v)
			if req.Name != user || string(req.Password.Bytes()) != password {
				t.Errorf("%s: %q %q", name, req.Name, req.Password.Bytes())
			}
		}
	}
	refuseAll(t, []variant{{"raw", message{version: wstrust.Trust13, name: "r&d-service@contoso.test", password: password}.String(), "Sender InvalidRequest"}})
	if vectors := os.Getenv("SALLYPORT_VECTORS"); vectors != "" {
		for file, good := range map[string]bool{"C11-rst-escaped.xml": true, "C11-rst-cdata.xml": true, "C11-rst-raw.malformed": false} {
			b, err := os.ReadFile(filepath.Join(vectors, "..", "cases", file))
			if err != nil {
				t.Fatal(err)
			}
			req, err := wstrust.Parse(b, target(wstrust.Feb2005))
			if (err == nil) != good || good && (req.Name != user || string(req.Password.Bytes()) != password) {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

func TestSamplesOfOtherSoftware(t *testing.T) {
	for file, c := range map[string]struct {
		v    wstrust.Version
		at   string
		good bool
		id   string
		pw   string
	}{
		"rst_msal_go.xml":                       {wstrust.Trust13, "2026-11-25T17:59:00Z", true, "urn:uuid:e4727f12-2f17-4d9e-b16c-4744f2fc8f39", right},
		"rst_msal_java.xml":                     {wstrust.Trust13, "", true, "", right},
		"rst_msal_python.xml":                   {wstrust.Trust13, "", true, "", right},
		"rst_msal_dotnet_2005.xml":              {wstrust.Feb2005, "2026-03-02T08:00:00Z", true, "urn:uuid:3c0a4a0e-51a7-4a60-a0c7-2f3a1f0b6d22", right},
		"rst_msal_python_injected_username.xml": {wstrust.Trust13, "2026-11-25T18:00:30Z", false, "", ""},
	} {
		text := sample(t, file)
		at := c.at
		if at == "" { // the moment at which the sample was made stands in it
			_, rest, _ := strings.Cut(text, "Created>")
			at, _, _ = strings.Cut(rest, "<")
		}
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		tg := target(c.v)
		tg.Now = when
		req, err := wstrust.Parse([]byte(text), tg)
		if !c.good {
			var fe *federation.Error
			if !errors.As(err, &fe) || req != nil {
				t.Errorf("%s: accepted: %+v", file, req)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if req.Name != "alice@contoso.test" || string(req.Password.Bytes()) != c.pw || req.AppliesTo != federation.MicrosoftOnline || req.MessageID == "" || c.id != "" && req.MessageID != c.id {
			t.Errorf("%s: %+v", file, req)
		}
	}
}
