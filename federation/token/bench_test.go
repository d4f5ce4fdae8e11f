package token_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"sallyport/federation/token"
)

// The share of the writer is BenchmarkRSTR/null against BenchmarkRSTR/rsa, and
// BenchmarkRawRSA is the floor of the same run.
func BenchmarkRSTR(b *testing.B) {
	real := newSigner(b)
	for _, c := range []struct {
		name string
		s    *token.Signer
	}{{"null", token.NullSigner(real)}, {"rsa", real}} {
		b.Run(c.name, func(b *testing.B) {
			a := entra11()
			b.ReportAllocs()
			for b.Loop() {
				a.ID = ""
				if _, err := c.s.AppendRSTR(nil, a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAssertion20(b *testing.B) {
	real := newSigner(b)
	for _, c := range []struct {
		name string
		s    *token.Signer
	}{{"null", token.NullSigner(real)}, {"rsa", real}} {
		b.Run(c.name, func(b *testing.B) {
			a := wiki20()
			b.ReportAllocs()
			for b.Loop() {
				a.ID = ""
				if _, err := c.s.AppendAssertion(nil, a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRawRSA(b *testing.B) {
	key, digest := ours().key, sha256.Sum256([]byte("x"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			b.Fatal(err)
		}
	}
}

// The budget of the writer: at most 5 allocations without the signer.
func TestWriterStaysWithinItsBudget(t *testing.T) {
	if slowdown > 1 {
		t.Skip("under the race detector sync.Pool forgets on purpose")
	}
	s := quick(t)
	a := entra11()
	if n := testing.AllocsPerRun(200, func() {
		a.ID = ""
		if _, err := s.AppendRSTR(nil, a); err != nil {
			t.Fatal(err)
		}
	}); n > 5 {
		t.Errorf("%v allocations, want at most 5", n)
	}
}
