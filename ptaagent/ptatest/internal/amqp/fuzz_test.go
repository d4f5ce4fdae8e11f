package amqp_test

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"sallyport/ptaagent/ptatest/internal/amqp"
)

func seed(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// FuzzReadFrame: no panic, and a frame that is read and written is read again
// with the same content.
func FuzzReadFrame(f *testing.F) {
	f.Add(seed("0000001a02010000005341c00d03a30845585445524e414c4040"))
	f.Add(seed("0000000802000000"))
	f.Add(amqp.Append(nil, amqp.Frame{Code: amqp.CodeAttach, Fields: []any{"n:in", uint32(1), true, nil, nil,
		amqp.Described{Descriptor: uint64(amqp.CodeSource), Value: []any{"sb://x/"}}, amqp.Map{{Key: amqp.Symbol("k"), Value: "v"}}, uint8(1), uint16(2), int8(-1), int64(-5), []byte{1}}}))
	f.Add(amqp.Append(nil, amqp.Frame{Code: amqp.CodeMechanisms, Type: amqp.TypeSASL, Fields: []any{amqp.Array{amqp.Symbol("EXTERNAL")}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := amqp.ReadFrame(b)
		if err != nil || hasArray(frame.Fields) {
			return
		}
		out := amqp.Append(nil, *frame)
		again, err := amqp.ReadFrame(out)
		if err != nil {
			t.Fatalf("written again: %v: %x", err, out)
		}
		if twice := amqp.Append(nil, *again); !bytes.Equal(out, twice) {
			t.Fatalf("%x is read and written as %x", out, twice)
		}
	})
}

// hasArray: the writer knows arrays of symbols only.
func hasArray(v any) bool {
	switch v := v.(type) {
	case amqp.Array:
		return true
	case []any:
		for _, x := range v {
			if hasArray(x) {
				return true
			}
		}
	case amqp.Map:
		for _, p := range v {
			if hasArray(p.Key) || hasArray(p.Value) {
				return true
			}
		}
	case amqp.Described:
		return hasArray(v.Descriptor) || hasArray(v.Value)
	}
	return false
}

func TestValuesSurviveTheWire(t *testing.T) {
	fields := []any{nil, true, false, uint8(7), uint16(300), uint32(0), uint32(200), uint32(70000), uint64(0), uint64(5), uint64(1 << 40), int8(-3), int16(-300),
		int32(-70000), int64(-1 << 40), float32(1.5), float64(-2.5), amqp.Char('ä'), amqp.Timestamp(12345), amqp.UUID{1, 2}, "text", amqp.Symbol("sym"), []byte{1, 2},
		[]any{uint8(1), "x"}, amqp.Map{{Key: "a", Value: uint8(1)}}, amqp.Described{Descriptor: uint64(36), Value: []any{}}, string(make([]byte, 300))}
	f, err := amqp.ReadFrame(amqp.Append(nil, amqp.Frame{Code: 0x10, Channel: 9, Fields: fields, Payload: []byte("tail")}))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(f.Fields, fields) || f.Channel != 9 || string(f.Payload) != "tail" {
		t.Errorf("got  %#v\nwant %#v", f.Fields, fields)
	}
}

func TestBoundsHold(t *testing.T) {
	wrap := func(body []byte) []byte {
		n := 8 + len(body)
		return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 2, 0, 0, 0}, body...)
	}
	deep := bytes.Repeat([]byte{0, 0x53, 1}, 40)
	for name, b := range map[string][]byte{
		"size": {0, 0, 0, 9, 2, 0, 0, 0}, "offset": {0, 0, 0, 8, 1, 0, 0, 0}, "type": {0, 0, 0, 8, 2, 7, 0, 0}, "deep": wrap(deep),
		"list size": wrap([]byte{0, 0x53, 0x10, 0xd0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1}), "count": wrap([]byte{0, 0x53, 0x10, 0xc0, 2, 5, 0x40}),
		"no list": wrap([]byte{0, 0x53, 0x10, 0x40}), "symbol descriptor": wrap([]byte{0, 0xa3, 1, 'x', 0x45}), "odd map": wrap([]byte{0, 0x53, 0x10, 0xc0, 5, 1, 0xc1, 2, 1, 0x40}),
		"truth value": wrap([]byte{0, 0x53, 0x10, 0xc0, 3, 1, 0x56, 2}), "UTF-8": wrap([]byte{0, 0x53, 0x10, 0xc0, 4, 1, 0xa1, 1, 0xff}),
		"many": wrap(append([]byte{0, 0x53, 0x10, 0xf0, 0, 0, 0x20, 5, 0, 0, 0x20, 0}, append([]byte{0x40}, make([]byte, 8192)...)...)),
	} {
		if f, err := amqp.ReadFrame(b); err == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
