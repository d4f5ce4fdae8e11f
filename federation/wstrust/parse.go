package wstrust

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"

	"sallyport/authn"
	"sallyport/federation"
	"sallyport/federation/internal/xmlsec"
)

// MaxBody is the longest message that is read.
const MaxBody = 128 << 10

// maxMessageID bounds what the answer repeats.
const maxMessageID = 256

// Request is one message, read and checked but for its party and its credentials.
// The password is the caller's to wipe.
type Request struct {
	Version Version
	// MessageID is empty when the client sent none.
	MessageID string
	Name      string
	Password  *authn.Password
	// AppliesTo is the address of the party exactly as it was asked for.
	AppliesTo string
	// TokenType is zero when none was asked for.
	TokenType federation.TokenType
	// Lifetime is how long the token shall hold, zero when the client did not say.
	Lifetime time.Duration

	begun time.Time // when the password began to be judged
}

// Target is what a message must be addressed to.
type Target struct {
	Version Version
	// Public is the service's address, scheme, host and port.
	Public *url.URL
	Now    time.Time
}

// rules are what a message may look like before anybody reads it: real ones have
// about 20 elements.
func rules() xmlsec.Rules {
	r := xmlsec.Message(MaxBody)
	r.MaxElements, r.MaxAttributes = 256, 32
	return r
}

// Parse reads a message. Errors are [*federation.Error] with the fault that the
// client gets. A message that it accepts has exactly one user name and one
// password, whatever a more lenient reader would find in it.
func Parse(body []byte, t Target) (*Request, error) {
	p := parser{t: t, ed: t.Version.edition(), req: &Request{Version: t.Version}}
	if err := p.message(body); err != nil {
		p.req.Password.Wipe()
		f := faultOf(err)
		f.relatesTo = p.req.MessageID
		return nil, refusal(f, nil)
	}
	return p.req, nil
}

type parser struct {
	t   Target
	ed  *edition
	req *Request
}

func bad(kind faultKind, format string, args ...any) error {
	return &fault{kind: kind, cause: fmt.Errorf(format, args...)}
}

func (p *parser) message(body []byte) error {
	doc, err := xmlsec.Parse(body, rules())
	if err != nil {
		return &fault{kind: faultRequest, cause: err}
	}
	root := doc.Unverified()
	if !xmlsec.Is(root, nsSOAP, "Envelope") {
		return bad(faultRequest, "the root is not a SOAP 1.2 Envelope")
	}
	parts, err := elements(root)
	if err != nil || len(parts) != 2 || !xmlsec.Is(parts[0], nsSOAP, "Header") || !xmlsec.Is(parts[1], nsSOAP, "Body") {
		return bad(faultRequest, "the Envelope does not hold one Header and one Body")
	}
	if err := p.header(parts[0]); err != nil {
		return err
	}
	// A signature that is not verified must not look as if it were (threats T02).
	if doc.Signed() {
		return bad(faultSecurity, "the message is signed, which is not supported here")
	}
	if err := p.alone(root); err != nil {
		return err
	}
	return p.body(parts[1])
}

// alone refuses a second one of whatever decides, in whatever place: a header
// block that this reader may ignore is where another reader would find it.
func (p *parser) alone(root *etree.Element) error {
	count := map[string]int{}
	var visit func(e *etree.Element)
	visit = func(e *etree.Element) {
		switch ns := e.NamespaceURI(); ns {
		case nsWSSE, nsSOAP:
			count[e.Tag]++
		case nsTrust5, nsTrust3:
			if e.Tag == "RequestSecurityToken" {
				count[e.Tag]++
			}
		}
		for _, c := range e.ChildElements() {
			visit(c)
		}
	}
	visit(root)
	for _, name := range [...]string{"Envelope", "Header", "Body", "Security", "UsernameToken", "Username", "Password", "RequestSecurityToken"} {
		if count[name] > 1 {
			return bad(faultRequest, "%d elements %s", count[name], name)
		}
	}
	return nil
}

// headers are the blocks that are known, each at most once.
type headers struct {
	action, to, id, id2, replyTo, faultTo, security *etree.Element
}

func (h *headers) slot(e *etree.Element) **etree.Element {
	switch {
	case xmlsec.Is(e, nsWSSE, "Security"):
		return &h.security
	case e.NamespaceURI() != nsWSA:
		return nil
	}
	switch e.Tag {
	case "Action":
		return &h.action
	case "To":
		return &h.to
	case "MessageID":
		return &h.id
	case "messageID": // what MSAL for Go and Java send
		return &h.id2
	case "ReplyTo":
		return &h.replyTo
	case "FaultTo":
		return &h.faultTo
	default:
		return nil
	}
}

func (p *parser) header(e *etree.Element) error {
	blocks, err := elements(e)
	if err != nil {
		return &fault{kind: faultRequest, cause: err}
	}
	var h headers
	for _, b := range blocks {
		must, err := mustUnderstand(b)
		if err != nil {
			return err
		}
		switch slot := h.slot(b); {
		case slot == nil && must:
			return bad(faultUnderstand, "header {%.200s}%.100s", b.NamespaceURI(), b.Tag)
		case slot == nil:
		case *slot != nil && slot == &h.security:
			return bad(faultSecurity, "two Security headers")
		case *slot != nil:
			return bad(faultRequest, "two %s headers", b.Tag)
		default:
			*slot = b
		}
	}
	if err := p.addressing(&h); err != nil {
		return err
	}
	return p.security(h.security)
}

// mustUnderstand reads SOAP §5.2.3.
func mustUnderstand(e *etree.Element) (bool, error) {
	must := false
	for i := range e.Attr {
		a := &e.Attr[i]
		if a.Key != "mustUnderstand" || a.NamespaceURI() != nsSOAP {
			continue
		}
		switch strings.TrimSpace(a.Value) {
		case "1", "true":
			must = true
		case "0", "false":
		default:
			return false, bad(faultRequest, "mustUnderstand of %.100s is %.20q", e.Tag, a.Value)
		}
	}
	return must, nil
}

// addressing checks WSA §3.2: the action is the endpoint's, the message is for
// us, and the answer goes nowhere but back.
func (p *parser) addressing(h *headers) error {
	for _, id := range []*etree.Element{h.id, h.id2} {
		if id == nil {
			continue
		}
		s, err := text(id)
		if err != nil || len(s) > maxMessageID {
			return bad(faultRequest, "MessageID is no text of at most %d bytes", maxMessageID)
		}
		if p.req.MessageID == "" {
			p.req.MessageID = s
		}
	}
	if h.action == nil {
		return bad(faultAction, "no Action")
	}
	if s, err := text(h.action); err != nil || s != p.ed.ns+"/RST/Issue" {
		return bad(faultAction, "Action is %.200q", s)
	}
	if h.to != nil {
		if s, err := text(h.to); err != nil || !p.isOurs(s) {
			return bad(faultDestination, "To is %.300q", s)
		}
	}
	for _, epr := range []*etree.Element{h.replyTo, h.faultTo} {
		if epr == nil {
			continue
		}
		if s, err := address(epr); err != nil || s != anonymous {
			return bad(faultRequest, "%s is %.300q, only anonymous is served", epr.Tag, s)
		}
	}
	return nil
}

// isOurs compares an address with the endpoint's, as any HTTP client would reach
// it: letter case of scheme, host and path does not count, nor does the port
// that https implies.
func (p *parser) isOurs(s string) bool {
	u, err := url.Parse(s)
	if err != nil || !strings.EqualFold(u.Scheme, "https") || u.User != nil || strings.ContainsAny(s, "?#") || u.Opaque != "" {
		return false
	}
	port := u.Port()
	return strings.EqualFold(u.Hostname(), p.t.Public.Hostname()) && strings.EqualFold(u.Path, p.t.Version.Path()) &&
		(port == "" || port == "443" || port == p.t.Public.Port())
}

// security reads the one Security header (WSS §5): a Timestamp and a UsernameToken
// and nothing else.
func (p *parser) security(e *etree.Element) error {
	if e == nil {
		return bad(faultSecurity, "no Security header")
	}
	list, err := elements(e)
	if err != nil {
		return &fault{kind: faultSecurity, cause: err}
	}
	var stamp, token *etree.Element
	for _, c := range list {
		switch {
		case xmlsec.Is(c, nsWSU, "Timestamp") && stamp == nil:
			stamp = c
		case xmlsec.Is(c, nsWSSE, "UsernameToken") && token == nil:
			token = c
		default:
			return bad(faultSecurity, "Security holds %.100s, or it twice", c.Tag)
		}
	}
	if stamp == nil || token == nil {
		return bad(faultSecurity, "Security has no Timestamp or no UsernameToken")
	}
	if err := p.timestamp(stamp); err != nil {
		return &fault{kind: faultSecurity, cause: err}
	}
	if err := p.usernameToken(token); err != nil {
		return &fault{kind: faultSecurity, cause: err}
	}
	return nil
}

// The limits of a Timestamp.
const (
	skew   = 5 * time.Minute
	maxAge = 30 * time.Minute
)

// timestamp checks WSS §10. The age is bounded whatever Expires says.
func (p *parser) timestamp(e *etree.Element) error {
	created, expires, err := interval(e)
	switch now := p.t.Now; {
	case err != nil:
		return err
	case created.IsZero() || expires.IsZero():
		return errors.New("Timestamp without Created or Expires")
	case created.After(now.Add(skew)):
		return fmt.Errorf("Timestamp lies %v in the future", created.Sub(now))
	case created.Before(now.Add(-maxAge)):
		return fmt.Errorf("Timestamp is %v old", now.Sub(created))
	case !expires.After(now.Add(-skew)):
		return fmt.Errorf("Timestamp ended %v ago", now.Sub(expires))
	case !created.Before(expires):
		return errors.New("Timestamp ends before it begins")
	default:
		return nil
	}
}

// interval reads Created and Expires, each at most once.
func interval(e *etree.Element) (created, expires time.Time, err error) {
	list, err := elements(e)
	if err != nil {
		return created, expires, err
	}
	for _, c := range list {
		var t *time.Time
		switch {
		case xmlsec.Is(c, nsWSU, "Created"):
			t = &created
		case xmlsec.Is(c, nsWSU, "Expires"):
			t = &expires
		default:
			return created, expires, fmt.Errorf("%s holds %.100s", e.Tag, c.Tag)
		}
		s, err := text(c)
		if err != nil || !t.IsZero() {
			return created, expires, fmt.Errorf("%s holds %s twice, or no text in it", e.Tag, c.Tag)
		}
		if *t, err = xmlsec.Instant(s); err != nil || t.IsZero() {
			return created, expires, fmt.Errorf("%s of %s is not a time with its zone", c.Tag, e.Tag)
		}
	}
	return created, expires, nil
}

// usernameToken reads name and password. PasswordDigest is refused: it would need
// passwords that can be read (threats T08).
func (p *parser) usernameToken(e *etree.Element) error {
	list, err := elements(e)
	if err != nil {
		return err
	}
	var name, pass *etree.Element
	for _, c := range list {
		switch {
		case xmlsec.Is(c, nsWSSE, "Username") && name == nil:
			name = c
		case xmlsec.Is(c, nsWSSE, "Password") && pass == nil:
			pass = c
		case xmlsec.Is(c, nsWSSE, "Nonce"), xmlsec.Is(c, nsWSU, "Created"): // belong to digests; harmless beside a text
		default:
			return fmt.Errorf("UsernameToken holds %.100s, or it twice", c.Tag)
		}
	}
	if name == nil || pass == nil {
		return errors.New("UsernameToken has no Username or no Password")
	}
	if kind, there := xmlsec.Attr(pass, "Type"); there && kind != passwordText {
		return errors.New("Password is not of the type PasswordText")
	}
	if p.req.Name, err = xmlsec.Text(name); err != nil {
		return err
	}
	secret, err := xmlsec.Text(pass)
	if err != nil {
		return err
	}
	// Byte for byte: nothing is trimmed or folded (threats L07).
	p.req.Password = authn.NewPassword([]byte(secret))
	return nil
}
