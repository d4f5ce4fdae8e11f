package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"sallyport/cmd/internal/trip"
	"sallyport/federation/verify"
)

const (
	signInAddress   = "https://sts.contoso.test/adfs/ls/?wa=wsignin1.0&wtrealm=urn%3afederation%3aMicrosoftOnline&wctx=state%3d1"
	metadataAddress = "https://sts.contoso.test/FederationMetadata/2007-06/FederationMetadata.xml"
)

// client signs somebody in at one party, over and over.
type client struct {
	name string
	// once is one sign-in by a browser that was used before, or not.
	once func(b *trip.Browser) error
	// done counts the sign-ins, again those that a death of an instance cut off and
	// that went through when the person tried again.
	done, again atomic.Int64
	// refused says why the last one failed that was allowed to.
	refused atomic.Pointer[string]
	// lenient clients may fail: the party was said not to know the key.
	lenient atomic.Bool
}

// errCut says that the answer was lost on the way: the proxy's own error page, or none,
// or the post came again: over HTTP/2 HAProxy says of a connection that the instance
// broke off that the client may repeat the request, and clients do by themselves.
var errCut = errors.New("the answer was lost on the way")

// usedPage is the heading of the page that a repeated post then gets.
const usedPage = "This page is no longer valid"

func (v *village) newClients() {
	for _, domain := range []string{"contoso.test", "fabrikam.test"} {
		v.clients = append(v.clients, &client{name: domain, once: func(b *trip.Browser) error { return v.atMicrosoft(b, domain) }})
	}
	v.clients = append(v.clients, &client{name: "pysaml2", once: v.atForeign})
}

// work lets the clients sign in until the test ends.
func (v *village) work() {
	ctx, cancel := context.WithCancel(v.t.Context())
	v.stop = cancel
	v.newClients()
	for _, c := range v.clients {
		v.working.Go(func() {
			for ctx.Err() == nil {
				v.visit(c)
				select { // others test on this machine too
				case <-ctx.Done():
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
}

// visit is one person: a sign-in with the password, and one with the session.
func (v *village) visit(c *client) {
	v.world.RLock()
	defer v.world.RUnlock()
	b := v.browser()
	defer b.Close()
	for range 2 {
		err := c.once(b)
		if errors.Is(err, errCut) && v.died() {
			c.again.Add(1)
			err = c.once(b)
		}
		switch {
		case v.t.Context().Err() != nil:
			return // the test is over
		case err == nil:
			c.done.Add(1)
		case c.lenient.Load():
			why := err.Error()
			c.refused.Store(&why)
		default:
			v.t.Errorf("%s, %s: %v", v.clock.Now().UTC().Format(time.DateOnly), c.name, err)
		}
	}
}

// page follows a page to the hand-over, typing the password where it is asked for.
func (v *village) page(b *trip.Browser, p *trip.Page, domain string) (*trip.Page, error) {
	if p.Status >= 502 && p.Status <= 504 {
		return nil, fmt.Errorf("%w: %d", errCut, p.Status)
	}
	if !p.AsksPassword(trip.English) {
		return p, nil
	}
	u := v.users[domain]
	p, err := b.Password(v.t.Context(), p, trip.English, u.UPN, u.Password)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errCut, err)
	case p.Status >= 502 && p.Status <= 504:
		return nil, fmt.Errorf("%w: %d", errCut, p.Status)
	}
	return p, nil
}

// atMicrosoft goes up to the token and judges it by what Microsoft holds for the
// domain, by nothing else.
func (v *village) atMicrosoft(b *trip.Browser, domain string) error {
	p, err := b.Open(v.t.Context(), signInAddress)
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	if p, err = v.page(b, p, domain); err != nil {
		return err
	}
	f, ok := p.HandedOver()
	switch {
	case !ok && p.Heading() == usedPage:
		return fmt.Errorf("%w: the page was used before", errCut)
	case !ok:
		return fmt.Errorf("no token: %d %q", p.Status, p.Heading())
	}
	result := f.Fields.Get("wresult")
	start, end := strings.Index(result, "<saml:Assertion"), strings.LastIndex(result, "</saml:Assertion>")
	if start < 0 || end < 0 {
		return errors.New("no assertion in wresult")
	}
	return v.judge(domain, []byte(result[start:end+len("</saml:Assertion>")]), v.users[domain].UPN)
}

// judge judges an assertion as Microsoft would that holds what it holds now.
func (v *village) judge(domain string, assertion []byte, upn string) error {
	held, err := heldAt(v.graph, domain)
	if err != nil {
		return err
	}
	verdict := verify.Token(assertion, verify.Want{Now: v.clock.Now(), Domains: []verify.Domain{held}, UPN: upn})
	return verdict.Err()
}

// atForeign signs in at the service provider, which judges the answer itself and shows
// whom it sees.
func (v *village) atForeign(*trip.Browser) error {
	fresh := v.browser() // its session would answer without us
	defer fresh.Close()
	p, err := fresh.Open(v.t.Context(), "https://pysaml2.contoso.test/secret/")
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	if p, err = v.page(fresh, p, "contoso.test"); err != nil {
		return err
	}
	f, ok := p.FormWith("SAMLResponse")
	switch {
	case !ok && p.Heading() == usedPage:
		return fmt.Errorf("%w: the page was used before", errCut)
	case !ok:
		return fmt.Errorf("no answer: %d %q", p.Status, p.Heading())
	}
	if p, err = fresh.Submit(v.t.Context(), f); err != nil {
		return err
	}
	if upn := v.users["contoso.test"].UPN; p.Status != 200 || !strings.Contains(p.Body, upn) {
		return fmt.Errorf("the service provider says %d: %s", p.Status, p.Body)
	}
	return nil
}

// poll is what Microsoft documents: from 35 days before the end of the certificate that
// it holds it reads the metadata daily, and when it sees another one it takes over what
// it read.
func (v *village) poll() {
	v.t.Helper()
	held, err := heldAt(v.graph, "contoso.test")
	if err != nil {
		v.t.Fatal(err)
	}
	if held.Current.NotAfter.Sub(v.clock.Now()) > 35*24*time.Hour {
		return
	}
	b := v.browser()
	defer b.Close()
	p, err := b.Open(v.t.Context(), metadataAddress)
	if err != nil || p.Status != 200 {
		return // it comes again tomorrow
	}
	v.polled++
	known := []*x509.Certificate{held.Current}
	if held.Next != nil {
		known = append(known, held.Next)
	}
	if err := signedByHeld(p.Body, known, v.clock.Now()); err != nil {
		v.t.Errorf("%s: the metadata is not signed by what Microsoft holds: %v", v.clock.Now().UTC().Format(time.DateOnly), err)
	}
	var listed []string
	for _, c := range certificatesIn([]byte(p.Body)) {
		if !slices.Contains(listed, c) {
			listed = append(listed, c)
		}
	}
	settings := v.graph.Settings("contoso.test")
	unknown := slices.ContainsFunc(listed, func(c string) bool {
		return c != settings["signingCertificate"] && c != settings["nextSigningCertificate"]
	})
	if !unknown && (len(listed) > 1 || listed[0] == settings["signingCertificate"]) {
		return
	}
	v.graph.Set("contoso.test", "signingCertificate", listed[0])
	if len(listed) > 1 {
		v.graph.Set("contoso.test", "nextSigningCertificate", listed[1])
	}
}
