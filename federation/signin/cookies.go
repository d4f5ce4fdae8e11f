package signin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"time"

	"sallyport/authn/session"
)

// The cookies. The prefix makes browsers insist on Secure, Path=/ and no Domain,
// so that no neighbouring host can plant one.
const (
	SessionCookie = "__Host-sallyport"
	BrowserCookie = "__Host-sallyport-browser"
	loopCookie    = "__Host-sallyport-loop"
)

// setCookie sends a cookie; a zero age makes it last as long as the browser runs,
// a negative one deletes it.
func setCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	switch {
	case age < 0:
		c.MaxAge = -1
	case age > 0:
		c.MaxAge = max(1, int(age/time.Second))
	}
	http.SetCookie(w, c)
}

// sessionID returns the session id that the browser sent. Ids come from the
// cookie only, never from an address or a form. A cookie that stands twice is
// none: one of them is not ours.
func sessionID(r *http.Request) (session.ID, bool) {
	all := r.CookiesNamed(SessionCookie)
	if len(all) != 1 {
		return session.ID{}, false
	}
	id, err := session.ParseID(all[0].Value)
	return id, err == nil
}

// browserSecret is the value of the browser-binding cookie: 128 random bits that
// tell two browsers apart and nothing else.
type browserSecret [16]byte

func (s browserSecret) hash() (h [16]byte) {
	sum := sha256.Sum256(append([]byte("sallyport browser "), s[:]...))
	copy(h[:], sum[:])
	return h
}

// browserOf reads the binding cookie.
func browserOf(r *http.Request) (s browserSecret, ok bool) {
	all := r.CookiesNamed(BrowserCookie)
	if len(all) != 1 || len(all[0].Value) != base64.RawURLEncoding.EncodedLen(len(s)) {
		return s, false
	}
	n, err := base64.RawURLEncoding.Strict().Decode(s[:], []byte(all[0].Value))
	return s, err == nil && n == len(s)
}

// bind returns the hash of the browser's binding, giving it a cookie when it has
// none. One cookie serves all tabs.
func bind(w http.ResponseWriter, r *http.Request) [16]byte {
	s, ok := browserOf(r)
	if !ok {
		_, _ = rand.Read(s[:]) // never fails
		setCookie(w, BrowserCookie, base64.RawURLEncoding.EncodeToString(s[:]), 0)
	}
	return s.hash()
}

// boundTo reports whether the browser of r is the one a transaction was made for.
func (t *transaction) boundTo(s browserSecret) bool {
	h := s.hash()
	return subtle.ConstantTimeCompare(h[:], t.browser[:]) == 1
}
