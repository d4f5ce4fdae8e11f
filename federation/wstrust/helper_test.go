package wstrust_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/xml"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/deploy/testbed/lab"
	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/token"
	"sallyport/federation/web"
	"sallyport/federation/wsfed"
	"sallyport/federation/wstrust"
)

// now is when all messages of the tests are sent.
var now = time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)

const (
	public    = "https://sts.contoso.test"
	ours      = "http://sts.contoso.test/adfs/services/trust"
	right     = "p&w<é"
	trust05   = "http://schemas.xmlsoap.org/ws/2005/02/trust"
	trust13   = "http://docs.oasis-open.org/ws-sx/ws-trust/200512"
	outsider  = "203.0.113.7"
	colleague = "10.1.2.3"
)

func target(v wstrust.Version) wstrust.Target {
	u, _ := url.Parse(public)
	return wstrust.Target{Version: v, Public: u, Now: now}
}

// message builds a request as MSAL for Go writes it; the fields replace parts.
type message struct {
	version                     wstrust.Version
	id, to, name, password      string
	audience, tokenType, rst    string
	created, expires            time.Time
	header, security, envelope  string // further elements
	idName, requestType         string
	timestamp, action, passAttr string
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func trustOf(v wstrust.Version) string {
	if v == wstrust.Feb2005 {
		return trust05
	}
	return trust13
}

func (m message) String() string {
	ns := trustOf(m.version)
	keyType := ns + "/Bearer"
	if m.version == wstrust.Feb2005 {
		keyType = "http://schemas.xmlsoap.org/ws/2005/05/identity/NoProofKey"
	}
	if m.created.IsZero() {
		m.created = now.Add(-time.Second)
	}
	if m.expires.IsZero() {
		m.expires = m.created.Add(10 * time.Minute)
	}
	stamp := `<wsu:Timestamp wsu:Id="MSATimeStamp"><wsu:Created>` + m.created.Format("2006-01-02T15:04:05.000Z") + `</wsu:Created><wsu:Expires>` +
		m.expires.Format("2006-01-02T15:04:05.000Z") + `</wsu:Expires></wsu:Timestamp>`
	id := ""
	if m.id != "" {
		id = `<wsa:` + or(m.idName, "MessageID") + `>` + m.id + `</wsa:` + or(m.idName, "MessageID") + `>`
	}
	if m.tokenType != "" {
		m.rst += `<wst:TokenType>` + m.tokenType + `</wst:TokenType>`
	}
	return `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:wsa="http://www.w3.org/2005/08/addressing" xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"><s:Header>` +
		`<wsa:Action s:mustUnderstand="1">` + or(m.action, ns+"/RST/Issue") + `</wsa:Action>` + id +
		`<wsa:ReplyTo><wsa:Address>http://www.w3.org/2005/08/addressing/anonymous</wsa:Address></wsa:ReplyTo>` +
		`<wsa:To s:mustUnderstand="1">` + or(m.to, public+m.version.Path()) + `</wsa:To>` + m.header +
		`<wsse:Security s:mustUnderstand="1" xmlns:wsse="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd">` +
		or(m.timestamp, stamp) + `<wsse:UsernameToken wsu:Id="UnPwSecTok"><wsse:Username>` + or(m.name, "alice@contoso.test") + `</wsse:Username><wsse:Password` +
		m.passAttr + `>` + or(m.password, escape(right)) + `</wsse:Password></wsse:UsernameToken>` + m.security + `</wsse:Security></s:Header>` +
		`<s:Body><wst:RequestSecurityToken xmlns:wst="` + ns + `"><wsp:AppliesTo xmlns:wsp="http://schemas.xmlsoap.org/ws/2004/09/policy">` +
		`<wsa:EndpointReference><wsa:Address>` + or(m.audience, federation.MicrosoftOnline) + `</wsa:Address></wsa:EndpointReference></wsp:AppliesTo>` +
		`<wst:KeyType>` + keyType + `</wst:KeyType><wst:RequestType>` + or(m.requestType, ns+"/Issue") + `</wst:RequestType>` + m.rst +
		`</wst:RequestSecurityToken></s:Body>` + m.envelope + `</s:Envelope>`
}

// people answers passwords as a directory would, and notes what it was asked.
type people struct {
	mu      sync.Mutex
	verdict map[string]authn.Result
	asked   []authn.Attempt
	secrets []string
	hold    chan struct{} // closed: answers go out
	took    time.Duration // what judging takes
}

func account(name string) *authn.Account {
	id, _ := authn.ParseGUID("00112233-4455-6677-8899-aabbccddeeff")
	return &authn.Account{
		Domain: "corp.contoso.test", NetBIOS: "CONTOSO", ID: id, SID: "S-1-5-21-1-2-3-1104", UPN: name, SAMAccountName: strings.Split(name, "@")[0],
		DN: "CN=Alice,CN=Users,DC=corp,DC=contoso,DC=test", ReadAt: now,
	}
}

func (p *people) Verify(_ context.Context, at authn.Attempt, c authn.Credentials) authn.Result {
	if p.hold != nil {
		<-p.hold
	}
	time.Sleep(p.took)
	p.mu.Lock()
	defer p.mu.Unlock()
	secret := string(c.Password.Bytes())
	c.Password.Wipe()
	p.asked, p.secrets = append(p.asked, at), append(p.secrets, c.Name+"\x00"+secret)
	if r, ok := p.verdict[c.Name]; ok {
		r.At = now
		return r
	}
	if secret != right {
		return authn.Result{Reason: authn.WrongPassword, At: now}
	}
	return authn.Result{Reason: authn.Accepted, Account: account(c.Name), At: now.Add(-30 * time.Millisecond)}
}

func (p *people) calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}

// trail is an audit recorder.
type trail struct {
	mu     sync.Mutex
	events []audit.Event
	refuse audit.Code
}

func (a *trail) Record(_ context.Context, e *audit.Event) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Code == a.refuse {
		return fmt.Errorf("the disk is full")
	}
	a.events = append(a.events, *e)
	return nil
}

func (a *trail) last() audit.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.events) == 0 {
		return audit.Event{}
	}
	return a.events[len(a.events)-1]
}

var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, *x509.Certificate) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ADFS Signing - sts.contoso.test"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return key, cert
})

func newSigner(t testing.TB) *token.Signer {
	t.Helper()
	key, cert := signingKey()
	s, err := token.NewSigner(key, cert)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rig is a handler behind the edge.
type rig struct {
	*web.Edge
	people *people
	trail  *trail
	access web.Access
	tell   bool
	clock  time.Time
	log    *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.Write(p)
}

func registry(t testing.TB) *wsfed.Registry {
	t.Helper()
	ms, err := wsfed.Microsoft365(wsfed.Microsoft365Config{})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := wsfed.NewRegistry(ms, &federation.RelyingParty{Key: "crm", Name: "CRM", Identifiers: []string{"https://crm.contoso.test/"},
		ReplyURLs: []string{"https://crm.contoso.test/"}, TokenLifetime: 30 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

func newRig(t testing.TB, change func(*wstrust.Config)) *rig {
	t.Helper()
	g := &rig{people: &people{verdict: map[string]authn.Result{}}, trail: &trail{}, access: web.Everywhere, clock: now, log: &logBuffer{}}
	clock := func() time.Time { return g.clock }
	engine, err := claims.New(claims.Config{Issuer: ours, Domains: []claims.Domain{{Name: "contoso.test", Issuer: "http://contoso.test/adfs/services/trust/"}}, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	reg, signer := registry(t), newSigner(t)
	cfg := wstrust.Config{
		PublicURL: public, Access: func() web.Access { return g.access }, TellExpired: func() bool { return g.tell }, Passwords: g.people,
		Party: reg.ByIdentifier, Claims: func() wstrust.Claims { return engine }, Signer: func() *token.Signer { return signer },
		Audit: g.trail, Key: make([]byte, 32), Now: clock,
	}
	if change != nil {
		change(&cfg)
	}
	h, err := wstrust.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g.Edge, err = web.New(web.Config{
		Trust:  web.Trust{Hosts: []string{"sts.contoso.test"}, Inside: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		Pages:  wstrust.Pages{Next: page{}, Now: clock},
		Logger: slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, h)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// page is the page for people, which no SOAP client may meet.
type page struct{}

func (page) Error(w http.ResponseWriter, _ *http.Request, _ *web.Info, e *federation.Error) {
	w.WriteHeader(web.Status(e))
	_, _ = w.Write([]byte("<html>page for people</html>"))
}

// send posts a message; headers are "Name: value".
func (g *rig) send(body string, v wstrust.Version, from string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", public+v.Path(), strings.NewReader(body))
	r.Header.Set("Content-Type", "application/soap+xml; charset=utf-8")
	return g.do(r, from, headers...)
}

func (g *rig) do(r *http.Request, from string, headers ...string) *httptest.ResponseRecorder {
	r.RemoteAddr = from + ":40000"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if value == "" {
			r.Header.Del(strings.TrimSuffix(name, ":"))
			continue
		}
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

// soapFault is a fault as a client reads it.
type soapFault struct {
	Action    string `xml:"Header>Action"`
	RelatesTo string `xml:"Header>RelatesTo"`
	Created   string `xml:"Header>Security>Timestamp>Created"`
	Code      string `xml:"Body>Fault>Code>Value"`
	Subcode   string `xml:"Body>Fault>Code>Subcode>Value"`
	Text      string `xml:"Body>Fault>Reason>Text"`
}

// readFault reads an answer that must be a fault, and checks what all faults share.
func readFault(t testing.TB, w *httptest.ResponseRecorder) soapFault {
	t.Helper()
	var f soapFault
	if err := xml.Unmarshal(w.Body.Bytes(), &f); err != nil {
		t.Fatalf("status %d, no XML: %v: %.200s", w.Code, err, w.Body)
	}
	h := w.Header()
	if w.Code != 500 || h.Get("Content-Type") != "application/soap+xml; charset=utf-8" || h.Get("Retry-After") != "1" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("status %d, headers %v", w.Code, h)
	}
	if f.Action != "http://www.w3.org/2005/08/addressing/soap/fault" || f.Created == "" || !strings.HasPrefix(f.Code, "s:") ||
		!strings.HasPrefix(f.Subcode, "a:") || !strings.Contains(f.Text, " [ref ") {
		t.Errorf("fault %+v", f)
	}
	return f
}

// subcode is the part of a fault that decides what a client does.
func subcode(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	f := readFault(t, w)
	return strings.TrimPrefix(f.Code, "s:") + " " + strings.TrimPrefix(f.Subcode, "a:")
}

// sample reads a recorded message of other software; without the folder the test
// is skipped, in CI it fails.
func sample(t testing.TB, name string) string {
	t.Helper()
	vectors := lab.Vectors(t)
	b, err := os.ReadFile(filepath.Join(vectors, "..", "peers", "wstrust", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
