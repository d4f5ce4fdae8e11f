package ptaagent

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// What is public of the client that registers agents.
const (
	adminClient   = "55747057-9b5d-4bd4-b387-abf52a8bd489"
	adminScope    = "https://proxy.cloudwebappproxy.net/registerapp/user_impersonation"
	adminRedirect = "https://login.microsoftonline.com/common/oauth2/nativeclient"
)

// AdminSignIn is an administrator's sign-in in a browser: authorization code with
// PKCE (RFC 6749 §4.1, RFC 7636).
type AdminSignIn struct {
	// Address is what to open in a browser.
	Address string

	cloud                   Cloud
	tenant, state, verifier string
}

// NewAdminSignIn begins a sign-in.
func NewAdminSignIn(cloud Cloud, tenant string) *AdminSignIn {
	s := &AdminSignIn{cloud: cloud, tenant: strings.ToLower(tenant), state: rand.Text(), verifier: rand.Text() + rand.Text()}
	challenge := sha256.Sum256([]byte(s.verifier))
	s.Address = "https://" + cloud.Login + "/" + url.PathEscape(s.tenant) + "/oauth2/v2.0/authorize?" + url.Values{
		"client_id": {adminClient}, "response_type": {"code"}, "redirect_uri": {adminRedirect}, "scope": {adminScope}, "state": {s.state},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"}, "prompt": {"select_account"},
	}.Encode()
	return s
}

// Redeem takes the address of the page that the sign-in ended on and returns the
// access token.
func (s *AdminSignIn) Redeem(ctx context.Context, n Network, pasted string) (string, error) {
	u, err := url.Parse(pasted)
	if err != nil || !strings.HasPrefix(pasted, adminRedirect+"?") {
		return "", fmt.Errorf("that is not the address of the last page, which begins with %s?", adminRedirect)
	}
	q := u.Query()
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(s.state)) != 1 {
		return "", errors.New("the address belongs to another sign-in: begin again")
	}
	if q.Get("error") != "" {
		return "", fmt.Errorf("the sign-in was refused: %.60q %.300q", q.Get("error"), q.Get("error_description"))
	}
	form := url.Values{
		"client_id": {adminClient}, "grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {adminRedirect},
		"code_verifier": {s.verifier}, "scope": {adminScope},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+s.cloud.Login+"/"+url.PathEscape(s.tenant)+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := n.client(nil).Do(req)
	if err != nil {
		return "", Explain(s.cloud.Login, err)
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil {
		return "", fmt.Errorf("%s answers %s without JSON", s.cloud.Login, resp.Status)
	}
	if answer.AccessToken == "" {
		return "", fmt.Errorf("%s gives no token: %.60q %.300q", s.cloud.Login, answer.Error, answer.Description)
	}
	return answer.AccessToken, nil
}
