package xmlsec

import (
	"errors"
	"fmt"

	"github.com/beevik/etree"
)

// Document is a document that has passed the gate.
type Document struct {
	tree  *etree.Document
	rules Rules
}

// Parse lets data through the gate and reads it. Errors of the gate are
// [*GateError]. The tree holds elements and text only: comments and processing
// instructions never reach it.
func Parse(data []byte, rules Rules) (*Document, error) {
	g := gate{rules: rules, in: data}
	if err := g.run(); err != nil {
		return nil, err
	}
	tree := etree.NewDocument()
	tree.ReadSettings = etree.ReadSettings{MaxDepth: rules.MaxDepth}
	if err := tree.ReadFromBytes(g.out); err != nil {
		return nil, fmt.Errorf("xmlsec: %w: %w", ErrMalformed, err)
	}
	// Two parsers have read the document; they must have seen the same tree.
	root := tree.Root()
	if root == nil || count(root) != g.elements {
		return nil, fmt.Errorf("xmlsec: %w: two parsers disagree", ErrMalformed)
	}
	return &Document{tree: tree, rules: rules}, nil
}

func count(e *etree.Element) int {
	n := 1
	for _, c := range e.ChildElements() {
		n += count(c)
	}
	return n
}

// Unverified returns the root of the document as it was sent. Nothing in it is
// proved: use it to find out who claims to have sent the message and whether it
// is signed, or for messages that need no signature. For anything else
// [Document.Verify].
func (d *Document) Unverified() *etree.Element { return d.tree.Root() }

// Signed reports whether there is a ds:Signature, or a piece of one, anywhere. A
// message that is signed must be verified, whether the party must sign or not.
// KeyInfo alone does not count: metadata is full of it.
func (d *Document) Signed() bool {
	found := false
	walk(d.tree.Root(), func(e *etree.Element) {
		for _, name := range [...]string{"Signature", "SignedInfo", "SignatureValue"} {
			found = found || Is(e, dsigURI, name)
		}
	})
	return found
}

func walk(e *etree.Element, visit func(*etree.Element)) {
	visit(e)
	for _, c := range e.ChildElements() {
		walk(c, visit)
	}
}

// ErrShape says that an element does not have the children that it must have.
var ErrShape = errors.New("xmlsec: unexpected element structure")

// Is reports whether e is {namespace}local.
func Is(e *etree.Element, namespace, local string) bool {
	return e != nil && e.Tag == local && e.NamespaceURI() == namespace
}

// All returns the children {namespace}local of e. There is no search through
// descendants in this package: wrapped elements are found that way.
func All(e *etree.Element, namespace, local string) []*etree.Element {
	var found []*etree.Element
	for _, c := range e.ChildElements() {
		if Is(c, namespace, local) {
			found = append(found, c)
		}
	}
	return found
}

// One returns the only child {namespace}local of e; none or several is an error.
func One(e *etree.Element, namespace, local string) (*etree.Element, error) {
	all := All(e, namespace, local)
	if len(all) != 1 {
		return nil, fmt.Errorf("%w: %d elements %s in %s, want 1", ErrShape, len(all), local, e.Tag)
	}
	return all[0], nil
}

// Optional is [One] for a child that may be absent: then it returns nil.
func Optional(e *etree.Element, namespace, local string) (*etree.Element, error) {
	if len(All(e, namespace, local)) == 0 {
		return nil, nil
	}
	return One(e, namespace, local)
}

// Text returns the whole text of an element that must hold nothing but text.
func Text(e *etree.Element) (string, error) {
	if len(e.ChildElements()) > 0 {
		return "", fmt.Errorf("%w: %s holds elements, want text", ErrShape, e.Tag)
	}
	var text string
	for _, c := range e.Child {
		if data, ok := c.(*etree.CharData); ok {
			text += data.Data
		}
	}
	return text, nil
}

// Attr returns the attribute local, which has no namespace, of e. Never use
// etree's own look-up for this: it ignores prefixes.
func Attr(e *etree.Element, local string) (string, bool) {
	for _, a := range e.Attr {
		if a.Space == "" && a.Key == local {
			return a.Value, true
		}
	}
	return "", false
}
