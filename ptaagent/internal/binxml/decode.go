package binxml

import (
	"encoding/binary"
	"fmt"
)

// Limits bound a document. A zero field takes the default.
type Limits struct {
	Bytes    int // of the encoded document; default 256 KiB
	Depth    int // of nested elements; default 32
	Elements int // default 4096
	Attrs    int // of one element, namespace declarations included; default 32
	Text     int // sum of all decoded names and texts; default 1 MiB
}

func (l Limits) complete() Limits {
	for _, f := range []struct {
		field *int
		value int
	}{{&l.Bytes, 256 << 10}, {&l.Depth, 32}, {&l.Elements, 4096}, {&l.Attrs, 32}, {&l.Text, 1 << 20}} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return l
}

// Decode reads one document. Odd dictionary ids are looked up in table, which may be
// nil where there is no session. The tree may use doc's memory.
func Decode(doc []byte, table *Table, limits Limits) (*Element, error) {
	d := decoder{in: doc, table: table, limits: limits.complete(), scope: make([]binding, 0, 24), stack: make([]*Element, 0, 12)}
	if len(doc) > d.limits.Bytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrLimit, len(doc))
	}
	root, err := d.document()
	if err != nil {
		return nil, fmt.Errorf("%w (at byte %d of %d)", err, len(doc)-len(d.in), len(doc))
	}
	return root, nil
}

type decoder struct {
	in       []byte
	table    *Table
	limits   Limits
	elements int
	text     int
	scope    []binding // of namespaces, innermost last
	stack    []*Element
	root     *Element
	slab     []Element // where elements come from
}

// binding is one namespace declaration in scope.
type binding struct{ prefix, space string }

func (d *decoder) document() (*Element, error) {
	for d.root == nil || len(d.stack) > 0 {
		code, err := d.byte()
		if err != nil {
			return nil, err
		}
		switch {
		case code == recEndElement:
			if err := d.end(); err != nil {
				return nil, err
			}
		case code == recComment:
			if _, err := d.string(); err != nil {
				return nil, err
			}
		case code == recArray:
			err = d.array()
		case code >= recElement && code <= recPrefixElementZ:
			err = d.element(code)
		case code >= recText:
			err = d.content(code)
		default:
			err = fmt.Errorf("%w: record %#02x here", ErrSyntax, code)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(d.in) > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind the document element", ErrSyntax, len(d.in))
	}
	return d.root, nil
}

// end closes the innermost element.
func (d *decoder) end() error {
	if len(d.stack) == 0 {
		return fmt.Errorf("%w: end of an element that is not open", ErrSyntax)
	}
	d.stack = d.stack[:len(d.stack)-1]
	for len(d.scope) > 0 && d.scope[len(d.scope)-1] != mark {
		d.scope = d.scope[:len(d.scope)-1]
	}
	if len(d.scope) > 0 {
		d.scope = d.scope[:len(d.scope)-1]
	}
	return nil
}

// mark is a binding that divides the declarations of one element from those of the one around it; no
// declaration has this prefix.
var mark = binding{prefix: "\x00"}

// element opens an element with its attributes and declarations.
func (d *decoder) element(code byte) error {
	prefix, name, err := d.elementName(code)
	if err != nil {
		return err
	}
	e, err := d.open(name)
	if err != nil {
		return err
	}
	if err := d.attributes(e); err != nil {
		return err
	}
	e.Space, err = d.space(prefix, true)
	return err
}

// open adds an element to the tree and makes it the innermost.
func (d *decoder) open(name string) (*Element, error) {
	if d.elements++; d.elements > d.limits.Elements {
		return nil, fmt.Errorf("%w: more than %d elements", ErrLimit, d.limits.Elements)
	}
	if len(d.stack) >= d.limits.Depth {
		return nil, fmt.Errorf("%w: nested deeper than %d", ErrLimit, d.limits.Depth)
	}
	if len(d.slab) == 0 {
		d.slab = make([]Element, 32)
	}
	e := &d.slab[0]
	d.slab = d.slab[1:]
	e.Name = name
	if len(d.stack) == 0 {
		d.root = e
	} else {
		parent := d.stack[len(d.stack)-1]
		parent.Children = append(parent.Children, e)
	}
	d.stack = append(d.stack, e)
	d.scope = append(d.scope, mark)
	return e, nil
}

func (d *decoder) elementName(code byte) (prefix, name string, err error) {
	switch {
	case code == recElement:
		name, err = d.name()
	case code == recElement+1:
		if prefix, err = d.name(); err == nil {
			name, err = d.name()
		}
	case code == recDictElement:
		name, err = d.dictName()
	case code == recDictElement+1:
		if prefix, err = d.name(); err == nil {
			name, err = d.dictName()
		}
	case code >= recPrefixDictElementA && code < recPrefixElementA:
		prefix = letter(code - recPrefixDictElementA)
		name, err = d.dictName()
	default:
		prefix = letter(code - recPrefixElementA)
		name, err = d.name()
	}
	return prefix, name, err
}

func letter(n byte) string { return "abcdefghijklmnopqrstuvwxyz"[n : n+1] }

// pendingAttr is an attribute whose prefix may be declared further on.
type pendingAttr struct {
	prefix, name, value string
}

// attributes reads what stands between an element's name and its content.
func (d *decoder) attributes(e *Element) error {
	var list []pendingAttr
	count := 0
	for len(d.in) > 0 && d.in[0] >= recAttribute && d.in[0] <= recAttributeLast {
		if count++; count > d.limits.Attrs {
			return fmt.Errorf("%w: more than %d attributes", ErrLimit, d.limits.Attrs)
		}
		code := d.in[0]
		d.in = d.in[1:]
		if code >= recXmlns && code < recXmlns+4 {
			if err := d.declare(code); err != nil {
				return err
			}
			continue
		}
		a, err := d.attribute(code)
		if err != nil {
			return err
		}
		list = append(list, a)
	}
	for _, a := range list {
		space, err := d.space(a.prefix, false)
		if err != nil {
			return err
		}
		for _, b := range e.Attrs {
			if b.Name == a.name && b.Space == space {
				return fmt.Errorf("%w: attribute %s twice", ErrSyntax, a.name)
			}
		}
		e.Attrs = append(e.Attrs, Attr{Space: space, Name: a.name, Value: a.value})
	}
	return nil
}

// declare reads a namespace declaration ([MC-NBFX] §2.2.2.9 to 2.2.2.12).
func (d *decoder) declare(code byte) (err error) {
	var b binding
	if code&1 != 0 {
		if b.prefix, err = d.name(); err != nil {
			return err
		}
	}
	if code >= recXmlns+2 {
		b.space, err = d.dictString()
	} else {
		b.space, err = d.string()
	}
	if err != nil {
		return err
	}
	if b.prefix != "" && b.space == "" {
		return fmt.Errorf("%w: prefix %s is bound to nothing", ErrSyntax, b.prefix)
	}
	for i := len(d.scope) - 1; i >= 0 && d.scope[i] != mark; i-- {
		if d.scope[i].prefix == b.prefix {
			return fmt.Errorf("%w: prefix %q declared twice", ErrSyntax, b.prefix)
		}
	}
	d.scope = append(d.scope, b)
	return nil
}

func (d *decoder) attribute(code byte) (a pendingAttr, err error) {
	switch {
	case code == recAttribute:
		a.name, err = d.name()
	case code == recAttribute+1:
		if a.prefix, err = d.name(); err == nil {
			a.name, err = d.name()
		}
	case code == recDictAttribute:
		a.name, err = d.dictName()
	case code == recDictAttribute+1:
		if a.prefix, err = d.name(); err == nil {
			a.name, err = d.dictName()
		}
	case code >= recPrefixDictAttributeA && code < recPrefixAttributeA:
		a.prefix = letter(code - recPrefixDictAttributeA)
		a.name, err = d.dictName()
	default:
		a.prefix = letter(code - recPrefixAttributeA)
		a.name, err = d.name()
	}
	if err != nil {
		return a, err
	}
	kind, err := d.byte()
	if err != nil {
		return a, err
	}
	if kind < recText || kind&1 != 0 {
		return a, fmt.Errorf("%w: record %#02x as an attribute's value", ErrSyntax, kind)
	}
	a.value, err = d.value(kind)
	return a, err
}

// space resolves a prefix; the default namespace is for elements only.
func (d *decoder) space(prefix string, element bool) (string, error) {
	if prefix == "" && !element {
		return "", nil
	}
	for i := len(d.scope) - 1; i >= 0; i-- {
		if d.scope[i].prefix == prefix {
			return d.scope[i].space, nil
		}
	}
	switch prefix {
	case "":
		return "", nil
	case "xml":
		return "http://www.w3.org/XML/1998/namespace", nil
	}
	return "", fmt.Errorf("%w: prefix %q is not declared", ErrSyntax, prefix)
}

func (d *decoder) byte() (byte, error) {
	if len(d.in) == 0 {
		return 0, errEnd
	}
	b := d.in[0]
	d.in = d.in[1:]
	return b, nil
}

var errEnd = fmt.Errorf("%w: it ends too early", ErrSyntax)

// take returns the next n bytes.
func (d *decoder) take(n int) ([]byte, error) {
	if n < 0 || n > len(d.in) {
		return nil, errEnd
	}
	b := d.in[:n:n]
	d.in = d.in[n:]
	return b, nil
}

// charge accounts for decoded characters.
func (d *decoder) charge(n int) error {
	if d.text += n; d.text > d.limits.Text {
		return fmt.Errorf("%w: more than %d characters", ErrLimit, d.limits.Text)
	}
	return nil
}

func (d *decoder) int31() (n int, err error) {
	n, d.in, err = int31(d.in)
	return n, err
}

func (d *decoder) stringBytes() ([]byte, error) {
	n, err := d.int31()
	if err != nil {
		return nil, err
	}
	b, err := d.take(n)
	if err != nil {
		return nil, err
	}
	if err := d.charge(n); err != nil {
		return nil, err
	}
	return b, checkText(b)
}

func (d *decoder) string() (string, error) {
	b, err := d.stringBytes()
	return string(b), err
}

func (d *decoder) name() (string, error) {
	b, err := d.stringBytes()
	if err != nil {
		return "", err
	}
	return string(b), checkName(b)
}

func (d *decoder) dictString() (string, error) {
	id, err := d.int31()
	if err != nil {
		return "", err
	}
	s, err := d.table.lookup(id)
	if err != nil {
		return "", err
	}
	return s, d.charge(len(s))
}

func (d *decoder) dictName() (string, error) {
	s, err := d.dictString()
	if err != nil {
		return "", err
	}
	return s, checkName(s)
}

// length reads a little-endian length of 1, 2 or 4 bytes.
func (d *decoder) length(size int) (int, error) {
	b, err := d.take(size)
	if err != nil {
		return 0, err
	}
	switch size {
	case 1:
		return int(b[0]), nil
	case 2:
		return int(binary.LittleEndian.Uint16(b)), nil
	default:
		n := binary.LittleEndian.Uint32(b)
		if n > 1<<31-1 {
			return 0, fmt.Errorf("%w: negative length", ErrSyntax)
		}
		return int(n), nil
	}
}
