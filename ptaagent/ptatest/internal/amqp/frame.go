package amqp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Protocol headers.
const (
	HeaderSASL = "AMQP\x03\x01\x00\x00"
	HeaderAMQP = "AMQP\x00\x01\x00\x00"
)

// Frame types.
const (
	TypeAMQP byte = 0
	TypeSASL byte = 1
)

// Descriptors of performatives, SASL frames, states and sections.
const (
	CodeOpen        = 0x10
	CodeBegin       = 0x11
	CodeAttach      = 0x12
	CodeFlow        = 0x13
	CodeTransfer    = 0x14
	CodeDisposition = 0x15
	CodeDetach      = 0x16
	CodeEnd         = 0x17
	CodeClose       = 0x18
	CodeError       = 0x1d
	CodeAccepted    = 0x24
	CodeSource      = 0x28
	CodeTarget      = 0x29
	CodeMechanisms  = 0x40
	CodeInit        = 0x41
	CodeOutcome     = 0x44
	CodeData        = 0x75
)

// Frame is one frame.
type Frame struct {
	Type    byte
	Channel uint16
	// Code is the descriptor of the performative; 0 for an empty frame.
	Code uint64
	// Fields are the performative's, missing ones at the end left out.
	Fields []any
	// Payload follows the performative.
	Payload []byte
}

// Field is the i-th field, nil when it is missing or null.
func (f *Frame) Field(i int) any {
	if i >= len(f.Fields) {
		return nil
	}
	return f.Fields[i]
}

// ReadFrame reads b, which must be exactly one frame.
func ReadFrame(b []byte) (*Frame, error) {
	if len(b) < 8 {
		return nil, errors.New("less than a frame header")
	}
	if size := binary.BigEndian.Uint32(b); uint64(size) != uint64(len(b)) {
		return nil, fmt.Errorf("frame of %d bytes in a message of %d", size, len(b))
	}
	offset := 4 * int(b[4])
	if offset < 8 || offset > len(b) {
		return nil, fmt.Errorf("data offset %d", b[4])
	}
	f := &Frame{Type: b[5], Channel: binary.BigEndian.Uint16(b[6:])}
	if f.Type > TypeSASL {
		return nil, fmt.Errorf("frame type %d", f.Type)
	}
	if offset == len(b) {
		return f, nil
	}
	r := &reader{b: b[offset:]}
	v, err := r.value(0)
	if err != nil {
		return nil, err
	}
	d, _ := v.(Described)
	code, ok := d.Descriptor.(uint64)
	fields, list := d.Value.([]any)
	if !ok || !list {
		return nil, errors.New("the frame's body is no described list with a numeric descriptor")
	}
	f.Code, f.Fields, f.Payload = code, fields, r.b
	return f, nil
}

// Append appends a frame with its header.
func Append(b []byte, f Frame) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, 2, f.Type, byte(f.Channel>>8), byte(f.Channel))
	if f.Code != 0 {
		b = appendValue(b, Described{f.Code, f.Fields})
		b = append(b, f.Payload...)
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// Data is a data section with one binary.
func Data(payload []byte) []byte { return appendValue(nil, Described{uint64(CodeData), payload}) }

// ReadData reads one data section, which must be all of b.
func ReadData(b []byte) ([]byte, error) {
	r := &reader{b: b}
	v, err := r.value(0)
	if err != nil {
		return nil, err
	}
	d, _ := v.(Described)
	data, ok := d.Value.([]byte)
	if !ok || d.Descriptor != uint64(CodeData) || len(r.b) != 0 {
		return nil, errors.New("not exactly one data section")
	}
	return data, nil
}

// appendValue appends the types that a server sends.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, 0x40)
	case bool:
		if v {
			return append(b, 0x41)
		}
		return append(b, 0x42)
	case uint8:
		return append(b, 0x50, v)
	case uint16:
		return append(b, 0x60, byte(v>>8), byte(v))
	case uint32:
		switch {
		case v == 0:
			return append(b, 0x43)
		case v < 256:
			return append(b, 0x52, byte(v))
		}
		return binary.BigEndian.AppendUint32(append(b, 0x70), v)
	case uint64:
		switch {
		case v == 0:
			return append(b, 0x44)
		case v < 256:
			return append(b, 0x53, byte(v))
		}
		return binary.BigEndian.AppendUint64(append(b, 0x80), v)
	case int8:
		return append(b, 0x51, byte(v))
	case int16:
		return append(b, 0x61, byte(v>>8), byte(v))
	case int32:
		return binary.BigEndian.AppendUint32(append(b, 0x71), uint32(v))
	case int64:
		return binary.BigEndian.AppendUint64(append(b, 0x81), uint64(v))
	case float32:
		return binary.BigEndian.AppendUint32(append(b, 0x72), math.Float32bits(v))
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 0x82), math.Float64bits(v))
	case Char:
		return binary.BigEndian.AppendUint32(append(b, 0x73), uint32(v))
	case Timestamp:
		return binary.BigEndian.AppendUint64(append(b, 0x83), uint64(v))
	case UUID:
		return append(append(b, 0x98), v[:]...)
	case string:
		return appendSized(b, 0xa1, 0xb1, []byte(v))
	case Symbol:
		return appendSized(b, 0xa3, 0xb3, []byte(v))
	case []byte:
		return appendSized(b, 0xa0, 0xb0, v)
	case []any:
		return appendItems(b, 0xd0, v)
	case Map:
		items := make([]any, 0, 2*len(v))
		for _, p := range v {
			items = append(items, p.Key, p.Value)
		}
		return appendItems(b, 0xd1, items)
	case Array: // of symbols
		body := []byte{0xb3}
		for _, s := range v {
			sym, _ := s.(Symbol)
			body = append(binary.BigEndian.AppendUint32(body, uint32(len(sym))), sym...)
		}
		b = binary.BigEndian.AppendUint32(append(b, 0xf0), uint32(len(body)+4))
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		return append(b, body...)
	case Described:
		return appendValue(appendValue(append(b, 0), v.Descriptor), v.Value)
	}
	return append(b, 0x40)
}

func appendSized(b []byte, short, long byte, v []byte) []byte {
	if len(v) < 256 {
		b = append(b, short, byte(len(v)))
	} else {
		b = binary.BigEndian.AppendUint32(append(b, long), uint32(len(v)))
	}
	return append(b, v...)
}

func appendItems(b []byte, code byte, items []any) []byte {
	var body []byte
	for _, v := range items {
		body = appendValue(body, v)
	}
	b = binary.BigEndian.AppendUint32(append(b, code), uint32(len(body)+4))
	b = binary.BigEndian.AppendUint32(b, uint32(len(items)))
	return append(b, body...)
}
