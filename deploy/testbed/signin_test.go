package testbed_test

import (
	"encoding/json"
	"encoding/pem"
	"html"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"sallyport/deploy/testbed/lab"
)

// partyQuery asks for a sign-in at the foreign relying party.
var partyQuery = url.Values{
	"wa": {"wsignin1.0"}, "wtrealm": {"urn:contoso:testbed:party"}, "wctx": {"a b&c=%2f"},
}

// microsoftQuery asks as Microsoft 365 does.
var microsoftQuery = url.Values{
	"wa": {"wsignin1.0"}, "wtrealm": {"urn:federation:MicrosoftOnline"},
	"wctx": {"LoginOptions=3&estsredirect=2&estsrequest=rQIIAY"}, "cbcxt": {""}, "lc": {""},
}

// judgeBySignature lets xmlsec1 verify a token with the published certificate
// and nothing else, and returns its assertion.
func judgeBySignature(t *testing.T, g *gateway, wresult string) *etree.Element {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(wresult); err != nil {
		t.Fatalf("the token is no XML: %v", err)
	}
	found := doc.FindElements("//Assertion")
	if len(found) != 1 {
		t.Fatalf("%d assertions, want 1\n%s", len(found), wresult)
	}
	assertion := found[0]
	id := assertion.SelectAttrValue("AssertionID", "")
	refs := assertion.FindElements("./Signature/SignedInfo/Reference")
	if len(refs) != 1 || refs[0].SelectAttrValue("URI", "") != "#"+id || id == "" {
		t.Fatalf("the signature does not reference the assertion %q", id)
	}
	dir := t.TempDir()
	file, cert := filepath.Join(dir, "token.xml"), filepath.Join(dir, "signing.pem")
	write(t, file, []byte(wresult))
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.signing.Raw}))
	verify := func(cert string) ([]byte, error) {
		return exec.Command(g.lab.XMLSec1, "--verify", "--enabled-key-data", "raw-x509-cert",
			"--pubkey-cert-pem", cert,
			"--id-attr:AssertionID", "urn:oasis:names:tc:SAML:1.0:assertion:Assertion", file).CombinedOutput()
	}
	if out, err := verify(cert); err != nil {
		t.Fatalf("xmlsec1 refuses the token: %v\n%s\n%s", err, out, wresult)
	}
	// The judge can refuse: the same token with its audience changed.
	audience := doc.FindElement("//Audience").Text()
	write(t, file, []byte(strings.ReplaceAll(wresult, ">"+audience+"<", ">"+audience+"x<")))
	if out, err := verify(cert); err == nil {
		t.Errorf("xmlsec1 accepts a changed token; it proves nothing\n%s", out)
	}
	return assertion
}

// attributeOf returns an assertion's attribute values by name.
func attributeOf(assertion *etree.Element, name string) []string {
	var values []string
	for _, a := range assertion.FindElements("./AttributeStatement/Attribute") {
		if a.SelectAttrValue("AttributeName", "") == name {
			for _, v := range a.FindElements("./AttributeValue") {
				values = append(values, v.Text())
			}
		}
	}
	return values
}

func TestEveryUsersTokenIsJudgedByXMLSec1(t *testing.T) {
	l := lab.Require(t)
	g := startGateway(t, l, 1)
	for _, u := range l.Users {
		switch u.State {
		case "normal", "special", "non-ascii", "groups", "anchor", "never-expires", "password-expires-soon", "changeable":
		default:
			continue
		}
		t.Run(u.SAM, func(t *testing.T) {
			assertion := judgeBySignature(t, g, newPerson(t, l).signInAt(microsoftQuery, u.UPN, u.Password).token(t))
			if got := attributeOf(assertion, "UPN"); len(got) != 1 || got[0] != u.UPN {
				t.Errorf("UPN %q, want %q", got, u.UPN)
			}
			if got := attributeOf(assertion, "ImmutableID"); len(got) != 1 || got[0] != u.ImmutableID {
				t.Errorf("ImmutableID %q, want %q", got, u.ImmutableID)
			}
			names := assertion.FindElements("./AuthenticationStatement/Subject/NameIdentifier")
			if len(names) != 1 || names[0].Text() != u.ImmutableID {
				t.Errorf("NameIdentifier %v, want %q", names, u.ImmutableID)
			}
			if got := attributeOf(assertion, "insidecorporatenetwork"); len(got) != 1 || got[0] != "true" {
				t.Errorf("insidecorporatenetwork %q: the client's address did not come through the proxy", got)
			}
		})
	}
}

func TestNoTokenForAnyOtherState(t *testing.T) {
	l := lab.Require(t)
	g := startGateway(t, l, 1)
	for state, reason := range map[string]string{
		"locked": "locked_out", "disabled": "disabled", "account-expired": "account_expired",
		"password-expired": "password_expired", "must-change": "password_must_change",
		"logon-hours": "logon_hours", "workstation": "workstation", "protected": "restricted",
	} {
		t.Run(state, func(t *testing.T) {
			u := l.User(t, state)
			pg := newPerson(t, l).signInAt(partyQuery, u.UPN, u.Password)
			if pg.hasToken() {
				t.Fatal("a token left")
			}
			records := g.instances[0].audit(t)
			last, _ := json.Marshal(records[len(records)-1])
			if !strings.Contains(string(last), reason) {
				t.Errorf("audit record %s, want the reason %s", last, reason)
			}
			if strings.Contains(string(last), u.Password) || strings.Contains(g.instances[0].log.String(), u.Password) {
				t.Error("the password stands in a record")
			}
		})
	}
}

func TestForeignRelyingPartyAcceptsTheToken(t *testing.T) {
	l := lab.Require(t)
	g := startGateway(t, l, 2)
	for _, state := range []string{"normal", "special", "non-ascii"} {
		t.Run(state, func(t *testing.T) {
			u := l.User(t, state)
			p := newPerson(t, l)
			over := p.signIn(p.open("https://party.contoso.test/?wctx="+url.QueryEscape("x=1&y=ü")), u.UPN, u.Password)
			judgeBySignature(t, g, over.token(t))
			arrived := p.submit(over, nil)
			if arrived.status != http.StatusOK || !strings.Contains(arrived.body, "<h1>Signed in</h1>") {
				t.Fatalf("the relying party says %d:\n%s", arrived.status, arrived.body)
			}
			// A changed token is refused by the same party, so that its word counts.
			bad := *over
			bad.form = &form{action: over.form.action, fields: url.Values{
				"wa": {"wsignin1.0"}, "wresult": {strings.ReplaceAll(over.token(t), u.UPN, "x"+u.UPN)},
			}}
			if refused := p.submit(&bad, nil); refused.status != http.StatusForbidden {
				t.Errorf("the relying party accepts a changed token: %d", refused.status)
			}
		})
	}
}

// The second party at the foreign relying party has claim rules, a token of SAML 2.0
// and a group whose members may sign in there.
func TestForeignRelyingPartyWithClaimRules(t *testing.T) {
	l := lab.Require(t)
	startGateway(t, l, 1)
	const (
		upn    = `"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": "`
		role   = `"http://schemas.microsoft.com/ws/2008/06/identity/claims/role": "<staff> & more"`
		tenant = `"http://schemas.contoso.test/claims/tenant": "42"`
	)
	for _, tc := range []struct {
		sam       string
		has, lack []string
	}{
		{"alice", []string{upn + `ALICE@CONTOSO.TEST"`, "alice.andersson@contoso.test", role}, []string{tenant}},
		{"jmueller (ext)", []string{upn + `J.O'MUELLER@CONTOSO.TEST"`, "j.o'mueller@contoso.test", role, tenant}, nil},
	} {
		t.Run(tc.sam, func(t *testing.T) {
			u, p := l.BySAM(t, tc.sam), newPerson(t, l)
			arrived := p.submit(p.signIn(p.open("https://party.contoso.test/portal/"), u.UPN, u.Password), nil)
			text := html.UnescapeString(arrived.body)
			if arrived.status != http.StatusOK || !strings.Contains(text, "<h1>Signed in</h1>") {
				t.Fatalf("the relying party says %d:\n%s", arrived.status, text)
			}
			claims, _, _ := strings.Cut(text, `"wresult"`)
			for _, want := range tc.has {
				if !strings.Contains(claims, want) {
					t.Errorf("the party has no %s:\n%s", want, claims)
				}
			}
			for _, not := range tc.lack {
				if strings.Contains(claims, not) {
					t.Errorf("the party has %s:\n%s", not, claims)
				}
			}
		})
	}
	u, p := l.User(t, "never-expires"), newPerson(t, l)
	if pg := p.signIn(p.open("https://party.contoso.test/portal/"), u.UPN, u.Password); pg.hasToken() || pg.status != http.StatusForbidden {
		t.Errorf("who is in no allowed group gets status %d", pg.status)
	}
	// What is issued for one party does not open the other.
	u, p = l.BySAM(t, "alice"), newPerson(t, l)
	over := p.signIn(p.open("https://party.contoso.test/portal/"), u.UPN, u.Password)
	over.form.action = "https://party.contoso.test/callback"
	if pg := p.submit(over, nil); pg.status != http.StatusForbidden {
		t.Errorf("the other party takes the token: %d", pg.status)
	}
}

func TestChromiumSeesTheWholeTrip(t *testing.T) {
	l := lab.Require(t)
	startGateway(t, l, 2)
	users := map[string]lab.User{}
	for _, u := range l.Users {
		if _, taken := users[u.State]; !taken {
			users[u.State] = u
		}
	}
	chromium(t, l, "browser.mjs", 20, map[string]any{
		"hosts": map[string]string{"sts.contoso.test": host(l.ProxyAddr), "party.contoso.test": host(l.PartyAddr)},
		"users": users,
		"states": map[string]string{
			"locked":           "The user name or password is not right.",
			"disabled":         "Your account is turned off",
			"account-expired":  "Your account has reached its end date",
			"password-expired": "Your password has to be changed",
			"must-change":      "Your password has to be changed",
			"logon-hours":      "You cannot sign in at this time",
			"workstation":      "Your account cannot be used here",
		},
		"languages": map[string]string{
			"en-GB": "Sign in", "nl-NL": "Aanmelden", "de-DE": "Anmelden", "fr-FR": "Se connecter", "es-ES": "Iniciar sesión",
		},
	})
}

func TestSessionsSurviveOneInstanceAndRedisComesBack(t *testing.T) {
	l := lab.Require(t)
	g := startGateway(t, l, 2)
	u := l.BySAM(t, "alice")
	p := newPerson(t, l)
	p.signInAt(partyQuery, u.UPN, u.Password).token(t)
	silently := func() bool { return p.open("https://sts.contoso.test/adfs/ls/?" + partyQuery.Encode()).hasToken() }
	// Each instance knows the session: the proxy takes turns. More tokens in so
	// short a time would look like a loop.
	for range 2 {
		if !silently() {
			t.Fatal("a session of one instance is not known to the other")
		}
	}

	t.Run("redis down", func(t *testing.T) {
		l.Control(t, "stop", "redis")
		begin := time.Now()
		pg := p.open("https://sts.contoso.test/adfs/ls/?" + partyQuery.Encode())
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("the page took %v without Redis", took)
		}
		if pg.hasToken() {
			t.Error("a token without a session and without a password")
		}
		// The password still opens the door.
		judgeBySignature(t, g, p.signIn(pg, u.UPN, u.Password).token(t))
		eventually(t, 20*time.Second, "degraded", func() bool {
			status, body := g.instances[0].readiness()
			return status == http.StatusOK && strings.Contains(body, "degraded")
		})
	})
	for _, in := range g.instances {
		in.waitReady(t)
	}
	p = newPerson(t, l)
	p.signInAt(partyQuery, u.UPN, u.Password).token(t)
	if !silently() {
		t.Error("no session after Redis came back")
	}
}

func TestSignOutEndsTheSessionEverywhere(t *testing.T) {
	l := lab.Require(t)
	startGateway(t, l, 2)
	u := l.BySAM(t, "bob")
	p := newPerson(t, l)
	p.signInAt(partyQuery, u.UPN, u.Password).token(t)
	out := p.open("https://sts.contoso.test/adfs/ls/?wa=wsignout1.0")
	if !strings.Contains(out.body, "You are signed out") || !strings.Contains(out.body, "https://party.contoso.test/") {
		t.Errorf("sign-out page without the party's clean-up:\n%s", out.body)
	}
	for range 4 {
		if p.open("https://sts.contoso.test/adfs/ls/?" + partyQuery.Encode()).hasToken() {
			t.Fatal("a session outlived its sign-out")
		}
	}
}

func TestSignInGoesOnWhileOneControllerIsAway(t *testing.T) {
	l := lab.Require(t)
	g := startGateway(t, l, 1)
	u := l.BySAM(t, "alice")
	both := func() bool { return g.instances[0].controllers() == 2 }
	for _, dc := range l.DCs {
		eventually(t, 90*time.Second, "both controllers in use", both)
		t.Run(dc.Service, func(t *testing.T) {
			l.Control(t, "stop", dc.Service)
			good := 0
			for range 15 {
				if newPerson(t, l).signInAt(partyQuery, u.UPN, u.Password).hasToken() {
					good++
				}
			}
			if good < 13 {
				t.Errorf("%d of 15 sign-ins worked", good)
			}
		})
	}
	eventually(t, 90*time.Second, "both controllers in use", both)
}

func TestNoControllerIsAnOutageAndNotAWrongPassword(t *testing.T) {
	l := lab.Require(t)
	g := startGateway(t, l, 1)
	u := l.BySAM(t, "alice")
	t.Run("all away", func(t *testing.T) {
		for _, dc := range l.DCs {
			l.Control(t, "stop", dc.Service)
		}
		eventually(t, 60*time.Second, "not ready", func() bool {
			status, _ := g.instances[0].readiness()
			return status == http.StatusServiceUnavailable
		})
		pg := newPerson(t, l).signInAt(partyQuery, u.UPN, u.Password)
		if pg.status != http.StatusServiceUnavailable || pg.hasToken() {
			t.Errorf("status %d, want 503", pg.status)
		}
	})
	g.instances[0].waitReady(t)
	newPerson(t, l).signInAt(partyQuery, u.UPN, u.Password).token(t)
}
