package ptatest

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/beevik/etree"
)

// Namespaces of the data contracts.
const (
	nsContract     = "http://schemas.datacontract.org/2004/07/Microsoft.ApplicationProxy.Common."
	nsRegistration = nsContract + "Registration"
	nsRenewal      = nsContract + "Registration.TrustRenewal"
	nsCommons      = nsContract + "RegistrationCommons"
	nsEnable       = nsContract + "RegistrationCommons.Registration"
	nsAadSecurity  = nsContract + "Security.AadSecurity"
	nsSystem       = nsContract + "Utilities.SystemSettings"
	nsSignaler     = nsContract + "SignalerDataModel"
	nsBootstrap    = nsContract + "BootstrapDataModel"
	nsRetry        = nsContract + "FlightingFeatures.RetryStrategies"
	nsSignaling    = nsContract + "SignalingDataModel"
	nsContexts     = nsContract + "RequestContexts"
	nsInstance     = "http://www.w3.org/2001/XMLSchema-instance"
)

// maxDepth bounds XML and binary XML alike.
const maxDepth = 32

// child is one expected element.
type child struct {
	space, name string
	optional    bool
	// check judges the element; nil: no children, any text.
	check func(*etree.Element) error
}

// readXML parses one document with one root: no DTD, no processing instruction
// but the declaration, no CDATA, UTF-8.
func readXML(body []byte) (*etree.Element, error) {
	if !utf8.Valid(body) {
		return nil, fmt.Errorf("not UTF-8")
	}
	if err := shallow(body); err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	doc.ReadSettings = etree.ReadSettings{ValidateInput: true, PreserveCData: true}
	if err := doc.ReadFromBytes(body); err != nil {
		return nil, err
	}
	root := doc.Root()
	if root == nil {
		return nil, fmt.Errorf("no element")
	}
	for _, t := range doc.Child {
		switch v := t.(type) {
		case *etree.Element:
			if v != root {
				return nil, fmt.Errorf("two roots")
			}
		case *etree.ProcInst:
			if v.Target != "xml" {
				return nil, fmt.Errorf("processing instruction %q", v.Target)
			}
		case *etree.CharData:
			if !v.IsWhitespace() {
				return nil, fmt.Errorf("text outside the root")
			}
		default:
			return nil, fmt.Errorf("%T outside the root", t)
		}
	}
	return root, nil
}

// shallow bounds depth and number of elements and refuses a DTD, before a tree
// is built.
func shallow(body []byte) error {
	d := xml.NewDecoder(bytes.NewReader(body))
	depth, count := 0, 0
	for {
		t, err := d.RawToken()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch t.(type) {
		case xml.StartElement:
			depth++
			count++
			if depth > maxDepth || count > 4096 {
				return fmt.Errorf("too deep or too many elements")
			}
		case xml.EndElement:
			depth--
		case xml.Directive:
			return fmt.Errorf("document type declaration")
		}
	}
}

// expect judges an element's children: order, namespaces, none missing, none
// unknown, only white space between them.
func expect(el *etree.Element, list ...child) error {
	for _, t := range el.Child {
		switch v := t.(type) {
		case *etree.Element:
		case *etree.CharData:
			if v.IsCData() || !v.IsWhitespace() {
				return fmt.Errorf("text inside %s", el.Tag)
			}
		default:
			return fmt.Errorf("%T inside %s", t, el.Tag)
		}
	}
	rest := list
	for _, e := range el.ChildElements() {
		for len(rest) > 0 && rest[0].optional && (rest[0].name != e.Tag || rest[0].space != e.NamespaceURI()) {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return fmt.Errorf("element %s after the last one that %s may have, or out of order", e.Tag, el.Tag)
		}
		want := rest[0]
		rest = rest[1:]
		if e.Tag != want.name {
			return fmt.Errorf("%s inside %s where %s must stand", e.Tag, el.Tag, want.name)
		}
		if e.NamespaceURI() != want.space {
			return fmt.Errorf("%s is in namespace %q instead of %q", e.Tag, e.NamespaceURI(), want.space)
		}
		check := want.check
		if check == nil {
			check = leaf
		}
		if err := check(e); err != nil {
			return fmt.Errorf("%s: %w", e.Tag, err)
		}
	}
	for _, c := range rest {
		if !c.optional {
			return fmt.Errorf("%s lacks %s", el.Tag, c.name)
		}
	}
	return nil
}

// leaf has no child elements, no comments and no attributes but declarations.
func leaf(e *etree.Element) error {
	for _, t := range e.Child {
		if c, ok := t.(*etree.CharData); !ok || c.IsCData() {
			return fmt.Errorf("not plain text")
		}
	}
	return bare(e)
}

func bare(e *etree.Element) error {
	for _, a := range e.Attr {
		if a.Space != "xmlns" && (a.Space != "" || a.Key != "xmlns") {
			return fmt.Errorf("attribute %s", a.FullKey())
		}
	}
	return nil
}

// text is the content of a leaf.
func text(e *etree.Element) string {
	var b strings.Builder
	for _, t := range e.Child {
		if c, ok := t.(*etree.CharData); ok {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

// is wants exactly one of the values.
func is(values ...string) func(*etree.Element) error {
	return func(e *etree.Element) error {
		if err := leaf(e); err != nil {
			return err
		}
		for _, v := range values {
			if text(e) == v {
				return nil
			}
		}
		return fmt.Errorf("%q instead of %q", text(e), values)
	}
}

// like wants text of a form; into, when not nil, gets it.
func like(form *regexp.Regexp, into *string) func(*etree.Element) error {
	return func(e *etree.Element) error {
		if err := leaf(e); err != nil {
			return err
		}
		if !form.MatchString(text(e)) {
			return fmt.Errorf("%q does not look right", clip(text(e)))
		}
		if into != nil {
			*into = text(e)
		}
		return nil
	}
}

// isNil wants i:nil="true" and no content.
func isNil(e *etree.Element) error {
	if len(e.Child) != 0 {
		return fmt.Errorf("not empty although nil is expected")
	}
	for _, a := range e.Attr {
		if a.Key == "nil" && a.NamespaceURI() == nsInstance && a.Value == "true" {
			return nil
		}
	}
	return fmt.Errorf("without i:nil")
}

// typed wants i:type to name a type in a namespace, and nothing else.
func typed(e *etree.Element, space, name string) error {
	for _, a := range e.Attr {
		if a.Key != "type" || a.NamespaceURI() != nsInstance {
			continue
		}
		prefix, local, ok := strings.Cut(a.Value, ":")
		if !ok || local != name || lookup(e, prefix) != space {
			return fmt.Errorf("%s: i:type %q", e.Tag, a.Value)
		}
		return nil
	}
	return fmt.Errorf("%s: no i:type", e.Tag)
}

// lookup resolves a prefix where e stands.
func lookup(e *etree.Element, prefix string) string {
	for ; e != nil; e = e.Parent() {
		for _, a := range e.Attr {
			if a.Space == "xmlns" && a.Key == prefix {
				return a.Value
			}
		}
	}
	return ""
}

// clip shortens foreign text for a reason.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// escape writes text for XML.
func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
