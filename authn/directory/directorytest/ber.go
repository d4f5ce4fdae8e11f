package directorytest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Tags of the universal and application classes that LDAP uses (RFC 4511
// appendix B).
const (
	tagBoolean    = 0x01
	tagInteger    = 0x02
	tagOctets     = 0x04
	tagEnumerated = 0x0a
	tagSequence   = 0x30
	tagSet        = 0x31
	tagControls   = 0xa0
)

// errBER says that the bytes are not the strict subset of BER that this server
// takes: definite minimal lengths, single-byte tags, minimal integers.
var errBER = errors.New("directorytest: malformed BER")

// cursor walks over the content of one constructed value.
type cursor struct{ b []byte }

func (c *cursor) empty() bool { return len(c.b) == 0 }

// peek returns the next tag, 0 when nothing is left.
func (c *cursor) peek() byte {
	if len(c.b) == 0 {
		return 0
	}
	return c.b[0]
}

// next cuts one value off.
func (c *cursor) next() (tag byte, content []byte, err error) {
	if len(c.b) < 2 {
		return 0, nil, fmt.Errorf("%w: truncated header", errBER)
	}
	tag = c.b[0]
	if tag&0x1f == 0x1f {
		return 0, nil, fmt.Errorf("%w: multi-byte tag", errBER)
	}
	n, head, err := parseLength(c.b[1:])
	if err != nil {
		return 0, nil, err
	}
	head++
	if n > len(c.b)-head {
		return 0, nil, fmt.Errorf("%w: length beyond the end", errBER)
	}
	content = c.b[head : head+n : head+n]
	c.b = c.b[head+n:]
	return tag, content, nil
}

// expect cuts one value off and demands its tag.
func (c *cursor) expect(tag byte) ([]byte, error) {
	got, content, err := c.next()
	if err != nil {
		return nil, err
	}
	if got != tag {
		return nil, fmt.Errorf("%w: tag %#02x where %#02x belongs", errBER, got, tag)
	}
	return content, nil
}

// integer cuts an INTEGER or ENUMERATED off.
func (c *cursor) integer(tag byte) (int64, error) {
	content, err := c.expect(tag)
	if err != nil {
		return 0, err
	}
	return parseInteger(content)
}

// boolean cuts a BOOLEAN off. RFC 4511 5.1 wants FF for true; common clients
// send 01, which a DC takes too.
func (c *cursor) boolean() (bool, error) {
	content, err := c.expect(tagBoolean)
	if err != nil {
		return false, err
	}
	if len(content) != 1 {
		return false, fmt.Errorf("%w: BOOLEAN of %d bytes", errBER, len(content))
	}
	return content[0] != 0, nil
}

// parseLength reads a definite minimal length of at most four octets and returns
// it with the number of bytes it took.
func parseLength(b []byte) (n, took int, err error) {
	if len(b) == 0 {
		return 0, 0, fmt.Errorf("%w: truncated length", errBER)
	}
	if b[0] < 0x80 {
		return int(b[0]), 1, nil
	}
	k := int(b[0] & 0x7f)
	switch {
	case k == 0:
		return 0, 0, fmt.Errorf("%w: indefinite length", errBER)
	case k > 4:
		return 0, 0, fmt.Errorf("%w: length of %d octets", errBER, k)
	case len(b) < 1+k:
		return 0, 0, fmt.Errorf("%w: truncated length", errBER)
	}
	var v uint64
	for _, x := range b[1 : 1+k] {
		v = v<<8 | uint64(x)
	}
	if v < 0x80 || b[1] == 0 {
		return 0, 0, fmt.Errorf("%w: length is not minimal", errBER)
	}
	if v > 1<<31-1 {
		return 0, 0, fmt.Errorf("%w: length beyond 2^31", errBER)
	}
	return int(v), 1 + k, nil
}

func parseInteger(b []byte) (int64, error) {
	if len(b) == 0 || len(b) > 8 {
		return 0, fmt.Errorf("%w: integer of %d bytes", errBER, len(b))
	}
	if len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
		return 0, fmt.Errorf("%w: integer is not minimal", errBER)
	}
	v := int64(int8(b[0]))
	for _, x := range b[1:] {
		v = v<<8 | int64(x)
	}
	return v, nil
}

// readFrame reads one whole LDAPMessage of at most limit bytes and returns the
// content of its SEQUENCE. The buffer is reused when it is large enough.
func readFrame(r *bufio.Reader, buf []byte, limit int) ([]byte, error) {
	tag, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	if tag != tagSequence {
		return nil, fmt.Errorf("%w: message starts with %#02x", errBER, tag)
	}
	var head [5]byte
	if head[0], err = r.ReadByte(); err != nil {
		return nil, noEOF(err)
	}
	k := 0
	if head[0] > 0x80 {
		if k = int(head[0] & 0x7f); k > 4 {
			return nil, fmt.Errorf("%w: length of %d octets", errBER, k)
		}
		if _, err = io.ReadFull(r, head[1:1+k]); err != nil {
			return nil, noEOF(err)
		}
	}
	n, _, err := parseLength(head[:1+k])
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("%w: message of %d bytes, limit %d", errBER, n, limit)
	}
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err = io.ReadFull(r, buf); err != nil {
		return nil, noEOF(err)
	}
	return buf, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// encoder appends BER. With long set, lengths of constructed values are written
// as a Windows DC writes them: 84 and four octets.
type encoder struct {
	b    []byte
	long bool
}

// open starts a constructed value and returns the mark that close needs.
func (e *encoder) open(tag byte) int {
	e.b = append(e.b, tag, 0x84, 0, 0, 0, 0)
	return len(e.b)
}

// close ends the constructed value that open started.
func (e *encoder) close(mark int) {
	n := len(e.b) - mark
	if e.long {
		binary.BigEndian.PutUint32(e.b[mark-4:mark], uint32(n))
		return
	}
	var l [5]byte
	head := appendLength(l[:0], n)
	start := mark - 5
	copy(e.b[start:], head)
	copy(e.b[start+len(head):], e.b[mark:])
	e.b = e.b[:start+len(head)+n]
}

func appendLength(dst []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(dst, byte(n))
	case n < 1<<8:
		return append(dst, 0x81, byte(n))
	case n < 1<<16:
		return append(dst, 0x82, byte(n>>8), byte(n))
	case n < 1<<24:
		return append(dst, 0x83, byte(n>>16), byte(n>>8), byte(n))
	default:
		return append(dst, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
}

func (e *encoder) bytes(tag byte, v []byte) {
	e.b = append(appendLength(append(e.b, tag), len(v)), v...)
}

func (e *encoder) str(tag byte, v string) {
	e.b = append(appendLength(append(e.b, tag), len(v)), v...)
}

func (e *encoder) integer(tag byte, v int64) {
	n := 1
	for n < 8 && (v>>(8*n-1) != 0 && v>>(8*n-1) != -1) {
		n++
	}
	e.b = append(e.b, tag, byte(n))
	for i := n - 1; i >= 0; i-- {
		e.b = append(e.b, byte(v>>(8*i)))
	}
}
