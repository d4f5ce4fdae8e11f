package web

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"sallyport/federation"
)

// The sizes that a request's head may have. The listener's cap must fit a
// Kerberos ticket of 65,535 bytes, which is 87,380 base64 characters; everything
// else is held to less by the router.
const (
	listenerHeader = 128 << 10
	routerHeader   = 16 << 10
	// negotiateTarget lets 8 KiB of wctx through when every byte of it arrives
	// percent-encoded.
	negotiateTarget = 32 << 10
)

// limitHeader applies the route's caps to the request's head.
func limitHeader(r *http.Request, rt *Route) *federation.Error {
	size, target := 0, len(r.RequestURI)
	for name, values := range r.Header {
		if rt.Negotiate && name == "Authorization" {
			continue
		}
		for _, v := range values {
			size += len(name) + len(v) + 4
		}
	}
	if rt.Negotiate {
		if target > negotiateTarget {
			return refuse(federation.ProblemBadRequest, http.StatusRequestURITooLong,
				fmt.Sprintf("web: request target of %d bytes", target))
		}
	} else {
		size += target
	}
	if size > routerHeader {
		return refuse(federation.ProblemBadRequest, http.StatusRequestHeaderFieldsTooLarge,
			fmt.Sprintf("web: request header of %d bytes", size))
	}
	if n := strings.Count(r.URL.RawQuery, "&") + 1; n > MaxParams {
		return refuse(federation.ProblemBadRequest, 0, fmt.Sprintf("web: %d parameters in the query", n))
	}
	return nil
}

// limitBody caps the body, refuses one where none is expected, and multipart
// everywhere: its parser writes to disk and no protocol here needs it.
func limitBody(w http.ResponseWriter, r *http.Request, rt *Route) *federation.Error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		if r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
			return refuse(federation.ProblemBadRequest, http.StatusBadRequest, "web: body in a "+r.Method+" request")
		}
		return nil
	}
	if r.ContentLength > rt.Body {
		return refuse(federation.ProblemBadRequest, http.StatusRequestEntityTooLarge,
			fmt.Sprintf("web: body of %d bytes, at most %d are allowed", r.ContentLength, rt.Body))
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); strings.HasPrefix(kind, "multipart/") {
		return refuse(federation.ProblemBadRequest, http.StatusUnsupportedMediaType, "web: multipart body")
	}
	r.Body = clientBody{http.MaxBytesReader(w, r.Body, rt.Body)}
	return nil
}

// clientBody is a body whose reading fails by the client's doing: an end before
// its time, a pause that is too long, broken chunks. None of that is our side.
type clientBody struct{ io.ReadCloser }

// Read reads the body; errors other than its end and its cap are refusals.
func (b clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	var tooBig *http.MaxBytesError
	if err == nil || err == io.EOF || errors.As(err, &tooBig) {
		return n, err
	}
	status := http.StatusBadRequest
	if errors.Is(err, os.ErrDeadlineExceeded) {
		status = http.StatusRequestTimeout
	}
	return n, &federation.Error{Problem: federation.ProblemBadRequest, Status: status, Cause: fmt.Errorf("web: reading the body: %w", err)}
}
