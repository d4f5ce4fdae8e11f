package app

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"sallyport/authn"
	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/token"
)

// Trial is what a sign-in by hand led to.
type Trial struct {
	// Result is the pipeline's verdict on the password.
	Result authn.Result
	Party  *federation.RelyingParty
	// Assertion is what the party would get, nil when it would get nothing.
	Assertion *token.Assertion
	// Steps tell what each rule of the party did.
	Steps []claims.Step
	// TokenSize is the size of the signed token in bytes.
	TokenSize int
	// Refused is why it would get nothing although the password was accepted.
	Refused error
	// Warnings are oddities of the account.
	Warnings []string
}

// Try signs a person in by the service's own pipeline and makes the claims that
// the party would get: by its key or one of its identifiers, the first party when
// it is empty. It is for an app that is not started; the token is signed for its
// size and thrown away. The password is wiped.
func (a *App) Try(ctx context.Context, name string, pw *authn.Password, party string) (*Trial, error) {
	parties := a.live.Load().parties
	rp := parties.ByKey(party)
	if rp == nil {
		rp = parties.ByIdentifier(party)
	}
	all := parties.All()
	if party == "" {
		rp = all[0]
	}
	if rp == nil {
		keys := make([]string, len(all))
		for i, p := range all {
			keys[i] = p.Key
		}
		return nil, fmt.Errorf("no relying party is called %q: there are %s", party, strings.Join(keys, ", "))
	}
	if err := a.directory.Start(ctx); err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	for _, d := range a.cfg.Directory.Domains {
		a.readPolicy(ctx, d.Name)
	}
	t := &Trial{Party: rp}
	t.Result = a.passwords.Verify(ctx, authn.Attempt{Protocol: "cli", Party: rp.Identifiers[0], Client: netip.IPv6Loopback()}, authn.Credentials{Name: name, Password: pw})
	if t.Result.Account != nil {
		if w := claims.AnchorWarning(t.Result.Account); w != "" {
			t.Warnings = append(t.Warnings, w)
		}
		if other := t.Result.Account.CrossedWith; other != "" {
			t.Warnings = append(t.Warnings, "the user principal name is also the implicit one of "+other)
		}
	}
	if t.Result.Reason != authn.Accepted {
		return t, nil
	}
	l := a.live.Load()
	t.Assertion, t.Steps, t.Refused = l.claims.Explain(ctx,
		&federation.SignInRequest{Protocol: "wsfed", Party: rp, Realm: rp.Identifiers[0], ReplyTo: rp.ReplyURLs[0]},
		&federation.Subject{Account: t.Result.Account, Method: authn.MethodPassword, AuthenticatedAt: t.Result.At, SessionStarted: t.Result.At})
	if t.Refused == nil {
		signed, err := l.signer.AppendAssertion(nil, t.Assertion)
		if err != nil {
			t.Assertion, t.Refused = nil, err
		}
		t.TokenSize = len(signed)
	}
	return t, nil
}
