package telemetry

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// redacted stands for a value that must not be logged.
	redacted = "redacted"
	// maxValue bounds one value of a record; a record of megabytes would push
	// everything else out of a log store.
	maxValue = 4 << 10
)

// LogConfig says where logs go.
type LogConfig struct {
	// Writer gets one JSON object a line. Required.
	Writer io.Writer
	// Level is the least level that is written; it may change while the service
	// runs. Default info.
	Level slog.Leveler
}

// NewLogger returns the service's logger.
func NewLogger(cfg LogConfig) *slog.Logger {
	r := &redactor{}
	r.known.Store(&map[string]bool{})
	return slog.New(slog.NewJSONHandler(cfg.Writer, &slog.HandlerOptions{Level: cfg.Level, ReplaceAttr: r.replace}))
}

// redactor decides what of an attribute is written.
type redactor struct {
	// known remembers the verdict on keys, which are few and come back with each
	// record. The map is never changed, only replaced by a larger one.
	known atomic.Pointer[map[string]bool]
}

// maxKnown bounds the memory for keys, should somebody make them up at run time.
const maxKnown = 512

// secret is [secret] with a memory.
func (r *redactor) secret(key string) bool {
	known := *r.known.Load()
	v, ok := known[key]
	if ok {
		return v
	}
	v = secret(key)
	if len(known) < maxKnown {
		more := maps.Clone(known)
		more[strings.Clone(key)] = v
		r.known.Store(&more) // another goroutine's addition may get lost, and comes again
	}
	return v
}

// ParseLevel reads debug, info, warn or error.
func ParseLevel(s string) (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(s)); err != nil {
		return 0, fmt.Errorf("log level %q: write debug, info, warn or error", s)
	}
	return l, nil
}

// replace is called for each attribute that is not a group, after LogValue.
func (r *redactor) replace(groups []string, a slog.Attr) slog.Attr {
	if r.secret(a.Key) || slices.ContainsFunc(groups, r.secret) {
		return slog.String(a.Key, redacted)
	}
	switch a.Value.Kind() {
	case slog.KindString:
		if s := a.Value.String(); !clean(s) || telling(s) {
			a.Value = slog.StringValue(text(s))
		}
	case slog.KindAny:
		switch v := a.Value.Any().(type) {
		case slog.Level, *slog.Source: // slog's own
		default:
			a.Value = anyValue(v)
		}
	case slog.KindDuration:
		// Milliseconds can be compared and summed by a log store.
		a.Value = slog.Float64Value(float64(a.Value.Duration().Microseconds()) / 1000)
	case slog.KindTime:
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	if !clean(a.Key) {
		a.Key = escape(a.Key)
	}
	return a
}

// secret tells whether a key is the name of something that is never logged. The
// names of things derived from secrets, such as token_id, are not.
func secret(key string) bool {
	var buf [48]byte
	n := 0
	for i := 0; i < len(key) && n < len(buf); i++ {
		switch c := key[i]; {
		case c == '_' || c == '-' || c == '.' || c == ' ':
		case c >= 'A' && c <= 'Z':
			buf[n] = c + 'a' - 'A'
			n++
		default:
			buf[n] = c
			n++
		}
	}
	name := string(buf[:n])
	switch name {
	case "pwd", "pass", "passwd", "pin", "otp", "token", "tokens", "tokenresponse", "accesstoken", "refreshtoken", "idtoken", "assertion",
		"samlresponse", "samlrequest", "wresult", "wctx", "relaystate", "rstr", "ticket", "negotiate", "spnego",
		"body", "query", "rawquery", "form", "postform", "requesturi", "headers", "header",
		"authorization", "proxyauthorization", "key", "privatekey", "signingkey", "masterkey", "session", "sessionid", "transaction":
		return true
	}
	for _, end := range [...]string{"password", "passphrase", "secret", "cookie", "cookies", "credential", "credentials", "privatekey"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// telling reports whether a text holds a key or a token, whatever it is called.
func telling(s string) bool {
	return strings.Contains(s, "PRIVATE KEY-----") || strings.Contains(s, "Assertion ") && strings.Contains(s, "<")
}

// text is a string's loggable form.
func text(s string) string {
	if telling(s) {
		return redacted
	}
	return escape(s)
}

// anyValue turns a value into something whose printed form is known to be
// harmless. The fields of a struct may hold anything, so it is named and left out.
func anyValue(v any) slog.Value {
	switch x := v.(type) {
	case nil:
		return slog.AnyValue(nil)
	case *http.Cookie:
		return slog.StringValue(redacted)
	case *url.URL:
		return slog.StringValue(text(bare(x)))
	case error:
		return slog.StringValue(text(message(x)))
	case time.Time, time.Duration, netip.Addr, netip.Prefix, netip.AddrPort:
		return slog.StringValue(fmt.Sprint(x))
	case []string:
		list := make([]string, len(x))
		for i, s := range x {
			list[i] = text(s)
		}
		return slog.AnyValue(list)
	case []int, []int64, []uint64, []float64, []bool:
		return slog.AnyValue(x)
	case fmt.Stringer:
		return slog.StringValue(text(x.String()))
	case encoding.TextMarshaler:
		if b, err := x.MarshalText(); err == nil {
			return slog.StringValue(text(string(b)))
		}
	}
	return slog.StringValue(fmt.Sprintf("%T left out", v))
}

// message is an error's text; an address in it loses its query.
func message(err error) string {
	msg := err.Error()
	var in *url.Error
	if errors.As(err, &in) {
		short := "an address"
		if u, err := url.Parse(in.URL); err == nil {
			short = bare(u)
		}
		quoted := strconv.Quote(in.URL)
		msg = strings.ReplaceAll(msg, quoted[1:len(quoted)-1], short)
	}
	return msg
}

// bare is an address without user, query and fragment.
func bare(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// clean reports whether s needs no change; nearly all values do not.
func clean(s string) bool {
	if len(s) > maxValue {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f {
			return !strings.ContainsFunc(s, unprintable) && utf8.ValidString(s)
		}
	}
	return true
}

// unprintable tells control characters and those that turn the reading direction
// or have no width: in a terminal they could hide or forge parts of a record.
func unprintable(r rune) bool {
	return !unicode.IsPrint(r)
}

// escape writes such characters as \u202e, and cuts what is too long.
func escape(s string) string {
	if clean(s) {
		return s
	}
	cut := ""
	if len(s) > maxValue {
		cut = fmt.Sprintf("… (%d bytes)", len(s))
		s = s[:maxValue]
		for i := 0; i < utf8.UTFMax && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]); i++ {
			s = s[:len(s)-1]
		}
	}
	var b strings.Builder
	for _, r := range s {
		if unprintable(r) {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String() + cut
}
