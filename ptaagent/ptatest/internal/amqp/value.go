package amqp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// Symbol is an AMQP symbol.
type Symbol string

// Char is an AMQP char, a UTF-32 code point.
type Char uint32

// UUID is an AMQP uuid.
type UUID [16]byte

// Timestamp is an AMQP timestamp, milliseconds since 1970.
type Timestamp int64

// Described is a described value.
type Described struct {
	Descriptor, Value any
}

// Pair is one entry of a map.
type Pair struct{ Key, Value any }

// Map keeps the order of the wire.
type Map []Pair

// Find is the value of a key, and whether it stands there exactly once.
func (m Map) Find(key any) (any, bool) {
	var v any
	n := 0
	for _, p := range m {
		if p.Key == key {
			v = p.Value
			n++
		}
	}
	return v, n == 1
}

// Array is an AMQP array; its items are of one type.
type Array []any

// errShort: the frame ends inside a value.
var errShort = errors.New("the frame ends inside a value")

const (
	maxDepth  = 16
	maxValues = 4096
)

// reader is the state of one frame.
type reader struct {
	b      []byte
	values int
}

func (r *reader) take(n int) ([]byte, error) {
	if n < 0 || n > len(r.b) {
		return nil, errShort
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v, nil
}

// number reads a big-endian number of n bytes.
func (r *reader) number(n int) (uint64, error) {
	b, err := r.take(n)
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[8-n:], b)
	return binary.BigEndian.Uint64(wide[:]), nil
}

func (r *reader) value(depth int) (any, error) {
	code, err := r.take(1)
	if err != nil {
		return nil, err
	}
	if code[0] != 0 {
		return r.coded(code[0], depth)
	}
	if depth >= maxDepth {
		return nil, errors.New("too deep")
	}
	d, err := r.value(depth + 1)
	if err != nil {
		return nil, err
	}
	v, err := r.value(depth + 1)
	return Described{d, v}, err
}

// coded reads a value whose code was read already (AMQP 1.0 part 1, 1.6).
func (r *reader) coded(code byte, depth int) (any, error) {
	if r.values++; r.values > maxValues || depth >= maxDepth {
		return nil, errors.New("too many values or too deep")
	}
	switch code {
	case 0x40:
		return nil, nil
	case 0x41, 0x42:
		return code == 0x41, nil
	case 0x43:
		return uint32(0), nil
	case 0x44:
		return uint64(0), nil
	case 0x45:
		return []any{}, nil
	}
	switch code >> 4 {
	case 0x5, 0x6, 0x7, 0x8, 0x9:
		return r.fixed(code)
	case 0xa, 0xb:
		return r.variable(code)
	case 0xc, 0xd:
		return r.compound(code, depth)
	case 0xe, 0xf:
		return r.array(code, depth)
	}
	return nil, fmt.Errorf("type %#02x is unknown", code)
}

func (r *reader) fixed(code byte) (any, error) {
	width := map[byte]int{5: 1, 6: 2, 7: 4, 8: 8, 9: 16}[code>>4]
	if code == 0x98 {
		b, err := r.take(width)
		if err != nil {
			return nil, err
		}
		return UUID(b), nil
	}
	n, err := r.number(min(width, 8))
	if err != nil {
		return nil, err
	}
	switch code {
	case 0x50:
		return uint8(n), nil
	case 0x51:
		return int8(n), nil
	case 0x52, 0x70:
		return uint32(n), nil
	case 0x53, 0x80:
		return n, nil
	case 0x54:
		return int32(int8(n)), nil
	case 0x55:
		return int64(int8(n)), nil
	case 0x56:
		if n > 1 {
			return nil, errors.New("a truth value is neither 0 nor 1")
		}
		return n == 1, nil
	case 0x60:
		return uint16(n), nil
	case 0x61:
		return int16(n), nil
	case 0x71:
		return int32(n), nil
	case 0x72:
		return math.Float32frombits(uint32(n)), nil
	case 0x73:
		return Char(n), nil
	case 0x81:
		return int64(n), nil
	case 0x82:
		return math.Float64frombits(n), nil
	case 0x83:
		return Timestamp(n), nil
	}
	return nil, fmt.Errorf("type %#02x is unknown", code)
}

func (r *reader) variable(code byte) (any, error) {
	width := 1
	if code >= 0xb0 {
		width = 4
	}
	n, err := r.number(width)
	if err != nil {
		return nil, err
	}
	b, err := r.take(int(n))
	if err != nil {
		return nil, err
	}
	switch code & 0x0f {
	case 0:
		return append([]byte{}, b...), nil
	case 1:
		if !utf8.Valid(b) {
			return nil, errors.New("a string is not UTF-8")
		}
		return string(b), nil
	case 3:
		for _, c := range b {
			if c >= 0x80 {
				return nil, errors.New("a symbol is not ASCII")
			}
		}
		return Symbol(b), nil
	}
	return nil, fmt.Errorf("type %#02x is unknown", code)
}

// inside reads size and count of a compound value and gives a reader of just
// its content.
func (r *reader) inside(width int) (*reader, int, error) {
	size, err := r.number(width)
	if err != nil {
		return nil, 0, err
	}
	b, err := r.take(int(size))
	if err != nil {
		return nil, 0, err
	}
	in := &reader{b: b, values: r.values}
	count, err := in.number(width)
	if err != nil {
		return nil, 0, err
	}
	if count > maxValues {
		return nil, 0, errors.New("too many values")
	}
	return in, int(count), nil
}

func (r *reader) compound(code byte, depth int) (any, error) {
	width := 1
	if code >= 0xd0 {
		width = 4
	}
	if kind := code & 0x0f; kind > 1 {
		return nil, fmt.Errorf("type %#02x is unknown", code)
	}
	in, count, err := r.inside(width)
	if err != nil {
		return nil, err
	}
	list := make([]any, 0, min(count, 64))
	for range count {
		v, err := in.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	r.values = in.values
	if len(in.b) != 0 {
		return nil, errors.New("bytes after the last item of a list or map")
	}
	if code&0x0f == 0 {
		return list, nil
	}
	if count%2 != 0 {
		return nil, errors.New("a map with an odd number of items")
	}
	m := make(Map, 0, count/2)
	for i := 0; i < count; i += 2 {
		m = append(m, Pair{list[i], list[i+1]})
	}
	return m, nil
}

func (r *reader) array(code byte, depth int) (any, error) {
	width := 1
	if code >= 0xf0 {
		width = 4
	}
	if code&0x0f != 0 {
		return nil, fmt.Errorf("type %#02x is unknown", code)
	}
	in, count, err := r.inside(width)
	if err != nil {
		return nil, err
	}
	c, err := in.take(1)
	if err != nil {
		return nil, err
	}
	if c[0] == 0 {
		return nil, errors.New("an array of described values")
	}
	items := make(Array, 0, min(count, 64))
	for range count {
		v, err := in.coded(c[0], depth+1)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	r.values = in.values
	if len(in.b) != 0 {
		return nil, errors.New("bytes after the last item of an array")
	}
	return items, nil
}
