package binxml

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Bounds of a document and of a session.
const (
	maxDepth   = 64
	maxNodes   = 8192
	maxStrings = 4096
	maxTable   = 256 << 10
)

// errShort: the document ends inside a record.
var errShort = errors.New("the document ends inside a record")

// Reader is the reading side of a session dictionary: one per direction and
// connection. The zero value is empty. Not safe for concurrent use.
type Reader struct {
	strings []string
	size    int
}

// ReadInt reads a multi-byte int31 in its shortest form and gives the rest.
func ReadInt(b []byte) (int, []byte, error) {
	n := 0
	for i := range 5 {
		if i >= len(b) {
			return 0, nil, errShort
		}
		n |= int(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			if i > 0 && b[i] == 0 {
				return 0, nil, errors.New("a length is not in its shortest form")
			}
			if n > math.MaxInt32 {
				break
			}
			return n, b[i+1:], nil
		}
	}
	return 0, nil, errors.New("a length is over 31 bits")
}

func readString(b []byte) (string, []byte, error) {
	n, b, err := ReadInt(b)
	if err != nil {
		return "", nil, err
	}
	if n > len(b) {
		return "", nil, errShort
	}
	if !utf8.Valid(b[:n]) {
		return "", nil, errors.New("a string is not UTF-8")
	}
	return string(b[:n]), b[n:], nil
}

// Envelope reads the payload of a sized envelope: new strings, then a document.
func (r *Reader) Envelope(b []byte) (*Node, error) {
	n, b, err := ReadInt(b)
	if err != nil {
		return nil, fmt.Errorf("string table: %w", err)
	}
	if n > len(b) {
		return nil, fmt.Errorf("string table: %w", errShort)
	}
	table, doc := b[:n], b[n:]
	for len(table) > 0 {
		var s string
		if s, table, err = readString(table); err != nil {
			return nil, fmt.Errorf("string table: %w", err)
		}
		r.strings = append(r.strings, s)
		if r.size += len(s); r.size > maxTable || len(r.strings) > maxStrings {
			return nil, errors.New("the session's string table is too large")
		}
	}
	return r.read(doc)
}

// Document reads a document without session strings.
func Document(b []byte) (*Node, error) { return new(Reader).read(b) }

// parser is the state of one document.
type parser struct {
	b     []byte
	dict  []string
	nodes int
	scope []Attr // declarations in force, innermost last
}

func (r *Reader) read(b []byte) (*Node, error) {
	p := &parser{b: b, dict: r.strings}
	code, err := p.byte()
	if err != nil {
		return nil, err
	}
	root, err := p.element(code, 0)
	if err != nil {
		return nil, err
	}
	if len(p.b) != 0 {
		return nil, fmt.Errorf("%d bytes after the root", len(p.b))
	}
	return root, nil
}

func (p *parser) byte() (byte, error) {
	if len(p.b) == 0 {
		return 0, errShort
	}
	c := p.b[0]
	p.b = p.b[1:]
	return c, nil
}

func (p *parser) take(n int) ([]byte, error) {
	if n < 0 || n > len(p.b) {
		return nil, errShort
	}
	v := p.b[:n]
	p.b = p.b[n:]
	return v, nil
}

func (p *parser) str() (s string, err error) {
	s, p.b, err = readString(p.b)
	return s, err
}

// word reads a dictionary string.
func (p *parser) word() (string, error) {
	id, rest, err := ReadInt(p.b)
	if err != nil {
		return "", err
	}
	p.b = rest
	if id%2 == 0 && id/2 < len(static) {
		return static[id/2], nil
	}
	if id%2 == 1 && id/2 < len(p.dict) {
		return p.dict[id/2], nil
	}
	return "", fmt.Errorf("dictionary id %d is unknown", id)
}

// qname reads prefix and local name after the code of an element or attribute.
// From plain on four codes are name, prefix and name, id, prefix and id; from
// idLetters and letters on, 26 each hold a prefix of one letter before an id or a
// name.
func (p *parser) qname(code byte, plain, idLetters, letters byte) (prefix, local string, err error) {
	switch {
	case code == plain, code == plain+2:
	case code == plain+1, code == plain+3:
		if prefix, err = p.str(); err != nil {
			return "", "", err
		}
		if prefix == "" {
			return "", "", errors.New("an empty prefix is written out")
		}
	case code >= idLetters && code < idLetters+26:
		prefix = string(rune('a' + code - idLetters))
	case code >= letters && code < letters+26:
		prefix = string(rune('a' + code - letters))
	default:
		return "", "", fmt.Errorf("record %#02x where a name must stand", code)
	}
	if code == plain+2 || code == plain+3 || code >= idLetters && code < idLetters+26 {
		local, err = p.word()
	} else {
		local, err = p.str()
	}
	if err == nil && (local == "" || strings.ContainsAny(local, " \t\r\n<>&:\"'/")) {
		err = fmt.Errorf("name %q", local)
	}
	return prefix, local, err
}

func isElement(code byte) bool { return code >= 0x40 && code <= 0x77 }

// element reads an element whose code was read already.
func (p *parser) element(code byte, depth int) (*Node, error) {
	if !isElement(code) {
		return nil, fmt.Errorf("record %#02x where an element must stand", code)
	}
	if p.nodes++; depth >= maxDepth || p.nodes > maxNodes {
		return nil, errors.New("too deep or too many nodes")
	}
	n := &Node{}
	var err error
	if n.Prefix, n.Local, err = p.qname(code, 0x40, 0x44, 0x5e); err != nil {
		return nil, err
	}
	held := len(p.scope)
	defer func() { p.scope = p.scope[:held] }()
	if code, err = p.attributes(n); err != nil {
		return nil, fmt.Errorf("%s: %w", n.Local, err)
	}
	if err := p.resolve(n); err != nil {
		return nil, err
	}
	if err := p.content(n, code, depth); err != nil {
		return nil, fmt.Errorf("%s: %w", n.Local, err)
	}
	n.Mixed = len(n.Children) > 0 && (strings.TrimSpace(n.Text) != "" || n.Bytes != nil)
	return n, nil
}

// attributes reads attributes and declarations and gives the next code.
func (p *parser) attributes(n *Node) (byte, error) {
	for {
		code, err := p.byte()
		if err != nil {
			return 0, err
		}
		switch {
		case code >= 0x08 && code <= 0x0b:
			a := Attr{}
			if code%2 == 1 {
				if a.Prefix, err = p.str(); err != nil {
					return 0, err
				}
			}
			if code < 0x0a {
				a.Value, err = p.str()
			} else {
				a.Value, err = p.word()
			}
			if err != nil {
				return 0, err
			}
			for _, d := range n.Declared {
				if d.Prefix == a.Prefix {
					return 0, fmt.Errorf("prefix %q is declared twice", a.Prefix)
				}
			}
			n.Declared = append(n.Declared, a)
			p.scope = append(p.scope, a)
		case code >= 0x04 && code <= 0x3f:
			if p.nodes++; p.nodes > maxNodes {
				return 0, errors.New("too many nodes")
			}
			a := Attr{}
			if a.Prefix, a.Local, err = p.qname(code, 0x04, 0x0c, 0x26); err != nil {
				return 0, err
			}
			record, err := p.byte()
			if err != nil {
				return 0, err
			}
			if record < 0x80 || record%2 == 1 {
				return 0, fmt.Errorf("record %#02x where an attribute's value must stand", record)
			}
			text, _, err := p.value(record)
			if err != nil {
				return 0, err
			}
			a.Value = text
			n.Attrs = append(n.Attrs, a)
		default:
			return code, nil
		}
	}
}

// resolve finds the namespaces of an element and its attributes.
func (p *parser) resolve(n *Node) error {
	find := func(prefix string) (string, bool) {
		for i := len(p.scope) - 1; i >= 0; i-- {
			if p.scope[i].Prefix == prefix {
				return p.scope[i].Value, true
			}
		}
		if prefix == "xml" {
			return "http://www.w3.org/XML/1998/namespace", true
		}
		return "", prefix == ""
	}
	var ok bool
	if n.Space, ok = find(n.Prefix); !ok {
		return fmt.Errorf("prefix %q of %s is not declared", n.Prefix, n.Local)
	}
	for i := range n.Attrs {
		a := &n.Attrs[i]
		if a.Prefix == "" {
			continue
		}
		if a.Space, ok = find(a.Prefix); !ok {
			return fmt.Errorf("prefix %q of %s is not declared", a.Prefix, a.Local)
		}
	}
	for i, a := range n.Attrs {
		for _, b := range n.Attrs[:i] {
			if a.Local == b.Local && a.Space == b.Space {
				return fmt.Errorf("attribute %s stands twice", a.Local)
			}
		}
	}
	return nil
}

// content reads text and elements up to the end of n.
func (p *parser) content(n *Node, code byte, depth int) error {
	for {
		switch {
		case code == 0x01:
			return nil
		case code == 0x02:
			return errors.New("a comment")
		case code == 0x03:
			return errors.New("an array")
		case isElement(code):
			c, err := p.element(code, depth+1)
			if err != nil {
				return err
			}
			n.Children = append(n.Children, c)
		case code >= 0x80:
			if p.nodes++; p.nodes > maxNodes {
				return errors.New("too many nodes")
			}
			text, raw, err := p.value(code &^ 1)
			if err != nil {
				return err
			}
			n.Text += text
			n.Bytes = append(n.Bytes, raw...)
			if code%2 == 1 {
				return nil
			}
		default:
			return fmt.Errorf("record %#02x inside an element", code)
		}
		var err error
		if code, err = p.byte(); err != nil {
			return err
		}
	}
}
