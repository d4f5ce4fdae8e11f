package binxml

import (
	"encoding/binary"
	"math"
)

// Writer appends one document. Elements must be closed by [Writer.End] as often as
// they were opened; it is for messages of known shape and checks nothing. The zero
// value writes without a session. It is owned by one goroutine.
type Writer struct {
	// Table takes the names of the application on first use; nil writes them inline.
	Table *Table

	buf  []byte
	last int // place of the text record that an end may be merged with, else -1
}

// NewWriter returns a writer that appends to dst.
func NewWriter(dst []byte, table *Table) *Writer { return &Writer{Table: table, buf: dst, last: -1} }

// Bytes returns what was written.
func (w *Writer) Bytes() []byte { return w.buf }

// Start opens an element whose name is in the static dictionary.
func (w *Writer) Start(prefix, name string) {
	w.start(prefix, staticID(name))
}

// StartLocal opens an element of the application.
func (w *Writer) StartLocal(prefix, name string) {
	if w.Table != nil {
		w.start(prefix, w.Table.id(name))
		return
	}
	w.last = -1
	switch {
	case prefix == "":
		w.buf = append(w.buf, recElement)
	case len(prefix) == 1:
		w.buf = append(w.buf, recPrefixElementA+prefix[0]-'a')
	default:
		w.string(recElement+1, prefix)
	}
	w.buf = append(appendInt31(w.buf, len(name)), name...)
}

func (w *Writer) start(prefix string, id uint32) {
	w.last = -1
	switch {
	case prefix == "":
		w.buf = append(w.buf, recDictElement)
	case len(prefix) == 1:
		w.buf = append(w.buf, recPrefixDictElementA+prefix[0]-'a')
	default:
		w.string(recDictElement+1, prefix)
	}
	w.buf = appendInt31(w.buf, int(id))
}

// Space declares a namespace of the static dictionary for the element just opened.
func (w *Writer) Space(prefix, space string) { w.spaceID(prefix, staticID(space)) }

// SpaceLocal declares a namespace of the application.
func (w *Writer) SpaceLocal(prefix, space string) {
	if w.Table != nil {
		w.spaceID(prefix, w.Table.id(space))
		return
	}
	if prefix == "" {
		w.string(recXmlns, space)
		return
	}
	w.string(recXmlns+1, prefix)
	w.buf = append(appendInt31(w.buf, len(space)), space...)
}

func (w *Writer) spaceID(prefix string, id uint32) {
	if prefix == "" {
		w.buf = append(w.buf, recXmlns+2)
	} else {
		w.string(recXmlns+3, prefix)
	}
	w.buf = appendInt31(w.buf, int(id))
}

// MustUnderstand adds the SOAP 1.2 attribute s:mustUnderstand="1".
func (w *Writer) MustUnderstand() {
	w.buf = append(appendInt31(append(w.buf, recPrefixDictAttributeA+'s'-'a'), int(staticID("mustUnderstand"))), recOne)
}

// Language adds the attribute xml:lang.
func (w *Writer) Language(tag string) {
	w.string(recAttribute+1, "xml")
	w.buf = append(appendInt31(w.buf, len("lang")), "lang"...)
	w.Text(tag)
	w.last = -1
}

// Number adds an attribute without prefix, of a name in the static dictionary.
func (w *Writer) Number(name string, n uint64) {
	w.buf = appendInt31(append(w.buf, recDictAttribute), int(staticID(name)))
	w.Int(n)
	w.last = -1
}

// Static writes a text of the static dictionary.
func (w *Writer) Static(s string) { w.dictText(staticID(s)) }

// Local writes a text of the application that repeats, such as an action.
func (w *Writer) Local(s string) {
	if w.Table == nil {
		w.Text(s)
		return
	}
	w.dictText(w.Table.id(s))
}

func (w *Writer) dictText(id uint32) {
	w.mark(recDictText)
	w.buf = appendInt31(w.buf, int(id))
}

// Text writes characters.
func (w *Writer) Text(s string) {
	w.sized(recChars8, len(s))
	w.buf = append(w.buf, s...)
}

// Binary writes bytes, whose text form is Base64.
func (w *Writer) Binary(b []byte) {
	w.sized(recBytes8, len(b))
	w.buf = append(w.buf, b...)
}

func (w *Writer) sized(kind byte, n int) {
	switch {
	case n <= math.MaxUint8:
		w.mark(kind)
		w.buf = append(w.buf, byte(n))
	case n <= math.MaxUint16:
		w.mark(kind + 2)
		w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(n))
	default:
		w.mark(kind + 4)
		w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(n))
	}
}

// UniqueID writes urn:uuid: and a GUID in Microsoft's memory order.
func (w *Writer) UniqueID(g [16]byte) {
	w.mark(recUniqueID)
	w.buf = append(w.buf, g[:]...)
}

// Int writes a number in the shortest form.
func (w *Writer) Int(n uint64) {
	switch {
	case n == 0:
		w.mark(recZero)
	case n == 1:
		w.mark(recOne)
	case n <= math.MaxInt8:
		w.mark(recInt8)
		w.buf = append(w.buf, byte(n))
	case n <= math.MaxInt16:
		w.mark(recInt16)
		w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(n))
	case n <= math.MaxInt32:
		w.mark(recInt32)
		w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(n))
	default:
		w.mark(recUint64)
		w.buf = binary.LittleEndian.AppendUint64(w.buf, n)
	}
}

// End closes the innermost element, in the same record as its text where there is one.
func (w *Writer) End() {
	if w.last >= 0 {
		w.buf[w.last] |= 1
	} else {
		w.buf = append(w.buf, recEndElement)
	}
	w.last = -1
}

func (w *Writer) mark(kind byte) {
	w.last = len(w.buf)
	w.buf = append(w.buf, kind)
}

// string appends a record type and a string.
func (w *Writer) string(kind byte, s string) {
	w.buf = append(appendInt31(append(w.buf, kind), len(s)), s...)
}

// staticID returns the id of a string that must be in the static dictionary; any
// other is a mistake in this program.
func staticID(s string) uint32 {
	_, index := static()
	id, ok := index[s]
	if !ok {
		panic("binxml: not in the static dictionary: " + s)
	}
	return id
}
