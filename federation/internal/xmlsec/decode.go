package xmlsec

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
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

// Inflate decompresses a raw DEFLATE stream (RFC 1951) of at most max bytes
// decompressed. It reads at most one byte more, and refuses zlib and gzip
// headers, a stream without its end, and bytes behind the end.
func Inflate(data []byte, max int) ([]byte, error) {
	if len(data) >= 2 && (data[0] == 0x1F && data[1] == 0x8B ||
		data[0]&0x0F == 8 && (uint(data[0])<<8|uint(data[1]))%31 == 0) {
		return nil, fmt.Errorf("%w: zlib or gzip header", ErrEncoding)
	}
	src := bytes.NewReader(data)
	out, err := io.ReadAll(io.LimitReader(flate.NewReader(src), int64(max)+1))
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
