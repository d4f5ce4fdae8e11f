package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"sallyport/federation"
)

// ErrorPage writes the page for e with the status that [Status] gives. It tells
// the person nothing but what e.Problem stands for. When it writes nothing, the
// edge answers with constant text.
type ErrorPage interface {
	Error(w http.ResponseWriter, r *http.Request, info *Info, e *federation.Error)
}

// Status returns the HTTP status of e: its own, or its problem's usual one.
func Status(e *federation.Error) int {
	if e.Status != 0 {
		return e.Status
	}
	switch e.Problem {
	case federation.ProblemDisabled, federation.ProblemAccountExpired, federation.ProblemHours, federation.ProblemRestricted,
		federation.ProblemNotReady, federation.ProblemNotAllowed:
		return http.StatusForbidden
	case federation.ProblemDirectory, federation.ProblemBusy:
		return http.StatusServiceUnavailable
	case federation.ProblemThrottled:
		return http.StatusTooManyRequests
	case federation.ProblemStale, federation.ProblemCookies, federation.ProblemLoop, federation.ProblemUnknownParty,
		federation.ProblemBadRequest, federation.ProblemMethod:
		return http.StatusBadRequest
	case federation.ProblemChangeElsewhere:
		return http.StatusOK
	case federation.ProblemNotFound:
		return http.StatusNotFound
	default:
		return http.StatusInternalServerError
	}
}

// refuse is an error of the edge itself.
func refuse(p federation.Problem, status int, cause string) *federation.Error {
	return &federation.Error{Problem: p, Status: status, Cause: errors.New(cause)}
}

// public turns whatever a handler returned into an error with a public half.
// Unknown errors become "our side": their text stays in the log.
func public(err error) *federation.Error {
	var fe *federation.Error
	if errors.As(err, &fe) {
		return fe
	}
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return &federation.Error{Problem: federation.ProblemBadRequest, Status: http.StatusRequestEntityTooLarge, Cause: err}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &federation.Error{Problem: federation.ProblemInternal, Status: http.StatusServiceUnavailable, Cause: err}
	}
	return &federation.Error{Problem: federation.ProblemInternal, Cause: err}
}

// plainPage is the page of last resort: constant text and the reference.
type plainPage struct{}

// Error implements [ErrorPage].
func (plainPage) Error(w http.ResponseWriter, _ *http.Request, info *Info, e *federation.Error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(Status(e))
	_, _ = w.Write([]byte(http.StatusText(Status(e)) + "\nReference: " + info.Reference + "\n"))
}

// fail answers with the page for e. The connection is closed after an answer to a
// request whose body was not wanted, so that the rest of it is never read.
func (e *Edge) fail(w *recorder, r *http.Request, info *Info, fe *federation.Error) {
	if w.status != 0 { // an answer has begun; nothing can be taken back
		return
	}
	h := w.Header()
	h.Del("Content-Length")
	h.Del("Content-Type")
	h.Del("Etag")
	h.Del("Last-Modified")
	h.Set("Cache-Control", "no-store")
	if fe.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((fe.RetryAfter.Seconds())+0.999)))
	}
	switch Status(fe) {
	case http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusRequestHeaderFieldsTooLarge:
		h.Set("Connection", "close")
	}
	e.pages.Error(w, r, info, fe)
	if w.status == 0 {
		plainPage{}.Error(w, r, info, fe)
	}
}
