package saml

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"sallyport/federation"
)

// consumer chooses where the answer goes (SAML Core 2.0 §3.4.1). An address that
// is not registered is no refusal for the party: whoever sent it may have made up
// the party as well.
func (q *authnRequest) consumer(p *Party) (*Endpoint, *refusal, error) {
	standard := p.defaultConsumer()
	told := func(second status, format string, args ...any) (*Endpoint, *refusal, error) {
		r := refuse(requester, second, format, args...)
		r.to = standard
		return nil, r, nil
	}
	if q.acsURL != "" {
		known := slices.ContainsFunc(p.Consumers, func(e Endpoint) bool { return e.URL == q.acsURL })
		if !known {
			return nil, nil, federation.Refuse(federation.ProblemUnknownParty, &p.RelyingParty,
				fmt.Errorf("saml: AssertionConsumerServiceURL %.300q is not registered for %s", q.acsURL, p.Key))
		}
	}
	if q.hasIndex && (q.acsURL != "" || q.acsBinding != "") {
		return told("", "AssertionConsumerServiceIndex stands beside an address or a binding")
	}
	if q.acsBinding != "" && q.acsBinding != BindingPost {
		return told(unsupportedBinding, "ProtocolBinding %.100q", q.acsBinding)
	}
	for i := range p.Consumers {
		e := &p.Consumers[i]
		switch {
		case q.hasIndex && e.Index == q.acsIndex && e.Binding != BindingPost:
			return told(unsupportedBinding, "the endpoint with index %d has the binding %s", e.Index, e.Binding)
		case q.hasIndex && e.Index == q.acsIndex, !q.hasIndex && q.acsURL != "" && e.URL == q.acsURL && e.Binding == BindingPost:
			return e, nil, nil
		}
	}
	switch {
	case q.hasIndex:
		return told("", "there is no endpoint with index %d", q.acsIndex)
	case q.acsURL != "":
		return told(unsupportedBinding, "the endpoint %.300q does not have the POST binding", q.acsURL)
	}
	return standard, nil, nil
}

// check holds the request against what can be given, and returns the format of the
// name identifier and the class of the authentication context; an empty class is
// the true one.
func (q *authnRequest) check(p *Party, issuers []string, now time.Time, window Window) (format, class string, r *refusal) {
	if q.hasProviders && !slices.ContainsFunc(q.providers, func(id string) bool { return slices.Contains(issuers, id) }) {
		return "", "", refuse(responder, noAvailableIDP, "IDPList does not name this service")
	}
	switch {
	case !q.notBefore.IsZero() && q.notBefore.After(now.Add(window.After)):
		return "", "", refuse(requester, requestDenied, "the request's conditions do not hold yet")
	case !q.notOnOrAfter.IsZero() && !q.notOnOrAfter.After(now):
		return "", "", refuse(requester, requestDenied, "the request's conditions do not hold any more")
	case len(q.audiences) > 0 && !slices.Contains(q.audiences, q.issuer):
		return "", "", refuse(requester, requestDenied, "the request restricts the answer to other audiences")
	}
	if format, r = q.nameID(p); r != nil {
		return "", "", r
	}
	if !q.hasContext || p.IgnoreContext {
		return format, "", nil
	}
	if q.declarations {
		return "", "", refuse(responder, noAuthnContext, "declarations of contexts are not known")
	}
	class, ok := choose(q.comparison, q.contexts)
	if !ok {
		return "", "", refuse(responder, noAuthnContext, "no class satisfies %s %.300q", q.comparison, q.contexts)
	}
	return format, class, nil
}

// noKey refuses an encrypted identifier to a party without a key for it (SAML Core 2.0
// §3.4.1.1).
func noKey() *refusal {
	return refuse(requester, invalidNameIDPolicy, "an encrypted identifier is asked for and the party has no key to encrypt to")
}

// nameID chooses the format of the name identifier.
func (q *authnRequest) nameID(p *Party) (string, *refusal) {
	if q.spNameQualifier != "" && q.spNameQualifier != q.issuer {
		return "", refuse(requester, invalidNameIDPolicy, "SPNameQualifier %.200q is not the party's", q.spNameQualifier)
	}
	switch {
	case q.format == "" || q.format == FormatUnspecified:
		return p.NameIDFormat, nil
	case q.format == formatEncrypted && p.Encrypt == nil:
		return "", noKey()
	case q.format == formatEncrypted: // of the format that requests without a wish get
	case !supported(p, q.format):
		return "", refuse(requester, invalidNameIDPolicy, "format %.200q is not offered", q.format)
	}
	return q.format, nil
}

// Window is how far a request's IssueInstant may lie from now.
type Window struct {
	// Before is how old a request may be. Default 5 minutes.
	Before time.Duration
	// After is how far the party's clock may be ahead. Default 3 minutes.
	After time.Duration
}

func (w Window) holds(instant, now time.Time) bool {
	return !instant.Before(now.Add(-w.Before)) && !instant.After(now.Add(w.After))
}

// destination reports whether a Destination is this service's address: the public
// one, never what the Host header says. Case of the path and a final slash do not
// count, since the edge does not tell them apart either.
func destination(value, own string) bool {
	return value != "" && address(value) == address(own)
}

func address(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(raw, "#") {
		return "invalid " + raw
	}
	host := strings.ToLower(strings.TrimSuffix(u.Host, ":443"))
	return host + strings.TrimRight(strings.ToLower(u.EscapedPath()), "/")
}
