package pages

import (
	"net/http"
	"strconv"
	"strings"

	"sallyport/federation"
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

// choose finds the language of a request and remembers a choice that was made in it.
func (s *Set) choose(w http.ResponseWriter, r *http.Request, chosen string) *language {
	lang, now := s.language(r, chosen)
	if now {
		s.Remember(w, lang.Code)
	}
	return lang
}

// Name is a party's name in the language that a page of this request will have;
// chosen is the language that its form asks for, empty for none.
func (s *Set) Name(r *http.Request, chosen string, rp *federation.RelyingParty) string {
	if len(rp.Names) == 0 {
		return rp.Name
	}
	lang, _ := s.language(r, chosen)
	return rp.NameIn(lang.Code)
}

// language finds the language of a request: choice in this request, earlier choice,
// setting, Accept-Language, English. It says whether it was chosen now.
func (s *Set) language(r *http.Request, chosen string) (lang *language, now bool) {
	if lang, ok := s.languages[chosen]; ok {
		return lang, true
	}
	if strings.Contains(r.URL.RawQuery, LanguageField+"=") { // most queries are long and have none
		if code := r.URL.Query().Get(LanguageField); known(code) {
			return s.languages[code], true
		}
	}
	if c, err := r.Cookie(LanguageCookie); err == nil && known(c.Value) {
		return s.languages[c.Value], false
	}
	if s.cfg.Language != "" {
		return s.languages[s.cfg.Language], false
	}
	return s.languages[acceptLanguage(r.Header.Get("Accept-Language"))], false
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
