package wsfed_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"sallyport/authn"
	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/token"
	"sallyport/federation/wsfed"
)

var now = time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)

var signing = sync.OnceValues(func() (*rsa.PrivateKey, *x509.Certificate) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "signing"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return key, cert
})

func responder(t testing.TB) *wsfed.Responder {
	t.Helper()
	key, cert := signing()
	signer, err := token.NewSigner(key, cert)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := claims.New(claims.Config{Issuer: "http://sts.contoso.test/adfs/services/trust",
		Domains: []claims.Domain{{Name: "contoso.test", Issuer: "http://contoso.test/adfs/services/trust/"}}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return &wsfed.Responder{Claims: func() wsfed.Claims { return engine }, Signer: func() *token.Signer { return signer }}
}

func alice() *federation.Subject {
	id, _ := authn.ParseGUID("00112233-4455-6677-8899-aabbccddeeff")
	return &federation.Subject{Account: &authn.Account{ID: id, NetBIOS: "CONTOSO", SAMAccountName: "alice", UPN: "alice@contoso.test", SID: "S-1-5-21-1-2-3-1104"},
		Method: authn.MethodPassword, AuthenticatedAt: now.Add(-time.Minute), InsideNetwork: true}
}

// verified returns the assertion of a wresult after a foreign library has found
// its signature good, and the RSTR around it.
func verified(t *testing.T, wresult string) (assertion, rstr *etree.Element) {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(wresult); err != nil {
		t.Fatal(err)
	}
	_, cert := signing()
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}})
	ctx.IdAttribute = "AssertionID"
	ctx.Clock = dsig.NewFakeClockAt(now)
	found := doc.Root().FindElements("./RequestedSecurityToken/Assertion")
	if len(found) != 1 {
		t.Fatalf("%d assertions", len(found))
	}
	el, err := ctx.Validate(found[0])
	if err != nil {
		t.Fatalf("foreign verifier: %v", err)
	}
	return el, doc.Root()
}

func field(ans *federation.Answer, name string) (string, bool) {
	for _, f := range ans.Fields {
		if f.Name == name {
			return f.Value, true
		}
	}
	return "", false
}

func TestAnswerIsVerifiedByAForeignLibrary(t *testing.T) {
	reg, r := parties(t), responder(t)
	for _, query := range []string{
		signIn + "&wctx=LoginOptions%3D3%26estsredirect%3d2%26estsrequest%3drQ-_%2522%253c%3E",
		signIn,
		signIn + "&wctx=",
		signIn + "&wreply=https%3a%2f%2fstamp2.login.microsoftonline.com%3a443%2flogin.srf",
		"wa=wsignin1.0&wtrealm=https%3a%2f%2fmail.contoso.test%2fowa&wctx=rm%3d0",
		"wa=wsignin1.0&wtrealm=https%3a%2f%2fmail.contoso.test%2fowa%2f",
	} {
		req, err := parse(t, reg, query)
		if err != nil {
			t.Fatal(err)
		}
		ans, err := r.Respond(t.Context(), req, alice())
		if err != nil {
			t.Fatal(err)
		}
		wresult, _ := field(ans, "wresult")
		if strings.ContainsAny(wresult, "\r\n") || strings.HasPrefix(wresult, "<?xml") {
			t.Error("line breaks or a declaration in wresult")
		}
		a, rstr := verified(t, wresult)
		if wa, _ := field(ans, "wa"); wa != "wsignin1.0" || ans.Fields[0].Name != "wa" || ans.Fields[1].Name != "wresult" {
			t.Errorf("fields %v", ans.Fields)
		}
		if state, has := field(ans, "wctx"); has != req.HasState || state != req.State {
			t.Errorf("wctx %q, %v", state, has)
		}
		if ans.Action != req.ReplyTo || ans.TokenID == "" || ans.KeyID == "" || ans.NameID == "" || ans.Issuer == "" || a.SelectAttrValue("AssertionID", "") != ans.TokenID ||
			a.SelectAttrValue("Issuer", "") != ans.Issuer {
			t.Errorf("answer %+v", ans)
		}
		// C10, I03: audience and AppliesTo are the very string of the request.
		audiences := a.FindElements("./Conditions/AudienceRestrictionCondition/Audience")
		if len(audiences) != 1 || audiences[0].Text() != req.Realm || rstr.FindElement("./AppliesTo/EndpointReference/Address").Text() != req.Realm {
			t.Errorf("%s: audience %v", query, audiences)
		}
	}
}

func TestI03_TokenForOnePartyIsNotForAnother(t *testing.T) {
	reg, r := parties(t), responder(t)
	seen := map[string]bool{}
	for _, rp := range reg.All() {
		for _, id := range rp.Identifiers {
			req := &federation.SignInRequest{Protocol: "wsfed", Party: rp, Realm: id, ReplyTo: rp.ReplyURLs[0]}
			ans, err := r.Respond(t.Context(), req, alice())
			if err != nil {
				t.Fatal(err)
			}
			wresult, _ := field(ans, "wresult")
			a, _ := verified(t, wresult)
			audience := a.FindElement("./Conditions/AudienceRestrictionCondition/Audience").Text()
			if seen[audience] || seen[ans.TokenID] || audience != id {
				t.Errorf("audience %q and id %s, seen before: %v", audience, ans.TokenID, seen[audience])
			}
			seen[audience], seen[ans.TokenID] = true, true
		}
	}
}

func TestW01_AnswerGoesOnlyWhereTheRegistryStillSays(t *testing.T) {
	reg, r := parties(t), responder(t)
	req, err := parse(t, reg, signIn)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*federation.SignInRequest){
		"address": func(q *federation.SignInRequest) { q.ReplyTo = "https://evil.test/login.srf" },
		"empty":   func(q *federation.SignInRequest) { q.ReplyTo = "" },
		"of another party": func(q *federation.SignInRequest) {
			q.ReplyTo = "https://portal.contoso.test/_trust/"
		},
		"realm of another party": func(q *federation.SignInRequest) { q.Realm = "urn:sharepoint:portal" },
	} {
		changed := *req
		change(&changed)
		ans, err := r.Respond(t.Context(), &changed, alice())
		if ans != nil || federation.ProblemOf(err) != federation.ProblemUnknownParty {
			t.Errorf("%s: %v %v", name, ans, err)
		}
	}
}

// lie is a claims engine that returns what it is told.
type lie struct {
	a   *token.Assertion
	err error
}

func (l lie) For(context.Context, *federation.SignInRequest, *federation.Subject) (*token.Assertion, error) {
	return l.a, l.err
}

func TestNoAnswerWithoutAToken(t *testing.T) {
	reg := parties(t)
	req, err := parse(t, reg, signIn)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		claims lie
		want   federation.Problem
	}{
		"refused":    {lie{err: federation.Refuse(federation.ProblemNotReady, req.Party, errors.New("x"))}, federation.ProblemNotReady},
		"incomplete": {lie{a: &token.Assertion{Version: federation.SAML11}}, federation.ProblemInternal},
		"character": {lie{a: &token.Assertion{Version: federation.SAML11, Issuer: "urn:x", IssueInstant: now, NotBefore: now, NotOnOrAfter: now.Add(time.Minute),
			Audience: "urn:x", NameID: "a\x01", AuthnMethod: "urn:x", AuthnInstant: now}}, federation.ProblemNotReady},
	} {
		r := responder(t)
		r.Claims = func() wsfed.Claims { return c.claims }
		ans, err := r.Respond(t.Context(), req, alice())
		if ans != nil || federation.ProblemOf(err) != c.want {
			t.Errorf("%s: %v %v", name, ans, err)
		}
	}
}

// nullSigner returns a signature that was made once for the digest it is asked
// for first; with ids and times fixed it is the right one, and costs nothing.
type nullSigner struct {
	key    *rsa.PrivateKey
	mu     sync.Mutex
	cached map[string][]byte
}

func (s *nullSigner) Public() crypto.PublicKey { return s.key.Public() }

func (s *nullSigner) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sig := s.cached[string(digest)]; sig != nil {
		return sig, nil
	}
	sig, err := rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, digest)
	s.cached[string(digest)] = sig
	return sig, err
}

func BenchmarkParse(b *testing.B) {
	reg := parties(b)
	const query = signIn + "&wctx=LoginOptions%3D3%26estsredirect%3d2%26estsrequest%3drQQIARAA&username=alice%40contoso.test&client-request-id=f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(b, reg, query); err != nil {
			b.Fatal(err)
		}
	}
}

// fixedID gives every assertion the same id, so that the digest repeats.
type fixedID struct{ wsfed.Claims }

func (f fixedID) For(ctx context.Context, req *federation.SignInRequest, sub *federation.Subject) (*token.Assertion, error) {
	a, err := f.Claims.For(ctx, req, sub)
	if err == nil {
		a.ID = "_0123456789012345678901234567890123456789"
	}
	return a, err
}

func BenchmarkRespond(b *testing.B) {
	reg := parties(b)
	req, err := parse(b, reg, signIn+"&wctx=LoginOptions%3D3%26estsredirect%3d2%26estsrequest%3drQQIARAA")
	if err != nil {
		b.Fatal(err)
	}
	sub := alice()
	key, cert := signing()
	run := func(r *wsfed.Responder) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Respond(b.Context(), req, sub); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("rsa2048", run(responder(b)))
	null, err := token.NewSigner(&nullSigner{key: key, cached: map[string][]byte{}}, cert)
	if err != nil {
		b.Fatal(err)
	}
	r := responder(b)
	engine := r.Claims()
	r.Claims = func() wsfed.Claims { return fixedID{engine} }
	r.Signer = func() *token.Signer { return null }
	b.Run("null signer", run(r)) // what is left is writing, digest and the check of the signature
	b.Run("raw RSA", func(b *testing.B) {
		digest := sha256.Sum256([]byte("x"))
		for b.Loop() {
			if _, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
