package xmlsec

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// ErrEncoding says that a message is not encoded as its binding demands.
var ErrEncoding = errors.New("xmlsec: wrong encoding")

// Base64 decodes the standard alphabet with padding, exactly: no URL-safe
// letters, no bits set behind the end, so that one value has one spelling. White
// space is refused unless folded, for values that senders break into lines.
func Base64(s string, folded bool) ([]byte, error) {
	if folded {
		s = strings.Map(func(r rune) rune {
			if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
				return -1
			}
			return r
		}, s)
	} else if strings.ContainsAny(s, "\r\n") { // the decoder would skip them
		return nil, fmt.Errorf("%w: line break in base64", ErrEncoding)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	return b, nil
}

// inflaters are used again: each has a window of 32 KiB, and would else be most of
// the memory that a SAML request takes. Reset forgets all that was read before, but
// the bytes stay in the window: requests hold no secret.
var inflaters = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}

// Inflate decompresses a raw DEFLATE stream (RFC 1951) of at most max bytes
// decompressed. It reads at most one byte more, and refuses zlib and gzip
// headers, a stream without its end, and bytes behind the end.
func Inflate(data []byte, max int) ([]byte, error) {
	if len(data) >= 2 && (data[0] == 0x1F && data[1] == 0x8B ||
		data[0]&0x0F == 8 && (uint(data[0])<<8|uint(data[1]))%31 == 0) {
		return nil, fmt.Errorf("%w: zlib or gzip header", ErrEncoding)
	}
	src := bytes.NewReader(data)
	z := inflaters.Get().(io.ReadCloser)
	_ = z.(flate.Resetter).Reset(src, nil) // nil always, by its source
	out, err := io.ReadAll(io.LimitReader(z, int64(max)+1))
	inflaters.Put(z)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	case len(out) > max:
		return nil, fmt.Errorf("xmlsec: %w: more than %d bytes decompressed", ErrLimit, max)
	case src.Len() > 0:
		return nil, fmt.Errorf("%w: %d bytes behind the compressed data", ErrEncoding, src.Len())
	}
	return out, nil
}

// errInstant does not repeat the text, which may be anything.
var errInstant = errors.New("xmlsec: not an instant")

// Instant reads an xs:dateTime with its zone (XML Schema part 2 §3.2.7) and any number
// of decimal digits, and returns it in UTC. Leap seconds and hour 24 are refused, as
// readers do not agree on them.
func Instant(s string) (time.Time, error) {
	if len(s) > 64 || strings.Contains(s, ",") { // which Go takes for a decimal point
		return time.Time{}, errInstant
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, errInstant
	}
	if _, offset := t.Zone(); offset > maxOffset || offset < -maxOffset {
		return time.Time{}, errInstant
	}
	return t.UTC(), nil
}

// maxOffset is what a zone may differ from UTC, in seconds.
const maxOffset = 14 * 60 * 60
