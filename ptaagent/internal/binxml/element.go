package binxml

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrSyntax says that bytes are not a document that this package accepts.
var ErrSyntax = errors.New("binxml: malformed document")

// ErrLimit says that a document goes beyond a bound.
var ErrLimit = errors.New("binxml: document too large")

// Attr is one attribute; namespace declarations are not among them.
type Attr struct{ Space, Name, Value string }

// Element is one element of a decoded document. The byte slices are the
// document's own memory wherever a text stands in one record.
type Element struct {
	// Space is the namespace URI, Name the local name.
	Space, Name string
	Attrs       []Attr
	Children    []*Element

	text   []byte // character content
	binary bool   // text came as Bytes records
	owned  bool   // text is a copy, no longer the document's memory
}

// Text returns the character content of the element itself, without its children's.
func (e *Element) Text() string {
	if e == nil {
		return ""
	}
	if e.binary {
		return base64.StdEncoding.EncodeToString(e.text)
	}
	return string(e.text)
}

// Bytes returns the content of a base64Binary element: as it is where it was sent
// as bytes, decoded where it was sent as text.
func (e *Element) Bytes() ([]byte, error) {
	if e == nil {
		return nil, fmt.Errorf("%w: there is no such element", ErrSyntax)
	}
	if e.binary {
		return e.text, nil
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(e.text)))
	n, err := base64.StdEncoding.Strict().Decode(out, e.text)
	if err != nil {
		return nil, fmt.Errorf("%w: content of %s is not Base64", ErrSyntax, e.Name)
	}
	return out[:n], nil
}

// Child returns the only child with that namespace and name, nil when there is none
// or more than one: what is said twice is not said.
func (e *Element) Child(space, name string) *Element {
	if e == nil {
		return nil
	}
	var found *Element
	for _, c := range e.Children {
		if c.Name == name && c.Space == space {
			if found != nil {
				return nil
			}
			found = c
		}
	}
	return found
}

// Attr returns an attribute's value, empty when it is not there.
func (e *Element) Attr(space, name string) string {
	if e == nil {
		return ""
	}
	for _, a := range e.Attrs {
		if a.Name == name && a.Space == space {
			return a.Value
		}
	}
	return ""
}

// add appends character or binary content.
func (e *Element) add(b []byte, binary bool) error {
	switch {
	case len(b) == 0:
		return nil
	case len(e.text) == 0:
		e.text, e.binary = b, binary
	case e.binary != binary:
		return fmt.Errorf("%w: text and bytes are mixed in %s", ErrSyntax, e.Name)
	case !e.owned:
		e.text, e.owned = append(bytes.Clone(e.text), b...), true
	default:
		e.text = append(e.text, b...)
	}
	return nil
}

// checkText refuses what no XML document can contain (XML 1.0 §2.2).
func checkText(b []byte) error {
	for i := 0; i < len(b); {
		if c := b[i]; c < utf8.RuneSelf {
			if c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
				return fmt.Errorf("%w: character U+%04X", ErrSyntax, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if (r == utf8.RuneError && n == 1) || r == 0xfffe || r == 0xffff {
			return fmt.Errorf("%w: text is not UTF-8 of XML characters", ErrSyntax)
		}
		i += n
	}
	return nil
}

// checkName accepts an NCName of the characters that SOAP and its neighbours use:
// letters, digits, '_', '-', '.', and anything beyond ASCII.
func checkName[T []byte | string](b T) error {
	ok := len(b) > 0 && len(b) <= 256
	for i := range len(b) {
		c := b[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= utf8.RuneSelf
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '-' && c != '.') {
			ok = false
		}
	}
	if !ok || !utf8.ValidString(string(b)) {
		return fmt.Errorf("%w: %.40q is no XML name", ErrSyntax, b)
	}
	return nil
}
