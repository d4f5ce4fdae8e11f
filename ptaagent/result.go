package ptaagent

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"sallyport/authn"
)

// The Win32 numbers of verdicts (System Error Codes).
const (
	errorNoLogonServers     = 1311
	errorLogonFailure       = 1326
	errorAccountRestriction = 1327
	errorInvalidLogonHours  = 1328
	errorInvalidWorkstation = 1329
	errorPasswordExpired    = 1330
	errorAccountDisabled    = 1331
	errorTooManyGroups      = 1384
	errorAccountExpired     = 1793
	errorPasswordMustChange = 1907
	errorAccountLockedOut   = 1909
)

// numberOf is the verdict's number; 0 only for a password that a domain controller
// accepted. Who is not known looks like a wrong password, and an outage never does.
func numberOf(r authn.Reason) int {
	switch r {
	case authn.Accepted:
		return 0
	case authn.LockedOut, authn.Throttled:
		return errorAccountLockedOut
	case authn.Restricted:
		return errorAccountRestriction
	case authn.LogonHours:
		return errorInvalidLogonHours
	case authn.Workstation:
		return errorInvalidWorkstation
	case authn.PasswordExpired:
		return errorPasswordExpired
	case authn.Disabled:
		return errorAccountDisabled
	case authn.TooManyGroups:
		return errorTooManyGroups
	case authn.AccountExpired:
		return errorAccountExpired
	case authn.MustChange:
		return errorPasswordMustChange
	case authn.NoVerdict, authn.Unavailable, authn.Busy, authn.Misconfigured:
		return errorNoLogonServers
	default:
		return errorLogonFailure
	}
}

const (
	claimResult = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/authentication"
	claimName   = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
	claimReason = "http://msappproxy.net/ws/2015/02/identity/claims/validationfailurereasoning"
	claimRight  = "http://schemas.xmlsoap.org/ws/2005/05/identity/right/identity"
)

// claims is the verdict as the header carries it: two claims, whose members have this
// order, with slashes escaped.
func claims(number int, upn string) (string, error) {
	text := appendClaim(make([]byte, 0, 512), claimResult, strconv.FormatBool(number == 0))
	kind, resource := claimReason, strconv.Itoa(number)
	if number == 0 {
		name, err := json.Marshal(upn)
		if err != nil {
			return "", err
		}
		kind, resource = claimName, string(name)
	}
	text[0] = '['
	text = appendClaim(text, kind, resource)
	return base64.StdEncoding.EncodeToString(append(text, ']')), nil
}

// appendClaim appends a comma and one claim; resource is JSON.
func appendClaim(dst []byte, kind, resource string) []byte {
	for _, s := range [...]string{`,{"ClaimType":"`, kind, `","Resource":`, resource, `,"Right":"`, claimRight, `"}`} {
		for i := range len(s) {
			if s[i] == '/' {
				dst = append(dst, '\\')
			}
			dst = append(dst, s[i])
		}
	}
	return dst
}

// errPost says that the front end did not take a result.
var errPost = errors.New("the result was not taken")

// post sends a verdict, again and again as bootstrap says, until ctx ends.
func (a *Agent) post(ctx context.Context, r *request, number int, received time.Time, spent time.Duration) error {
	value, err := claims(number, r.upn)
	if err != nil {
		return err
	}
	plan := a.plan.Load()
	pause := plan.Pause
	for attempt := 1; ; attempt++ {
		again, err := a.postOnce(ctx, r, value, attempt, received, spent, plan.ResponsePath)
		if err == nil || !again || attempt >= plan.Posts {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%w in time: %w", errPost, err)
		case <-t.C:
		}
		pause *= time.Duration(plan.Factor)
	}
}

func (a *Agent) postOnce(ctx context.Context, r *request, value string, attempt int, received time.Time, spent time.Duration, path string) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+r.host+path+"?requestId="+newGUID(), http.NoBody)
	if err != nil {
		return false, err
	}
	set := a.proxyHeaders(req.Header, r.transaction)
	set("X-Cwap-Connector-Sp-Connections", "1")
	set("X-Cwap-Sessionid", r.session)
	set("X-Cwap-Certificate-Authentication", "notProcessed")
	set("X-Cwap-Headers-Size", "0")
	set("X-Cwap-Connector-Be-Latency-Ms", strconv.FormatInt(spent.Milliseconds(), 10))
	set("X-Cwap-Payload-Total-Attempts", "0")
	set("X-Cwap-Connector-Loadfactor", "0")
	set("X-Cwap-Response-Total-Attempts", strconv.Itoa(attempt))
	set("X-Cwap-Connector-All-Latency-Ms", strconv.FormatInt(time.Since(received).Milliseconds(), 10))
	set("X-Cwap-Backend-Response", value)
	// Not by the client, which copies headers for the redirects that it might follow.
	resp, err := a.mutual.Transport.RoundTrip(req)
	if err != nil {
		return ctx.Err() == nil, fmt.Errorf("%w: %w", errPost, err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	_ = resp.Body.Close()
	switch s := resp.StatusCode; {
	case s >= 200 && s < 300:
		return false, nil
	default:
		again = s == http.StatusRequestTimeout || s == http.StatusTooManyRequests || s >= 500
		return again, fmt.Errorf("%w: %s answers %d", errPost, r.host, s)
	}
}

// proxyHeaders sets what both requests to the front end carry, and returns what sets
// more. Names are in their canonical form.
func (a *Agent) proxyHeaders(h http.Header, transaction string) (set func(name, value string)) {
	values := make([]string, 0, 16)
	set = func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	set("User-Agent", "") // none
	set("X-Cwap-Dnscachelookup-Result", "NotUsed")
	set("X-Cwap-Connector-Usesdefaultproxy", "InUse")
	set("X-Cwap-Connector-Version", a.cfg.Machine.Version)
	set("X-Cwap-Datamodel-Version", a.cfg.Machine.Version)
	set("X-Cwap-Transid", transaction)
	return set
}
