package directory

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"sallyport/authn"
)

// class is what went wrong with a DC, as counted by the errors metric. The list
// is closed.
type class string

// The classes.
const (
	classDial     class = "dial"                // no connection, or no TLS in time
	classTLSName  class = "tls_name"            // certificate refused
	classStale    class = "stale"               // kept connection found dead, nothing sent
	classUnclear  class = "unclear"             // something sent, no clear answer
	classTimeout  class = "timeout"             // something sent, no answer in time
	classBusy     class = "busy"                // 51, 52
	classRefused  class = "refused"             // 8: the DC wants another kind of bind
	classFault    class = "fault"               // any other code that is no verdict
	classUnbound  class = "unbound"             // search on a connection that lost its identity
	classService  class = "service_credentials" // service account refused
	classWrong    class = "wrong_server"        // not a DC of this domain
	classNoDC     class = "no_dc"               // no DC left to ask
	classPoolWait class = "pool_wait"           // no free connection
	classReferral class = "referral"            // the DC says that another domain holds it
)

func classes() []class {
	return []class{classDial, classTLSName, classStale, classUnclear, classTimeout, classBusy, classRefused, classFault,
		classUnbound, classService, classWrong, classNoDC, classPoolWait, classReferral}
}

// failure is an operation that no DC decided.
type failure struct {
	class class
	dc    string // empty when no DC was reached
	err   error
}

func (f *failure) Error() string {
	if f.dc == "" {
		return fmt.Sprintf("directory: %s: %v", f.class, f.err)
	}
	return fmt.Sprintf("directory: %s at %s: %v", f.class, f.dc, f.err)
}

func (f *failure) Unwrap() error { return f.err }

// reason maps a failure to what the attempt ends with.
func (f *failure) reason() authn.Reason {
	switch f.class {
	case classPoolWait:
		return authn.Busy
	case classRefused:
		return authn.Misconfigured
	default:
		return authn.Unavailable
	}
}

// undecided wraps a failure for the caller.
func undecided(err error) *authn.Error {
	var f *failure
	if errors.As(err, &f) {
		return &authn.Error{Reason: f.reason(), Cause: err}
	}
	var e *authn.Error
	if errors.As(err, &e) {
		return e
	}
	return &authn.Error{Reason: authn.Unavailable, Cause: err}
}

// classOf returns the class of an error, classUnclear when it has none.
func classOf(err error) class {
	var f *failure
	if errors.As(err, &f) {
		return f.class
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return classTimeout
	}
	return classUnclear
}

// dialClass tells a refused certificate from an unreachable server.
func dialClass(err error) class {
	var verify *tls.CertificateVerificationError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	if errors.As(err, &verify) || errors.As(err, &host) || errors.As(err, &authority) || errors.As(err, &invalid) {
		return classTLSName
	}
	return classDial
}
