package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport/authn"
	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/saml"
	"sallyport/federation/token"
)

// Trial is what a sign-in by hand led to.
type Trial struct {
	// Result is the pipeline's verdict on the password.
	Result authn.Result
	// Party is who would get a token, nil for an agent alone.
	Party *federation.RelyingParty
	// Assertion is what the party would get, nil when it would get nothing.
	Assertion *token.Assertion
	// Steps tell what each rule of the party did.
	Steps []claims.Step
	// TokenSize is the size of the signed token in bytes.
	TokenSize int
	// Signed is that token. It is as good as a password for an hour: judge it, and
	// show it to nobody.
	Signed []byte
	// Certificate is the one whose key signed it.
	Certificate *x509.Certificate
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
	l := a.live.Load()
	if l == nil {
		return a.tryPassword(ctx, name, pw, party)
	}
	rp, protocol, err := l.find(party)
	if err != nil {
		return nil, err
	}
	if err := a.askDirectory(ctx); err != nil {
		return nil, err
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
	sub := &federation.Subject{Account: t.Result.Account, Method: authn.MethodPassword, AuthenticatedAt: t.Result.At, SessionStarted: t.Result.At}
	t.Assertion, t.Steps, t.Refused = l.claims.Explain(ctx,
		&federation.SignInRequest{Protocol: protocol, Party: rp, Realm: rp.Identifiers[0], ReplyTo: rp.ReplyURLs[0]}, sub)
	if t.Refused == nil && protocol == "saml" {
		if t.Refused = a.nameForSAML(l.saml.ByKey(rp.Key), t.Assertion, sub); t.Refused != nil {
			t.Assertion = nil
		}
	}
	if t.Refused == nil {
		signed, err := l.signer.AppendAssertion(nil, t.Assertion)
		if err != nil {
			t.Assertion, t.Refused = nil, err
		}
		t.TokenSize, t.Signed, t.Certificate = len(signed), signed, l.signer.Certificate()
	}
	return t, nil
}

// nameForSAML gives an assertion the name identifier that a SAML 2.0 party gets when
// its request does not say which it wants.
func (a *App) nameForSAML(p *saml.Party, to *token.Assertion, sub *federation.Subject) error {
	secret, err := a.cfg.SAML.PersistentIDSecret()
	if err != nil {
		return err
	}
	ids, err := saml.NewIdentifiers(secret)
	if err != nil {
		return err
	}
	if err := ids.Name(to, p, sub); err != nil {
		return fmt.Errorf("name_id_format %s: %w", p.NameIDFormat, err)
	}
	return nil
}

// askDirectory starts the directory client of an app that is not started.
func (a *App) askDirectory(ctx context.Context) error {
	if err := a.directory.Start(ctx); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	for _, d := range a.cfg.Directory.Domains {
		a.readPolicy(ctx, d.Name)
	}
	return nil
}

// tryPassword is Try for an agent alone: there is no party.
func (a *App) tryPassword(ctx context.Context, name string, pw *authn.Password, party string) (*Trial, error) {
	if party != "" {
		return nil, errors.New("these are the settings of an agent alone, which serves no party")
	}
	if err := a.askDirectory(ctx); err != nil {
		return nil, err
	}
	return &Trial{Result: a.passwords.Verify(ctx, authn.Attempt{Protocol: "cli", Client: netip.IPv6Loopback()}, authn.Credentials{Name: name, Password: pw})}, nil
}

// find returns the party of either protocol with that key or identifier, the
// first one for an empty name.
func (l *live) find(name string) (rp *federation.RelyingParty, protocol string, err error) {
	var keys []string
	for _, p := range l.parties.All() {
		if name == "" || name == p.Key || slices.Contains(p.Identifiers, name) {
			return p, "wsfed", nil
		}
		keys = append(keys, p.Key)
	}
	for _, p := range l.saml.All() {
		if name == "" || name == p.Key || slices.Contains(p.Identifiers, name) {
			return &p.RelyingParty, "saml", nil
		}
		keys = append(keys, p.Key)
	}
	return nil, "", fmt.Errorf("no relying party is called %q: there are %s", name, strings.Join(keys, ", "))
}
