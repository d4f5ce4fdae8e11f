package domain

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
)

var (
	// ErrNotFound: Microsoft knows no such domain, or the domain has no federation
	// settings.
	ErrNotFound = errors.New("domain: not found at Microsoft")
	// ErrPermission: the application may not do that.
	ErrPermission = errors.New("domain: the application lacks the permission")
	// ErrCredentials: the application did not get a token.
	ErrCredentials = errors.New("domain: the application cannot sign in")
	// ErrUncertain: a change was sent, and no answer tells whether it was made. The
	// true state has to be read before anything else is done (case C24).
	ErrUncertain = errors.New("domain: it is not known whether the change was made")
	// ErrStale: a change was accepted, but what is read back is not what was sent.
	ErrStale = errors.New("domain: what was sent cannot be read back yet")
)

// Error is an answer of Microsoft that is not a success. Its texts hold neither
// the application's secret nor a token.
type Error struct {
	// Op says what was asked, for example "GET /v1.0/domains".
	Op string
	// Status is the HTTP status.
	Status int
	// Code is Graph's or OAuth's error code, Message its text, shortened and
	// without control characters; both may be empty.
	Code, Message string
	// RequestID is what Microsoft's support asks for.
	RequestID string
	// RetryAfter is what the answer asked to wait, zero when it did not.
	RetryAfter time.Duration
	// Remedy says what to do, where that is known.
	Remedy string
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: Microsoft answered %d", e.Op, e.Status)
	if e.Code != "" {
		fmt.Fprintf(&b, " %s", e.Code)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	if e.Remedy != "" {
		fmt.Fprintf(&b, "; %s", e.Remedy)
	}
	return b.String()
}

// Is implements the sentinels of this package for [errors.Is].
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Status == http.StatusNotFound
	case ErrPermission:
		return e.Status == http.StatusForbidden
	default:
		return false
	}
}

// throttled reports whether the request was turned away undone.
func (e *Error) throttled() bool { return e.Status == http.StatusTooManyRequests }

// passing reports whether the same request may succeed a little later.
func (e *Error) passing() bool {
	return e.throttled() || e.Status >= 500
}

// uncertain reports whether err leaves open if a change was made: no answer at
// all, one that cannot be read, or a failure on the other side.
func uncertain(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Status >= 500 || e.Status == http.StatusRequestTimeout
	}
	var n *notSent
	return err != nil && !errors.As(err, &n)
}

// notSent wraps what went wrong before a request left.
type notSent struct{ error }

func (n *notSent) Unwrap() error { return n.error }

// graphError reads Graph's error object: {"error":{"code":…,"message":…}}.
func graphError(op string, status int, body []byte, hide func(string) string) *Error {
	e := &Error{Op: op, Status: status}
	if o, err := decodeObject(body); err == nil {
		top := reader{o: o}
		inner := reader{o: top.child("error")}
		e.Code, e.Message = printable(hide(inner.text("code")), 80), printable(hide(inner.text("message")), 300)
		detail := reader{o: inner.child("innerError")}
		e.RequestID = printable(detail.text("request-id"), 64)
	}
	switch status {
	case http.StatusForbidden:
		e.Remedy = "grant the application the permissions that sallyport domain --help lists, with an admin's consent"
	case http.StatusUnauthorized:
		e.Remedy = "the token was not accepted: check microsoft365.cloud and the clock"
	}
	return e
}

// printable keeps a foreign text from steering a terminal or breaking a log, and
// shortens it to n characters.
func printable(s string, n int) string {
	runes := 0
	return strings.Map(func(r rune) rune {
		runes++
		switch {
		case runes > n:
			return -1
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
