package web

import "net/http"

// DefaultCSP is the content security policy of every answer that does not set its
// own: nothing may be loaded, run, posted or framed.
const DefaultCSP = "default-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"

// always are the headers of every answer. X-Frame-Options repeats frame-ancestors
// for old engines; an answer that may be framed deletes it (see [AllowFrames]).
// The slices are shared by all answers: Set and Add replace, never write, them.
var always = map[string][]string{
	"Content-Security-Policy":   {DefaultCSP},
	"X-Content-Type-Options":    {"nosniff"},
	"X-Frame-Options":           {"DENY"},
	"Referrer-Policy":           {"no-referrer"},
	"Cache-Control":             {"no-store"},
	"Strict-Transport-Security": {"max-age=31536000"}, // RFC 6797
	"X-Robots-Tag":              {"noindex"},
}

// securityHeaders sets what every answer has, errors included; a handler replaces
// what its page needs otherwise.
func securityHeaders(h http.Header) {
	for name, value := range always {
		h[name] = value
	}
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
