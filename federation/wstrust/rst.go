package wstrust

import (
	"fmt"
	"time"

	"github.com/beevik/etree"

	"sallyport/federation"
	"sallyport/federation/internal/xmlsec"
)

// body reads the one RequestSecurityToken (WS-Trust §3.1).
func (p *parser) body(e *etree.Element) error {
	list, err := elements(e)
	if err != nil || len(list) != 1 || !xmlsec.Is(list[0], p.ed.ns, "RequestSecurityToken") {
		return bad(faultRequest, "the Body does not hold one RequestSecurityToken of this endpoint's edition")
	}
	parts, err := elements(list[0])
	if err != nil {
		return &fault{kind: faultRequest, cause: err}
	}
	seen := map[string]*etree.Element{}
	for _, c := range parts {
		known := c.NamespaceURI() == p.ed.ns && ordinary(c.Tag) || xmlsec.Is(c, nsPolicy, "AppliesTo")
		switch {
		case !known:
			// OnBehalfOf, ActAs, Entropy, UseKey, RenewTarget and whatever else asks for
			// more than a bearer token for oneself (threats T06).
			return bad(faultRequest, "RequestSecurityToken holds %.100s", c.Tag)
		case seen[c.Tag] != nil:
			return bad(faultRequest, "RequestSecurityToken holds %s twice", c.Tag)
		}
		seen[c.Tag] = c
	}
	if err := p.values(seen); err != nil {
		return err
	}
	return p.appliesTo(seen["AppliesTo"])
}

// ordinary names the elements of the trust namespace that are read; KeySize is
// what WCF adds to requests of any kind and means nothing without a key.
func ordinary(tag string) bool {
	switch tag {
	case "RequestType", "KeyType", "TokenType", "Lifetime", "KeySize":
		return true
	default:
		return false
	}
}

func (p *parser) values(seen map[string]*etree.Element) error {
	if e := seen["RequestType"]; e == nil {
		return bad(faultRequest, "no RequestType")
	} else if s, err := text(e); err != nil || s != p.ed.ns+"/Issue" {
		return bad(faultRequest, "RequestType is %.200q", s)
	}
	if e := seen["KeyType"]; e != nil {
		if s, err := text(e); err != nil || s != bearer && s != noProofKey {
			return bad(faultRequest, "KeyType is %.200q", s)
		}
	}
	if e := seen["Lifetime"]; e != nil {
		created, expires, err := interval(e)
		if err != nil || expires.IsZero() {
			return bad(faultRequest, "Lifetime cannot be read")
		}
		if created.IsZero() {
			created = p.t.Now
		}
		if p.req.Lifetime = expires.Sub(created); p.req.Lifetime < time.Minute {
			return bad(faultRequest, "Lifetime of %v", p.req.Lifetime)
		}
	}
	if e := seen["TokenType"]; e != nil {
		s, err := text(e)
		if err != nil {
			return &fault{kind: faultRequest, cause: err}
		}
		switch s {
		case tokenSAML11, samlProfile11 + "#SAMLV1.1":
			p.req.TokenType = federation.SAML11
		case tokenSAML20, samlProfile11 + "#SAMLV2.0":
			p.req.TokenType = federation.SAML20
		default:
			return bad(faultTokenType, "TokenType is %.200q", s)
		}
	}
	return nil
}

// appliesTo reads the party's address: AppliesTo/EndpointReference/Address.
func (p *parser) appliesTo(e *etree.Element) error {
	if e == nil {
		return bad(faultScope, "no AppliesTo")
	}
	list, err := elements(e)
	if err != nil || len(list) != 1 || !xmlsec.Is(list[0], nsWSA, "EndpointReference") {
		return bad(faultRequest, "AppliesTo does not hold one EndpointReference")
	}
	if p.req.AppliesTo, err = address(list[0]); err != nil {
		return &fault{kind: faultRequest, cause: err}
	}
	return nil
}

// address reads the Address of an endpoint reference (WSA core §2.1), which must
// hold nothing else.
func address(epr *etree.Element) (string, error) {
	list, err := elements(epr)
	if err != nil || len(list) != 1 || !xmlsec.Is(list[0], nsWSA, "Address") {
		return "", fmt.Errorf("%w: %s does not hold one Address", xmlsec.ErrShape, epr.Tag)
	}
	return text(list[0])
}

// elements returns the children of an element that has no text of its own.
func elements(e *etree.Element) ([]*etree.Element, error) {
	for _, c := range e.Child {
		if data, ok := c.(*etree.CharData); ok && !blank(data.Data) {
			return nil, fmt.Errorf("%w: text between the elements of %.100s", xmlsec.ErrShape, e.Tag)
		}
	}
	return e.ChildElements(), nil
}

func blank(s string) bool {
	for i := range len(s) {
		if s[i] != ' ' && s[i] != '\t' && s[i] != '\r' && s[i] != '\n' {
			return false
		}
	}
	return true
}

// text returns the text of an element without the white space around it, which
// pretty-printing clients add. Names and passwords are never read by it.
func text(e *etree.Element) (string, error) {
	s, err := xmlsec.Text(e)
	if err != nil {
		return "", err
	}
	for len(s) > 0 && blank(s[:1]) {
		s = s[1:]
	}
	for len(s) > 0 && blank(s[len(s)-1:]) {
		s = s[:len(s)-1]
	}
	return s, nil
}
