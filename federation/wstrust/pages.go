package wstrust

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"sallyport/federation"
	"sallyport/federation/web"
)

// Pages implements [web.ErrorPage]: errors of the active endpoints become SOAP
// faults or bare statuses, all others go to Next.
type Pages struct {
	// Next draws the errors of every other route. Required.
	Next web.ErrorPage
	// Now is the clock. Nil: [time.Now].
	Now func() time.Time
}

// Error implements [web.ErrorPage]. A client that cannot read what it gets shows
// a stack trace to a person: whatever is an answer of our side is a fault, and
// what HTTP says better than SOAP has no body at all.
func (p Pages) Error(w http.ResponseWriter, r *http.Request, info *web.Info, e *federation.Error) {
	v, soap := versionOf(info.Route)
	if !soap && info.Route != routeMex {
		p.Next.Error(w, r, info, e)
		return
	}
	status := web.Status(e)
	var f *fault
	switch {
	case !soap:
	case errors.As(e.Cause, &f):
	case errors.Is(e.Cause, errOff):
	case status >= http.StatusInternalServerError:
		f = &fault{kind: faultFailed}
		if w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", "1")
		}
	}
	if f != nil {
		now := time.Now
		if p.Now != nil {
			now = p.Now
		}
		if body, err := appendFault(nil, v, f, info.Reference, now()); err == nil {
			w.Header().Set("Content-Type", soapType)
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.WriteHeader(status)
			_, _ = w.Write(body)
			return
		}
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}
