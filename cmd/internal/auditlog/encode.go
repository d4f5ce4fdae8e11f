package auditlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"sallyport/authn/audit"
)

// The bounds of the free texts of an event. A text of control characters grows to
// six times its length, and a record that is longer than maxLine would look like a
// broken chain: an event above maxEvent is therefore written with shorter texts.
const (
	maxField   = 4 << 10
	shortField = 512
	maxEvent   = maxLine / 2
)

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// encode returns the event as one JSON object, as encoding/json would write it by
// the tags of [audit.Event] but for what [text] says of values. It is written by
// hand because each token waits for it.
func encode(e *audit.Event, now func() time.Time) ([]byte, error) {
	buf, err := encodeWith(e, now, maxField)
	if len(buf) > maxEvent {
		return encodeWith(e, now, shortField)
	}
	return buf, err
}

// encodeWith is encode with free texts of at most most bytes.
func encodeWith(e *audit.Event, now func() time.Time, most int) ([]byte, error) {
	at := e.Time
	if at.IsZero() {
		at = now()
	}
	at = at.UTC()
	if y := at.Year(); y < 0 || y > 9999 {
		return nil, fmt.Errorf("year %d is outside of RFC 3339", y)
	}
	buf := make([]byte, 0, 768)
	buf = append(buf, `{"time":"`...)
	buf = at.AppendFormat(buf, time.RFC3339Nano)
	buf = append(buf, `","code":`...)
	buf = text(buf, string(e.Code))
	for _, f := range [...]struct{ name, value string }{
		{`,"ref":`, e.Reference}, {`,"correlation_id":`, e.CorrelationID}, {`,"protocol":`, e.Protocol}, {`,"party":`, cut(e.Party, most)},
		{`,"account":`, e.Account}, {`,"account_name":`, cut(e.AccountName, most)}, {`,"upn":`, cut(e.UPN, most)}, {`,"typed":`, cut(e.Typed, most)},
		{`,"client":`, e.Client},
	} {
		buf = field(buf, f.name, f.value)
	}
	if e.Inside {
		buf = append(buf, `,"inside":true`...)
	}
	for _, f := range [...]struct{ name, value string }{
		{`,"method":`, e.Method}, {`,"reason":`, e.Reason}, {`,"detail":`, cut(e.Detail, most)}, {`,"token_id":`, e.TokenID}, {`,"key_id":`, e.KeyID},
		{`,"subject":`, cut(e.Subject, most)}, {`,"issuer":`, cut(e.Issuer, most)},
	} {
		buf = field(buf, f.name, f.value)
	}
	return append(buf, '}'), nil
}

// field adds a field unless it is empty.
func field(buf []byte, name, value string) []byte {
	if value == "" {
		return buf
	}
	return text(append(buf, name...), value)
}

// text adds a string. Nearly all are plain ASCII and stand as they are, but for
// the backslash of an account's name; the rest goes through encoding/json, and
// characters that a terminal would hide or obey become escapes, which mean the same.
func text(buf []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return special(buf, s)
		}
	}
	buf = append(buf, '"')
	from := 0
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			buf = append(append(buf, s[from:i]...), '\\')
			from = i
		}
	}
	buf = append(buf, s[from:]...)
	return append(buf, '"')
}

func special(buf []byte, s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string and a buffer give no error
	return append(buf, visible(bytes.TrimSuffix(b.Bytes(), []byte("\n")))...)
}

// visible copies JSON and writes characters that a terminal would hide or obey
// (C1 controls, direction marks) as escapes; their meaning stays the same.
func visible(raw []byte) []byte {
	if !bytes.ContainsFunc(raw, hidden) {
		return bytes.Clone(raw)
	}
	out := make([]byte, 0, len(raw)+64)
	for len(raw) > 0 {
		r, n := utf8.DecodeRune(raw)
		if !hidden(r) {
			out = append(out, raw[:n]...)
		} else {
			for _, u := range utf16.AppendRune(nil, r) {
				out = fmt.Appendf(out, "\\u%04x", u)
			}
		}
		raw = raw[n:]
	}
	return out
}

func hidden(r rune) bool { return r >= 0x7f && !unicode.IsPrint(r) }
