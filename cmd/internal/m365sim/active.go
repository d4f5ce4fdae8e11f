package m365sim

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/beevik/etree"
)

// The active side: what a client without a browser asks of the cloud. Realm
// discovery tells it where the domain's MEX is, and the token endpoint takes the
// assertion that the domain gave it (RFC 7522 and its predecessor for SAML 1.1).

const (
	grantSAML11 = "urn:ietf:params:oauth:grant-type:saml1_1-bearer"
	methodText  = "urn:oasis:names:tc:SAML:1.0:am:password"
	// tenantID names the stand-in's only tenant.
	tenantID = "7f0c1c5e-6d6a-4f0e-9a43-d0c0ffee0001"
	// tokenIssuer is what clients hold against the authority that they asked.
	tokenIssuer = "https://login.microsoftonline.com/" + tenantID + "/v2.0"
)

// active adds the routes. Clients spell userrealm in two ways.
func (s *Sim) active(m *http.ServeMux) {
	for _, name := range []string{"userrealm", "UserRealm"} {
		m.HandleFunc("GET /common/"+name+"/{user}", s.userRealm)
	}
	m.HandleFunc("GET /common/discovery/instance", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]any{
			"tenant_discovery_endpoint": s.authority() + "/v2.0/.well-known/openid-configuration", "metadata": []any{},
		})
	})
	m.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		a := s.authority()
		reply(w, http.StatusOK, map[string]any{
			"issuer": tokenIssuer, "authorization_endpoint": a + "/oauth2/v2.0/authorize", "token_endpoint": a + "/oauth2/v2.0/token",
			"jwks_uri": a + "/discovery/v2.0/keys", "device_authorization_endpoint": a + "/oauth2/v2.0/devicecode",
		})
	})
	m.HandleFunc("POST /{tenant}/oauth2/v2.0/token", s.takeAssertion)
}

// authority is the tenant's address.
func (s *Sim) authority() string { return s.origins[0] + "/" + tenantID }

// Authority is the address that MSAL is given as the authority.
func (s *Sim) Authority() string { return s.origins[0] + "/organizations" }

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// userRealm is realm discovery in version 1.0 as MSAL reads it.
func (s *Sim) userRealm(w http.ResponseWriter, r *http.Request) {
	upn := r.PathValue("user")
	if r.URL.Query().Get("api-version") != "1.0" {
		reply(w, http.StatusBadRequest, map[string]any{"error": "api-version is not 1.0"})
		return
	}
	answer := map[string]any{
		"ver": "1.0", "account_type": "Unknown", "cloud_instance_name": "microsoftonline.com", "cloud_audience_urn": microsoftOnline,
	}
	if d, ok := s.domainFor(upn); ok {
		answer["domain_name"], answer["account_type"] = d.Name, "Managed"
		if d.Federated {
			answer["account_type"] = "Federated"
			answer["federation_protocol"] = "WSTrust"
			answer["federation_metadata_url"], answer["federation_active_auth_url"] = d.MetadataExchangeURI, d.ActiveSignInURI
		}
	}
	reply(w, http.StatusOK, answer)
}

// takeAssertion is the token endpoint.
func (s *Sim) takeAssertion(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	v := &Verdict{At: s.now(), Active: true}
	if err := r.ParseForm(); err != nil {
		v.Code, v.Why = "AADSTS900144", "the form cannot be read: "+err.Error()
	} else {
		s.judgeGrant(v, r.PostForm)
	}
	s.keep(v)
	if !v.OK() {
		reply(w, http.StatusBadRequest, map[string]any{
			"error": "invalid_grant", "error_description": v.Code + ": " + v.Why, "error_codes": []string{strings.TrimPrefix(v.Code, "AADSTS")},
			"timestamp": v.At.UTC().Format("2006-01-02 15:04:05Z"),
		})
		return
	}
	now := v.At.Unix()
	id := map[string]any{
		"aud": r.PostForm.Get("client_id"), "iss": tokenIssuer, "iat": now, "nbf": now, "exp": now + 3600, "ver": "2.0",
		"tid": tenantID, "oid": v.ImmutableID, "sub": v.ImmutableID, "preferred_username": v.UPN, "name": v.DisplayName,
	}
	reply(w, http.StatusOK, map[string]any{
		"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "scope": r.PostForm.Get("scope"),
		"access_token": "stand-in." + randomText(32), "refresh_token": "stand-in." + randomText(32),
		"id_token":    part(map[string]any{"alg": "none", "typ": "JWT"}) + "." + part(id) + ".",
		"client_info": part(map[string]any{"uid": v.ImmutableID, "utid": tenantID}),
	})
}

// part encodes one part of a JSON web token, which is signed by nobody here.
func part(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func (s *Sim) judgeGrant(v *Verdict, form url.Values) {
	for name, values := range form {
		if len(values) != 1 {
			v.Code, v.Why = "AADSTS900144", "field "+name+" stands several times"
			return
		}
	}
	if grant := form.Get("grant_type"); grant != grantSAML11 {
		v.Code, v.Why = "AADSTS70003", "grant_type is not "+grantSAML11
		return
	}
	if form.Get("client_id") == "" || !strings.Contains(form.Get("scope"), "openid") {
		v.Code, v.Why = "AADSTS900144", "client_id or the scope openid is missing"
		return
	}
	s.mu.Lock()
	j := &judge{v: v, now: v.At, domains: s.domains, users: s.users, active: true}
	s.mu.Unlock()
	j.runGrant(form.Get("assertion"))
}

// runGrant applies the rules of login.srf to an assertion without its frame.
func (j *judge) runGrant(encoded string) {
	j.steps([]step{
		{"the assertion is base64, URL-safe or standard, of one SAML 1.1 assertion", func() error { return j.grant(encoded) }},
		{"the signature verifies with a certificate that the domain has registered", j.signature},
		{"the assertion has the shape that [MS-MWBF] 2.2.4.2 asks for", j.shape},
		{"the issuer is the domain's issuerUri, character for character", j.issuer},
		{"the audience is one of Microsoft 365's identifiers", j.audience},
		{"the token is valid now and lives at most an hour", j.times},
		{"both subjects are equal: unspecified NameIdentifier, bearer", j.subjects},
		{"ImmutableID names a user of the tenant, UPN lies in the issuer's domain", j.identity},
		{"the method is a password's", j.method},
		{"no claim twice, no instruction sent as a claim", j.claims},
	})
}

func (j *judge) grant(encoded string) error {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		raw, err = base64.StdEncoding.DecodeString(encoded)
	}
	if err != nil || len(raw) == 0 {
		return refuse("AADSTS50008", "the assertion is not base64")
	}
	text := string(raw)
	if strings.Contains(text, "<!") || strings.Contains(text, "<?") {
		return refuse("AADSTS50008", "the assertion holds a declaration, comment or processing instruction")
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromString(text); err != nil || doc.Root() == nil || len(doc.ChildElements()) != 1 {
		return refuse("AADSTS50008", "the assertion is not one XML element: %v", err)
	}
	if !is(doc.Root(), nsSAML, "Assertion") {
		return refuse("AADSTS50008", "the root is {%s}%s", doc.Root().NamespaceURI(), doc.Root().Tag)
	}
	if !strings.HasPrefix(text, "<saml:Assertion xmlns:saml=") {
		return refuse("AADSTS50008", "xmlns:saml does not stand on the assertion itself, where clients look for its version")
	}
	j.assertion, j.v.Token = doc.Root(), text
	return nil
}
