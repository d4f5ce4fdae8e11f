package wstrust_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/audit"
	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/token"
	"sallyport/federation/web"
	"sallyport/federation/wstrust"
)

func BenchmarkParse(b *testing.B) {
	body := []byte(message{version: wstrust.Trust13, id: "urn:uuid:1"}.String())
	t := target(wstrust.Trust13)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := wstrust.Parse(body, t); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMex(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wstrust.Mex(public); err != nil {
			b.Fatal(err)
		}
	}
}

func fixedNow() time.Time { return now }

// nobody is a trail that nobody reads.
type nobody struct{}

func (nobody) Record(context.Context, *audit.Event) error { return nil }

type yes struct{ acc *authn.Account }

func (y yes) Verify(_ context.Context, _ authn.Attempt, c authn.Credentials) authn.Result {
	c.Password.Wipe()
	return authn.Result{Reason: authn.Accepted, Account: y.acc, At: now}
}

// nullSigner returns the one signature that it made for a digest again.
type nullSigner struct {
	*rsa.PrivateKey
	made map[string][]byte
}

func (n nullSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if sig := n.made[string(digest)]; sig != nil {
		return sig, nil
	}
	sig, err := n.PrivateKey.Sign(r, digest, opts)
	n.made[string(digest)] = sig
	return sig, err
}

// fixedID makes the same token each time.
type fixedID struct{ *claims.Engine }

func (f fixedID) For(ctx context.Context, req *federation.SignInRequest, sub *federation.Subject) (*token.Assertion, error) {
	a, err := f.Engine.For(ctx, req, sub)
	if a != nil {
		a.ID = "_0123456789012345678901234567890123456789"
	}
	return a, err
}

// BenchmarkUsernamemixed is line 4 of the speed budget without the directory: the
// whole request behind the edge, beside one raw RSA signature in the same run.
func BenchmarkUsernamemixed(b *testing.B) {
	key, cert := signingKey()
	genuine, err := token.NewSigner(key, cert)
	if err != nil {
		b.Fatal(err)
	}
	null, err := token.NewSigner(nullSigner{key, map[string][]byte{}}, cert)
	if err != nil {
		b.Fatal(err)
	}
	engine, err := claims.New(claims.Config{Issuer: ours, Domains: []claims.Domain{{Name: "contoso.test", Issuer: ours}}, Now: fixedNow})
	if err != nil {
		b.Fatal(err)
	}
	reg := registry(b)
	run := func(s *token.Signer, c wstrust.Claims) func(*testing.B) {
		h, err := wstrust.New(wstrust.Config{
			PublicURL: public, Access: func() web.Access { return web.Everywhere }, Passwords: yes{account("alice@contoso.test")},
			Party: reg.ByIdentifier, Claims: func() wstrust.Claims { return c }, Signer: func() *token.Signer { return s }, Audit: nobody{},
			Key: make([]byte, 32), Now: fixedNow,
		})
		if err != nil {
			b.Fatal(err)
		}
		edge, err := web.New(web.Config{Trust: web.Trust{Hosts: []string{"sts.contoso.test"}, Inside: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}, h)
		if err != nil {
			b.Fatal(err)
		}
		body := message{version: wstrust.Trust13, id: "urn:uuid:1"}.String()
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("POST", public+wstrust.Trust13.Path(), strings.NewReader(body))
				r.Header.Set("Content-Type", "application/soap+xml; charset=utf-8")
				w := httptest.NewRecorder()
				edge.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
			}
		}
	}
	b.Run("rsa2048", run(genuine, engine))
	b.Run("null signer", run(null, fixedID{engine}))
	b.Run("raw RSA", func(b *testing.B) {
		digest := sha256.Sum256([]byte("x"))
		for b.Loop() {
			if _, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
