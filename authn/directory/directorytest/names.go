package directorytest

import (
	"encoding/hex"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// matcher folds attribute values for comparison: as Windows does (without case,
// width, kana kind and non-spacing marks) or as Samba does (without case).
type matcher struct{ samba bool }

func (m matcher) fold(s string) string {
	ascii := true
	upper := false
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
		upper = upper || 'A' <= s[i] && s[i] <= 'Z'
	}
	switch {
	case ascii && !upper:
		return s
	case ascii || m.samba:
		return strings.ToLower(s)
	}
	var b strings.Builder
	for _, r := range norm.NFKD.String(width.Fold.String(s)) {
		switch {
		case unicode.Is(unicode.Mn, r):
			continue
		case r >= 'ァ' && r <= 'ヶ': // katakana to hiragana
			r -= 'ァ' - 'ぁ'
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

var errDN = errors.New("directorytest: malformed distinguished name")

// rdn is one relative distinguished name; AD has no multi-valued ones.
type rdn struct{ attr, value string }

// parseDN reads RFC 4514 text, leaf first.
func parseDN(s string) ([]rdn, error) {
	var out []rdn
	for s != "" || len(out) > 0 {
		s = strings.TrimLeft(s, " ")
		eq := strings.IndexByte(s, '=')
		if eq < 1 {
			return nil, errDN
		}
		attr := strings.TrimSpace(s[:eq])
		value, rest, more, err := dnValue(s[eq+1:])
		if err != nil {
			return nil, err
		}
		out = append(out, rdn{attr, value})
		if !more {
			return out, nil
		}
		s = rest
	}
	return out, nil
}

// dnValue reads one value up to the comma that ends it.
func dnValue(s string) (value, rest string, more bool, err error) {
	var b []byte
	keep := 0 // length below which trailing blanks were escaped
	i := len(s) - len(strings.TrimLeft(s, " "))
	for ; i < len(s); i++ {
		switch c := s[i]; c {
		case ',', ';':
			return trimTail(b, keep), s[i+1:], true, nil
		case '\\':
			if i+1 >= len(s) {
				return "", "", false, errDN
			}
			if strings.IndexByte(` "#+,;<=>\`, s[i+1]) >= 0 {
				b = append(b, s[i+1])
				i++
			} else {
				if i+2 >= len(s) {
					return "", "", false, errDN
				}
				x, err := hex.DecodeString(s[i+1 : i+3])
				if err != nil {
					return "", "", false, errDN
				}
				b = append(b, x[0])
				i += 2
			}
			keep = len(b)
		case '"', '<', '>', '+', 0:
			return "", "", false, errDN
		default:
			b = append(b, c)
		}
	}
	return trimTail(b, keep), "", false, nil
}

func trimTail(b []byte, keep int) string {
	for len(b) > keep && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return string(b)
}

// escapeRDN writes one value as a DC writes it in a DN.
func escapeRDN(v string) string {
	var b strings.Builder
	for i := range len(v) {
		c := v[i]
		if strings.IndexByte(`,+"\<>;=`, c) >= 0 || i == 0 && (c == '#' || c == ' ') || i == len(v)-1 && c == ' ' {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// dnKey is the comparison form: RDNs folded, each ended by a NUL, leaf first, so
// that "is below" is a suffix test.
func (m matcher) dnKey(dn string) (string, error) {
	if dn == "" {
		return "", nil
	}
	rdns, err := parseDN(dn)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, r := range rdns {
		b.WriteString(strings.ToLower(r.attr))
		b.WriteByte('=')
		b.WriteString(m.fold(r.value))
		b.WriteByte(0)
	}
	return b.String(), nil
}

// below reports whether the object with key lies in or under base.
func below(key, base string) bool {
	return strings.HasSuffix(key, base) && (len(key) == len(base) || base == "" || key[len(key)-len(base)-1] == 0)
}

// parentKey returns the key of the object above.
func parentKey(key string) string {
	_, rest, _ := strings.Cut(key, "\x00")
	return rest
}

// canonicalName turns CN=Alice,OU=Staff,DC=corp,DC=test into corp.test/Staff/Alice
// with sep before the last part (a slash, or a line feed in the extended form).
func canonicalName(dn, sep string) string {
	rdns, err := parseDN(dn)
	if err != nil {
		return ""
	}
	var domain, path []string
	for _, r := range rdns {
		if strings.EqualFold(r.attr, "DC") {
			domain = append(domain, r.value)
		} else {
			path = append([]string{strings.ReplaceAll(r.value, "/", `\/`)}, path...)
		}
	}
	if len(path) == 0 {
		return strings.Join(domain, ".") + "/"
	}
	head := append([]string{strings.Join(domain, ".")}, path[:len(path)-1]...)
	return strings.Join(head, "/") + sep + path[len(path)-1]
}

// baseDN turns corp.contoso.test into DC=corp,DC=contoso,DC=test.
func baseDN(domain string) string {
	return "DC=" + strings.ReplaceAll(domain, ".", ",DC=")
}
