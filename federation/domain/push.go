package domain

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// ErrForeign says that a slot holds a certificate that is not this service's. It
// is not overwritten by itself: it may be an intruder's, which somebody must look
// at first, or that of the identity provider that is about to be replaced.
var ErrForeign = errors.New("domain: Microsoft holds a certificate that is not this service's")

// Slots reads both certificates of a domain from Microsoft; nil for an empty slot.
func (c *Client) Slots(ctx context.Context, name string) (signing, next *x509.Certificate, err error) {
	f, err := c.Federation(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(f.Signing.Problem, f.Next.Problem); err != nil {
		return nil, nil, fmt.Errorf("%w: a slot of %s cannot be read: %w", ErrForeign, name, err)
	}
	return f.Signing.Certificate, f.Next.Certificate, nil
}

// Push puts signing and next into the slots of a domain, when they hold nothing
// but those two, own and what is empty. A nil next empties its slot. It does not
// wait until the change has spread.
func (c *Client) Push(ctx context.Context, name string, signing, next *x509.Certificate, own []*x509.Certificate) error {
	f, err := c.Federation(ctx, name)
	if err != nil {
		return err
	}
	own = append(slices.Clip(own), signing, next)
	for _, s := range []Slot{f.Signing, f.Next} {
		if !s.Empty() && !slices.ContainsFunc(own, s.Holds) {
			return fmt.Errorf("%w: %s holds %s; look at sallyport domain show, then overwrite it with sallyport domain update", ErrForeign, name, describe(s))
		}
	}
	ch := (&Wanted{Domain: name, Signing: signing, Next: next}).Changes(f, false)
	if len(ch.Members) == 0 {
		return nil
	}
	_, err = c.patch(ctx, ch)
	if uncertain(err) {
		return fmt.Errorf("%w: %w", ErrUncertain, err)
	}
	return err
}
