//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"sallyport/federation"
	"sallyport/federation/token"
)

// memory measures line 10 on the shipped program: the time from the start of the
// process to the first token, and the resident set.
func memory(ctx context.Context, g *gateway, program string, p plan, t *table) error {
	say("starting %s %d times", filepath.Base(program), p.starts)
	var starts []float64
	for i := range p.starts {
		d, err := startOnce(ctx, g, program)
		if err != nil {
			return err
		}
		if i > 0 { // the first start reads the program from disk
			starts = append(starts, d.Seconds()*1e3)
		}
	}
	t.add("10", "start to first token, ms", "%.0f", most(100), most(300), starts...)

	s, c, err := g.serve(ctx, program)
	if err != nil {
		return err
	}
	c.close()
	idle, after, err := soak(ctx, s, p)
	if err = errors.Join(err, s.kill()); err != nil {
		return err
	}
	t.add("10", "resident set idle, MB", "%.0f", most(48), most(128), idle)
	t.add("10", fmt.Sprintf("resident set after %d tokens, MB", p.soak), "%.0f", most(96), most(128), after)
	return nil
}

// startOnce starts a gateway and signs one person in.
func startOnce(ctx context.Context, g *gateway, program string) (time.Duration, error) {
	s, c, err := g.serve(ctx, program)
	if err != nil {
		return 0, err
	}
	err = c.signIn(g.user(0), g.password)
	took := time.Since(s.began)
	c.close()
	return took, errors.Join(err, s.kill())
}

// soak reads the resident set of a gateway at rest, then after so many tokens.
func soak(ctx context.Context, s *served, p plan) (idle, after float64, err error) {
	time.Sleep(time.Second) // pools and policies have been read
	const mega = 1 << 20
	if idle, err = s.resident(); err != nil {
		return 0, 0, err
	}
	l, err := s.load(ctx, s.address, p.connections)
	if err != nil {
		return 0, 0, err
	}
	defer l.close()
	if err := l.all(func(c *client, i int) error { return c.signIn(s.g.user(i), s.g.password) }); err != nil {
		return 0, 0, err
	}
	const step = 25_000
	for done := 0; done < p.soak; done += step {
		if err := l.each(min(step, p.soak-done), func(c *client, _ int) error { return c.token() }); err != nil {
			return 0, 0, err
		}
		say("%d of %d tokens", min(done+step, p.soak), p.soak)
	}
	after, err = s.resident()
	return idle / mega, after / mega, err
}

// sample is a token as Microsoft 365 gets it.
func sample(now time.Time) *token.Assertion {
	const (
		claims  = "http://schemas.xmlsoap.org/claims"
		entra   = "http://schemas.microsoft.com/LiveID/Federation/2008/05"
		network = "http://schemas.microsoft.com/ws/2012/01"
	)
	return &token.Assertion{
		Version: federation.SAML11, Issuer: "http://sts.contoso.test/adfs/services/trust", IssueInstant: now, NotBefore: now,
		NotOnOrAfter: now.Add(time.Hour), Audience: federation.MicrosoftOnline,
		NameID: "MyIRAFVEd2aImaq7zN3u/w==", NameIDFormat: "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
		AuthnMethod: "urn:oasis:names:tc:SAML:1.0:am:password", AuthnInstant: now,
		Attributes: []token.Attribute{
			{Name: "UPN", Namespace: claims, Values: []string{"alice@contoso.test"}},
			{Name: "ImmutableID", Namespace: entra, Values: []string{"MyIRAFVEd2aImaq7zN3u/w=="}},
			{Name: "insidecorporatenetwork", Namespace: network, Values: []string{"false"}, Boolean: true, OriginalIssuer: "CLIENT CONTEXT"},
		},
	}
}
