package m365sim

import (
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"
)

// discardLog swallows what net/http says about clients that do not trust the
// demo's certificate.
var discardLog = log.New(io.Discard, "", 0)

// maxForm is the greatest body that login.srf reads, in bytes.
const maxForm = 256 << 10

const portalCookie = "__Host-sim-portal"

// loginOrigin is the stand-in's sign-in service.
func (s *Sim) loginOrigin() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", s.askName)
	m.HandleFunc("POST /{$}", s.takeName)
	m.HandleFunc("GET /managed", s.askPassword)
	m.HandleFunc("POST /managed", s.takePassword)
	m.HandleFunc("POST /login.srf", s.takeToken)
	m.HandleFunc("GET /login.srf", s.cleanup)
	m.HandleFunc("GET /logout", s.logout)
	s.active(m)
	return s.common(m)
}

// hopOrigin only redirects on, as Microsoft's hosts may after login.srf.
func (s *Sim) hopOrigin() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /continue", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, s.origins[2]+"/?code="+url.QueryEscape(r.URL.Query().Get("code")), http.StatusFound)
	})
	return s.common(m)
}

// portalOrigin is the application: it shows who is signed in.
func (s *Sim) portalOrigin() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", s.portal)
	return s.common(m)
}

func (s *Sim) common(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-sim'; base-uri 'none'")
		h.ServeHTTP(w, r)
	})
}

func (s *Sim) askName(w http.ResponseWriter, _ *http.Request) {
	s.render(w, http.StatusOK, "name", map[string]any{"Hint": s.hint})
}

// takeName is realm discovery: a federated domain's user is sent to it.
func (s *Sim) takeName(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4096)
	upn := strings.TrimSpace(r.PostFormValue("loginfmt"))
	d, ok := s.domainFor(upn)
	if !ok || !d.Federated {
		s.render(w, http.StatusOK, "name", map[string]any{
			"Hint": s.hint, "Name": upn, "Problem": "This user name may be incorrect, or its domain is not federated.",
		})
		return
	}
	if r.PostFormValue("protocol") == "saml" {
		s.postSAML(w, d, r.PostFormValue("prompt") == "login")
		return
	}
	target, err := s.authURL(d, upn, r.PostFormValue("prompt") == "login", r.PostFormValue("mfa") == "1")
	if err != nil {
		s.render(w, http.StatusInternalServerError, "name", map[string]any{"Problem": err.Error()})
		return
	}
	http.Redirect(w, r, target, http.StatusFound)
}

// takeToken is login.srf: the answer of the domain's identity provider.
func (s *Sim) takeToken(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	v := &Verdict{At: s.now()}
	if err := r.ParseForm(); err != nil {
		v.Code, v.Why = "AADSTS20012", "the form cannot be read: "+err.Error()
	} else {
		s.judgeForm(v, r.PostForm)
	}
	s.keep(v)
	if !v.OK() {
		s.render(w, http.StatusOK, "refused", map[string]any{"V": v})
		return
	}
	code := randomText(24)
	s.mu.Lock()
	s.codes[code] = v
	s.mu.Unlock()
	http.Redirect(w, r, s.origins[1]+"/continue?code="+code, http.StatusFound)
}

func (s *Sim) judgeForm(v *Verdict, form url.Values) {
	for name, values := range form {
		if len(values) != 1 {
			v.Code, v.Why = "AADSTS20012", "field "+name+" stands several times"
			return
		}
	}
	if form.Has("SAMLResponse") && !form.Has("wa") {
		s.judgeSAML(v, form)
		return
	}
	if form.Get("wa") != "wsignin1.0" {
		v.Code, v.Why = "AADSTS20012", "wa is not wsignin1.0"
		return
	}
	_, blob, _ := strings.Cut(form.Get("wctx"), "estsrequest=")
	s.mu.Lock()
	want, known := s.pending[blob]
	delete(s.pending, blob)
	j := &judge{v: v, now: v.At, domains: s.domains, users: s.users, want: want}
	s.mu.Unlock()
	if !known || want.wctx != form.Get("wctx") {
		v.Code, v.Why = "AADSTS50089", "wctx is not the one that was sent, byte for byte, or was used before"
		return
	}
	j.run(form.Get("wresult"))
}

func (s *Sim) keep(v *Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.verdicts) >= maxKept {
		s.verdicts = s.verdicts[1:]
	}
	s.verdicts = append(s.verdicts, v)
	for _, m := range []map[string]*Verdict{s.codes, s.sessions} {
		if len(m) >= maxKept {
			clear(m)
		}
	}
}

// portal exchanges the one-time code for a session and shows the person.
func (s *Sim) portal(w http.ResponseWriter, r *http.Request) {
	if code := r.URL.Query().Get("code"); code != "" {
		s.mu.Lock()
		v := s.codes[code]
		delete(s.codes, code)
		id := randomText(24)
		if v != nil {
			s.sessions[id] = v
		}
		s.mu.Unlock()
		if v != nil {
			http.SetCookie(w, &http.Cookie{Name: portalCookie, Value: id, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		}
		http.Redirect(w, r, s.origins[2]+"/", http.StatusFound)
		return
	}
	var v *Verdict
	if c, err := r.Cookie(portalCookie); err == nil {
		s.mu.Lock()
		v = s.sessions[c.Value]
		s.mu.Unlock()
	}
	if v == nil {
		http.Redirect(w, r, s.origins[0]+"/", http.StatusFound)
		return
	}
	s.render(w, http.StatusOK, "portal", map[string]any{"V": v, "SignOut": s.origins[0] + "/logout?session=" + url.QueryEscape(sessionName(r))})
}

// sessionName hands the portal's session to the sign-out of the login origin,
// which cannot read the portal's cookie when hosts differ.
func sessionName(r *http.Request) string {
	c, err := r.Cookie(portalCookie)
	if err != nil {
		return ""
	}
	return c.Value
}

// logout ends the session here and sends the browser to the domain's signOutUri.
func (s *Sim) logout(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("session")
	s.mu.Lock()
	v := s.sessions[id]
	delete(s.sessions, id)
	s.mu.Unlock()
	if v != nil {
		if d, ok := s.domainFor("x@" + v.Domain); ok && d.SignOutURI != "" {
			http.Redirect(w, r, d.SignOutURI+"?wa=wsignout1.0", http.StatusFound)
			return
		}
	}
	http.Redirect(w, r, s.origins[0]+"/", http.StatusFound)
}

// cleanup answers wsignoutcleanup1.0 from the identity provider's hidden frame.
func (s *Sim) cleanup(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("wa") != "wsignoutcleanup1.0" {
		http.Redirect(w, r, s.origins[0]+"/", http.StatusFound)
		return
	}
	s.mu.Lock()
	s.cleanups++
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "signed out\n")
}

// Cleanups counts the wsignoutcleanup1.0 requests so far.
func (s *Sim) Cleanups() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cleanups
}
