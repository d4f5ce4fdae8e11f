package pages

import (
	"net/http"
	"strconv"
	"strings"
)

// LanguageCookie remembers the language that a person chose.
const LanguageCookie = "__Host-sallyport-lang"

// LanguageField is the query parameter or form field that chooses a language.
const LanguageField = "lang"

// maxAcceptLanguage bounds the work for one header; browsers send under 100 bytes.
const maxAcceptLanguage = 512

// Remember stores a person's choice of language in a cookie for a year. A code
// that is not one of ours is ignored.
func (s *Set) Remember(w http.ResponseWriter, code string) {
	if !known(code) {
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: LanguageCookie, Value: code, Path: "/", MaxAge: 365 * 24 * 60 * 60,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// choose finds the language of a request: choice in this request, earlier
// choice, setting, Accept-Language, English.
func (s *Set) choose(w http.ResponseWriter, r *http.Request, chosen string) *language {
	if lang, ok := s.languages[chosen]; ok {
		s.Remember(w, chosen)
		return lang
	}
	if strings.Contains(r.URL.RawQuery, LanguageField+"=") { // most queries are long and have none
		if code := r.URL.Query().Get(LanguageField); known(code) {
			s.Remember(w, code)
			return s.languages[code]
		}
	}
	if c, err := r.Cookie(LanguageCookie); err == nil && known(c.Value) {
		return s.languages[c.Value]
	}
	if s.cfg.Language != "" {
		return s.languages[s.cfg.Language]
	}
	return s.languages[acceptLanguage(r.Header.Get("Accept-Language"))]
}

// acceptLanguage picks the best of our languages by RFC 9110 section 12.5.4; the
// primary subtag decides, so nl-BE is nl. Ties go to the one that stands first.
func acceptLanguage(header string) string {
	if len(header) > maxAcceptLanguage {
		header = header[:maxAcceptLanguage]
	}
	best, bestQ := fallback, 0.0
	for item := range strings.SplitSeq(header, ",") {
		tag, params, _ := strings.Cut(item, ";")
		primary, _, _ := strings.Cut(strings.TrimSpace(tag), "-")
		primary = strings.ToLower(primary)
		if primary == "*" {
			primary = fallback
		}
		if q := quality(params); known(primary) && q > bestQ {
			best, bestQ = primary, q
		}
	}
	return best
}

// quality reads the weight of a language range; what is no weight counts as 0,
// a missing one as 1.
func quality(params string) float64 {
	params = strings.TrimSpace(params)
	if params == "" {
		return 1
	}
	value, ok := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(params, " ", "")), "q=")
	if !ok || len(value) > 5 {
		return 0
	}
	q, err := strconv.ParseFloat(value, 64)
	if err != nil || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}
