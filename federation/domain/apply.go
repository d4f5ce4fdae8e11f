package domain

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"
)

// Patience of reading back: Graph answers from several places, and the newest
// state reaches them within seconds.
const (
	readBackTries = 12
	readBackFirst = time.Second
	readBackMost  = 15 * time.Second
	// readBackAgree is how many answers in a row must show the change: one may come
	// from the place that was written to, the next from an older copy.
	readBackAgree = 2
)

// Read returns the domain and its settings; the settings are nil when there are
// none. It is what everything else begins with.
func (c *Client) Read(ctx context.Context, name string) (Domain, *Federation, error) {
	d, err := c.Domain(ctx, name)
	if err != nil {
		return Domain{}, nil, err
	}
	f, err := c.Federation(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return d, nil, nil
	}
	return d, f, err
}

// Federate makes a managed domain federated. It checks w first, reads the domain,
// sends, and reads back until both slots and the issuer are as sent. After an
// answer that leaves the outcome open the error is [ErrUncertain] or tells the
// state that was then read.
func (c *Client) Federate(ctx context.Context, w *Wanted) (*Federation, error) {
	body, err := w.Settings()
	if err != nil {
		return nil, err
	}
	d, f, err := c.Read(ctx, w.Domain)
	if err != nil {
		return nil, err
	}
	if err := mayFederate(d, f); err != nil {
		return nil, err
	}
	sent := c.create(ctx, w.Domain, body)
	if sent != nil && !uncertain(sent) {
		return nil, sent
	}
	f, err = c.readBack(ctx, w.Domain, func(d Domain, f *Federation) bool {
		return d.Federated && f != nil && f.IssuerURI == w.Issuer && f.Signing.Holds(w.Signing) && (w.Next == nil || f.Next.Holds(w.Next))
	})
	switch {
	case err == nil:
		return f, nil
	case sent == nil:
		return nil, err
	}
	return nil, c.stateAfter(ctx, w.Domain, sent)
}

// MayFederate reads a domain and returns why it cannot be federated, nil when it
// can.
func (c *Client) MayFederate(ctx context.Context, name string) error {
	d, f, err := c.Read(ctx, name)
	if err != nil {
		return err
	}
	return mayFederate(d, f)
}

// stateAfter tells how a domain is after a change whose outcome is open.
func (c *Client) stateAfter(ctx context.Context, name string, sent error) error {
	d, err := c.Domain(ctx, name)
	if err != nil {
		return fmt.Errorf("%w: %w; and then the domain could not be read (%w): run sallyport domain show %s before anything else", ErrUncertain, sent, err, name)
	}
	if !d.Federated {
		return fmt.Errorf("%w; the domain is still managed: nothing changed", sent)
	}
	f, err := c.Federation(ctx, name)
	if err != nil || f == nil {
		return fmt.Errorf("%w: %w; the domain is federated now, and its settings cannot be read (%w): nobody can sign in there; run sallyport domain unfederate %s, which makes it managed", ErrUncertain, sent, err, name)
	}
	return fmt.Errorf("%w: %w; the domain is federated now, with settings that are not those that were sent: run sallyport domain show %s", ErrUncertain, sent, name)
}

func mayFederate(d Domain, f *Federation) error {
	switch {
	case d.Federated && f != nil:
		return fmt.Errorf("domain: %s is federated already: use sallyport domain show and update", d.Name)
	case d.Federated:
		return fmt.Errorf("domain: %s is federated without settings that can be read: run sallyport domain unfederate first", d.Name)
	case d.Initial:
		return fmt.Errorf("domain: %s is the tenant's initial domain, which Microsoft does not federate", d.Name)
	case !d.Verified:
		return fmt.Errorf("domain: %s is not verified: prove first that it is yours", d.Name)
	case d.Default:
		return fmt.Errorf("domain: %s is the tenant's default domain, which cannot be federated: make another one the default first, best the *.onmicrosoft.com one", d.Name)
	case !d.Root:
		return fmt.Errorf("domain: %s inherits the settings of its parent: federate the parent, or promote the sub-domain first", d.Name)
	}
	return nil
}

// Change is what an update would send, for people to look at before.
type Change struct {
	// Domain is the domain's name.
	Domain string `json:"domain"`
	// Members are the properties and their new values; empty when nothing is to be
	// done.
	Members map[string]any `json:"members"`

	id            string
	signing, next *x509.Certificate
}

// Beside names what the next slot holds after the change, empty for nothing.
func (ch Change) Beside() string { return describe(Slot{Certificate: ch.next}) }

// Changes returns what has to be sent so that both slots hold what they should:
// the key that signs, and beside it the next one, else the one before until its
// last token has expired, else nothing that is not ours. With all set, issuer,
// addresses and behaviour are put right as well.
func (w *Wanted) Changes(f *Federation, all bool) Change {
	c := Change{Domain: w.Domain, Members: map[string]any{}, id: f.ID, signing: w.Signing}
	if !f.Signing.Holds(w.Signing) {
		c.Members["signingCertificate"] = encode(w.Signing)
	}
	switch want := w.beside(f); {
	case want != nil && !f.Next.Holds(want):
		c.Members["nextSigningCertificate"] = encode(want)
		c.next = want
	case want == nil && !f.Next.Empty() && !f.Next.Holds(w.Signing):
		c.Members["nextSigningCertificate"] = nil
	default:
		c.next = f.Next.Certificate
	}
	if !all {
		return c
	}
	for _, m := range []struct{ name, theirs, ours string }{
		{"issuerUri", f.IssuerURI, w.Issuer}, {"passiveSignInUri", f.PassiveSignInURI, w.PassiveSignInURI},
		{"activeSignInUri", f.ActiveSignInURI, w.ActiveSignInURI}, {"metadataExchangeUri", f.MetadataExchangeURI, w.MetadataExchangeURI},
		{"signOutUri", f.SignOutURI, w.SignOutURI}, {"preferredAuthenticationProtocol", f.Protocol, w.protocol()},
		{"displayName", f.DisplayName, w.DisplayName}, {"federatedIdpMfaBehavior", f.MFA, w.mfa()}, {"promptLoginBehavior", f.PromptLogin, w.prompt()},
	} {
		if m.theirs != m.ours && m.ours != "" {
			c.Members[m.name] = m.ours
		}
	}
	return c
}

// beside returns what belongs into the slot beside the signing certificate, nil
// for nothing.
func (w *Wanted) beside(f *Federation) *x509.Certificate {
	if w.Next != nil {
		return w.Next
	}
	for _, r := range w.Retiring {
		if f.Next.Holds(r) || f.Signing.Holds(r) {
			return r
		}
	}
	return nil
}

// Update sends a change and reads back until both slots hold what they should.
// An empty change reads only. The settings that were read are returned also
// beside [ErrStale].
func (c *Client) Update(ctx context.Context, ch Change) (*Federation, error) {
	var sent error
	if len(ch.Members) > 0 {
		if ch, sent = c.patch(ctx, ch); sent != nil && !uncertain(sent) {
			return nil, sent
		}
	}
	f, err := c.readBack(ctx, ch.Domain, ch.shown)
	if err != nil && sent != nil {
		return f, fmt.Errorf("%w: %w; %w", ErrUncertain, sent, err)
	}
	return f, err
}

// patch sends a change and returns what was sent in the end.
func (c *Client) patch(ctx context.Context, ch Change) (Change, error) {
	err := c.change(ctx, ch.Domain, ch.id, ch.Members)
	if !empties(ch) || !rejected(err) {
		return ch, err
	}
	// The reference calls the slot nullable; where it is not, the certificate that
	// stands in the other slot fills this one as harmlessly.
	ch.Members = maps.Clone(ch.Members)
	ch.Members["nextSigningCertificate"], ch.next = encode(ch.signing), ch.signing
	return ch, c.change(ctx, ch.Domain, ch.id, ch.Members)
}

func empties(ch Change) bool {
	v, ok := ch.Members["nextSigningCertificate"]
	return ok && v == nil
}

func rejected(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusBadRequest
}

// shown reports whether the settings are as the change left them.
func (ch Change) shown(_ Domain, f *Federation) bool {
	if f == nil || !f.Signing.Holds(ch.signing) {
		return false
	}
	if ch.next == nil && !f.Next.Empty() || ch.next != nil && !f.Next.Holds(ch.next) {
		return false
	}
	for name, theirs := range map[string]string{
		"issuerUri": f.IssuerURI, "passiveSignInUri": f.PassiveSignInURI, "activeSignInUri": f.ActiveSignInURI,
		"metadataExchangeUri": f.MetadataExchangeURI, "signOutUri": f.SignOutURI, "preferredAuthenticationProtocol": f.Protocol,
		"displayName": f.DisplayName, "federatedIdpMfaBehavior": f.MFA, "promptLoginBehavior": f.PromptLogin,
	} {
		if v, ok := ch.Members[name]; ok && v != theirs {
			return false
		}
	}
	return true
}

// Unfederate makes a domain managed: its settings are deleted, and where there
// are none that can be read, the domain itself is changed. It reads back until
// the domain is managed.
func (c *Client) Unfederate(ctx context.Context, name string) error {
	d, f, err := c.Read(ctx, name)
	if err != nil && d.Name == "" {
		return err
	}
	if !d.Federated {
		return fmt.Errorf("domain: %s is managed already", name)
	}
	var sent error
	if f != nil {
		sent = c.remove(ctx, name, f.ID)
	} else {
		sent = c.manage(ctx, name)
	}
	if sent != nil && !uncertain(sent) {
		return sent
	}
	err = c.readManaged(ctx, name)
	if f != nil && sent == nil && errors.Is(err, ErrStale) {
		// Deleting the settings is documented, what becomes of the domain is not.
		if sent = c.manage(ctx, name); sent == nil || uncertain(sent) {
			err = c.readManaged(ctx, name)
		}
	}
	if err != nil && sent != nil {
		return fmt.Errorf("%w: %w; %w", ErrUncertain, sent, err)
	}
	return err
}

// readBack reads the domain and its settings until good holds; the last settings
// are returned also with an error.
func (c *Client) readBack(ctx context.Context, name string, good func(Domain, *Federation) bool) (last *Federation, err error) {
	err = c.readUntil(ctx, name, func() (bool, error) {
		d, f, err := c.Read(ctx, name)
		if err != nil {
			return false, err
		}
		last = f
		return good(d, f), nil
	})
	return last, err
}

// readManaged reads until the domain is managed. Its settings are not asked for:
// they may be what cannot be read.
func (c *Client) readManaged(ctx context.Context, name string) error {
	return c.readUntil(ctx, name, func() (bool, error) {
		d, err := c.Domain(ctx, name)
		return err == nil && !d.Federated, err
	})
}

// readUntil calls good until it holds for several answers in a row. Errors in
// passing are part of waiting.
func (c *Client) readUntil(ctx context.Context, name string, good func() (bool, error)) error {
	agreed, wait := 0, readBackFirst
	var failed error
	for range readBackTries {
		var ok bool
		if ok, failed = good(); ok {
			if agreed++; agreed == readBackAgree {
				return nil
			}
		} else {
			agreed = 0
		}
		if err := c.sleep(ctx, wait); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrStale, name, err)
		}
		if agreed == 0 {
			wait = min(2*wait, readBackMost)
		}
	}
	if failed != nil {
		return fmt.Errorf("%w: %s: %w", ErrStale, name, failed)
	}
	return fmt.Errorf("%w: %s", ErrStale, name)
}
