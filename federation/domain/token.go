package domain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tokenMargin is how long before its end a token is no longer used.
const tokenMargin = 5 * time.Minute

// bearer is an access token; it cannot be printed.
type bearer struct{ value string }

// String implements [fmt.Stringer] without telling the token.
func (bearer) String() string { return "redacted" }

// GoString implements [fmt.GoStringer] without telling the token.
func (bearer) GoString() string { return "redacted" }

// cachedToken is the token in use. The client's tokens channel is its lock.
type cachedToken struct {
	token bearer
	until time.Time
}

// token returns a token for Graph, from memory while it lasts. Callers that come
// at the same time share one request.
func (c *Client) token(ctx context.Context) (bearer, error) {
	select {
	case cached := <-c.tokens:
		defer func() { c.tokens <- cached }()
		if cached.until.After(c.now()) {
			return cached.token, nil
		}
		fresh, err := c.fetchToken(ctx)
		if err != nil {
			return bearer{}, err
		}
		cached = fresh
		return cached.token, nil
	case <-ctx.Done():
		return bearer{}, &notSent{ctx.Err()}
	}
}

// dropToken forgets a token that Graph did not take.
func (c *Client) dropToken(used bearer) {
	cached := <-c.tokens
	if cached.token == used {
		cached = cachedToken{}
	}
	c.tokens <- cached
}

// fetchToken asks for a token by client credentials (RFC 6749 §4.4).
func (c *Client) fetchToken(ctx context.Context) (cachedToken, error) {
	endpoint := c.cloud.Login + "/" + url.PathEscape(c.tenant) + "/oauth2/v2.0/token"
	var got cachedToken
	err := c.retry(ctx, func(ctx context.Context) error {
		fields, hidden, err := c.credential.proof(endpoint, c.clientID, c.now())
		if err != nil {
			return &notSent{fmt.Errorf("%w: %w", ErrCredentials, err)}
		}
		fields.Set("grant_type", "client_credentials")
		fields.Set("client_id", c.clientID)
		fields.Set("scope", c.cloud.Graph+"/.default")
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(fields.Encode()))
		if err != nil {
			return &notSent{err}
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		status, header, body, err := c.roundTrip(req)
		if err != nil {
			return err
		}
		hide := func(s string) string {
			return strings.NewReplacer(hidden, "(secret)", url.QueryEscape(hidden), "(secret)").Replace(s)
		}
		if status != http.StatusOK {
			e := tokenError(status, body, hide)
			e.RetryAfter = retryAfter(header, c.now())
			return e
		}
		got, err = c.readToken(body)
		return err
	})
	var e *Error
	if errors.As(err, &e) && !e.passing() {
		err = fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	if err != nil {
		// No change was sent, whatever became of this request.
		return cachedToken{}, &notSent{err}
	}
	return got, nil
}

// readToken reads a token answer (RFC 6749 §5.1).
func (c *Client) readToken(body []byte) (cachedToken, error) {
	o, err := decodeObject(body)
	if err != nil {
		return cachedToken{}, fmt.Errorf("token answer: %w", err)
	}
	r := reader{o: o}
	value, kind := r.text("access_token"), r.text("token_type")
	if r.err != nil {
		return cachedToken{}, fmt.Errorf("token answer: %w", r.err)
	}
	n, _ := o["expires_in"].(json.Number)
	seconds, err := strconv.ParseInt(n.String(), 10, 32)
	switch {
	case err != nil || seconds <= 0:
		return cachedToken{}, errors.New("token answer: expires_in is not a number of seconds")
	case !strings.EqualFold(kind, "Bearer"):
		return cachedToken{}, errors.New("token answer: the token is not a bearer token")
	case value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return cachedToken{}, errors.New("token answer: the token cannot stand in a header")
	}
	life := time.Duration(min(seconds, 24*3600)) * time.Second
	return cachedToken{bearer{value}, c.now().Add(life - min(tokenMargin, life/2))}, nil
}

// tokenError reads an OAuth error with Microsoft's additions.
func tokenError(status int, body []byte, hide func(string) string) *Error {
	e := &Error{Op: "token request", Status: status}
	o, err := decodeObject(body)
	if err != nil {
		return e
	}
	r := reader{o: o}
	// The description's further lines repeat what stands in members of their own.
	text, _, _ := strings.Cut(r.text("error_description"), "\n")
	e.Code, e.Message = printable(hide(r.text("error")), 80), printable(hide(strings.TrimSpace(text)), 300)
	e.RequestID = printable(r.text("trace_id"), 64)
	for _, v := range r.list("error_codes") {
		n, _ := v.(json.Number)
		if i := slices.IndexFunc(signInRemedies, func(s signInRemedy) bool { return s.code == n.String() }); i >= 0 {
			e.Remedy = signInRemedies[i].text
		}
	}
	return e
}

// signInRemedy is what to do about one of Microsoft's sign-in errors.
type signInRemedy struct{ code, text string }

// signInRemedies are the errors that a wrong set-up leads to ("Microsoft Entra
// authentication and authorization error codes").
var signInRemedies = []signInRemedy{
	{"90002", "microsoft365.graph.tenant names no tenant of this cloud: check it, and microsoft365.cloud"},
	{"900023", "microsoft365.graph.tenant is neither a tenant's GUID nor one of its domains"},
	{"700016", "microsoft365.graph.client_id is not registered in this tenant"},
	{"7000229", "the application has no service principal in this tenant: give it an admin's consent there"},
	{"7000215", "the client secret is wrong: use the secret's value, not its id"},
	{"7000222", "the client secret has expired: make a new one for the application"},
	{"700027", "the certificate is not registered with the application, or has expired: upload it there"},
	{"700024", "the assertion is outside its time: set this machine's clock"},
	{"7000218", "the application asks for a credential: name a certificate or a client secret"},
	{"53003", "a Conditional Access policy for workload identities blocks the application from here"},
}
