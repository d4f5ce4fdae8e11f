package graphtest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// serveLogin is POST /{tenant}/oauth2/v2.0/token with client credentials.
func (s *Server) serveLogin(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if len(s.loginBad) > 0 {
		f := s.loginBad[0]
		s.loginBad = s.loginBad[1:]
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		if f.Location != "" {
			w.Header().Set("Location", f.Location)
		}
		if f.Body != "" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(f.Status)
			_, _ = w.Write([]byte(f.Body))
			return
		}
		loginError(w, f.Status, "temporarily_unavailable", 90033, f.Message)
		return
	}
	if r.Method != http.MethodPost || r.URL.RawQuery != "" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		loginError(w, http.StatusBadRequest, "invalid_request", 900144, "The request must be a posted form.")
		return
	}
	if r.URL.Path != "/"+s.cfg.Tenant+"/oauth2/v2.0/token" {
		loginError(w, http.StatusBadRequest, "invalid_request", 90002, "Tenant was not found.")
		return
	}
	if err := r.ParseForm(); err != nil {
		loginError(w, http.StatusBadRequest, "invalid_request", 900144, "The body is not a form.")
		return
	}
	if r.PostForm.Get("grant_type") != "client_credentials" || r.PostForm.Get("scope") != s.graph.URL+"/.default" {
		loginError(w, http.StatusBadRequest, "invalid_scope", 70011, "The provided value for the input parameter 'scope' is not valid.")
		return
	}
	var app *App
	for i := range s.cfg.Apps {
		if s.cfg.Apps[i].ClientID == r.PostForm.Get("client_id") {
			app = &s.cfg.Apps[i]
		}
	}
	if app == nil {
		loginError(w, http.StatusBadRequest, "unauthorized_client", 700016, "Application was not found in the directory.")
		return
	}
	if code, msg := s.prove(app, r); code != 0 {
		loginError(w, http.StatusUnauthorized, "invalid_client", code, msg)
		return
	}
	raw := make([]byte, 24)
	_, _ = rand.Read(raw)
	token := "eyJ." + hex.EncodeToString(raw) + ".sig"
	s.tokens[token] = &issued{app, s.cfg.Now().Add(s.cfg.TokenLife)}
	answer(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": int(s.cfg.TokenLife / time.Second), "ext_expires_in": int(s.cfg.TokenLife / time.Second), "access_token": token})
}

// prove judges the application's credential; zero is good.
func (s *Server) prove(app *App, r *http.Request) (int, string) {
	if sent := r.PostForm.Get("client_secret"); sent != "" {
		if app.Secret == "" || sent != app.Secret {
			return 7000215, "Invalid client secret provided: '" + sent + "'."
		}
		return 0, ""
	}
	if r.PostForm.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
	}
	if err := s.judgeAssertion(app, r.PostForm.Get("client_assertion")); err != nil {
		return 700027, "The certificate with identifier used to sign the client assertion is not registered: " + err.Error()
	}
	return 0, ""
}

// judgeAssertion verifies a JWT by hand (RFC 7515, RFC 7523).
func (s *Server) judgeAssertion(app *App, jwt string) error {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return fmt.Errorf("%d parts", len(parts))
	}
	var raw [3][]byte
	for i, p := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(p)
		if err != nil {
			return err
		}
		raw[i] = b
	}
	var head struct {
		Alg string `json:"alg"`
		Typ string `json:"typ"`
		Sum string `json:"x5t#S256"`
	}
	var body struct {
		Aud any    `json:"aud"`
		Iss string `json:"iss"`
		Sub string `json:"sub"`
		ID  string `json:"jti"`
		Exp int64  `json:"exp"`
		Nbf int64  `json:"nbf"`
		Iat int64  `json:"iat"`
	}
	if err := json.Unmarshal(raw[0], &head); err != nil {
		return err
	}
	if err := json.Unmarshal(raw[1], &body); err != nil {
		return err
	}
	var pub *rsa.PublicKey
	for _, c := range app.Certificates {
		sum := sha256.Sum256(c.Raw)
		if base64.RawURLEncoding.EncodeToString(sum[:]) == head.Sum {
			pub, _ = c.PublicKey.(*rsa.PublicKey)
		}
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	now := s.cfg.Now().Unix()
	aud, _ := body.Aud.(string)
	if list, ok := body.Aud.([]any); ok && len(list) == 1 {
		aud, _ = list[0].(string)
	}
	switch {
	case head.Alg != "PS256" || head.Typ != "JWT":
		return fmt.Errorf("alg %q typ %q", head.Alg, head.Typ)
	case pub == nil:
		return fmt.Errorf("thumbprint %q", head.Sum)
	case rsa.VerifyPSS(pub, crypto.SHA256, digest[:], raw[2], &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}) != nil:
		return fmt.Errorf("signature")
	case aud != s.login.URL+"/"+s.cfg.Tenant+"/oauth2/v2.0/token":
		return fmt.Errorf("aud %q", aud)
	case body.Iss != app.ClientID || body.Sub != app.ClientID:
		return fmt.Errorf("iss %q sub %q", body.Iss, body.Sub)
	case len(body.ID) < 16 || s.used[body.ID]:
		return fmt.Errorf("jti %q", body.ID)
	case body.Nbf == 0 || body.Iat == 0 || now < body.Nbf || now >= body.Exp || body.Exp-body.Nbf > 600:
		return fmt.Errorf("times")
	}
	s.used[body.ID] = true
	return nil
}

func loginError(w http.ResponseWriter, status int, code string, number int, msg string) {
	answer(w, status, map[string]any{
		"error": code, "error_description": "AADSTS" + strconv.Itoa(number) + ": " + msg + "\r\nTrace ID: 0000\r\nCorrelation ID: 0000",
		"error_codes": []int{number}, "timestamp": "2026-11-26 00:00:00Z", "trace_id": "11111111-2222-4333-8444-555555555555",
	})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
