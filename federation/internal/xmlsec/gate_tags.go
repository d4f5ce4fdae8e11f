package xmlsec

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

const (
	xmlURI   = "http://www.w3.org/XML/1998/namespace"
	xmlnsURI = "http://www.w3.org/2000/xmlns/"
)

// ncName takes a name without a colon (Namespaces production 4).
func (g *gate) ncName() ([]byte, error) {
	start := g.pos
	for g.pos < len(g.in) {
		r, n := rune(g.in[g.pos]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(g.in[g.pos:])
		}
		if g.pos == start && !isNameStart(r) || !isName(r) {
			break
		}
		g.pos += n
	}
	if g.pos == start {
		return nil, g.malformed("a name is missing")
	}
	if g.pos-start > maxName {
		return nil, g.fail(ErrLimit, start, "name too long")
	}
	return g.in[start:g.pos], nil
}

// qName takes a name with at most one prefix (Namespaces production 7).
func (g *gate) qName() (qname, prefix, local []byte, err error) {
	start := g.pos
	if local, err = g.ncName(); err != nil {
		return nil, nil, nil, err
	}
	if g.skip(":") {
		prefix = local
		if local, err = g.ncName(); err != nil {
			return nil, nil, nil, err
		}
	}
	return g.in[start:g.pos], prefix, local, nil
}

// startTag takes a start or empty-element tag (productions 40, 44).
func (g *gate) startTag() error {
	start := g.pos
	if g.rootDone {
		return g.malformed("a second root element")
	}
	if g.elements++; g.elements > g.rules.MaxElements {
		return g.fail(ErrLimit, start, "too many elements")
	}
	if len(g.open) >= g.rules.MaxDepth {
		return g.fail(ErrLimit, start, "nested too deep")
	}
	g.pos++
	name, prefix, _, err := g.qName()
	if err != nil {
		return err
	}
	empty, err := g.attributes()
	if err != nil {
		return err
	}
	outside := len(g.bindings)
	if err := g.declare(); err != nil {
		return err
	}
	if err := g.resolve(start, prefix); err != nil {
		return err
	}
	g.text = 0
	if empty {
		g.bindings = g.bindings[:outside]
		g.rootDone = len(g.open) == 0
		return nil
	}
	g.open = append(g.open, openElement{name: name, bindings: outside})
	return nil
}

// endTag takes an end tag (production 42).
func (g *gate) endTag() error {
	if len(g.open) == 0 {
		return g.malformed("end tag without a start tag")
	}
	last := g.open[len(g.open)-1]
	g.pos += 2
	name, _, _, err := g.qName()
	if err != nil {
		return err
	}
	if !bytes.Equal(name, last.name) {
		return g.malformed("end tag of another element")
	}
	g.space()
	if !g.skip(">") {
		return g.malformed("end tag")
	}
	g.open = g.open[:len(g.open)-1]
	g.bindings = g.bindings[:last.bindings]
	g.text = 0
	g.rootDone = len(g.open) == 0
	return nil
}

// attributes takes the rest of a start tag into g.attrs.
func (g *gate) attributes() (empty bool, err error) {
	g.attrs = g.attrs[:0]
	for {
		spaced := g.space()
		switch {
		case g.skip(">"):
			return false, nil
		case g.skip("/>"):
			return true, nil
		case !spaced:
			return false, g.malformed("start tag")
		}
		if len(g.attrs) >= g.rules.MaxAttributes {
			return false, g.fail(ErrLimit, g.pos, "too many attributes")
		}
		a := attribute{at: g.pos}
		if a.qname, a.prefix, a.local, err = g.qName(); err != nil {
			return false, err
		}
		g.space()
		if !g.skip("=") {
			return false, g.malformed("attribute without a value")
		}
		g.space()
		if a.value, err = g.attributeValue(); err != nil {
			return false, err
		}
		for i := range g.attrs {
			if bytes.Equal(g.attrs[i].qname, a.qname) {
				return false, g.fail(ErrMalformed, a.at, "attribute given twice")
			}
		}
		g.attrs = append(g.attrs, a)
	}
}

// attributeValue takes a quoted value (production 10) and normalises its white
// space in the output (XML 1.0 §2.11, §3.3.3).
func (g *gate) attributeValue() ([]byte, error) {
	if g.pos == len(g.in) || g.in[g.pos] != '"' && g.in[g.pos] != '\'' {
		return nil, g.malformed("attribute value without quotes")
	}
	quote := g.in[g.pos]
	g.pos++
	start := g.pos
	for g.pos < len(g.in) {
		switch c := g.in[g.pos]; c {
		case quote:
			if g.pos-start > g.rules.MaxText {
				return nil, g.fail(ErrLimit, start, "attribute value too long")
			}
			g.pos++
			return g.in[start : g.pos-1], nil
		case '<':
			return nil, g.malformed("< in an attribute value")
		case '&':
			if _, err := g.reference(); err != nil {
				return nil, err
			}
			continue
		case '\r', '\n', '\t':
			n := 1
			if g.has("\r\n") {
				n = 2
			}
			g.put(g.pos, g.pos+n, " ")
			g.pos += n
			continue
		}
		g.pos++
	}
	return nil, g.malformed("attribute value without its end")
}

// declare binds the prefixes that g.attrs declare (Namespaces §3, §5).
func (g *gate) declare() error {
	for i := range g.attrs {
		a := &g.attrs[i]
		isDefault := len(a.prefix) == 0 && string(a.local) == "xmlns"
		if !isDefault && string(a.prefix) != "xmlns" {
			continue
		}
		if g.declarations++; g.declarations > g.rules.MaxDeclarations || len(g.bindings) >= g.rules.MaxScope {
			return g.fail(ErrLimit, a.at, "too many namespace declarations")
		}
		uri := g.decode(a.value)
		switch {
		case uri != "" && !isAbsoluteURI(uri):
			return g.fail(ErrMalformed, a.at, "namespace name that is not an absolute URI")
		case isDefault && (uri == xmlURI || uri == xmlnsURI):
			return g.fail(ErrMalformed, a.at, "reserved namespace as default")
		case isDefault:
			g.bindings = append(g.bindings, binding{nil, uri})
			continue
		case string(a.local) == "xmlns":
			return g.fail(ErrMalformed, a.at, "declaration of the prefix xmlns")
		case (string(a.local) == "xml") != (uri == xmlURI) || uri == xmlnsURI:
			return g.fail(ErrMalformed, a.at, "reserved prefix or namespace")
		case uri == "":
			return g.fail(ErrMalformed, a.at, "prefix bound to nothing")
		}
		g.bindings = append(g.bindings, binding{a.local, uri})
	}
	return nil
}

// isAbsoluteURI reports whether s has the characters of an RFC 3986 URI with a
// scheme. Relative namespace names have no canonical form (C14N §1.1), and stacks
// differ over names that are no URIs.
func isAbsoluteURI(s string) bool {
	scheme, fragments := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		case c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.':
			if i == 0 {
				return false
			}
		case c == ':':
			if i == 0 {
				return false
			}
			scheme = true
		case !scheme:
			return false
		case c == '%':
			if i+2 >= len(s) || digit(s[i+1]) > 15 || digit(s[i+2]) > 15 {
				return false
			}
		case c == '#':
			if fragments++; fragments > 1 {
				return false
			}
		case !strings.ContainsRune("/?@!$&'()*,;=_~", rune(c)):
			return false
		}
	}
	return scheme
}

// decode returns an attribute value as a reader gets it. The value has passed
// attributeValue.
func (g *gate) decode(raw []byte) string {
	if !bytes.ContainsAny(raw, "&\t\r\n") {
		return string(raw)
	}
	sub := gate{in: raw}
	var out []byte
	for sub.pos < len(raw) {
		switch c := raw[sub.pos]; {
		case c == '&':
			r, err := sub.reference()
			if err != nil { // cannot be: it was taken before
				return string(raw)
			}
			out = utf8.AppendRune(out, r)
			continue
		case sub.has("\r\n"):
			sub.pos++
			continue
		case isSpace(c):
			out = append(out, ' ')
		default:
			out = append(out, c)
		}
		sub.pos++
	}
	return string(out)
}

// lookup returns the namespace of prefix here.
func (g *gate) lookup(prefix []byte) (string, bool) {
	if string(prefix) == "xml" {
		return xmlURI, true
	}
	for i := len(g.bindings) - 1; i >= 0; i-- {
		if bytes.Equal(g.bindings[i].prefix, prefix) {
			return g.bindings[i].uri, true
		}
	}
	return "", len(prefix) == 0
}

// resolve checks that the prefixes of the element and of g.attrs are declared and
// that no attribute is given twice under two prefixes (Namespaces §6.3), and
// registers ids.
func (g *gate) resolve(at int, prefix []byte) error {
	if _, ok := g.lookup(prefix); !ok || string(prefix) == "xmlns" {
		return g.fail(ErrMalformed, at, "prefix not declared")
	}
	for i := range g.attrs {
		a := &g.attrs[i]
		uri := ""
		if len(a.prefix) > 0 && string(a.prefix) != "xmlns" {
			var ok bool
			if uri, ok = g.lookup(a.prefix); !ok {
				return g.fail(ErrMalformed, a.at, "prefix not declared")
			}
			for j := range g.attrs[:i] {
				b := &g.attrs[j]
				if len(b.prefix) > 0 && string(b.prefix) != "xmlns" && bytes.Equal(a.local, b.local) {
					if other, _ := g.lookup(b.prefix); other == uri {
						return g.fail(ErrMalformed, a.at, "attribute given twice")
					}
				}
			}
		}
		if err := g.id(a, uri); err != nil {
			return err
		}
	}
	return nil
}

const wsuURI = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"

// id registers a if it is an attribute by which signatures refer to elements. All
// of them share one set, because a reader may look for any of them.
func (g *gate) id(a *attribute, uri string) error {
	switch string(a.local) {
	case "ID", "AssertionID":
		if string(a.prefix) == "xmlns" {
			return nil
		}
		if uri != "" {
			return g.fail(ErrForbidden, a.at, "id attribute in a namespace")
		}
	case "Id":
		if string(a.prefix) == "xmlns" || uri != "" && uri != wsuURI {
			return nil
		}
	case "id":
		if uri != xmlURI {
			return nil
		}
	default:
		return nil
	}
	value := g.decode(a.value)
	if !IsNCName(value) {
		return g.fail(ErrForbidden, a.at, "id that is not an NCName of at most 256 bytes")
	}
	if _, taken := g.ids[value]; taken {
		return g.fail(ErrForbidden, a.at, "id given twice")
	}
	if g.ids == nil {
		g.ids = make(map[string]struct{})
	}
	g.ids[value] = struct{}{}
	return nil
}
