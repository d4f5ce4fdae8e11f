package saml_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"sallyport/federation/saml"
)

// BenchmarkRedirect is a request by Redirect of a browser with a session up to the
// finished form; BenchmarkRawRSA is the floor of the same run. Their quotient is
// line 2 of the budget without the edge and the session store.
func BenchmarkRedirect(b *testing.B) {
	for name, sign := range map[string]saml.Sign{"assertion": saml.SignAssertion, "both": saml.SignBoth} {
		b.Run(name, func(b *testing.B) {
			g := newRig(b, func(p []*saml.Party) { p[0].Sign = sign })
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				n++
				query := "SAMLRequest=" + url.QueryEscape(deflated(request(fmt.Sprintf(`ID="_b%d"`, n), "")))
				r := httptest.NewRequest(http.MethodGet, address+"?"+query, nil)
				w := httptest.NewRecorder()
				g.answers, g.begun = g.answers[:0], g.begun[:0]
				b.StartTimer()
				if err := g.handler.Serve(w, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRawRSA(b *testing.B) {
	key, digest := keyOf(b, "own", 2048).key, sha256.Sum256([]byte("x"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			b.Fatal(err)
		}
	}
}
