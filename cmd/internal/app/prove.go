package app

import (
	"context"
	"fmt"
	"time"

	"sallyport/authn"
	"sallyport/certs"
	"sallyport/cmd/internal/config"
	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/token"
	"sallyport/federation/verify"
	"sallyport/federation/wsfed"
)

// proveToDomain makes a token of the domain, signed by key, for a person who does not
// exist, and has it judged by a verifier that knows only what Microsoft was read to
// hold. The token goes nowhere.
func (a *App) proveToDomain(ctx context.Context, party string, key *certs.Key, held certs.Slots) error {
	cfg := a.live.Load().settings
	signed, err := probe(ctx, cfg, party, key, a.now())
	if err != nil {
		return fmt.Errorf("making a token for the proof: %w", err)
	}
	want := verify.Want{Now: a.now()}
	for _, d := range cfg.Microsoft365.Domains {
		v := verify.Domain{Name: d.Name, Issuer: d.Issuer}
		if d.Name == party { // a token for this domain must not pass by another's slots
			v.Current, v.Next = held.Current, held.Next
		}
		want.Domains = append(want.Domains, v)
	}
	return verify.Token(signed, want).Err()
}

// probe makes the token by the very engine that makes everybody's.
func probe(ctx context.Context, cfg *config.Config, party string, key *certs.Key, now time.Time) ([]byte, error) {
	c := claims.Config{Issuer: cfg.Issuer, Now: func() time.Time { return now }}
	for _, d := range cfg.Microsoft365.Domains {
		c.Domains = append(c.Domains, claims.Domain{Name: d.Name, Issuer: d.Issuer, ObjectGUID: d.Anchor == "object-guid"})
	}
	engine, err := claims.New(c)
	if err != nil {
		return nil, err
	}
	rp, err := wsfed.Microsoft365(wsfed.Microsoft365Config{
		Cloud: cfg.Microsoft365.Cloud, ReplyURLs: cfg.Microsoft365.ReplyURLs, TokenLifetime: cfg.Microsoft365.TokenLifetime,
	})
	if err != nil {
		return nil, err
	}
	nobody := &authn.Account{
		Domain: party, NetBIOS: "PROOF", ID: authn.GUID{0: 1, 15: 1}, SID: "S-1-5-21-1-1-1-1000", DN: "CN=proof",
		UPN: "sallyport-proof@" + party, SAMAccountName: "sallyport-proof", GroupsRead: true, ReadAt: now,
	}
	assertion, err := engine.For(ctx,
		&federation.SignInRequest{Protocol: "wsfed", Party: rp, Realm: rp.Identifiers[0], ReplyTo: rp.ReplyURLs[0]},
		&federation.Subject{Account: nobody, Method: authn.MethodPassword, AuthenticatedAt: now, SessionStarted: now})
	if err != nil {
		return nil, err
	}
	signer, err := token.NewSigner(key.Signer, key.Certificate)
	if err != nil {
		return nil, err
	}
	return signer.AppendAssertion(nil, assertion)
}
