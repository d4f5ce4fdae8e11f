package binxml

import (
	"encoding/binary"
	"math"
)

// Session is the writing side of a session dictionary: one per direction and
// connection. The zero value is empty. Not safe for concurrent use.
type Session struct {
	ids   map[string]int
	fresh []string
}

// Writer makes one document. Elements are begun and ended in turn; attributes
// come before content.
type Writer struct {
	out     []byte
	session *Session
	text    int // index of the type byte of the last text record, or -1
	content bool
}

// NewWriter writes with the session's table, or without one when session is nil.
func NewWriter(session *Session) *Writer { return &Writer{session: session, text: -1} }

// Content says that what follows comes from a serializer: .NET writes its names
// with the session table, or in full where there is none, never with the static
// dictionary, which belongs to the SOAP stack.
func (w *Writer) Content() { w.content = true }

// id gives the dictionary id of a name.
func (w *Writer) id(s string) (int, bool) {
	if id, ok := staticIDs()[s]; ok && !w.content {
		return id, true
	}
	if w.session == nil {
		return 0, false
	}
	if id, ok := w.session.ids[s]; ok {
		return id, true
	}
	if w.session.ids == nil {
		w.session.ids = map[string]int{}
	}
	id := 2*len(w.session.ids) + 1
	w.session.ids[s] = id
	w.session.fresh = append(w.session.fresh, s)
	return id, true
}

func (w *Writer) put(b ...byte) { w.out = append(w.out, b...) }

func (w *Writer) str(s string) {
	w.out = AppendInt(w.out, len(s))
	w.out = append(w.out, s...)
}

// AppendInt appends a multi-byte int31 ([MC-NBFX] 2.1.2).
func AppendInt(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

func letter(prefix string) bool { return len(prefix) == 1 && prefix[0] >= 'a' && prefix[0] <= 'z' }

// Start begins an element.
func (w *Writer) Start(prefix, local string) {
	w.text = -1
	id, known := w.id(local)
	switch {
	case known && prefix == "":
		w.put(0x42)
	case known && letter(prefix):
		w.put(0x44 + prefix[0] - 'a')
	case known:
		w.put(0x43)
		w.str(prefix)
	case prefix == "":
		w.put(0x40)
	case letter(prefix):
		w.put(0x5e + prefix[0] - 'a')
	default:
		w.put(0x41)
		w.str(prefix)
	}
	w.name(id, known, local)
}

func (w *Writer) name(id int, known bool, local string) {
	if known {
		w.out = AppendInt(w.out, id)
	} else {
		w.str(local)
	}
}

// Declare binds a prefix, or the default namespace when prefix is empty.
func (w *Writer) Declare(prefix, space string) {
	id, known := w.id(space)
	code := byte(0x08)
	if known {
		code = 0x0a
	}
	if prefix == "" {
		w.put(code)
	} else {
		w.put(code + 1)
		w.str(prefix)
	}
	w.name(id, known, space)
}

// Attr adds an attribute; its value is written as text content is.
func (w *Writer) Attr(prefix, local, value string) {
	id, known := w.id(local)
	switch {
	case known && prefix == "":
		w.put(0x06)
	case known && letter(prefix):
		w.put(0x0c + prefix[0] - 'a')
	case known:
		w.put(0x07)
		w.str(prefix)
	case prefix == "":
		w.put(0x04)
	case letter(prefix):
		w.put(0x26 + prefix[0] - 'a')
	default:
		w.put(0x05)
		w.str(prefix)
	}
	w.name(id, known, local)
	w.chars(value)
	w.text = -1
}

// Text adds character content.
func (w *Writer) Text(s string) { w.chars(s) }

func (w *Writer) chars(s string) {
	w.text = len(w.out)
	switch {
	case s == "":
		w.put(0xa8)
	case s == "0":
		w.put(0x80)
	case s == "1":
		w.put(0x82)
	case len(s) <= math.MaxUint8:
		w.put(0x98, byte(len(s)))
		w.out = append(w.out, s...)
	case len(s) <= math.MaxUint16:
		w.put(0x9a)
		w.out = binary.LittleEndian.AppendUint16(w.out, uint16(len(s)))
		w.out = append(w.out, s...)
	default:
		w.put(0x9c)
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(len(s)))
		w.out = append(w.out, s...)
	}
}

// Known adds content that is a name of the static dictionary, or else text.
func (w *Writer) Known(s string) {
	id, ok := staticIDs()[s]
	if !ok {
		w.chars(s)
		return
	}
	w.text = len(w.out)
	w.put(0xaa)
	w.out = AppendInt(w.out, id)
}

// Session adds content as an entry of the session table, where there is one.
func (w *Writer) Session(s string) {
	id, ok := w.id(s)
	if !ok {
		w.chars(s)
		return
	}
	w.text = len(w.out)
	w.put(0xaa)
	w.out = AppendInt(w.out, id)
}

// Bool adds a truth value.
func (w *Writer) Bool(v bool) {
	w.text = len(w.out)
	if v {
		w.put(0x86)
	} else {
		w.put(0x84)
	}
}

// Int adds a number in the smallest record.
func (w *Writer) Int(v int64) {
	w.text = len(w.out)
	switch {
	case v == 0:
		w.put(0x80)
	case v == 1:
		w.put(0x82)
	case int64(int8(v)) == v:
		w.put(0x88, byte(v))
	case int64(int16(v)) == v:
		w.put(0x8a)
		w.out = binary.LittleEndian.AppendUint16(w.out, uint16(v))
	case int64(int32(v)) == v:
		w.put(0x8c)
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(v))
	default:
		w.put(0x8e)
		w.out = binary.LittleEndian.AppendUint64(w.out, uint64(v))
	}
}

// GUID adds a GUID in the order of memory.
func (w *Writer) GUID(g [16]byte) {
	w.text = len(w.out)
	w.put(0xb0)
	w.out = append(w.out, g[:]...)
}

// UniqueID adds a GUID whose text is urn:uuid:…
func (w *Writer) UniqueID(g [16]byte) {
	w.text = len(w.out)
	w.put(0xac)
	w.out = append(w.out, g[:]...)
}

// Binary adds bytes, whose text is Base64; long ones in several records.
func (w *Writer) Binary(b []byte) {
	const piece = 255 / 3 * 3
	for first := true; first || len(b) > 0; first = false {
		n := min(len(b), piece)
		w.text = len(w.out)
		w.put(0x9e, byte(n))
		w.out = append(w.out, b[:n]...)
		b = b[n:]
	}
}

// End closes the element, by the last text record where there is one.
func (w *Writer) End() {
	if w.text >= 0 {
		w.out[w.text]++
	} else {
		w.put(0x01)
	}
	w.text = -1
}

// Bytes is the document.
func (w *Writer) Bytes() []byte { return w.out }

// Envelope is the document behind the strings that are new in the session
// ([MC-NBFSE] 2.1).
func (w *Writer) Envelope() []byte {
	var table []byte
	if w.session != nil {
		for _, s := range w.session.fresh {
			table = AppendInt(table, len(s))
			table = append(table, s...)
		}
		w.session.fresh = nil
	}
	out := AppendInt(nil, len(table))
	return append(append(out, table...), w.out...)
}
