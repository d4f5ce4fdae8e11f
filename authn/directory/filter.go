package directory

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn"
)

// filter is a search filter in the string form of RFC 4515. It is made only by
// the functions below: attribute names are constants of this package or checked
// settings, and every value passes [ldap.EscapeFilter], so that a value is one
// assertion value on the wire whatever it contains.
type filter string

// present matches every object; for base searches.
const present filter = "(objectClass=*)"

// equal is attribute = value.
func equal(attribute, value string) filter {
	return filter("(" + attribute + "=" + ldap.EscapeFilter(value) + ")")
}

func all(parts ...filter) filter { return join("&", parts) }

func anyOf(parts ...filter) filter { return join("|", parts) }

func join(op string, parts []filter) filter {
	var b strings.Builder
	b.WriteByte('(')
	b.WriteString(op)
	for _, p := range parts {
		b.WriteString(string(p))
	}
	b.WriteByte(')')
	return filter(b.String())
}

// userObjects matches user accounts, not computers or trusts
// ([MS-SAMR] 2.2.1.9 SAM_USER_OBJECT).
func userObjects() filter { return equal("sAMAccountType", "805306368") }

// guidBase is the extended DN form that names an object by its GUID.
func guidBase(id authn.GUID) string { return "<GUID=" + id.String() + ">" }

// domainDN turns corp.contoso.test into DC=corp,DC=contoso,DC=test.
func domainDN(dnsName string) string {
	labels := strings.Split(dnsName, ".")
	for i, l := range labels {
		labels[i] = "DC=" + ldap.EscapeDN(l)
	}
	return strings.Join(labels, ",")
}

// compile appends the encoding of a filter (RFC 4511 section 4.5.1.7). go-ldap does it
// for what has another form than the filters that are made here.
func compile(b []byte, f string) ([]byte, error) {
	if out, rest, ok := appendFilter(b, f); ok && rest == "" {
		return out, nil
	}
	p, err := ldap.CompileFilter(f)
	if err != nil {
		return nil, fmt.Errorf("directory: filter: %w", err)
	}
	return append(b, p.Bytes()...), nil
}

// appendFilter appends the encoding of the filter at the start of s and returns what
// follows it. ok is false for any form but and, or, present and equal.
func appendFilter(b []byte, s string) (out []byte, rest string, ok bool) {
	if len(s) < 2 || s[0] != '(' {
		return b, s, false
	}
	from := len(b)
	if s[1] == '&' || s[1] == '|' {
		ok = true
		for rest = s[2:]; ok && strings.HasPrefix(rest, "("); {
			b, rest, ok = appendFilter(b, rest)
		}
		if !ok || !strings.HasPrefix(rest, ")") {
			return b, s, false
		}
		tag := byte(0xa0)
		if s[1] == '|' {
			tag = 0xa1
		}
		return wrap(b, from, tag), rest[1:], true
	}
	test, rest, ok := strings.Cut(s[1:], ")")
	attribute, value, equals := strings.Cut(test, "=")
	if !ok || !equals || value == "" || !isAttribute(attribute) {
		return b, s, false
	}
	if value == "*" {
		return append(appendHeader(b, 0x87, len(attribute)), attribute...), rest, true
	}
	b = appendString(b, attribute)
	at := len(b)
	for ; value != ""; value = value[1:] {
		switch c := value[0]; {
		case c == '*', c == '(', c == 0, c >= 0x80: // [ldap.EscapeFilter] leaves none of them
			return b, s, false
		case c == '\\':
			if len(value) < 3 {
				return b, s, false
			}
			raw, err := hex.DecodeString(value[1:3])
			if err != nil {
				return b, s, false
			}
			b, value = append(b, raw[0]), value[2:]
		default:
			b = append(b, c)
		}
	}
	return wrap(wrap(b, at, 0x04), from, 0xa3), rest, true
}

// isAttribute reports a name without the marks of other kinds of test.
func isAttribute(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
}

// wrap makes what follows from in b the content of an element.
func wrap(b []byte, from int, tag byte) []byte {
	var room [6]byte
	head := appendHeader(room[:0], tag, len(b)-from)
	b = append(b, head...)
	copy(b[from+len(head):], b[from:])
	copy(b[from:], head)
	return b
}
