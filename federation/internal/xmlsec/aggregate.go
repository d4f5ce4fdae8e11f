package xmlsec

import (
	"bytes"
	"crypto"
	"crypto/subtle"
	"fmt"
	"hash"
	"io"

	"github.com/beevik/etree"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

// Aggregate says how a signed document that is too large for [Parse] is read: a
// list of elements, each of which is small, in one or several nested wrappers.
//
// The document is cut between the wrappers' children. Each piece, put between the
// wrappers' own tags, passes the gate and is canonicalised as in [Document.Verify];
// what the piece adds to the canonical form of the whole is digested. So there is no
// second parser and no second canonicalisation, and memory holds one piece and what
// is kept. Differences to [Document.Verify]: ids are compared within one piece and
// with those of the wrappers, and the pieces may have signatures of their own, which
// mean nothing here.
type Aggregate struct {
	// Namespace and Wrapper name the element that holds the others; it is the root.
	Namespace, Wrapper string
	// Rules hold for each piece.
	Rules Rules
	// MaxBytes bounds the whole document, MaxKept what is kept of it.
	MaxBytes int64
	MaxKept  int
	// Keep chooses elements. What it sees is not verified yet.
	Keep func(*etree.Element) bool
	// Progress hears, after each piece, how many bytes were read and how many
	// elements were seen. Nil: nobody does.
	Progress func(read int64, elements int)
}

// Kept is one element of a verified aggregate.
type Kept struct {
	// Data is the element as a document of its own, in canonical form, made of the
	// bytes that were digested.
	Data []byte
	// Outer are the wrappers around it, the root first, without their content.
	Outer []*etree.Element
}

// Verify reads r to its end and returns the elements that Keep chose, when the
// root's signature, which is its first child, is good under the profile. Nothing
// comes out of a document that is not verified to its end.
func (a *Aggregate) Verify(r io.Reader, keys []crypto.PublicKey, p Profile) ([]Kept, error) {
	run := aggregation{Aggregate: a, keys: keys, profile: p, split: newSplitter(r, a.Rules.MaxBytes, a.MaxBytes)}
	if err := run.read(); err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(run.digest.Sum(nil), run.info.digest) != 1 {
		return nil, refuse("digest does not match")
	}
	return run.kept, nil
}

// wrapper is one that is open.
type wrapper struct {
	raw, end  []byte // its start tag as written, and an end tag for it
	canonical []byte // of the start tags up to this one; empty until the signature is read
}

type aggregation struct {
	*Aggregate
	keys    []crypto.PublicKey
	profile Profile
	split   *splitter
	open    []wrapper

	info     *signedInfo
	digest   hash.Hash
	kept     []Kept
	size     int // of kept
	elements int
}

func (a *aggregation) read() error {
	if err := a.begin(); err != nil {
		return err
	}
	for len(a.open) > 0 {
		kind, err := a.split.piece(a.Wrapper)
		if err != nil {
			return err
		}
		switch {
		case a.digest == nil && kind != pieceElement:
			return refuse("the signature is not the root's first child")
		case a.digest == nil:
			err = a.signature()
		case kind == pieceElement:
			err = a.element()
		case kind == pieceOpen:
			err = a.descend()
		default:
			err = a.ascend()
		}
		if err != nil {
			return fmt.Errorf("before byte %d: %w", a.split.read, err)
		}
		a.split.buf = a.split.buf[:0]
		if a.Progress != nil {
			a.Progress(a.split.read, a.elements)
		}
	}
	return nil
}

// begin reads up to the root's start tag.
func (a *aggregation) begin() error {
	kind, err := a.split.piece(a.Wrapper)
	if err != nil {
		return err
	}
	if kind != pieceOpen {
		return fmt.Errorf("xmlsec: %w: the root is not %s", ErrMalformed, a.Wrapper)
	}
	at := a.split.tag
	name := a.split.name
	doc, err := a.parse(a.split.buf, []byte("</"+name+">"))
	if err != nil {
		return err
	}
	if !Is(doc.tree.Root(), a.Namespace, a.Wrapper) {
		return fmt.Errorf("xmlsec: %w: the root is not %s", ErrMalformed, a.Wrapper)
	}
	a.push(a.split.buf[at:], name)
	a.split.buf = a.split.buf[:0]
	return nil
}

func (a *aggregation) push(raw []byte, name string) {
	a.open = append(a.open, wrapper{raw: bytes.Clone(raw), end: []byte("</" + name + ">")})
}

// parse reads a piece between the tags of the wrappers that are open, the first ones
// that are left of it.
func (a *aggregation) parse(piece []byte, ends ...[]byte) (*Document, error) {
	var b []byte
	for _, w := range a.open {
		b = append(b, w.raw...)
	}
	b = append(b, piece...)
	for _, e := range ends {
		b = append(b, e...)
	}
	rules := a.Rules
	rules.MaxBytes += len(b) - len(piece)
	rules.MaxDepth += len(a.open)
	rules.MaxElements += len(a.open)
	return Parse(b, rules)
}

// ends are the end tags of the first n wrappers, the innermost first.
func (a *aggregation) ends(n int) [][]byte {
	var list [][]byte
	for i := n - 1; i >= 0; i-- {
		list = append(list, a.open[i].end)
	}
	return list
}

// inner returns the only element inside the innermost wrapper.
func (a *aggregation) inner(root *etree.Element) (*etree.Element, error) {
	e := root
	for range a.open {
		children := e.ChildElements()
		if len(children) != 1 {
			return nil, fmt.Errorf("xmlsec: %w: the document was cut in the wrong place", ErrMalformed)
		}
		e = children[0]
	}
	return e, nil
}

// signature reads the root's signature, which everything else is held against.
func (a *aggregation) signature() error {
	doc, err := a.parse(a.split.buf, a.ends(1)...)
	if err != nil {
		return err
	}
	root := doc.tree.Root()
	sig, err := signatureOf(root)
	if err != nil {
		return err
	}
	info, value, err := signatureParts(sig)
	if err != nil {
		return err
	}
	canonical, err := canonicalInfo(info)
	if err != nil {
		return err
	}
	if a.info, err = readSignedInfo(canonical, a.Rules); err != nil {
		return err
	}
	if err := a.info.covers(root, a.profile); err != nil {
		return err
	}
	if _, err := VerifyOctets(a.info.method, a.keys, canonical, value, a.profile.SHA1); err != nil {
		return err
	}
	h, ok := digestAlgorithm(a.info.digestMethod, a.profile.SHA1)
	if !ok {
		return refuse("digest algorithm is not allowed")
	}
	a.digest = h.New()
	if err := a.start(); err != nil {
		return err
	}
	a.digest.Write(a.open[0].canonical)
	root.RemoveChildAt(sig.Index())
	_, err = a.add(root, 1)
	return err
}

// start fills in the canonical form of the innermost wrapper's start tag.
func (a *aggregation) start() error {
	n := len(a.open)
	doc, err := a.parse(nil, a.ends(n)...)
	if err != nil {
		return err
	}
	canonical, err := canonicalise(doc.tree.Root(), a.info.prefixes)
	if err != nil {
		return err
	}
	a.open[n-1].canonical = canonical[:len(canonical)-length(a.ends(n))]
	return nil
}

func length(list [][]byte) (n int) {
	for _, b := range list {
		n += len(b)
	}
	return n
}

// add digests what a piece adds to the canonical form: the tree that it was parsed
// into, without the start tags of the wrappers around it and the end tags of the
// first n. It returns the canonical form of the tree.
func (a *aggregation) add(root *etree.Element, n int) ([]byte, error) {
	canonical, err := canonicalise(root, a.info.prefixes)
	if err != nil {
		return nil, err
	}
	before, after := a.open[len(a.open)-1].canonical, bytes.Join(a.ends(n), nil)
	if !bytes.HasPrefix(canonical, before) || !bytes.HasSuffix(canonical[len(before):], after) {
		return nil, refuse("the document was cut in the wrong place")
	}
	a.digest.Write(canonical[len(before) : len(canonical)-len(after)])
	return canonical, nil
}

// element takes a child of the innermost wrapper.
func (a *aggregation) element() error {
	n := len(a.open)
	doc, err := a.parse(a.split.buf, a.ends(n)...)
	if err != nil {
		return err
	}
	e, err := a.inner(doc.tree.Root())
	if err != nil {
		return err
	}
	if Is(e, dsigURI, "Signature") {
		return refuse("a second signature")
	}
	a.elements++
	wanted := a.Keep(e)
	canonical, err := a.add(doc.tree.Root(), n)
	if err != nil || !wanted {
		return err
	}
	return a.keep(canonical)
}

// keep takes the element out of the canonical form that it was digested in.
func (a *aggregation) keep(canonical []byte) error {
	rules := canonicalRules(a.Rules, len(canonical))
	rules.MaxDepth += len(a.open)
	rules.MaxElements += len(a.open)
	doc, err := Parse(canonical, rules)
	if err != nil {
		return refuse("%w", err)
	}
	e, err := a.inner(doc.tree.Root())
	if err != nil {
		return err
	}
	var k Kept
	for o := e.Parent(); o != nil && o.Tag != ""; o = o.Parent() {
		c := o.Copy()
		c.Child = nil
		k.Outer = append([]*etree.Element{c}, k.Outer...)
	}
	ctx, err := etreeutils.NSBuildParentContext(e)
	if err != nil {
		return refuse("%w", err)
	}
	alone, err := etreeutils.NSDetatch(ctx, e)
	if err != nil {
		return refuse("%w", err)
	}
	if k.Data, err = canonicalise(alone, ""); err != nil {
		return err
	}
	if a.size += len(k.Data); a.size > a.MaxKept {
		return fmt.Errorf("xmlsec: %w: more than %d bytes are to be kept", ErrLimit, a.MaxKept)
	}
	a.kept = append(a.kept, k)
	return nil
}

// descend takes the start tag of a wrapper in the innermost one.
func (a *aggregation) descend() error {
	if len(a.open) >= 8 {
		return fmt.Errorf("xmlsec: %w: wrappers nested too deep", ErrLimit)
	}
	n, at, name := len(a.open), a.split.tag, a.split.name
	doc, err := a.parse(a.split.buf, append([][]byte{[]byte("</" + name + ">")}, a.ends(n)...)...)
	if err != nil {
		return err
	}
	e, err := a.inner(doc.tree.Root())
	if err != nil {
		return err
	}
	if !Is(e, a.Namespace, a.Wrapper) {
		return fmt.Errorf("xmlsec: %w: %s of another namespace", ErrForbidden, a.Wrapper)
	}
	canonical, err := canonicalise(doc.tree.Root(), a.info.prefixes)
	if err != nil {
		return err
	}
	before := a.open[n-1].canonical
	a.push(a.split.buf[at:], name)
	a.digest.Write(canonical[len(before) : len(canonical)-length(a.ends(n+1))])
	return a.start()
}

// ascend takes the end tag of the innermost wrapper, and behind the root's whatever
// is left of the document.
func (a *aggregation) ascend() error {
	n := len(a.open)
	if n == 1 {
		if err := a.split.rest(); err != nil {
			return err
		}
	}
	doc, err := a.parse(a.split.buf, a.ends(n-1)...)
	if err != nil {
		return err
	}
	if _, err = a.add(doc.tree.Root(), n-1); err != nil {
		return err
	}
	a.open = a.open[:n-1]
	return nil
}
