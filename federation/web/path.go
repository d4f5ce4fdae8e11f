package web

import "strings"

// canonicalPath returns the path under which routes are registered: ASCII lower
// case, single slashes, no trailing slash. It reports false for a path that names
// no page whatever the routes are: one with dot segments, control characters,
// backslashes or an encoded slash. decoded is the path after one decoding, raw
// its encoded form when that is not the default one (url.URL.RawPath).
//
// Only ASCII letters are folded: Unicode folding would let U+212A KELVIN SIGN
// name a page that contains a k.
func canonicalPath(decoded, raw string) (string, bool) {
	if decoded == "" || decoded[0] != '/' || encodesSlash(raw) {
		return "", false
	}
	clean := true // already canonical: the usual case allocates nothing
	for i := range len(decoded) {
		c := decoded[i]
		switch {
		case c < 0x20 || c == 0x7f || c == '\\':
			return "", false
		case c >= 'A' && c <= 'Z', c == '/' && i > 0 && decoded[i-1] == '/':
			clean = false
		case c == '.' && dotSegment(decoded, i):
			return "", false
		}
	}
	if clean && (len(decoded) == 1 || decoded[len(decoded)-1] != '/') {
		return decoded, true
	}
	var b strings.Builder
	b.Grow(len(decoded))
	for i := range len(decoded) {
		c := decoded[i]
		if c == '/' && i > 0 && decoded[i-1] == '/' {
			continue
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		b.WriteByte(c)
	}
	p := b.String()
	if len(p) > 1 {
		p = strings.TrimSuffix(p, "/")
	}
	return p, true
}

// dotSegment reports whether a segment "." or ".." starts at p[i].
func dotSegment(p string, i int) bool {
	if p[i-1] != '/' {
		return false
	}
	rest := p[i:]
	if end := strings.IndexByte(rest, '/'); end >= 0 {
		rest = rest[:end]
	}
	return rest == "." || rest == ".."
}

// encodesSlash reports whether the encoded path holds %2F or %5C.
func encodesSlash(raw string) bool {
	for i := 0; i+2 < len(raw); i++ {
		if raw[i] == '%' && (raw[i+1] == '2' && raw[i+2]|0x20 == 'f' || raw[i+1] == '5' && raw[i+2]|0x20 == 'c') {
			return true
		}
	}
	return false
}
