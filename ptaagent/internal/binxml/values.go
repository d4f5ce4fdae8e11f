package binxml

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// The record types ([MC-NBFX] §2.2); ranges stand for 26 prefixes each.
const (
	recEndElement           = 0x01
	recComment              = 0x02
	recArray                = 0x03
	recAttribute            = 0x04 // and with prefix
	recDictAttribute        = 0x06 // and with prefix
	recXmlns                = 0x08 // default, with prefix, and both with a dictionary value
	recPrefixDictAttributeA = 0x0c
	recPrefixAttributeA     = 0x26
	recAttributeLast        = 0x3f
	recElement              = 0x40 // and with prefix
	recDictElement          = 0x42 // and with prefix
	recPrefixDictElementA   = 0x44
	recPrefixElementA       = 0x5e
	recPrefixElementZ       = 0x77

	recText        = 0x80 // the first text record; each has an odd twin that also ends the element
	recZero        = 0x80
	recOne         = 0x82
	recFalse       = 0x84
	recTrue        = 0x86
	recInt8        = 0x88
	recInt16       = 0x8a
	recInt32       = 0x8c
	recInt64       = 0x8e
	recFloat       = 0x90
	recDouble      = 0x92
	recDecimal     = 0x94
	recDateTime    = 0x96
	recChars8      = 0x98
	recChars16     = 0x9a
	recChars32     = 0x9c
	recBytes8      = 0x9e
	recBytes16     = 0xa0
	recBytes32     = 0xa2
	recStartList   = 0xa4
	recEndList     = 0xa6
	recEmpty       = 0xa8
	recDictText    = 0xaa
	recUniqueID    = 0xac
	recTimeSpan    = 0xae
	recUUID        = 0xb0
	recUint64      = 0xb2
	recBool        = 0xb4
	recUnicode8    = 0xb6
	recUnicode16   = 0xb8
	recUnicode32   = 0xba
	recQNameDict   = 0xbc
	recTextHighest = 0xbd
)

// content reads a text record of the innermost element, and its end with the odd twin.
func (d *decoder) content(code byte) error {
	if code > recTextHighest || len(d.stack) == 0 {
		return fmt.Errorf("%w: record %#02x here", ErrSyntax, code)
	}
	e, kind := d.stack[len(d.stack)-1], code&^1
	var err error
	switch kind {
	case recBytes8, recBytes16, recBytes32:
		var b []byte
		if b, err = d.sized(1 << ((kind - recBytes8) / 2)); err == nil {
			err = e.add(b, true)
		}
	case recChars8, recChars16, recChars32:
		var b []byte
		if b, err = d.sized(1 << ((kind - recChars8) / 2)); err == nil {
			if err = checkText(b); err == nil {
				err = e.add(b, false)
			}
		}
	default:
		var s string
		if s, err = d.value(kind); err == nil {
			err = e.add([]byte(s), false)
		}
	}
	if err == nil && code&1 != 0 {
		err = d.end()
	}
	return err
}

// sized reads a length of that many bytes and what it counts.
func (d *decoder) sized(size int) ([]byte, error) {
	n, err := d.length(size)
	if err != nil {
		return nil, err
	}
	b, err := d.take(n)
	if err != nil {
		return nil, err
	}
	return b, d.charge(n)
}

// value returns the text that a text record stands for.
func (d *decoder) value(kind byte) (string, error) {
	switch kind {
	case recZero:
		return "0", nil
	case recOne:
		return "1", nil
	case recFalse:
		return "false", nil
	case recTrue:
		return "true", nil
	case recEmpty:
		return "", nil
	case recDictText:
		return d.dictString()
	case recQNameDict:
		return d.qname()
	case recStartList:
		return d.list()
	case recChars8, recChars16, recChars32:
		b, err := d.sized(1 << ((kind - recChars8) / 2))
		if err != nil {
			return "", err
		}
		return string(b), checkText(b)
	case recBytes8, recBytes16, recBytes32:
		b, err := d.sized(1 << ((kind - recBytes8) / 2))
		return base64.StdEncoding.EncodeToString(b), err
	case recUnicode8, recUnicode16, recUnicode32:
		b, err := d.sized(1 << ((kind - recUnicode8) / 2))
		if err != nil {
			return "", err
		}
		return utf16Text(b)
	}
	size, ok := fixedSizes[kind]
	if !ok {
		return "", fmt.Errorf("%w: text record %#02x", ErrSyntax, kind)
	}
	b, err := d.take(size)
	if err != nil {
		return "", err
	}
	if err := d.charge(40); err != nil {
		return "", err
	}
	return fixed(kind, b)
}

// fixedSizes are the sizes of the records of one size.
var fixedSizes = map[byte]int{
	recInt8: 1, recInt16: 2, recInt32: 4, recInt64: 8, recUint64: 8, recFloat: 4, recDouble: 8, recDecimal: 16,
	recDateTime: 8, recTimeSpan: 8, recUniqueID: 16, recUUID: 16, recBool: 1,
}

// fixed formats a value as the text form of XML Schema.
func fixed(kind byte, b []byte) (string, error) {
	le := binary.LittleEndian
	switch kind {
	case recInt8:
		return strconv.Itoa(int(int8(b[0]))), nil
	case recInt16:
		return strconv.Itoa(int(int16(le.Uint16(b)))), nil
	case recInt32:
		return strconv.Itoa(int(int32(le.Uint32(b)))), nil
	case recInt64:
		return strconv.FormatInt(int64(le.Uint64(b)), 10), nil
	case recUint64:
		return strconv.FormatUint(le.Uint64(b), 10), nil
	case recFloat:
		return float(float64(math.Float32frombits(le.Uint32(b))), 32), nil
	case recDouble:
		return float(math.Float64frombits(le.Uint64(b)), 64), nil
	case recDecimal:
		return decimal(b)
	case recDateTime:
		return dateTime(le.Uint64(b))
	case recTimeSpan:
		return duration(int64(le.Uint64(b))), nil
	case recUniqueID:
		return "urn:uuid:" + FormatGUID([16]byte(b)), nil
	case recUUID:
		return FormatGUID([16]byte(b)), nil
	default: // recBool
		if b[0] > 1 {
			return "", fmt.Errorf("%w: boolean %d", ErrSyntax, b[0])
		}
		return strconv.FormatBool(b[0] == 1), nil
	}
}

func float(f float64, bits int) string {
	switch {
	case math.IsInf(f, 1):
		return "INF"
	case math.IsInf(f, -1):
		return "-INF"
	}
	return strconv.FormatFloat(f, 'G', -1, bits)
}

// decimal formats the OLE automation form: two bytes reserved, scale, sign, the
// high 32 bits, the low 64 bits ([MC-NBFX] §2.2.3.11).
func decimal(b []byte) (string, error) {
	le := binary.LittleEndian
	if b[2] > 28 || b[3]&0x7f != 0 {
		return "", fmt.Errorf("%w: decimal of scale %d", ErrSyntax, b[2])
	}
	n := new(big.Int).SetUint64(uint64(le.Uint32(b[4:])))
	n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(le.Uint64(b[8:])))
	s := n.String()
	if scale := int(b[2]); scale > 0 {
		s = strings.Repeat("0", max(0, scale+1-len(s))) + s
		s = s[:len(s)-scale] + "." + s[len(s)-scale:]
	}
	if b[3] != 0 {
		s = "-" + s
	}
	return s, nil
}

// ticks of 100 ns from year 1 to 1970 and to year 10000.
const (
	ticksToUnix = 621355968000000000
	ticksEnd    = 3155378976000000000
)

func dateTime(v uint64) (string, error) {
	ticks := int64(v & (1<<62 - 1))
	if ticks >= ticksEnd {
		return "", fmt.Errorf("%w: date beyond the year 9999", ErrSyntax)
	}
	unix := ticks - ticksToUnix
	t := time.Unix(unix/1e7, unix%1e7*100).UTC()
	s := t.Format("2006-01-02T15:04:05.9999999")
	if v>>62 == 1 {
		s += "Z"
	}
	return s, nil
}

// duration formats ticks of 100 ns as xs:duration.
func duration(ticks int64) string {
	sign, n := "", uint64(ticks)
	if ticks < 0 {
		sign, n = "-", -n
	}
	s := fmt.Sprintf("%sP%dDT%dH%dM%d", sign, n/864e9, n/36e9%24, n/6e8%60, n/1e7%60)
	if rest := n % 1e7; rest > 0 {
		s += strings.TrimRight(fmt.Sprintf(".%07d", rest), "0")
	}
	return s + "S"
}

func (d *decoder) qname() (string, error) {
	p, err := d.byte()
	if err != nil {
		return "", err
	}
	if p > 25 {
		return "", fmt.Errorf("%w: prefix %d of a qualified name", ErrSyntax, p)
	}
	name, err := d.dictName()
	if err != nil {
		return "", err
	}
	if _, err := d.space(letter(p), true); err != nil {
		return "", err
	}
	return letter(p) + ":" + name, nil
}

// list reads texts up to the end of a list, divided by blanks in text form.
func (d *decoder) list() (string, error) {
	var parts []string
	for {
		kind, err := d.byte()
		switch {
		case err != nil:
			return "", err
		case kind == recEndList:
			return strings.Join(parts, " "), nil
		case kind < recText || kind&1 != 0 || kind == recStartList:
			return "", fmt.Errorf("%w: record %#02x in a list", ErrSyntax, kind)
		}
		s, err := d.value(kind)
		if err != nil {
			return "", err
		}
		if err := d.charge(1); err != nil {
			return "", err
		}
		parts = append(parts, s)
	}
}

func utf16Text(b []byte) (string, error) {
	if len(b)%2 != 0 {
		return "", fmt.Errorf("%w: half a UTF-16 unit", ErrSyntax)
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	s := string(utf16.Decode(units))
	if strings.ContainsRune(s, utf8.RuneError) {
		return "", fmt.Errorf("%w: half a pair of UTF-16 units", ErrSyntax)
	}
	return s, checkText([]byte(s))
}

// array reads an array of fixed-size values as as many elements ([MC-NBFX] §2.2.3.31).
func (d *decoder) array() error {
	if len(d.stack) == 0 {
		return fmt.Errorf("%w: array as document element", ErrSyntax)
	}
	code, err := d.byte()
	if err != nil {
		return err
	}
	if code < recElement || code > recPrefixElementZ {
		return fmt.Errorf("%w: record %#02x as an array's element", ErrSyntax, code)
	}
	if err := d.element(code); err != nil {
		return err
	}
	model := *d.stack[len(d.stack)-1]
	parent := d.stack[len(d.stack)-2]
	parent.Children = parent.Children[:len(parent.Children)-1]
	if code, err = d.byte(); err != nil || code != recEndElement {
		return fmt.Errorf("%w: an array's element has content", ErrSyntax)
	}
	if err := d.end(); err != nil {
		return err
	}
	kind, err := d.byte()
	if err != nil {
		return err
	}
	size, ok := fixedSizes[kind&^1]
	if !ok || kind&1 == 0 || kind&^1 == recUniqueID || kind&^1 == recInt8 {
		return fmt.Errorf("%w: record %#02x as an array's value", ErrSyntax, kind)
	}
	count, err := d.int31()
	if err != nil {
		return err
	}
	if count > len(d.in)/size {
		return errEnd
	}
	for range count {
		if d.elements++; d.elements > d.limits.Elements {
			return fmt.Errorf("%w: more than %d elements", ErrLimit, d.limits.Elements)
		}
		s, err := d.value(kind &^ 1)
		if err != nil {
			return err
		}
		e := model
		e.text = []byte(s)
		parent.Children = append(parent.Children, &e)
	}
	return nil
}

// FormatGUID returns the registry form of a GUID in Microsoft's memory order.
func FormatGUID(g [16]byte) string {
	var b [36]byte
	hex.Encode(b[0:8], []byte{g[3], g[2], g[1], g[0]})
	hex.Encode(b[9:13], []byte{g[5], g[4]})
	hex.Encode(b[14:18], []byte{g[7], g[6]})
	hex.Encode(b[19:23], g[8:10])
	hex.Encode(b[24:36], g[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}
