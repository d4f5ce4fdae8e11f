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
	"strings"
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

// claim is one of the two claims of a result; its members have this order.
type claim struct {
	ClaimType string
	Resource  any
	Right     string
}

// claims is the verdict as the header carries it.
func claims(number int, upn string) (string, error) {
	list := []claim{{claimResult, number == 0, claimRight}, {claimReason, number, claimRight}}
	if number == 0 {
		list[1] = claim{claimName, upn, claimRight}
	}
	text, err := json.Marshal(list)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(string(text), "/", `\/`))), nil
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
	h := req.Header
	a.proxyHeaders(h, r.transaction)
	h.Set("x-cwap-connector-sp-connections", "1")
	h.Set("x-cwap-sessionid", r.session)
	h.Set("x-cwap-certificate-authentication", "notProcessed")
	h.Set("x-cwap-headers-size", "0")
	h.Set("x-cwap-connector-be-latency-ms", strconv.FormatInt(spent.Milliseconds(), 10))
	h.Set("x-cwap-payload-total-attempts", "0")
	h.Set("x-cwap-connector-loadfactor", "0")
	h.Set("x-cwap-response-total-attempts", strconv.Itoa(attempt))
	h.Set("x-cwap-connector-all-latency-ms", strconv.FormatInt(time.Since(received).Milliseconds(), 10))
	h.Set("x-cwap-backend-response", value)
	resp, err := a.mutual.Do(req)
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

// proxyHeaders are what both requests to the front end carry.
func (a *Agent) proxyHeaders(h http.Header, transaction string) {
	h["User-Agent"] = []string{""} // none
	h.Set("x-cwap-dnscachelookup-result", "NotUsed")
	h.Set("x-cwap-connector-usesdefaultproxy", "InUse")
	h.Set("x-cwap-connector-version", a.cfg.Machine.Version)
	h.Set("x-cwap-datamodel-version", a.cfg.Machine.Version)
	h.Set("x-cwap-transid", transaction)
}
