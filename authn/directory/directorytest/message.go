package directorytest

import (
	"fmt"
	"unicode/utf8"
)

// Protocol operations (RFC 4511 4.2 to 4.14).
const (
	opBindRequest     = 0x60
	opBindResponse    = 0x61
	opUnbindRequest   = 0x42
	opSearchRequest   = 0x63
	opSearchEntry     = 0x64
	opSearchDone      = 0x65
	opSearchReference = 0x73
	opModifyRequest   = 0x66
	opModifyResponse  = 0x67
	opAddRequest      = 0x68
	opDelRequest      = 0x4a
	opModifyDNRequest = 0x6c
	opCompareRequest  = 0x6e
	opAbandonRequest  = 0x50
	opExtendedRequest = 0x77
	opExtendedReply   = 0x78
)

// Result codes (RFC 4511 appendix A).
const (
	codeSuccess             = 0
	codeOperationsError     = 1
	codeProtocolError       = 2
	codeSizeLimit           = 4
	codeAuthMethod          = 7
	codeStrongAuthRequired  = 8
	codeReferral            = 10
	codeUnavailableCritical = 12
	codeInappropriateMatch  = 18
	codeConstraint          = 19
	codeNoSuchObject        = 32
	codeInvalidDN           = 34
	codeInvalidCredentials  = 49
	codeInsufficientAccess  = 50
	codeBusy                = 51
	codeUnwilling           = 53
)

// Object identifiers of extended operations and controls.
const (
	oidStartTLS    = "1.3.6.1.4.1.1466.20037"
	oidNotice      = "1.3.6.1.4.1.1466.20036"
	oidWhoAmI      = "1.3.6.1.4.1.4203.1.11.3"
	oidFastBind    = "1.2.840.113556.1.4.1781"
	oidPaging      = "1.2.840.113556.1.4.319"
	oidDomainScope = "1.2.840.113556.1.4.1339"
	oidSDFlags     = "1.2.840.113556.1.4.801"
	oidPolicyHints = "1.2.840.113556.1.4.2239"
	oidPolicyHint0 = "1.2.840.113556.1.4.2066"
)

// request is one decoded LDAPMessage. body is the content of the operation and
// is valid until the next message is read.
type request struct {
	id       int64
	op       byte
	body     []byte
	controls []control
}

type control struct {
	oid      string
	critical bool
	value    []byte
}

// parseMessage decodes the content of an LDAPMessage SEQUENCE.
func parseMessage(frame []byte) (request, error) {
	var req request
	c := cursor{frame}
	var err error
	if req.id, err = c.integer(tagInteger); err != nil {
		return req, err
	}
	if req.id < 1 || req.id > 1<<31-1 {
		return req, fmt.Errorf("%w: messageID %d", errBER, req.id)
	}
	if req.op, req.body, err = c.next(); err != nil {
		return req, err
	}
	if c.empty() {
		return req, nil
	}
	raw, err := c.expect(tagControls)
	if err != nil {
		return req, err
	}
	if !c.empty() {
		return req, fmt.Errorf("%w: bytes after the controls", errBER)
	}
	req.controls, err = parseControls(raw)
	return req, err
}

func parseControls(raw []byte) ([]control, error) {
	var out []control
	for list := (cursor{raw}); !list.empty(); {
		item, err := list.expect(tagSequence)
		if err != nil {
			return nil, err
		}
		c := cursor{item}
		oid, err := c.expect(tagOctets)
		if err != nil {
			return nil, err
		}
		ctl := control{oid: string(oid)}
		if c.peek() == tagBoolean {
			if ctl.critical, err = c.boolean(); err != nil {
				return nil, err
			}
		}
		if !c.empty() {
			if ctl.value, err = c.expect(tagOctets); err != nil {
				return nil, err
			}
		}
		if !c.empty() {
			return nil, fmt.Errorf("%w: bytes after a control", errBER)
		}
		out = append(out, ctl)
	}
	return out, nil
}

// bindRequest is RFC 4511 4.2. sasl is set for every choice besides simple.
type bindRequest struct {
	version  int64
	name     string
	password []byte
	sasl     bool
}

func parseBind(body []byte) (bindRequest, error) {
	var b bindRequest
	c := cursor{body}
	var err error
	if b.version, err = c.integer(tagInteger); err != nil {
		return b, err
	}
	name, err := c.expect(tagOctets)
	if err != nil {
		return b, err
	}
	if !utf8.Valid(name) {
		return b, fmt.Errorf("%w: bind name is not UTF-8", errBER)
	}
	b.name = string(name)
	tag, content, err := c.next()
	if err != nil {
		return b, err
	}
	if !c.empty() {
		return b, fmt.Errorf("%w: bytes after the credentials", errBER)
	}
	b.sasl = tag != 0x80
	b.password = content
	return b, nil
}

// searchRequest is RFC 4511 4.5.1.
type searchRequest struct {
	base       string
	scope      int64
	sizeLimit  int64
	timeLimit  int64
	typesOnly  bool
	filter     *filter
	attributes []string
}

// Search scopes.
const (
	scopeBase = iota
	scopeOne
	scopeSubtree
)

func parseSearch(body []byte) (searchRequest, error) {
	var s searchRequest
	c := cursor{body}
	base, err := c.expect(tagOctets)
	if err != nil {
		return s, err
	}
	if !utf8.Valid(base) {
		return s, fmt.Errorf("%w: search base is not UTF-8", errBER)
	}
	s.base = string(base)
	var deref int64
	for _, field := range []struct {
		tag byte
		to  *int64
		max int64
	}{
		{tagEnumerated, &s.scope, 2}, {tagEnumerated, &deref, 3},
		{tagInteger, &s.sizeLimit, 1<<31 - 1}, {tagInteger, &s.timeLimit, 1<<31 - 1},
	} {
		if *field.to, err = c.integer(field.tag); err != nil {
			return s, err
		}
		if *field.to < 0 || *field.to > field.max {
			return s, fmt.Errorf("%w: search field out of range", errBER)
		}
	}
	if s.typesOnly, err = c.boolean(); err != nil {
		return s, err
	}
	if s.filter, err = parseFilter(&c, 0); err != nil {
		return s, err
	}
	list, err := c.expect(tagSequence)
	if err != nil {
		return s, err
	}
	for a := (cursor{list}); !a.empty(); {
		name, err := a.expect(tagOctets)
		if err != nil {
			return s, err
		}
		s.attributes = append(s.attributes, string(name))
	}
	if !c.empty() {
		return s, fmt.Errorf("%w: bytes after the attribute list", errBER)
	}
	return s, nil
}

// parseExtended returns the name and value of an ExtendedRequest (RFC 4511 4.12).
func parseExtended(body []byte) (oid string, value []byte, err error) {
	c := cursor{body}
	name, err := c.expect(0x80)
	if err != nil {
		return "", nil, err
	}
	if !c.empty() {
		if value, err = c.expect(0x81); err != nil {
			return "", nil, err
		}
	}
	if !c.empty() {
		return "", nil, fmt.Errorf("%w: bytes after the extended request", errBER)
	}
	return string(name), value, nil
}
