package password_test

import (
	"testing"

	"sallyport/authn"
)

// BenchmarkVerify is the pipeline's own share of a sign-in: the directory answers
// at once.
func BenchmarkVerify(b *testing.B) {
	h := newHouse(b, people())
	h.dir.bindFor = 0
	h.dir.quiet, h.trail.quiet = true, true
	b.ReportAllocs()
	for b.Loop() {
		r := h.p.Verify(b.Context(), attempt, authn.Credentials{Name: "alice", Password: authn.NewPassword([]byte(rightPassword))})
		if r.Reason != authn.Accepted {
			b.Fatal(r.Reason)
		}
	}
}
