//go:build linux

package main

import (
	"context"
	"errors"
	"time"

	"sallyport/federation"
	"sallyport/federation/token"
)

// memory measures line 10: the time from the start of the process to the first
// token, and the resident set.
func memory(ctx context.Context, g *gateway, p plan, t *table) error {
	var starts []float64
	for i := range p.starts {
		d, err := startOnce(ctx, g)
		if err != nil {
			return err
		}
		if i > 0 { // the first start reads the program from disk
			starts = append(starts, d.Seconds()*1e3)
		}
	}
	t.add("10", "start to first token, ms", "%.0f", most(100), most(300), starts...)

	proc, err := g.start(ctx)
	if err != nil {
		return err
	}
	idle, after, err := soak(ctx, proc, p)
	if err = errors.Join(err, proc.stop()); err != nil {
		return err
	}
	t.add("10", "resident set idle, MB", "%.0f", most(48), most(128), idle)
	t.add("10", "resident set after the tokens, MB", "%.0f", most(96), most(128), after)
	t.note("tokens before that figure", "%.0f", float64(p.soak))
	return nil
}

// startOnce starts a gateway and signs one person in.
func startOnce(ctx context.Context, g *gateway) (time.Duration, error) {
	proc, err := g.start(ctx)
	if err != nil {
		return 0, err
	}
	c, err := proc.dial(ctx, proc.address)
	if err != nil {
		return 0, errors.Join(err, proc.stop())
	}
	err = c.signIn(g.user(0), g.password)
	took := time.Since(proc.began)
	c.close()
	return took, errors.Join(err, proc.stop())
}

// soak reads the resident set of a gateway at rest, then after so many tokens.
func soak(ctx context.Context, proc *process, p plan) (idle, after float64, err error) {
	time.Sleep(time.Second) // pools and policies have been read
	const mega = 1 << 20
	u, err := proc.usage()
	if err != nil {
		return 0, 0, err
	}
	idle = float64(u.RSS) / mega
	l, err := proc.load(ctx, proc.address, p.connections)
	if err != nil {
		return 0, 0, err
	}
	defer l.close()
	if err := l.all(func(c *client, i int) error { return c.signIn(proc.g.user(i), proc.g.password) }); err != nil {
		return 0, 0, err
	}
	const step = 5000
	for done := 0; done < p.soak; done += step {
		n := min(step, p.soak-done)
		if err := l.each(n, func(c *client, _ int) error { return c.token() }); err != nil {
			return 0, 0, err
		}
		if (done+step)%25_000 == 0 {
			say("%d tokens", done+step)
		}
	}
	u, err = proc.usage()
	return idle, float64(u.RSS) / mega, err
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
