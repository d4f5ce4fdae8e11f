package directorytest

import (
	"fmt"
	"strings"
)

// Filter choices (RFC 4511 4.5.1.7).
const (
	filterAnd        = 0xa0
	filterOr         = 0xa1
	filterNot        = 0xa2
	filterEqual      = 0xa3
	filterSubstrings = 0xa4
	filterGreater    = 0xa5
	filterLess       = 0xa6
	filterPresent    = 0x87
	filterApprox     = 0xa8
	filterExtensible = 0xa9
)

const maxFilterDepth = 32

// operators are the RFC 4515 signs of the choices filterEqual to filterApprox.
var operators = [...]string{"=", "", ">=", "<=", "", "~="}

// filter is one node of a search filter. value is the assertion value as the
// client's bytes decode, not as any text form spells it.
type filter struct {
	kind  byte
	attr  string
	rule  string
	value []byte
	parts []substring
	kids  []*filter
}

type substring struct {
	kind  byte // 0x80 initial, 0x81 any, 0x82 final
	value []byte
}

func parseFilter(c *cursor, depth int) (*filter, error) {
	if depth > maxFilterDepth {
		return nil, fmt.Errorf("%w: filter nested deeper than %d", errBER, maxFilterDepth)
	}
	kind, content, err := c.next()
	if err != nil {
		return nil, err
	}
	f := &filter{kind: kind}
	in := cursor{content}
	switch kind {
	case filterAnd, filterOr:
		for !in.empty() {
			kid, err := parseFilter(&in, depth+1)
			if err != nil {
				return nil, err
			}
			f.kids = append(f.kids, kid)
		}
		return f, nil
	case filterNot:
		kid, err := parseFilter(&in, depth+1)
		if err != nil {
			return nil, err
		}
		f.kids = []*filter{kid}
	case filterPresent:
		f.attr = string(content)
		return f, nil
	case filterEqual, filterGreater, filterLess, filterApprox:
		if err := f.parseAssertion(&in); err != nil {
			return nil, err
		}
	case filterSubstrings:
		if err := f.parseSubstrings(&in); err != nil {
			return nil, err
		}
	case filterExtensible:
		if err := f.parseExtensible(&in); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%w: filter choice %#02x", errBER, kind)
	}
	if !in.empty() {
		return nil, fmt.Errorf("%w: bytes after a filter item", errBER)
	}
	return f, nil
}

func (f *filter) parseAssertion(in *cursor) error {
	attr, err := in.expect(tagOctets)
	if err != nil {
		return err
	}
	f.attr = string(attr)
	f.value, err = in.expect(tagOctets)
	return err
}

func (f *filter) parseSubstrings(in *cursor) error {
	attr, err := in.expect(tagOctets)
	if err != nil {
		return err
	}
	f.attr = string(attr)
	list, err := in.expect(tagSequence)
	if err != nil {
		return err
	}
	for parts := (cursor{list}); !parts.empty(); {
		kind, v, err := parts.next()
		if err != nil {
			return err
		}
		if kind < 0x80 || kind > 0x82 {
			return fmt.Errorf("%w: substring choice %#02x", errBER, kind)
		}
		f.parts = append(f.parts, substring{kind, v})
	}
	if len(f.parts) == 0 {
		return fmt.Errorf("%w: empty substrings", errBER)
	}
	return nil
}

func (f *filter) parseExtensible(in *cursor) error {
	for !in.empty() {
		tag, v, err := in.next()
		if err != nil {
			return err
		}
		switch tag {
		case 0x81:
			f.rule = string(v)
		case 0x82:
			f.attr = string(v)
		case 0x83:
			f.value = v
		case 0x84: // dnAttributes: AD ignores it
		default:
			return fmt.Errorf("%w: extensible match field %#02x", errBER, tag)
		}
	}
	return nil
}

// String returns the RFC 4515 form in which "*", "(", ")", "\\" and every octet outside
// printable ASCII is escaped as two hex digits, so that a test sees at once which
// bytes were one assertion value.
func (f *filter) String() string {
	var b strings.Builder
	f.write(&b)
	return b.String()
}

func (f *filter) write(b *strings.Builder) {
	b.WriteByte('(')
	switch f.kind {
	case filterAnd, filterOr, filterNot:
		b.WriteByte("&|!"[f.kind-filterAnd])
		for _, k := range f.kids {
			k.write(b)
		}
	case filterPresent:
		b.WriteString(f.attr)
		b.WriteString("=*")
	case filterEqual, filterGreater, filterLess, filterApprox:
		b.WriteString(f.attr)
		b.WriteString(operators[f.kind-filterEqual])
		escapeValue(b, f.value)
	case filterSubstrings:
		b.WriteString(f.attr)
		b.WriteByte('=')
		for _, p := range f.parts {
			if p.kind != 0x80 {
				b.WriteByte('*')
			}
			escapeValue(b, p.value)
		}
		if f.parts[len(f.parts)-1].kind != 0x82 {
			b.WriteByte('*')
		}
	case filterExtensible:
		b.WriteString(f.attr)
		if f.rule != "" {
			b.WriteByte(':')
			b.WriteString(f.rule)
		}
		b.WriteString(":=")
		escapeValue(b, f.value)
	}
	b.WriteByte(')')
}

func escapeValue(b *strings.Builder, v []byte) {
	const hexDigits = "0123456789abcdef"
	for _, x := range v {
		switch {
		case x == '*' || x == '(' || x == ')' || x == '\\' || x < 0x20 || x >= 0x7f:
			b.WriteByte('\\')
			b.WriteByte(hexDigits[x>>4])
			b.WriteByte(hexDigits[x&15])
		default:
			b.WriteByte(x)
		}
	}
}
