package graphtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	fedRead   = "Domain-InternalFederation.Read.All"
	fedWrite  = "Domain-InternalFederation.ReadWrite.All"
	domRead   = "Domain.Read.All"
	domWrite  = "Domain.ReadWrite.All"
	requestID = "99999999-8888-4777-8666-555555555555"
)

// serveGraph is /v1.0 and the one resource of /beta.
func (s *Server) serveGraph(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	s.mu.Lock()
	var then func()
	defer func() {
		s.mu.Unlock()
		if then != nil {
			then()
		}
	}()
	if r.Method != http.MethodGet {
		then, s.onWrite = s.onWrite, nil
	}
	s.requests = append(s.requests, Request{r.Method, r.URL.RequestURI(), string(body)})
	w.Header().Set("request-id", requestID)
	t := s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if t == nil || !s.cfg.Now().Before(t.end) {
		graphError(w, http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.")
		return
	}
	f := s.fault(r)
	if f != nil && !f.After {
		spoil(w, f)
		return
	}
	if f != nil {
		s.route(discard{http.Header{}}, r, body, t.app)
		spoil(w, f)
		return
	}
	s.route(w, r, body, t.app)
}

// discard makes the change and throws the answer away.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func (s *Server) fault(r *http.Request) *Fault {
	for i, f := range s.faults {
		if f.Method != "" && f.Method != r.Method || !strings.Contains(r.URL.Path, f.Path) {
			continue
		}
		if f.Times--; f.Times == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		return f
	}
	return nil
}

func spoil(w http.ResponseWriter, f *Fault) {
	if f.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	if f.Location != "" {
		w.Header().Set("Location", f.Location)
	}
	if f.Body != "" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Body)
		return
	}
	graphError(w, f.Status, map[int]string{429: "TooManyRequests", 503: "serviceNotAvailable", 409: "Request_Conflict"}[f.Status], f.Message)
}

func graphError(w http.ResponseWriter, status int, code, msg string) {
	if code == "" {
		code = "UnknownError"
	}
	answer(w, status, map[string]any{"error": map[string]any{"code": code, "message": msg, "innerError": map[string]any{
		"date": "2026-11-26T00:00:00", "request-id": requestID, "client-request-id": requestID,
	}}})
}

func (s *Server) route(w http.ResponseWriter, r *http.Request, body []byte, app *App) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	path := strings.Join(parts[1:], "/")
	read, write := []string{domRead, domWrite, fedRead, fedWrite}, []string{domWrite, fedWrite}
	switch {
	case path == "policies/federatedTokenValidationPolicy" && r.Method == http.MethodGet && (parts[0] == "beta" || !s.cfg.PolicyOnlyBeta):
		if allowed(w, app, "Policy.Read.All") {
			s.policy(w)
		}
	case parts[0] != "v1.0":
		graphError(w, http.StatusNotFound, "ResourceNotFound", "Resource not found for the segment.")
	case path == "domains" && r.Method == http.MethodGet:
		if allowed(w, app, domRead, domWrite) {
			s.list(w, r)
		}
	case strings.HasPrefix(path, "directoryRoles(roleTemplateId='62e90394-69f5-4237-9190-012177145e10')/members"):
		if allowed(w, app, "RoleManagement.Read.Directory") {
			s.admins(w, r)
		}
	case len(parts) >= 3 && parts[1] == "domains":
		d := s.find(parts[2])
		if d == nil {
			graphError(w, http.StatusNotFound, "Request_ResourceNotFound", "Resource '"+parts[2]+"' does not exist.")
			return
		}
		sub := strings.Join(parts[3:], "/")
		switch {
		case sub == "" && r.Method == http.MethodGet:
			if allowed(w, app, domRead, domWrite) {
				answer(w, http.StatusOK, s.seen(d, ofDomain).json())
			}
		case sub == "" && r.Method == http.MethodPatch:
			if allowed(w, app, domWrite) && allowed(w, app, fedWrite) {
				s.setType(w, d, body)
			}
		case sub == "federationConfiguration" && r.Method == http.MethodGet:
			if r.URL.RawQuery != "" {
				graphError(w, http.StatusBadRequest, "BadRequest", "OData query parameters are not supported.")
			} else if allowed(w, app, read...) {
				s.settings(w, d)
			}
		case sub == "federationConfiguration" && r.Method == http.MethodPost:
			if allowed(w, app, write...) {
				s.create(w, r, d, body)
			}
		case strings.HasPrefix(sub, "federationConfiguration/"):
			if allowed(w, app, write...) {
				s.change(w, r, d, strings.TrimPrefix(sub, "federationConfiguration/"), body)
			}
		default:
			graphError(w, http.StatusMethodNotAllowed, "Request_BadRequest", "Not supported.")
		}
	default:
		graphError(w, http.StatusNotFound, "ResourceNotFound", "Resource not found for the segment.")
	}
}

func allowed(w http.ResponseWriter, app *App, roles ...string) bool {
	for _, r := range roles {
		if slices.Contains(app.Roles, r) {
			return true
		}
	}
	graphError(w, http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
	return false
}

func (s *Server) policy(w http.ResponseWriter) {
	kind := "#microsoft.graph.allDomains"
	if len(s.cfg.PolicyDomains) > 0 {
		kind = "#microsoft.graph.enumeratedDomains"
	}
	v := map[string]any{"@odata.type": kind, "rootDomains": s.cfg.RootDomains}
	if len(s.cfg.PolicyDomains) > 0 {
		v["domainNames"] = s.cfg.PolicyDomains
	}
	answer(w, http.StatusOK, map[string]any{"@odata.context": s.graph.URL + "/$metadata", "id": requestID, "deletedDateTime": nil, "validatingDomains": v})
}

// page writes one page of a list, with a link to the next one.
func (s *Server) page(w http.ResponseWriter, r *http.Request, items []any) {
	skip, _ := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
	end := min(skip+s.cfg.PageSize, len(items))
	v := map[string]any{"@odata.context": s.graph.URL + "/$metadata", "value": items[min(skip, end):end]}
	if end < len(items) {
		q := r.URL.Query()
		q.Set("$skiptoken", strconv.Itoa(end))
		v["@odata.nextLink"] = s.graph.URL + r.URL.Path + "?" + q.Encode()
	}
	answer(w, http.StatusOK, v)
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	items := []any{}
	for _, d := range s.domains {
		items = append(items, s.seen(d, ofDomain).json())
	}
	s.page(w, r, items)
}

func (s *Server) admins(w http.ResponseWriter, r *http.Request) {
	items := []any{}
	for i, upn := range s.cfg.Admins {
		items = append(items, map[string]any{"@odata.type": "#microsoft.graph.user", "id": fmt.Sprint(i), "userPrincipalName": upn, "accountEnabled": true})
	}
	// A service principal may hold the role as well.
	items = append(items, map[string]any{"@odata.type": "#microsoft.graph.servicePrincipal", "id": "sp"})
	s.page(w, r, items)
}

// The kinds of reads.
const (
	ofDomain = iota
	ofSettings
)

// seen is the state that this read gets.
func (s *Server) seen(d *held, kind int) Domain {
	if d.stale[kind] > 0 {
		if d.stale[kind]--; d.stale[kind]%2 == 1 {
			return d.before
		}
	}
	return d.Domain
}

// write changes a domain; older reads go on for a while.
func (s *Server) write(d *held, next Domain) {
	d.before, d.Domain = d.Domain, next
	d.stale = [2]int{2 * s.cfg.StaleReads, 2 * s.cfg.StaleReads}
}

func (d Domain) json() map[string]any {
	kind := "Managed"
	if d.Federated {
		kind = "Federated"
	}
	return map[string]any{
		"id": d.Name, "authenticationType": kind, "availabilityStatus": nil, "isAdminManaged": true, "isDefault": d.Default,
		"isInitial": d.Initial, "isRoot": !d.Sub, "isVerified": !d.Unverified, "supportedServices": []string{"Email"},
		"passwordValidityPeriodInDays": 2147483647, "state": nil,
	}
}

func (s *Server) settings(w http.ResponseWriter, d *held) {
	list := []any{}
	if seen := s.seen(d, ofSettings); seen.Settings != nil {
		list = append(list, seen.Settings)
	}
	answer(w, http.StatusOK, map[string]any{"@odata.context": s.graph.URL + "/$metadata", "value": list})
}

func (s *Server) setType(w http.ResponseWriter, d *held, body []byte) {
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil || len(m) != 1 || m["authenticationType"] != "Managed" {
		graphError(w, http.StatusBadRequest, "Request_BadRequest", "Only a change to Managed is known here.")
		return
	}
	next := d.Domain
	next.Federated, next.Settings = false, nil
	s.write(d, next)
	w.WriteHeader(http.StatusNoContent)
}
