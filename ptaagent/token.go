package ptaagent

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// tokenService is the cloud's endpoint for tokens.
type tokenService struct{ host, tenant string }

func (s tokenService) address(what string) string {
	return "https://" + s.host + "/" + url.PathEscape(s.tenant) + "/oauth2/v2.0/" + what
}

// tokenAnswer is what the endpoints answer (RFC 6749 §5, RFC 8628 §3.2).
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
	DeviceCode  string `json:"device_code"`
	UserCode    string `json:"user_code"`
	Page        string `json:"verification_uri"`
	Interval    int    `json:"interval"`
	ExpiresIn   int    `json:"expires_in"`
}

// token returns the access token, or why there is none.
func (a *tokenAnswer) token(host string) (string, error) {
	if a.AccessToken == "" {
		return "", fmt.Errorf("%s gives no token: %.60q %.300q", host, a.Error, a.Description)
	}
	return a.AccessToken, nil
}

// ask sends a form; an answer with an error in it is an answer.
func (s tokenService) ask(ctx context.Context, n Network, what string, form url.Values) (*tokenAnswer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address(what), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := n.client(nil)
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return nil, Explain(s.host, err)
	}
	defer resp.Body.Close()
	var answer tokenAnswer
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("%s answers %s without JSON", s.host, resp.Status)
	}
	return &answer, nil
}

// DeviceSignIn signs an administrator in on another device (RFC 8628): show is
// called with what to tell the person. Nothing public says whether the cloud
// offers it to this client.
func DeviceSignIn(ctx context.Context, cloud Cloud, n Network, tenant string, show func(page, code string)) (string, error) {
	s := tokenService{cloud.Login, strings.ToLower(tenant)}
	begun, err := s.ask(ctx, n, "devicecode", url.Values{"client_id": {adminClient}, "scope": {adminScope}})
	if err != nil {
		return "", fmt.Errorf("no device code: %w; sign in without --device-code", err)
	}
	if begun.DeviceCode == "" || !strings.HasPrefix(begun.Page, "https://") {
		return "", fmt.Errorf("%s gives no device code: %.60q %.300q; sign in without --device-code", s.host, begun.Error, begun.Description)
	}
	show(begun.Page, begun.UserCode)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(min(max(begun.ExpiresIn, 60), 3600))*time.Second)
	defer cancel()
	pause := time.Duration(min(max(begun.Interval, 1), 60)) * time.Second
	for {
		sleep(ctx, pause)
		if ctx.Err() != nil {
			return "", fmt.Errorf("nobody signed in with the code: %w", ctx.Err())
		}
		answer, err := s.ask(ctx, n, "token", url.Values{
			"client_id": {adminClient}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {begun.DeviceCode},
		})
		if err != nil {
			return "", err
		}
		switch answer.Error {
		case "authorization_pending":
		case "slow_down":
			pause += 5 * time.Second // RFC 8628 §3.5
		default:
			return answer.token(s.host)
		}
	}
}

// ReadToken reads an access token from a file that only its owner may read.
func ReadToken(path string) (string, error) {
	raw, err := readPrivate(path)
	if err != nil {
		return "", fmt.Errorf("access token: %w", err)
	}
	defer clear(raw)
	return strings.TrimSpace(string(raw)), nil
}

// errToken says that a token is not one for the registration.
var errToken = errors.New("the access token does not fit")

// tokenClaims is what an access token says of itself.
type tokenClaims struct {
	Audience string `json:"aud"`
	Tenant   string `json:"tid"`
	Expires  int64  `json:"exp"`
}

// readClaims reads them without any check; they are empty for what is no JWT.
func readClaims(token string) (c tokenClaims) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(raw, &c) != nil {
		return tokenClaims{}
	}
	return c
}

// checkToken judges an access token by what it says of itself, before anything is
// made: the service judges it again. A token that is no JWT is let through.
func checkToken(token, tenant string, now time.Time) error {
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return fmt.Errorf("%w: it is empty, or not one line of letters", errToken)
	}
	claims := readClaims(token)
	want := strings.TrimSuffix(adminScope, "/user_impersonation")
	switch {
	case claims.Tenant != "" && !strings.EqualFold(claims.Tenant, tenant):
		return fmt.Errorf("%w: it is of tenant %.60q, not of %s: sign in with an account of that tenant", errToken, claims.Tenant, tenant)
	case claims.Audience != "" && claims.Audience != want:
		return fmt.Errorf("%w: it is for %.100q, not for %s", errToken, claims.Audience, want)
	case claims.Expires != 0 && !now.Before(time.Unix(claims.Expires, 0)):
		return fmt.Errorf("%w: it expired at %s: get a fresh one", errToken, time.Unix(claims.Expires, 0).UTC().Format(time.RFC3339))
	}
	return nil
}
