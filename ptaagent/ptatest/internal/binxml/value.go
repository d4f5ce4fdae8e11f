package binxml

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// value reads the content of a text record by its even code.
func (p *parser) value(code byte) (text string, raw []byte, err error) {
	switch code {
	case 0x80:
		return "0", nil, nil
	case 0x82:
		return "1", nil, nil
	case 0x84:
		return "false", nil, nil
	case 0x86:
		return "true", nil, nil
	case 0xa8:
		return "", nil, nil
	case 0x88, 0x8a, 0x8c, 0x8e:
		b, err := p.take(1 << ((code - 0x88) / 2))
		if err != nil {
			return "", nil, err
		}
		var wide [8]byte
		copy(wide[:], b)
		shift := 64 - 8*len(b)
		return strconv.FormatInt(int64(binary.LittleEndian.Uint64(wide[:])<<shift)>>shift, 10), nil, nil
	case 0xb2:
		b, err := p.take(8)
		if err != nil {
			return "", nil, err
		}
		return strconv.FormatUint(binary.LittleEndian.Uint64(b), 10), nil, nil
	case 0xb4:
		b, err := p.take(1)
		if err != nil || b[0] > 1 {
			return "", nil, errors.Join(err, errors.New("a truth value is neither 0 nor 1"))
		}
		return strconv.FormatBool(b[0] == 1), nil, nil
	case 0xaa:
		s, err := p.word()
		return s, nil, err
	case 0xac, 0xb0:
		b, err := p.take(16)
		if err != nil {
			return "", nil, err
		}
		s := fmt.Sprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%x-%x", b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8:10], b[10:16])
		if code == 0xac {
			s = "urn:uuid:" + s
		}
		return s, nil, nil
	case 0x98, 0x9a, 0x9c, 0x9e, 0xa0, 0xa2, 0xb6, 0xb8, 0xba:
		return p.sized(code)
	}
	return "", nil, fmt.Errorf("text record %#02x, which no message here needs", code)
}

// sized reads a text record with a length.
func (p *parser) sized(code byte) (text string, raw []byte, err error) {
	kind := (code - 0x98) / 2
	if code >= 0xb6 {
		kind = (code - 0xb6) / 2
	}
	b, err := p.take(1 << (kind % 3))
	if err != nil {
		return "", nil, err
	}
	var wide [8]byte
	copy(wide[:], b)
	n := binary.LittleEndian.Uint64(wide[:])
	if n > uint64(len(p.b)) {
		return "", nil, errShort
	}
	b, err = p.take(int(n))
	switch {
	case err != nil:
		return "", nil, err
	case code >= 0xb6:
		if len(b)%2 != 0 {
			return "", nil, errors.New("UTF-16 of odd length")
		}
		units := make([]uint16, len(b)/2)
		for i := range units {
			units[i] = binary.LittleEndian.Uint16(b[2*i:])
		}
		return string(utf16.Decode(units)), nil, nil
	case code >= 0x9e:
		return "", b, nil
	case !utf8.Valid(b):
		return "", nil, errors.New("text is not UTF-8")
	}
	return string(b), nil, nil
}
