package graphtest

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// SettingsID is the id of every internalDomainFederation here.
const SettingsID = "6601d14b-d113-8f64-fda2-9b5ddda18ecc"

// members are the writable properties and what is allowed in them.
var members = map[string]func(v any) string{
	"@odata.type": func(v any) string { return oneOf(v, "#microsoft.graph.internalDomainFederation") },
	"displayName": text, "issuerUri": absolute, "passiveSignInUri": https, "activeSignInUri": https, "metadataExchangeUri": https,
	"signOutUri": https, "passwordResetUri": https, "signingCertificate": certificate, "nextSigningCertificate": certificate,
	"preferredAuthenticationProtocol": func(v any) string { return oneOf(v, "wsFed", "saml") },
	"promptLoginBehavior": func(v any) string {
		return oneOf(v, "translateToFreshPasswordAuthentication", "nativeSupport", "disabled")
	},
	"federatedIdpMfaBehavior": func(v any) string {
		return oneOf(v, "acceptIfMfaDoneByFederatedIdp", "enforceMfaByFederatedIdp", "rejectMfaByFederatedIdp")
	},
	"isSignedAuthenticationRequestRequired": func(v any) string {
		if _, ok := v.(bool); !ok {
			return "not a boolean"
		}
		return ""
	},
}

func text(v any) string {
	if s, ok := v.(string); !ok || s == "" {
		return "not a text"
	}
	return ""
}

func absolute(v any) string {
	s, _ := v.(string)
	if u, err := url.Parse(s); err != nil || u.Scheme == "" {
		return "not an absolute URI"
	}
	return ""
}

func https(v any) string {
	s, _ := v.(string)
	if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host == "" {
		return "not an https address"
	}
	return ""
}

func certificate(v any) string {
	s, _ := v.(string)
	der, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n \t") {
		return "not base64 in one line"
	}
	if _, err := x509.ParseCertificate(der); err != nil {
		return "not a certificate"
	}
	return ""
}

func oneOf(v any, values ...string) string {
	for _, s := range values {
		if v == s {
			return ""
		}
	}
	return fmt.Sprintf("not one of %v", values)
}

// parse reads a body and says what Graph would not take.
func (s *Server) parse(r *http.Request, body []byte) (map[string]any, string) {
	if r.Header.Get("Content-Type") != "application/json" {
		return nil, "Content-Type is not application/json."
	}
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, "The body is not JSON."
	}
	for name, v := range m {
		check, ok := members[name]
		if !ok {
			return nil, "The property '" + name + "' does not exist on type 'microsoft.graph.internalDomainFederation'."
		}
		if v == nil && (name == "nextSigningCertificate" && !s.cfg.KeepsNext) {
			continue
		}
		if msg := check(v); msg != "" {
			return nil, "Invalid value specified for property '" + name + "': " + msg + "."
		}
	}
	return m, ""
}

// issuerTaken tells whether another domain has the issuer.
func (s *Server) issuerTaken(d *held, issuer any) bool {
	for _, o := range s.domains {
		if o != d && issuer != nil && o.Settings["issuerUri"] == issuer {
			return true
		}
	}
	return false
}

func (s *Server) create(w http.ResponseWriter, r *http.Request, d *held, body []byte) {
	m, msg := s.parse(r, body)
	for _, name := range []string{"issuerUri", "passiveSignInUri", "preferredAuthenticationProtocol", "federatedIdpMfaBehavior"} {
		if msg == "" && m[name] == nil {
			msg = "Property '" + name + "' is required."
		}
	}
	switch {
	case msg != "":
	case d.Federated:
		graphError(w, http.StatusConflict, "Request_Conflict", "Domain is already federated.")
		return
	case d.Initial || d.Default || d.Unverified || d.Sub:
		msg = "Domain cannot be federated."
	case s.issuerTaken(d, m["issuerUri"]):
		msg = "The issuerUri is in use by another domain."
	}
	if msg != "" {
		graphError(w, http.StatusBadRequest, "Request_BadRequest", msg)
		return
	}
	next := d.Domain
	next.Federated = true
	if m["signingCertificate"] == nil {
		// Seen at Microsoft: federated all the same, with nothing that can be read.
		s.write(d, next)
		graphError(w, http.StatusInternalServerError, "InternalServerError", "Internal error.")
		return
	}
	delete(m, "@odata.type")
	m["id"] = SettingsID
	next.Settings = m
	s.write(d, next)
	answer(w, http.StatusCreated, m)
}

func (s *Server) change(w http.ResponseWriter, r *http.Request, d *held, id string, body []byte) {
	if d.Settings == nil || d.Settings["id"] != id {
		graphError(w, http.StatusNotFound, "Request_ResourceNotFound", "Resource does not exist.")
		return
	}
	next := d.Domain
	switch r.Method {
	case http.MethodGet:
		answer(w, http.StatusOK, s.seen(d, ofSettings).Settings)
		return
	case http.MethodDelete:
		next.Federated, next.Settings = false, nil
		s.write(d, next)
		w.WriteHeader(http.StatusNoContent)
		return
	case http.MethodPatch:
	default:
		graphError(w, http.StatusMethodNotAllowed, "Request_BadRequest", "Not supported.")
		return
	}
	m, msg := s.parse(r, body)
	if msg == "" && m["issuerUri"] != nil && s.issuerTaken(d, m["issuerUri"]) {
		msg = "The issuerUri is in use by another domain."
	}
	if msg != "" {
		graphError(w, http.StatusBadRequest, "Request_BadRequest", msg)
		return
	}
	next.Settings = copied(d.Settings)
	for name, v := range m {
		if v == nil {
			delete(next.Settings, name)
			continue
		}
		next.Settings[name] = v
	}
	delete(next.Settings, "@odata.type")
	s.write(d, next)
	answer(w, http.StatusOK, next.Settings)
}
