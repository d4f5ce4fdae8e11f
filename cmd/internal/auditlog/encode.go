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

// maxField bounds the free texts of an event, so that a record stays far below
// maxLine.
const maxField = 4 << 10

func cut(s string) string {
	if len(s) <= maxField {
		return s
	}
	return strings.ToValidUTF8(s[:maxField], "") + "…"
}

// encode returns the event as one JSON object, as encoding/json would write it by
// the tags of [audit.Event] but for what [text] says of values. It is written by
// hand because each token waits for it.
func encode(e *audit.Event, now func() time.Time) ([]byte, error) {
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
		{`,"ref":`, e.Reference}, {`,"correlation_id":`, e.CorrelationID}, {`,"protocol":`, e.Protocol}, {`,"party":`, cut(e.Party)},
		{`,"account":`, e.Account}, {`,"account_name":`, cut(e.AccountName)}, {`,"upn":`, cut(e.UPN)}, {`,"typed":`, cut(e.Typed)},
		{`,"client":`, e.Client},
	} {
		buf = field(buf, f.name, f.value)
	}
	if e.Inside {
		buf = append(buf, `,"inside":true`...)
	}
	for _, f := range [...]struct{ name, value string }{
		{`,"method":`, e.Method}, {`,"reason":`, e.Reason}, {`,"detail":`, cut(e.Detail)}, {`,"token_id":`, e.TokenID}, {`,"key_id":`, e.KeyID},
		{`,"subject":`, cut(e.Subject)}, {`,"issuer":`, cut(e.Issuer)},
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

// text adds a string. Nearly all are plain ASCII and stand as they are; the rest
// goes through encoding/json, and characters that a terminal would hide or obey
// become escapes, which mean the same.
func text(buf []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return special(buf, s)
		}
	}
	buf = append(buf, '"')
	buf = append(buf, s...)
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
