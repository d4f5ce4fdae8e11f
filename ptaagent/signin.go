package ptaagent

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// What is public of the client that registers agents.
const (
	adminClient = "55747057-9b5d-4bd4-b387-abf52a8bd489"
	adminScope  = "https://proxy.cloudwebappproxy.net/registerapp/user_impersonation"
	nativePath  = "/common/oauth2/nativeclient"
)

// AdminSignIn is an administrator's sign-in in a browser: authorization code with
// PKCE (RFC 6749 §4.1, RFC 7636). It is used once.
type AdminSignIn struct {
	// Address is what to open in a browser.
	Address string

	token                     tokenService
	redirect, state, verifier string
}

// NewAdminSignIn begins a sign-in that ends on the cloud's own empty page, whose
// address the administrator copies. This is the redirection that public sources
// have seen to work.
func NewAdminSignIn(cloud Cloud, tenant string) *AdminSignIn {
	return newAdminSignIn(cloud, tenant, "https://"+cloud.Login+nativePath)
}

// NewLoopbackSignIn begins a sign-in that ends at a listener of this machine
// (RFC 8252 §7.3), which [AdminSignIn.Wait] serves. Whether the cloud redirects
// this public client there is not known.
func NewLoopbackSignIn(cloud Cloud, tenant string, l net.Listener) (*AdminSignIn, error) {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, err
	}
	return newAdminSignIn(cloud, tenant, "http://localhost:"+port), nil
}

func newAdminSignIn(cloud Cloud, tenant, redirect string) *AdminSignIn {
	s := &AdminSignIn{token: tokenService{cloud.Login, strings.ToLower(tenant)}, redirect: redirect, state: rand.Text(), verifier: rand.Text() + rand.Text()}
	challenge := sha256.Sum256([]byte(s.verifier))
	s.Address = s.token.address("authorize") + "?" + url.Values{
		"client_id": {adminClient}, "response_type": {"code"}, "redirect_uri": {redirect}, "scope": {adminScope}, "state": {s.state},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"}, "prompt": {"select_account"},
	}.Encode()
	return s
}

// Redeem takes the address of the page that the sign-in ended on and returns the
// access token. An address of another sign-in is refused (RFC 9700 §4.7).
func (s *AdminSignIn) Redeem(ctx context.Context, n Network, pasted string) (string, error) {
	rest, ok := strings.CutPrefix(pasted, s.redirect)
	query, isQuery := strings.CutPrefix(strings.TrimPrefix(rest, "/"), "?")
	if !ok || !isQuery {
		return "", fmt.Errorf("that is not the address of the last page, which begins with %s?", s.redirect)
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return "", errors.New("the address is damaged: copy the whole of it, from the browser's address bar")
	}
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(s.state)) != 1 {
		return "", errors.New("the address belongs to another sign-in: open the address that was printed last, and paste what follows from it")
	}
	if q.Get("error") != "" {
		return "", fmt.Errorf("the sign-in was refused: %.60q %.300q", q.Get("error"), q.Get("error_description"))
	}
	if q.Get("code") == "" {
		return "", errors.New("the address holds no code: copy the whole of it, from the browser's address bar")
	}
	answer, err := s.token.ask(ctx, n, "token", url.Values{
		"client_id": {adminClient}, "grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {s.redirect},
		"code_verifier": {s.verifier}, "scope": {adminScope},
	})
	if err != nil {
		return "", err
	}
	return answer.token(s.token.host)
}

// Wait serves the listener of [NewLoopbackSignIn] until the browser comes back
// with this sign-in's state, and returns the address that it came to. Others are
// turned away, so that no page can end the sign-in.
func (s *AdminSignIn) Wait(ctx context.Context, l net.Listener) (string, error) {
	came := make(chan string, 1)
	host := strings.TrimPrefix(s.redirect, "http://")
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.Method != http.MethodGet || r.URL.Path != "/" || r.Host != host || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(s.state)) != 1 {
			http.Error(w, "This is not the end of the sign-in that sallyport waits for.", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Referrer-Policy", "no-referrer")
		_, _ = fmt.Fprintln(w, "Signed in. Close this window and go back to the terminal.")
		select {
		case came <- s.redirect + "/?" + r.URL.RawQuery:
		default:
		}
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = server.Shutdown(stop) // the page above is on its way
		_ = server.Close()
	}()
	select {
	case address := <-came:
		return address, nil
	case err := <-ended:
		return "", fmt.Errorf("waiting for the browser: %w", err)
	case <-ctx.Done():
		return "", fmt.Errorf("the browser did not come back: %w", ctx.Err())
	}
}
