package enroll

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrAnswer says that a service's answer cannot be used.
var ErrAnswer = errors.New("the service's answer cannot be used")

const (
	maxAnswer = 1 << 20
	maxDepth  = 16
	maxNodes  = 4096
)

const nsInstance = "http://www.w3.org/2001/XMLSchema-instance"

// node is one element of an answer.
type node struct {
	name     string // local
	children []*node
	text     string
	isNil    bool // xsi:nil
}

// parse reads a document with bounds. A document type definition and any
// processing instruction but the XML declaration are refused.
func parse(doc []byte) (*node, error) {
	if len(doc) > maxAnswer {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrAnswer, maxAnswer)
	}
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf"))))
	d.Strict = true
	var root *node
	var stack []*node
	count := 0
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: no XML: %w", ErrAnswer, err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if count++; count > maxNodes || len(stack) >= maxDepth {
				return nil, fmt.Errorf("%w: too many or too deep elements", ErrAnswer)
			}
			n := &node{name: t.Name.Local}
			for _, a := range t.Attr {
				n.isNil = n.isNil || (a.Name.Space == nsInstance && a.Name.Local == "nil" && (a.Value == "true" || a.Value == "1"))
			}
			switch {
			case len(stack) > 0:
				p := stack[len(stack)-1]
				p.children = append(p.children, n)
			case root != nil:
				return nil, fmt.Errorf("%w: two document elements", ErrAnswer)
			default:
				root = n
			}
			stack = append(stack, n)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) > 0 {
				stack[len(stack)-1].text += string(t)
			} else if len(bytes.TrimSpace(t)) > 0 {
				return nil, fmt.Errorf("%w: text outside the document element", ErrAnswer)
			}
		case xml.ProcInst:
			if t.Target != "xml" || root != nil {
				return nil, fmt.Errorf("%w: processing instruction", ErrAnswer)
			}
		case xml.Directive:
			return nil, fmt.Errorf("%w: document type definition", ErrAnswer)
		}
	}
	if root == nil {
		return nil, fmt.Errorf("%w: it is empty", ErrAnswer)
	}
	return root, nil
}

// answer reads a document with that document element.
func answer(doc []byte, name string) (*node, error) {
	root, err := parse(doc)
	if err != nil {
		return nil, err
	}
	if root.name != name {
		return nil, fmt.Errorf("%w: it is %.60q where %s was asked for", ErrAnswer, root.name, name)
	}
	return root, nil
}

// child returns the first child of that name, nil when there is none.
func (n *node) child(name string) *node {
	if n == nil {
		return nil
	}
	for _, c := range n.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// value returns a child's text without blanks around it.
func (n *node) value(name string) string {
	c := n.child(name)
	if c == nil || c.isNil {
		return ""
	}
	return strings.TrimSpace(c.text)
}

// body writes a request.
type body struct{ strings.Builder }

// text writes an element with a text.
func (b *body) text(name, value string) {
	b.WriteString("<" + name + ">")
	_ = xml.EscapeText(b, []byte(value)) // a Builder takes everything
	end, _, _ := strings.Cut(name, " ")
	b.WriteString("</" + end + ">")
}

// null writes an element that is nil.
func (b *body) null(name string) { b.WriteString("<" + name + ` i:nil="true"/>`) }
