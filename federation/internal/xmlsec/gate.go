package xmlsec

import (
	"bytes"
	"unicode/utf8"
)

// gate holds a document against XML 1.0 and Namespaces, production by production,
// and leaves in out what the tree is built from: the document without byte order
// mark, XML declaration, comments and processing instructions, and with white
// space in attribute values normalised as XML 1.0 §3.3.3 says, which the parser of
// encoding/xml omits. In the common case out is in itself.
//
// A method that returns an error has looked at nothing behind the offset of that
// error. There is no recursion and no allocation that grows with the document but
// the stacks, which the rules bound, and the copy.
type gate struct {
	rules Rules
	in    []byte
	pos   int

	out    []byte
	copied int // in[:copied] is dealt with in out; used once out is not nil

	open     []openElement
	bindings []binding
	attrs    []attribute
	ids      map[string]struct{}

	elements     int
	declarations int
	text         int // bytes of character data since the last tag
	rootDone     bool
}

type openElement struct {
	name     []byte // as written
	bindings int    // len(gate.bindings) outside the element
}

type binding struct {
	prefix []byte
	uri    string
}

type attribute struct {
	qname, prefix, local []byte
	value                []byte // as written
	at                   int
}

func (g *gate) fail(kind error, at int, detail string) error {
	return &GateError{Kind: kind, Offset: at, Detail: detail}
}

func (g *gate) malformed(detail string) error { return g.fail(ErrMalformed, g.pos, detail) }

// run checks the whole document.
func (g *gate) run() error {
	if len(g.in) > g.rules.MaxBytes {
		return g.fail(ErrLimit, g.rules.MaxBytes, "document too long")
	}
	if err := g.characters(); err != nil {
		return err
	}
	// Also inside a comment, an instruction or a CDATA section, where it means
	// nothing: a reader that gets the borders of those wrong would see it.
	if i := bytes.Index(g.in, []byte("<!DOCTYPE")); i >= 0 {
		return g.fail(ErrDoctype, i, "DOCTYPE")
	}
	if bytes.HasPrefix(g.in, []byte("\xEF\xBB\xBF")) {
		g.drop(0, 3)
		g.pos = 3
	}
	if err := g.declaration(); err != nil {
		return err
	}
	for g.pos < len(g.in) {
		if err := g.step(); err != nil {
			return err
		}
	}
	if !g.rootDone {
		return g.malformed("the document ends before its root element does")
	}
	if g.out != nil {
		g.out = append(g.out, g.in[g.copied:]...)
	} else {
		g.out = g.in
	}
	return nil
}

// characters checks that the document is UTF-8 and holds only characters of
// production 2. After it every byte below 0x20 is TAB, LF or CR.
func (g *gate) characters() error {
	if !utf8.Valid(g.in) {
		return g.malformed("not UTF-8")
	}
	for i, c := range g.in {
		if c < 0x20 && c != '\n' && c != '\t' && c != '\r' {
			return g.fail(ErrMalformed, i, "control character")
		}
		if c == 0xEF && g.in[i+1] == 0xBF && g.in[i+2] >= 0xBE {
			return g.fail(ErrMalformed, i, "noncharacter")
		}
	}
	return nil
}

// drop leaves in[from:to] out of the tree.
func (g *gate) drop(from, to int) {
	if g.out == nil {
		g.out = make([]byte, 0, len(g.in))
	}
	g.out = append(g.out, g.in[g.copied:from]...)
	g.copied = to
}

// put replaces in[from:to] by s.
func (g *gate) put(from, to int, s string) {
	g.drop(from, to)
	g.out = append(g.out, s...)
}

func (g *gate) has(s string) bool {
	return len(g.in)-g.pos >= len(s) && string(g.in[g.pos:g.pos+len(s)]) == s
}

// skip takes s if it is next.
func (g *gate) skip(s string) bool {
	if g.has(s) {
		g.pos += len(s)
		return true
	}
	return false
}

// space takes white space (production 3) and reports whether there was any.
func (g *gate) space() bool {
	start := g.pos
	for g.pos < len(g.in) && isSpace(g.in[g.pos]) {
		g.pos++
	}
	return g.pos > start
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// step takes one piece of markup or one run of text.
func (g *gate) step() error {
	switch {
	case g.in[g.pos] != '<':
		return g.characterData()
	case g.has("</"):
		return g.endTag()
	case g.has("<!--"):
		return g.comment()
	case g.has("<![CDATA["):
		return g.cdata()
	case g.has("<!"):
		return g.malformed("declaration")
	case g.has("<?"):
		return g.instruction()
	default:
		return g.startTag()
	}
}

// characterData takes text up to the next markup (production 14); outside the
// root element only white space may stand.
func (g *gate) characterData() error {
	start := g.pos
	for g.pos < len(g.in) && g.in[g.pos] != '<' {
		c := g.in[g.pos]
		switch {
		case len(g.open) == 0 && !isSpace(c):
			return g.malformed("text outside the root element")
		case c == '&':
			if _, err := g.reference(); err != nil {
				return err
			}
			continue
		case c == ']' && g.has("]]>"):
			return g.malformed("]]> in text")
		}
		g.pos++
	}
	return g.count(g.pos - start)
}

// count adds n bytes to the current run of text.
func (g *gate) count(n int) error {
	if g.text += n; g.text > g.rules.MaxText && len(g.open) > 0 {
		return g.fail(ErrLimit, g.pos, "text too long")
	}
	return nil
}

// reference takes a character reference or one of the five predefined entities
// (productions 66, 68) and returns its character.
func (g *gate) reference() (rune, error) {
	for _, e := range [...]struct {
		name string
		r    rune
	}{{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}} {
		if g.skip(e.name) {
			return e.r, nil
		}
	}
	base, digits := rune(10), g.pos+2
	if !g.has("&#") {
		return 0, g.malformed("reference to an entity, or a bare ampersand")
	}
	if g.has("&#x") {
		base, digits = 16, g.pos+3
	}
	r, i := rune(0), digits
	for ; i < len(g.in) && g.in[i] != ';'; i++ {
		d := digit(g.in[i])
		if d >= base || r > utf8.MaxRune {
			return 0, g.malformed("character reference")
		}
		r = r*base + d
	}
	if i == digits || i == len(g.in) || !isChar(r) {
		return 0, g.malformed("character reference")
	}
	g.pos = i + 1
	return r, nil
}

// digit returns the value of a hexadecimal digit, and 16 for anything else.
func digit(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	default:
		return 16
	}
}

// comment takes a comment (production 15).
func (g *gate) comment() error {
	start := g.pos
	n := bytes.Index(g.in[start+4:], []byte("--"))
	if n < 0 || start+4+n+2 >= len(g.in) || g.in[start+4+n+2] != '>' {
		return g.malformed("comment without its end, or -- in a comment")
	}
	if !g.rules.Comments {
		return g.fail(ErrForbidden, start, "comment")
	}
	g.pos = start + 4 + n + 3
	g.drop(start, g.pos)
	return g.count(g.pos - start)
}

// cdata takes a CDATA section (production 18).
func (g *gate) cdata() error {
	if len(g.open) == 0 {
		return g.malformed("text outside the root element")
	}
	n := bytes.Index(g.in[g.pos:], []byte("]]>"))
	if n < 0 {
		return g.malformed("CDATA section without its end")
	}
	g.pos += n + 3
	return g.count(n + 3)
}

// instruction takes a processing instruction (production 16), target without a
// colon (Namespaces §7).
func (g *gate) instruction() error {
	start := g.pos
	g.pos += 2
	target, err := g.ncName()
	if err != nil {
		return err
	}
	if len(target) == 3 && bytes.EqualFold(target, []byte("xml")) {
		return g.fail(ErrMalformed, start, "XML declaration that is not at the start")
	}
	if !g.has("?>") && !g.space() {
		return g.malformed("processing instruction")
	}
	n := bytes.Index(g.in[g.pos:], []byte("?>"))
	if n < 0 {
		return g.malformed("processing instruction without its end")
	}
	if !g.rules.Comments || len(g.open) > 0 {
		return g.fail(ErrForbidden, start, "processing instruction")
	}
	g.pos += n + 2
	g.drop(start, g.pos)
	return nil
}

// declaration takes an XML declaration (production 23). Only version 1.0 and
// UTF-8, in any case of letters, are let through.
func (g *gate) declaration() error {
	start := g.pos
	if !g.has("<?xml") || g.pos+5 >= len(g.in) || !isSpace(g.in[g.pos+5]) {
		return nil
	}
	g.pos += 5
	version, err := g.pseudoAttribute("version")
	if err != nil {
		return err
	}
	if string(version) != "1.0" {
		return g.malformed("version other than 1.0")
	}
	if encoding, err := g.pseudoAttribute("encoding"); err != nil {
		return err
	} else if encoding != nil && !bytes.EqualFold(encoding, []byte("UTF-8")) {
		return g.malformed("encoding other than UTF-8")
	}
	if standalone, err := g.pseudoAttribute("standalone"); err != nil {
		return err
	} else if standalone != nil && string(standalone) != "yes" && string(standalone) != "no" {
		return g.malformed("standalone neither yes nor no")
	}
	g.space()
	if !g.skip("?>") {
		return g.malformed("XML declaration")
	}
	g.drop(start, g.pos)
	return nil
}

// pseudoAttribute takes white space and name="value", or nothing and returns nil
// when another name or the end comes; version alone is required.
func (g *gate) pseudoAttribute(name string) ([]byte, error) {
	back := g.pos
	if !g.space() || !g.skip(name) {
		g.pos = back
		if name == "version" {
			return nil, g.malformed("XML declaration without a version")
		}
		return nil, nil
	}
	g.space()
	if !g.skip("=") {
		return nil, g.malformed("XML declaration")
	}
	g.space()
	if g.pos == len(g.in) || g.in[g.pos] != '"' && g.in[g.pos] != '\'' {
		return nil, g.malformed("XML declaration")
	}
	quote := g.in[g.pos]
	n := bytes.IndexByte(g.in[g.pos+1:], quote)
	if n < 0 {
		return nil, g.malformed("XML declaration")
	}
	value := g.in[g.pos+1 : g.pos+1+n]
	g.pos += n + 2
	return value[:n:n], nil
}
