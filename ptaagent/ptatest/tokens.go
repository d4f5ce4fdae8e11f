package ptatest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// What the documentation names for registering a connector (3.1).
const (
	clientID   = "55747057-9b5d-4bd4-b387-abf52a8bd489"
	wizardID   = "cb1056e2-e479-49de-ae31-7812af012ed8"
	resource   = "https://proxy.cloudwebappproxy.net/registerapp"
	scope      = resource + "/user_impersonation"
	nativeAddr = "https://login.microsoftonline.com/common/oauth2/nativeclient"
)

// grant is what an access token stands for.
type grant struct {
	tenant string
	admin  bool
	graph  bool // for Microsoft Graph
	until  time.Time
}

// code is a pending authorization or device code.
type code struct {
	client, redirect, challenge string
	until                       time.Time
}

// AdminToken is an access token for the registration, as an administrator of
// the tenant gets it; good for an hour.
func (c *Cloud) AdminToken() string { return c.Token(c.Tenant, true) }

// GraphToken is an access token for Microsoft Graph of a person who may read the
// tenant's agents; good for an hour.
func (c *Cloud) GraphToken() string {
	return c.issueToken("https://"+graphHost, grant{tenant: c.Tenant, graph: true})
}

// Token is an access token for the registration, of any tenant, of an administrator
// or a plain user.
func (c *Cloud) Token(tenant string, admin bool) string {
	return c.issueToken(resource, grant{tenant: tenant, admin: admin})
}

func (c *Cloud) issueToken(audience string, g grant) string {
	now, tenant := c.now(), g.tenant
	payload, _ := json.Marshal(map[string]any{
		"aud": audience, "iss": "https://sts.windows.net/" + tenant + "/", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"appid": clientID, "scp": "user_impersonation", "tid": tenant, "upn": "admin@contoso.test", "ver": "1.0",
	})
	sig := make([]byte, 32)
	_, _ = rand.Read(sig)
	enc := base64.RawURLEncoding.EncodeToString
	t := enc([]byte(`{"typ":"JWT","alg":"RS256"}`)) + "." + enc(payload) + "." + enc(sig)
	c.mu.Lock()
	defer c.mu.Unlock()
	g.until = now.Add(time.Hour)
	c.tokens[t] = g
	return t
}

// allowed judges an access token.
func (c *Cloud) allowed(part, token string) error {
	c.mu.Lock()
	g, ok := c.tokens[token]
	c.mu.Unlock()
	switch {
	case !ok:
		return c.diary.refuse(part, "unknown access token (3.1)")
	case g.tenant != c.Tenant:
		return c.diary.refuse(part, "access token of tenant %s (3.1)", g.tenant)
	case !g.admin:
		return c.diary.refuse(part, "the access token's user is no Hybrid Identity Administrator (3.1)")
	case !c.now().Before(g.until):
		return c.diary.refuse(part, "access token expired at %s (3.1)", g.until.UTC().Format(time.RFC3339))
	}
	return nil
}

// mayRead judges an access token for Microsoft Graph.
func (c *Cloud) mayRead(part, token string) error {
	c.mu.Lock()
	g := c.tokens[token]
	c.mu.Unlock()
	if !g.graph || g.tenant != c.Tenant || !c.now().Before(g.until) {
		return c.diary.refuse(part, "unknown or expired access token for Microsoft Graph (4)")
	}
	return nil
}

var challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// login plays the token service.
func (c *Cloud) login(w http.ResponseWriter, r *http.Request) {
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case path == "oauth2/v2.0/authorize" && r.Method == http.MethodGet:
		c.authorize(w, r)
	case path == "oauth2/v2.0/token" && r.Method == http.MethodPost:
		c.redeem(w, r)
	case path == "oauth2/v2.0/devicecode" && r.Method == http.MethodPost && c.policy.DeviceCode:
		c.device(w, r)
	default:
		http.NotFound(w, r)
	}
}

// authorize signs the administrator in without a question and redirects.
func (c *Cloud) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	const part = "token service"
	why := ""
	redirect := q.Get("redirect_uri")
	switch {
	case !slices.Contains([]string{clientID, wizardID}, q.Get("client_id")):
		why = "client_id " + q.Get("client_id")
	case q.Get("response_type") != "code":
		why = "response_type " + q.Get("response_type")
	case !c.goodRedirect(redirect):
		why = "redirect_uri " + redirect
	case !slices.Contains(strings.Fields(q.Get("scope")), scope):
		why = "scope " + q.Get("scope")
	case len(q.Get("state")) < 16:
		why = "state of less than 16 characters"
	case q.Get("code_challenge_method") != "S256" || !challengeForm.MatchString(q.Get("code_challenge")):
		why = "no PKCE with S256"
	}
	if why != "" {
		http.Error(w, c.diary.refuse(part, "authorize: %s (3.1)", why).Error(), http.StatusBadRequest)
		return
	}
	id := newKey()
	c.mu.Lock()
	c.codes[id] = code{client: q.Get("client_id"), redirect: redirect, challenge: q.Get("code_challenge"), until: c.now().Add(10 * time.Minute)}
	c.mu.Unlock()
	u, _ := url.Parse(redirect)
	u.RawQuery = url.Values{"code": {id}, "state": {q.Get("state")}, "session_state": {newGUID()}}.Encode()
	http.Redirect(w, r, u.String(), http.StatusFound)
}

func (c *Cloud) goodRedirect(s string) bool {
	if s == nativeAddr {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && c.policy.Loopback && u.Scheme == "http" && (u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1")
}

// redeem trades a code for an access token.
func (c *Cloud) redeem(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		oauthError(w, "invalid_request", "AADSTS900144: the body is no form")
		return
	}
	f := r.PostForm
	var from map[string]code
	var id string
	switch f.Get("grant_type") {
	case "authorization_code":
		from, id = c.codes, f.Get("code")
	case "urn:ietf:params:oauth:grant-type:device_code":
		from, id = c.devices, f.Get("device_code")
	default:
		oauthError(w, "unsupported_grant_type", "AADSTS70003: "+c.diary.refuse("token service", "grant_type %q (3.1)", clip(f.Get("grant_type"))).Error())
		return
	}
	c.mu.Lock()
	k, ok := from[id]
	delete(from, id)
	c.mu.Unlock()
	sum := sha256.Sum256([]byte(f.Get("code_verifier")))
	why := ""
	switch {
	case !ok || !c.now().Before(k.until):
		why = "unknown, used or expired code"
	case f.Get("client_id") != k.client:
		why = "another client_id"
	case f.Get("redirect_uri") != k.redirect:
		why = "another redirect_uri"
	case k.challenge != "" && base64.RawURLEncoding.EncodeToString(sum[:]) != k.challenge:
		why = "code_verifier does not fit"
	case f.Get("client_secret") != "":
		why = "a secret from a public client"
	}
	if why != "" {
		oauthError(w, "invalid_grant", "AADSTS70008: "+c.diary.refuse("token service", "token: %s (3.1)", why).Error())
		return
	}
	sendJSON(w, http.StatusOK, map[string]any{"token_type": "Bearer", "scope": scope, "expires_in": 3599, "ext_expires_in": 3599, "access_token": c.AdminToken()})
}

// device hands out a device code that is good at once.
func (c *Cloud) device(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil || r.PostForm.Get("client_id") != clientID || !slices.Contains(strings.Fields(r.PostForm.Get("scope")), scope) {
		oauthError(w, "invalid_request", c.diary.refuse("token service", "device code: client or scope (3.1)").Error())
		return
	}
	id := newKey()
	c.mu.Lock()
	c.devices[id] = code{client: clientID, until: c.now().Add(15 * time.Minute)}
	c.mu.Unlock()
	sendJSON(w, http.StatusOK, map[string]any{
		"device_code": id, "user_code": "ABCD1234", "verification_uri": "https://login.microsoftonline.com/device", "expires_in": 900, "interval": 1,
		"message": "To sign in, open https://login.microsoftonline.com/device and enter the code ABCD1234.",
	})
}

func oauthError(w http.ResponseWriter, name, description string) {
	sendJSON(w, http.StatusBadRequest, map[string]any{"error": name, "error_description": description, "trace_id": newGUID(), "correlation_id": newGUID()})
}

func sendJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
