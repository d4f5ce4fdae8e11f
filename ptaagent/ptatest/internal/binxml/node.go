package binxml

import "slices"

// Node is an element with its namespaces resolved.
type Node struct {
	// Prefix, Local and Space are the element's name.
	Prefix, Local, Space string
	// Attrs are its attributes without declarations.
	Attrs []Attr
	// Declared are its namespace declarations, prefix to name.
	Declared []Attr
	// Children are its elements.
	Children []*Node
	// Text is its character content, all records joined, without binary ones.
	Text string
	// Bytes is the content of binary records, joined.
	Bytes []byte
	// Mixed says that it has character content besides elements.
	Mixed bool
}

// Attr is an attribute or a declaration.
type Attr struct {
	Prefix, Local, Space, Value string
}

// Child is the only child of that name, or nil.
func (n *Node) Child(space, local string) *Node {
	var found *Node
	for _, c := range n.Children {
		if c.Local == local && c.Space == space {
			if found != nil {
				return nil
			}
			found = c
		}
	}
	return found
}

// Attr is the value of an attribute.
func (n *Node) Attr(space, local string) (string, bool) {
	i := slices.IndexFunc(n.Attrs, func(a Attr) bool { return a.Space == space && a.Local == local })
	if i < 0 {
		return "", false
	}
	return n.Attrs[i].Value, true
}
