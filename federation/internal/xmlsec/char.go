package xmlsec

import "unicode/utf8"

// isChar reports whether XML 1.0 can carry r, as itself or as a reference
// (XML 1.0 production 2).
func isChar(r rune) bool {
	switch {
	case r < 0x20:
		return r == '\t' || r == '\n' || r == '\r'
	case r < 0xD800:
		return true
	case r < 0xE000:
		return false
	default:
		return r < 0xFFFE || r >= 0x10000 && r <= utf8.MaxRune
	}
}

// isNameStart and isName are productions 4 and 4a of XML 1.0 without the colon,
// which Namespaces reserves for prefixes.
func isNameStart(r rune) bool {
	switch {
	case r < 0x80:
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
	case r < 0x300:
		return r >= 0xC0 && r != 0xD7 && r != 0xF7
	case r < 0x2000:
		return r >= 0x370 && r != 0x37E
	default:
		return r == 0x200C || r == 0x200D || r >= 0x2070 && r <= 0x218F || r >= 0x2C00 && r <= 0x2FEF ||
			r >= 0x3001 && r <= 0xD7FF || r >= 0xF900 && r <= 0xFDCF || r >= 0xFDF0 && r <= 0xFFFD ||
			r >= 0x10000 && r <= 0xEFFFF
	}
}

func isName(r rune) bool {
	return isNameStart(r) || r >= '0' && r <= '9' || r == '-' || r == '.' || r == 0xB7 ||
		r >= 0x300 && r <= 0x36F || r == 0x203F || r == 0x2040
}

// maxName is the longest name and the longest id, in bytes.
const maxName = 256

// IsNCName reports whether s is a name without a colon of at most 256 bytes: the
// form that an id must have before it may be repeated in an answer.
func IsNCName(s string) bool {
	if s == "" || len(s) > maxName || !utf8.ValidString(s) {
		return false
	}
	for i, r := range s {
		if i == 0 && !isNameStart(r) || !isName(r) {
			return false
		}
	}
	return true
}
