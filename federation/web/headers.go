package web

import "net/http"

// DefaultCSP is the content security policy of every answer that does not set its
// own: nothing may be loaded, run, posted or framed.
const DefaultCSP = "default-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"

// securityHeaders sets what every answer has, errors included; a handler replaces
// what its page needs otherwise. X-Frame-Options repeats frame-ancestors for old
// engines; an answer that may be framed deletes it (see [AllowFrames]).
func securityHeaders(h http.Header) {
	h["Content-Security-Policy"] = []string{DefaultCSP}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["X-Frame-Options"] = []string{"DENY"}
	h["Referrer-Policy"] = []string{"no-referrer"}
	h["Cache-Control"] = []string{"no-store"}
	h["Strict-Transport-Security"] = []string{"max-age=31536000"}
	h["X-Robots-Tag"] = []string{"noindex"}
}

// AllowFrames lets pages of these origins frame the answer, which must hold no
// control. Without origins nobody may.
func AllowFrames(h http.Header, origins []string) {
	if len(origins) == 0 {
		return
	}
	csp := "default-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors"
	for _, o := range origins {
		csp += " " + o
	}
	h.Set("Content-Security-Policy", csp)
	h.Del("X-Frame-Options")
}
