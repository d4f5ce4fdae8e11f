package directory

import (
	"errors"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// The parser below go-ldap uses takes its limits from package variables. They
// are set here, once, before any connection exists; the framing connection
// enforces the same bounds on its own account.
func init() {
	ber.MaxPacketLengthBytes = maxServiceMessage
	ber.MaxNestingDepth = 32
}

var (
	errShort = errors.New("directory: message is not complete")
	errFrame = errors.New("directory: malformed LDAP message")
)

// maxDepth bounds the nesting of any message we hand on.
const maxDepth = 32

// message is one LDAPMessage (RFC 4511 section 4.1.1) without its controls.
type message struct {
	id   int64
	op   byte
	body []byte
}

// element reads the tag and the definite length at the start of b and returns
// the tag and the size of the whole element. Long forms of up to four bytes are
// taken whether minimal or not, because Windows always sends four.
func element(b []byte) (tag byte, size int, err error) {
	tag, head, length, err := header(b)
	return tag, head + length, err
}

func header(b []byte) (tag byte, head, length int, err error) {
	if len(b) < 2 {
		return 0, 0, 0, errShort
	}
	tag = b[0]
	if tag&0x1f == 0x1f {
		return 0, 0, 0, errFrame
	}
	if b[1] < 0x80 {
		return tag, 2, int(b[1]), nil
	}
	n := int(b[1] & 0x7f)
	if n == 0 || n > 4 {
		return 0, 0, 0, errFrame // indefinite, or absurd
	}
	if len(b) < 2+n {
		return 0, 0, 0, errShort
	}
	v := uint64(0)
	for _, c := range b[2 : 2+n] {
		v = v<<8 | uint64(c)
	}
	if v > 1<<30 {
		return 0, 0, 0, errFrame
	}
	return tag, 2 + n, int(v), nil
}

// split cuts the first element off b, which must hold it whole.
func split(b []byte) (tag byte, content, rest []byte, err error) {
	tag, head, length, err := header(b)
	if err != nil || head+length > len(b) {
		return 0, nil, nil, errFrame
	}
	return tag, b[head : head+length], b[head+length:], nil
}

// parseMessage reads b, which must be exactly one LDAPMessage.
func parseMessage(b []byte) (message, error) {
	tag, content, rest, err := split(b)
	if err != nil || tag != 0x30 || len(rest) != 0 {
		return message{}, errFrame
	}
	tag, id, content, err := split(content)
	if err != nil || tag != 0x02 || len(id) == 0 || len(id) > 4 || id[0] >= 0x80 {
		return message{}, errFrame
	}
	var m message
	for _, c := range id {
		m.id = m.id<<8 | int64(c)
	}
	if m.op, m.body, content, err = split(content); err != nil {
		return message{}, errFrame
	}
	if m.op&0x20 != 0 && !wellFormed(m.body, maxDepth-2) {
		return message{}, errFrame
	}
	if len(content) == 0 {
		return m, nil
	}
	tag, controls, rest, err := split(content)
	if err != nil || tag != 0xa0 || len(rest) != 0 || !wellFormed(controls, maxDepth-2) {
		return message{}, errFrame
	}
	return m, nil
}

// wellFormed reports that b is a run of whole elements, constructed ones
// likewise, nested at most depth levels.
func wellFormed(b []byte, depth int) bool {
	for len(b) > 0 {
		tag, content, rest, err := split(b)
		if err != nil || depth == 0 {
			return false
		}
		if tag&0x20 != 0 && !wellFormed(content, depth-1) {
			return false
		}
		b = rest
	}
	return true
}

// parseResult reads the LDAPResult (RFC 4511 section 4.1.9) at the start of an
// answer's body. The code must be an ENUMERATED of one byte below 128; every
// code that a DC uses is.
func parseResult(body []byte) (code int, diagnostic []byte, err error) {
	tag, value, rest, err := split(body)
	if err != nil || tag != 0x0a || len(value) != 1 || value[0] >= 0x80 {
		return noCode, nil, errFrame
	}
	if tag, _, rest, err = split(rest); err != nil || tag != 0x04 {
		return noCode, nil, errFrame
	}
	tag, diagnostic, _, err = split(rest)
	if err != nil || tag != 0x04 {
		return noCode, nil, errFrame
	}
	return int(value[0]), diagnostic, nil
}
