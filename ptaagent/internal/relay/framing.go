package relay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The records of [MC-NMF] §2.2.3.
const (
	recordVersion       = 0x00
	recordMode          = 0x01
	recordVia           = 0x02
	recordKnownEncoding = 0x03
	recordEnvelope      = 0x06
	recordEnd           = 0x07
	recordFault         = 0x08
	recordPreambleAck   = 0x0b
	recordPreambleEnd   = 0x0c

	modeDuplex            = 2
	encodingBinarySession = 8
)

const (
	maxVia      = 2048
	maxFault    = 1024
	maxEnvelope = 256 << 10
)

// ErrFraming says that bytes are not .NET message framing as a listener expects it.
var ErrFraming = errors.New("relay: bad message framing")

// readPreamble reads the initiator's preamble up to its end and returns its via.
func readPreamble(r *bufio.Reader) (via string, err error) {
	var head [5]byte // version 1.0, mode duplex
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", fmt.Errorf("%w: preamble: %w", ErrFraming, err)
	}
	if head != [5]byte{recordVersion, 1, 0, recordMode, modeDuplex} {
		return "", fmt.Errorf("%w: preamble begins with % x", ErrFraming, head)
	}
	record, err := r.ReadByte()
	if err != nil || record != recordVia {
		return "", fmt.Errorf("%w: record %#02x in place of the via", ErrFraming, record)
	}
	raw, err := readSized(r, maxVia)
	if err != nil {
		return "", err
	}
	via = string(raw)
	if !strings.HasPrefix(via, "sb://") {
		return "", fmt.Errorf("%w: via %.80q", ErrFraming, via)
	}
	var tail [3]byte
	if _, err := io.ReadFull(r, tail[:]); err != nil {
		return "", fmt.Errorf("%w: preamble: %w", ErrFraming, err)
	}
	if tail != [3]byte{recordKnownEncoding, encodingBinarySession, recordPreambleEnd} {
		return "", fmt.Errorf("%w: preamble ends with % x", ErrFraming, tail)
	}
	return via, nil
}

// readRecord returns the next envelope's payload, or [io.EOF] for an orderly end.
func readRecord(r *bufio.Reader) ([]byte, error) {
	record, err := r.ReadByte()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFraming, err)
	}
	switch record {
	case recordEnvelope:
		return readSized(r, maxEnvelope)
	case recordEnd:
		return nil, io.EOF
	case recordFault:
		text, err := readSized(r, maxFault)
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: the other side reports %.200q", ErrFraming, text)
	default:
		return nil, fmt.Errorf("%w: record %#02x", ErrFraming, record)
	}
}

// readSized reads a length and that many bytes. Memory grows with what arrives, not
// with what is announced.
func readSized(r *bufio.Reader, most int) ([]byte, error) {
	n := 0
	for i := 0; ; i++ {
		c, err := r.ReadByte()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFraming, err)
		}
		if i == 4 && c > 0x07 || i > 4 {
			return nil, fmt.Errorf("%w: length of more than 31 bits", ErrFraming)
		}
		if n |= int(c&0x7f) << (7 * i); c&0x80 == 0 {
			break
		}
	}
	if n > most {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are taken", ErrFraming, n, most)
	}
	buf := make([]byte, min(n, 8<<10))
	for at := 0; at < n; {
		if at == len(buf) {
			grown := make([]byte, min(n, 2*len(buf)))
			copy(grown, buf)
			buf = grown
		}
		m, err := io.ReadFull(r, buf[at:])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFraming, err)
		}
		at += m
	}
	return buf, nil
}

// appendRecord frames a payload of two parts as a sized envelope.
func appendRecord(dst, table, doc []byte) []byte {
	dst = append(dst, recordEnvelope)
	for n := len(table) + len(doc); ; n >>= 7 {
		if n < 0x80 {
			dst = append(dst, byte(n))
			break
		}
		dst = append(dst, byte(n)|0x80)
	}
	return append(append(dst, table...), doc...)
}
