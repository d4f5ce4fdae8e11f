package wsfed_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/federation"
	"sallyport/federation/web"
)

const loginSRF = "https://login.microsoftonline.com/login.srf"

func TestSignInParameters(t *testing.T) {
	const id = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
	reg := parties(t)
	ms := reg.ByKey("microsoft365")
	base := federation.SignInRequest{Protocol: "wsfed", Party: ms, Realm: federation.MicrosoftOnline, ReplyTo: loginSRF}
	with := func(f func(*federation.SignInRequest)) *federation.SignInRequest {
		r := base
		f(&r)
		return &r
	}
	same := func(*federation.SignInRequest) {}
	for _, c := range []struct {
		name, more string
		want       *federation.SignInRequest
		problem    federation.Problem
		cause      string
	}{
		{"nothing more", "", with(same), "", ""},
		{"wctx", "wctx=LoginOptions%3D3%26estsredirect%3d2%26estsrequest%3drQ-_", with(func(r *federation.SignInRequest) {
			r.State, r.HasState = "LoginOptions=3&estsredirect=2&estsrequest=rQ-_", true
		}), "", ""},
		{"empty wctx", "wctx=", with(func(r *federation.SignInRequest) { r.HasState = true }), "", ""},
		{"wctx with a line", "wctx=a%0d%0ab", with(func(r *federation.SignInRequest) { r.State, r.HasState = "a\r\nb", true }), "", ""},
		{"wctx with a lone LF", "wctx=a%0ab", nil, federation.ProblemBadRequest, "wctx"},
		{"wctx with a lone CR", "wctx=a%0d", nil, federation.ProblemBadRequest, "wctx"},
		{"wctx with NUL", "wctx=a%00b", nil, federation.ProblemBadRequest, "wctx"},
		{"wctx that is not UTF-8", "wctx=a%ff", nil, federation.ProblemBadRequest, "wctx"},
		{"wct long ago", "wct=1999-12-01T09%3a00%3a00Z", with(same), "", ""},
		{"wct nonsense", "wct=yesterday", with(same), "", ""},
		{"wfresh=0", "wfresh=0", with(func(r *federation.SignInRequest) { r.ForceLogin = true }), "", ""},
		{"wfresh=00", "wfresh=00", with(func(r *federation.SignInRequest) { r.ForceLogin = true }), "", ""},
		{"wfresh=30", "wfresh=30", with(func(r *federation.SignInRequest) { r.MaxAge = 30 * time.Minute }), "", ""},
		{"wfresh huge", "wfresh=9999999999", with(same), "", ""},
		{"wfresh empty", "wfresh=", with(same), "", ""},
		{"wfresh negative", "wfresh=-1", nil, federation.ProblemBadRequest, "wfresh"},
		{"wfresh plus", "wfresh=%2b0", nil, federation.ProblemBadRequest, "wfresh"},
		{"wfresh with a blank", "wfresh=+0", nil, federation.ProblemBadRequest, "wfresh"},
		{"wfresh fraction", "wfresh=0.5", nil, federation.ProblemBadRequest, "wfresh"},
		{"wfresh Arabic digits", "wfresh=%d9%a0", nil, federation.ProblemBadRequest, "wfresh"},
		{"wfresh too long", "wfresh=00000000000", nil, federation.ProblemBadRequest, "wfresh"},
		{"prompt=login", "prompt=login", with(func(r *federation.SignInRequest) { r.ForceLogin = true }), "", ""},
		{"other prompt", "prompt=none", with(same), "", ""},
		{"what prompt=login becomes by default", "wfresh=0&wauth=http%3a%2f%2fschemas.microsoft.com%2fws%2f2008%2f06%2fidentity%2fauthenticationmethod%2fpassword",
			with(func(r *federation.SignInRequest) { r.ForceLogin, r.Passwords = true, true }), "", ""},
		{"whr", "whr=http%3a%2f%2fsts.contoso.test%2fadfs%2fservices%2ftrust", with(same), "", ""},
		{"username", "username=alice%40contoso.test", with(func(r *federation.SignInRequest) { r.LoginHint = "alice@contoso.test" }), "", ""},
		{"login_hint", "login_hint=alice%40contoso.test", with(func(r *federation.SignInRequest) { r.LoginHint = "alice@contoso.test" }), "", ""},
		{"both hints", "login_hint=bob&username=alice", with(func(r *federation.SignInRequest) { r.LoginHint = "alice" }), "", ""},
		{"empty username", "username=&login_hint=bob", with(func(r *federation.SignInRequest) { r.LoginHint = "bob" }), "", ""},
		{"hint with a control character", "username=a%07b", with(same), "", ""},
		{"hint that turns around", "username=a%e2%80%aeb", with(same), "", ""},
		{"hint that is not UTF-8", "username=%ff", with(same), "", ""},
		{"hint of 256 characters", "username=" + strings.Repeat("%c3%a9", 256), with(func(r *federation.SignInRequest) { r.LoginHint = strings.Repeat("é", 256) }), "", ""},
		{"hint of 257 characters", "username=" + strings.Repeat("%c3%a9", 257), with(same), "", ""},
		{"huge hint", "username=" + strings.Repeat("a", 1025), nil, federation.ProblemBadRequest, "username"},
		{"client-request-id", "client-request-id=" + id, with(func(r *federation.SignInRequest) { r.CorrelationID = id }), "", ""},
		{"client-request-id in another form", "client-request-id=x%0d%0ay", with(same), "", ""},
		{"mfa_max_age", "mfa_max_age=3600", with(same), "", ""},
		{"mfa_max_age nonsense", "mfa_max_age=x", nil, federation.ProblemBadRequest, "mfa_max_age"},
		{"unknown parameters", "pullStatus=0&cbcxt=&mkt=en-US&lc=1033&wp=MBI_SSL&wreqptr=http%3a%2f%2fevil.test&x=1&x=2&id=3", with(same), "", ""},
		{"wreply of the list", "wreply=https%3a%2f%2fccs.login.microsoftonline.com%2fccs%2flogin.srf",
			with(func(r *federation.SignInRequest) { r.ReplyTo = "https://ccs.login.microsoftonline.com/ccs/login.srf" }), "", ""},
		{"wreply with the default port", "wreply=https%3a%2f%2fLOGIN.microsoftonline.com%3a443%2flogin.srf", with(same), "", ""},
		{"empty wreply", "wreply=", with(same), "", ""},
		{"foreign wreply", "wreply=https%3a%2f%2fevil.test%2flogin.srf", nil, federation.ProblemUnknownParty, "wreply"},
		{"huge wreply", "wreply=https%3a%2f%2f" + strings.Repeat("a", 2048), nil, federation.ProblemBadRequest, "wreply has"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parse(t, reg, signIn+"&"+c.more)
			problem, cause := refusal(t, err)
			if problem != c.problem || !strings.Contains(cause, c.cause) {
				t.Fatalf("refused with %q (%s), want %q (%s)", problem, cause, c.problem, c.cause)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSignInNeedsActionAndRealm(t *testing.T) {
	reg := parties(t)
	for query, want := range map[string]federation.Problem{
		"wa=wsignin1.0":                                      federation.ProblemBadRequest,
		"wa=wsignin1.0&wtrealm=":                             federation.ProblemBadRequest,
		"wtrealm=urn%3afederation%3aMicrosoftOnline":         federation.ProblemBadRequest,
		"wa=wsignin1.1&wtrealm=urn%3asharepoint:portal":      federation.ProblemBadRequest,
		"wa=WSIGNIN1.0&wtrealm=urn%3asharepoint:portal":      federation.ProblemBadRequest,
		"wa=wsignin1.0+&wtrealm=urn:sharepoint:portal":       federation.ProblemBadRequest,
		"wa=wsignin1.0&wtrealm=urn:sharepoint:Portal":        federation.ProblemUnknownParty,
		"wa=wsignin1.0&wtrealm=urn:sharepoint:portal+":       federation.ProblemUnknownParty,
		"wa=wsignin1.0&wtrealm=https%3a%2f%2fevil.test":      federation.ProblemUnknownParty,
		"wa=wsignin1.0&wtrealm=" + strings.Repeat("a", 1025): federation.ProblemBadRequest,
	} {
		if problem, cause := refusal(t, second(parse(t, reg, query))); problem != want {
			t.Errorf("%.60s: %q (%.100s), want %q", query, problem, cause, want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestW03_NoParameterTwice(t *testing.T) {
	reg := parties(t)
	if _, err := parse(t, reg, signIn); err != nil {
		t.Fatal(err)
	}
	one := url.Values{"wa": {"wsignin1.0"}, "wtrealm": {federation.MicrosoftOnline}, "wreply": {loginSRF}, "wctx": {"x"}, "wfresh": {"5"},
		"wauth": {"urn:oasis:names:tc:SAML:1.0:am:password"}, "whr": {"x"}, "wct": {"x"}, "username": {"x"}, "login_hint": {"x"}, "prompt": {"login"},
		"domain_hint": {"x"}, "mfa_max_age": {"1"}, "client-request-id": {"x"}}
	if _, err := parse(t, reg, one.Encode()); err != nil {
		t.Fatal(err)
	}
	for name, value := range one {
		for _, spelling := range []string{name, strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:]} {
			query := one.Encode() + "&" + url.Values{spelling: value}.Encode()
			if problem, cause := refusal(t, second(parse(t, reg, query))); problem != federation.ProblemBadRequest || !strings.Contains(cause, name) {
				t.Errorf("%s and %s: %q (%s)", name, spelling, problem, cause)
			}
		}
	}
	// One alone, in another case, is the parameter all the same.
	got, err := parse(t, reg, "WA=wsignin1.0&WtRealm=urn%3afederation%3aMicrosoftOnline&WCTX=a")
	if err != nil || got.State != "a" {
		t.Errorf("other case: %+v %v", got, err)
	}
}

func TestW04_MethodsThatCannotBeGivenAreRefused(t *testing.T) {
	reg := parties(t)
	const ms = "schemas.microsoft.com/ws/2008/06/identity/authenticationmethod/"
	const classes = "urn:oasis:names:tc:SAML:2.0:ac:classes:"
	for wauth, passwords := range map[string]bool{
		"": false, classes + "unspecified": false, "urn:oasis:names:tc:SAML:1.0:am:unspecified": false,
		"urn:oasis:names:tc:SAML:1.0:am:password": true, "http://" + ms + "password": true, "https://" + ms + "password": true,
		classes + "PasswordProtectedTransport": true, classes + "Password": true,
	} {
		got, err := parse(t, reg, signIn+"&"+url.Values{"wauth": {wauth}}.Encode())
		if err != nil || got.Passwords != passwords {
			t.Errorf("%q: %+v %v", wauth, got, err)
		}
	}
	for wauth, kind := range map[string]string{
		"urn:federation:authentication:windows": "integrated", "http://" + ms + "windows": "integrated", "http://" + ms + "kerberos": "integrated",
		classes + "Kerberos": "integrated", "urn:ietf:rfc:2246": "certificate", "http://" + ms + "tlsclient": "certificate", "http://" + ms + "x509": "certificate",
		"http://" + ms + "smartcard": "certificate", "http://" + ms + "hardwaretoken": "certificate", classes + "X509": "certificate",
		classes + "TLSClient": "certificate", classes + "SmartcardPKI": "certificate",
		"http://schemas.microsoft.com/claims/multipleauthn":                "factor",
		"http://schemas.microsoft.com/claims/wiaormultiauthn":              "factor",
		"http://schemas.microsoft.com/ws/2012/12/authmethod/phoneapp":      "factor",
		"urn:oasis:names:tc:SAML:1.0:am:Password":                          "not known",
		"urn:oasis:names:tc:SAML:1.0:am:password ":                         "not known",
		"http://" + ms + "passwordless":                                    "not known",
		"ftp://" + ms + "password":                                         "not known",
		"x":                                                                "not known",
		"urn:oasis:names:tc:SAML:1.0:am:password,http://" + ms + "windows": "not known",
	} {
		problem, cause := refusal(t, second(parse(t, reg, signIn+"&"+url.Values{"wauth": {wauth}}.Encode())))
		if problem != federation.ProblemMethod || !strings.Contains(cause, kind) {
			t.Errorf("%q: %q (%s), want %s", wauth, problem, cause, kind)
		}
	}
}

func TestW05_ContextAtItsLimit(t *testing.T) {
	reg := parties(t)
	state := strings.Repeat("&=%+é\"<", 1024)[:8<<10]
	got, err := parse(t, reg, signIn+"&"+url.Values{"wctx": {state}}.Encode())
	if err != nil || got.State != state {
		t.Fatalf("8 KiB: %v", err)
	}
	if problem, _ := refusal(t, second(parse(t, reg, signIn+"&"+url.Values{"wctx": {state + "x"}}.Encode()))); problem != federation.ProblemBadRequest {
		t.Errorf("one byte more: %q", problem)
	}
}

func TestC09_SharePointContextIsDecodedOnce(t *testing.T) {
	got, err := parse(t, parties(t), "wa=wsignin1.0&wtrealm=urn%3asharepoint%3aportal&wctx=https%3a%2f%2fportal.contoso.test%2f_layouts%2f15%2f"+
		"Authenticate.aspx%3fSource%3d%252Fsites%252FR%252526D%252FGeteilte%252520Dokumente%2526v%253D1")
	if err != nil {
		t.Fatal(err)
	}
	const want = "https://portal.contoso.test/_layouts/15/Authenticate.aspx?Source=%2Fsites%2FR%2526D%2FGeteilte%2520Dokumente%26v%3D1"
	if got.State != want || got.ReplyTo != "https://portal.contoso.test/_trust/" || got.Realm != "urn:sharepoint:portal" ||
		got.Party.TokenType != federation.SAML11 {
		t.Errorf("%+v", got)
	}
}

func TestC10_RealmIsExact(t *testing.T) {
	reg := parties(t)
	for _, c := range []struct{ query, realm, reply, state string }{
		{"wa=wsignin1.0&wtrealm=https%3a%2f%2fmail.contoso.test%2fowa%2f&wctx=rm%3d0%26id%3dpassive%26ru%3d%252fowa%252f&wct=2026-12-01T09%3a00%3a00Z",
			"https://mail.contoso.test/owa/", "https://mail.contoso.test/owa/", "rm=0&id=passive&ru=%2fowa%2f"},
		{"wa=wsignin1.0&wtrealm=https%3a%2f%2fmail.contoso.test%2fowa&wctx=rm%3d0%26id%3dpassive%26ru%3d%252fowa&wct=2026-12-01T09%3a00%3a00Z",
			"https://mail.contoso.test/owa", "https://mail.contoso.test/owa/", "rm=0&id=passive&ru=%2fowa"},
		{"wa=wsignin1.0&wtrealm=https%3a%2f%2fmail.contoso.test%2fecp%2f&wctx=rm%3d0%26id%3dpassive%26ru%3d%252fecp%252f%253fexsvurl%253d1%2526p%253dO%252527Brien&wct=2026-12-01T09%3a00%3a00Z",
			"https://mail.contoso.test/ecp/", "https://mail.contoso.test/ecp/", "rm=0&id=passive&ru=%2fecp%2f%3fexsvurl%3d1%26p%3dO%2527Brien"},
	} {
		got, err := parse(t, reg, c.query)
		if err != nil || got.Realm != c.realm || got.ReplyTo != c.reply || got.State != c.state {
			t.Errorf("%s: %+v %v", c.realm, got, err)
		}
	}
	problem, cause := refusal(t, second(parse(t, reg, "wa=wsignin1.0&wtrealm=https%3a%2f%2fmail.contoso.test%2fOWA%2f&wctx=rm%3d0&wct=2026-12-01T09%3a00%3a00Z")))
	if problem != federation.ProblemUnknownParty || !strings.Contains(cause, `nearest known identifier is "https://mail.contoso.test/owa/"`) {
		t.Errorf("other case: %q (%s)", problem, cause)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{signIn, signIn + "&wctx=a%26b&wfresh=0", signIn + "&wreply=https%3a%2f%2flogin.microsoftonline.com%3a443%2flogin.srf",
		"wa=wsignin1.0&wtrealm=urn:sharepoint:portal&wauth=x", "wa=wsignin1.0&WA=wsignin1.0", signIn + "&wct=&whr=&username=%ff"} {
		f.Add(s)
	}
	reg := parties(f)
	f.Fuzz(func(t *testing.T, query string) {
		params, err := web.ParseParams(query)
		if err != nil {
			return
		}
		got, err := parse(t, reg, query)
		if err != nil {
			refusal(t, err)
			return
		}
		if reg.ByIdentifier(got.Realm) != got.Party || len(got.State) > 8<<10 || got.MaxAge < 0 {
			t.Fatalf("%+v", got)
		}
		if reply, ok := reg.Reply(got.Party, got.ReplyTo); !ok || reply != got.ReplyTo {
			t.Fatalf("answer goes to %q", got.ReplyTo)
		}
		if state, has, err := params.One("wctx"); err != nil || state != got.State || has != got.HasState {
			t.Fatalf("wctx %q %v %v, request has %q", state, has, err, got.State)
		}
	})
}
