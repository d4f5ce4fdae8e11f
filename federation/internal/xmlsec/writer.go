package xmlsec

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"slices"
	"time"
	"unicode/utf8"
)

// ErrCharacter says that a value holds a character that XML 1.0 cannot carry in
// any spelling: most control characters, U+FFFE, U+FFFF, or bytes that are not
// UTF-8. It is the target of errors.Is for every [*CharacterError].
var ErrCharacter = errors.New("a character that XML cannot carry")

// CharacterError names the value that cannot be written.
type CharacterError struct {
	// Name is the claim or field, as the caller calls it.
	Name string
	// Rune is the character, [utf8.RuneError] for bytes that are not UTF-8.
	Rune rune
	// Offset is its place in the value, in bytes.
	Offset int
}

// Error implements error. The value itself is not in the text.
func (e *CharacterError) Error() string {
	return fmt.Sprintf("%s holds %U at byte %d: %v", e.Name, e.Rune, e.Offset, ErrCharacter)
}

// Is makes errors.Is(err, ErrCharacter) true.
func (e *CharacterError) Is(target error) bool { return target == ErrCharacter }

// CheckValue returns a [*CharacterError] when XML cannot carry value.
func CheckValue(name, value string) error {
	for i := 0; i < len(value); {
		c := value[i]
		if c >= 0x20 && c < utf8.RuneSelf || c == '\t' || c == '\n' || c == '\r' {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(value[i:])
		if r == utf8.RuneError && n == 1 || !isChar(r) {
			return &CharacterError{Name: name, Rune: r, Offset: i}
		}
		i += n
	}
	return nil
}

// Writer writes XML in exclusive canonical form (Exc-C14N §3, C14N §1.3) and
// digests it as it goes. The caller keeps the order of attributes and
// declarations; the Writer keeps characters right. The first error stays and
// every later call does nothing. A Writer is for one goroutine and may be reused
// after [Writer.Reset].
//
// Documents may differ from their canonical form in two ways, both invisible to
// a receiver's canonicaliser: a line feed in text is written as a reference, so
// that a browser that posts the document cannot touch it, and
// [Writer.Uncovered] adds what canonicalisation drops.
type Writer struct {
	buf    []byte
	digest hash.Hash
	// from is where the bytes start that are written but not yet digested; -1
	// while no digest is being made.
	from int
	err  error
}

// Reset makes the Writer append to dst, forgetting all state.
func (w *Writer) Reset(dst []byte) {
	w.buf, w.from, w.err = dst, -1, nil
}

// Grow makes room for n more bytes.
func (w *Writer) Grow(n int) { w.buf = slices.Grow(w.buf, n) }

// Begin starts the digest with the next byte.
func (w *Writer) Begin() {
	if w.digest == nil {
		w.digest = sha256.New()
	}
	w.digest.Reset()
	w.from = len(w.buf)
}

// End appends the SHA-256 of everything since [Writer.Begin] to sum.
func (w *Writer) End(sum []byte) []byte {
	w.flush()
	w.from = -1
	return w.digest.Sum(sum)
}

func (w *Writer) flush() {
	if w.from >= 0 {
		w.digest.Write(w.buf[w.from:])
		w.from = len(w.buf)
	}
}

// Len returns how many bytes the buffer holds; it is the place for
// [Writer.Insert].
func (w *Writer) Len() int { return len(w.buf) }

// Insert puts b at place, moving what follows. Only after [Writer.End].
func (w *Writer) Insert(place int, b []byte) {
	if w.err == nil {
		w.buf = slices.Insert(w.buf, place, b...)
	}
}

// Bytes returns the buffer and the first error.
func (w *Writer) Bytes() ([]byte, error) { return w.buf, w.err }

// Fail makes err the Writer's error unless it has one.
func (w *Writer) Fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// Raw appends markup, which must be canonical. Only for constants and for values
// that are made here (times, base64, checked ids).
func (w *Writer) Raw(markup string) { w.buf = append(w.buf, markup...) }

// RawBytes is [Writer.Raw] for bytes.
func (w *Writer) RawBytes(markup []byte) { w.buf = append(w.buf, markup...) }

// Uncovered appends markup that canonicalisation drops, such as the declaration
// of a prefix that only a value uses: it is in the document, not in the digest.
func (w *Writer) Uncovered(markup string) { w.replaced(markup, "") }

func (w *Writer) replaced(document, canonical string) {
	if w.from < 0 {
		w.buf = append(w.buf, document...)
		return
	}
	w.buf = append(w.buf, canonical...)
	w.flush()
	w.buf = append(w.buf[:len(w.buf)-len(canonical)], document...)
	w.from = len(w.buf)
}

// Time appends t in UTC with milliseconds, 2031-03-04T09:15:00.000Z. Years that
// have not four digits are refused: the name is for that error.
func (w *Writer) Time(name string, t time.Time) {
	t = t.UTC()
	if y := t.Year(); y < 1000 || y > 9999 {
		w.Fail(fmt.Errorf("%s: year %d is not a time that can be written", name, y))
		return
	}
	// AppendFormat knows this form by heart but for the milliseconds, and has to read
	// any other layout anew each time.
	w.buf = t.AppendFormat(w.buf, time.RFC3339)
	ms := t.Nanosecond() / 1e6
	w.buf = append(w.buf[:len(w.buf)-1], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// Text appends value as character data (C14N §2.3, text nodes).
func (w *Writer) Text(name, value string) { w.value(name, value, &textEscape) }

// Attr appends value as the inside of a double-quoted attribute (C14N §2.3,
// attribute nodes).
func (w *Writer) Attr(name, value string) { w.value(name, value, &attrEscape) }

// The tables say for each ASCII character: 0 copy, 1 look closer.
var (
	textEscape = escapeTable('&', '<', '>')
	attrEscape = escapeTable('&', '<', '"', '\t')
)

func escapeTable(special ...byte) (t [256]bool) {
	for i := range t {
		t[i] = i < 0x20 && i != '\t' || i >= utf8.RuneSelf
	}
	for _, c := range special {
		t[c] = true
	}
	return t
}

func (w *Writer) value(name, value string, table *[256]bool) {
	if w.err != nil {
		return
	}
	start := 0
	for i := 0; i < len(value); {
		c := value[i]
		if !table[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(value[i:])
			if r == utf8.RuneError && n == 1 || !isChar(r) {
				w.err = &CharacterError{Name: name, Rune: r, Offset: i}
				return
			}
			i += n
			continue
		}
		w.buf = append(w.buf, value[start:i]...)
		if !w.escape(c, table == &attrEscape) {
			w.err = &CharacterError{Name: name, Rune: rune(c), Offset: i}
			return
		}
		i++
		start = i
	}
	w.buf = append(w.buf, value[start:]...)
}

func (w *Writer) escape(c byte, attr bool) bool {
	switch c {
	case '&':
		w.Raw("&amp;")
	case '<':
		w.Raw("&lt;")
	case '>':
		w.Raw("&gt;")
	case '"':
		w.Raw("&quot;")
	case '\r':
		w.Raw("&#xD;")
	case '\t':
		w.Raw("&#x9;")
	case '\n':
		if attr {
			w.Raw("&#xA;")
		} else {
			w.replaced("&#xA;", "\n")
		}
	default:
		return false
	}
	return true
}
