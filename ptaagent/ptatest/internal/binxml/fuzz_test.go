package binxml_test

import (
	"encoding/hex"
	"testing"
	"unicode/utf8"

	"sallyport/ptaagent/ptatest/internal/binxml"
)

// Seeds: an accept reply and a reply with a session table, as published.
const (
	document = "56020b0173040b0161065608440a1e0082991252656c617965644163636570745265706c7901560e7707616e795479706509017a33687474703a2f2f736368656d61732e6d6963726f736f66742e636f6d2f323030332f31302f53657269616c697a6174696f6e2f09016929687474703a2f2f7777772e77332e6f72672f323030312f584d4c536368656d612d696e7374616e6365010101"
	envelope = "0055" + "0056020b0173040b0172200b0161065608552e551ead2222222222222222222222222222222255300634820632820143056e6574726d360b056e6574726d38890801440a1e0082ab3a440c1e0082ab1401560e0101"
)

func seed(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func TestSeedsAreRead(t *testing.T) {
	if _, err := binxml.Document(seed(document)); err != nil {
		t.Error(err)
	}
	if _, err := new(binxml.Reader).Envelope(seed(envelope)[2:]); err != nil {
		t.Error(err)
	}
}

// check asserts what holds for every document that is read: bounded depth and
// size, names that are UTF-8, namespaces of prefixed names.
func check(t *testing.T, n *binxml.Node, depth int) int {
	if depth > 64 {
		t.Fatal("too deep")
	}
	if n.Local == "" || !utf8.ValidString(n.Local) || !utf8.ValidString(n.Text) {
		t.Fatalf("name %q, text %q", n.Local, n.Text)
	}
	total := 1 + len(n.Attrs)
	for _, c := range n.Children {
		total += check(t, c, depth+1)
	}
	return total
}

// write writes a node again; text only, in records of the writer's choice.
func write(w *binxml.Writer, n *binxml.Node) {
	w.Start(n.Prefix, n.Local)
	for _, d := range n.Declared {
		w.Declare(d.Prefix, d.Value)
	}
	for _, a := range n.Attrs {
		w.Attr(a.Prefix, a.Local, a.Value)
	}
	for _, c := range n.Children {
		write(w, c)
	}
	if n.Text != "" {
		w.Text(n.Text)
	}
	w.End()
}

func same(a, b *binxml.Node) bool {
	if a.Local != b.Local || a.Space != b.Space || a.Text != b.Text || len(a.Attrs) != len(b.Attrs) || len(a.Children) != len(b.Children) {
		return false
	}
	for i := range a.Attrs {
		if a.Attrs[i] != b.Attrs[i] {
			return false
		}
	}
	for i := range a.Children {
		if !same(a.Children[i], b.Children[i]) {
			return false
		}
	}
	return true
}

// FuzzEnvelope: no panic, bounded results, and what is read is read again the
// same after it was written, twice over one session.
func FuzzEnvelope(f *testing.F) {
	f.Add(append([]byte{0}, seed(document)...))
	f.Add(seed(envelope)[2:])
	f.Add([]byte{2, 1, 'a', 0x42, 1, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := new(binxml.Reader).Envelope(b)
		if err != nil {
			return
		}
		if check(t, n, 0) > 8192 {
			t.Fatal("too many nodes")
		}
		var s binxml.Session
		var r binxml.Reader
		for range 2 {
			w := binxml.NewWriter(&s)
			write(w, n)
			back, err := r.Envelope(w.Envelope())
			if err != nil {
				t.Fatalf("written again: %v", err)
			}
			if !same(n, back) {
				t.Fatalf("%+v is read again as %+v", n, back)
			}
		}
	})
}

func TestBoundsHold(t *testing.T) {
	deep := make([]byte, 0, 300)
	for range 100 {
		deep = append(deep, 0x40, 1, 'a')
	}
	long := append([]byte{0x40, 1, 'a', 0x9c}, 0xff, 0xff, 0xff, 0x7f)
	for name, b := range map[string][]byte{
		"deep": deep, "long": long, "comment": {0x40, 1, 'a', 2, 1, 'x', 1}, "array": {0x40, 1, 'a', 3, 1}, "two roots": {0x40, 1, 'a', 1, 0x40, 1, 'a', 1},
		"static id": {0x42, 0xd0, 0x07, 1}, "session id": {0x42, 1, 1}, "prefix": {0x41, 1, 'q', 1, 'a', 1}, "truth value": {0x40, 1, 'a', 0xb5, 2},
		"long length": {0x40, 0x81, 0, 'a', 1}, "UTF-8": {0x40, 1, 'a', 0x99, 1, 0xff}, "attribute twice": {0x40, 1, 'a', 4, 1, 'x', 0x80, 4, 1, 'x', 0x80, 1},
		"closing attribute": {0x40, 1, 'a', 4, 1, 'x', 0x81}, "empty": {}, "UTF-16": {0x40, 1, 'a', 0xb7, 1, 0x41},
	} {
		if n, err := binxml.Document(b); err == nil {
			t.Errorf("%s: %+v", name, n)
		}
	}
}
