package demo

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"sallyport/cmd/internal/trip"
)

// toGatewaySAML types a user name at Microsoft 365's page and takes its SAML 2.0
// request to the gateway: by way of a form of the gateway's own where there is no
// cookie yet, as browsers need it.
func (d *Demo) toGatewaySAML(ctx context.Context, b *trip.Browser, upn string, again bool) (*trip.Page, error) {
	p, err := b.Open(ctx, d.Cloud.URL())
	if err != nil {
		return nil, err
	}
	f, ok := p.FormWith("loginfmt")
	if !ok {
		return nil, errors.New("no page that asks for the user name")
	}
	f.Fields.Set("loginfmt", upn)
	f.Fields.Set("protocol", "saml")
	if again {
		f.Fields.Set("prompt", "login")
	}
	if p, err = b.Submit(ctx, f); err != nil {
		return nil, err
	}
	for range 2 {
		if f, ok = p.FormWith("SAMLRequest"); !ok {
			break
		}
		if p, err = b.Submit(ctx, f); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// handOverSAML posts the answer to Microsoft 365.
func (d *Demo) handOverSAML(ctx context.Context, b *trip.Browser, p *trip.Page, edit func(string) string) (*trip.Page, error) {
	f, ok := p.FormWith("SAMLResponse")
	if !ok {
		return nil, fmt.Errorf("no SAML response on this page: %d %q", p.Status, p.Heading())
	}
	if edit != nil {
		raw, err := base64.StdEncoding.DecodeString(f.Fields.Get("SAMLResponse"))
		if err != nil {
			return nil, err
		}
		f.Fields.Set("SAMLResponse", base64.StdEncoding.EncodeToString([]byte(edit(string(raw)))))
	}
	return b.Submit(ctx, f)
}

// checkSAML signs in over SAML 2.0, again from the session, and again freshly.
func (d *Demo) checkSAML(ctx context.Context) (string, error) {
	b := d.Browser()
	defer b.Close()
	u := d.Users[0]
	for i, again := range []bool{false, false, true} {
		p, err := d.toGatewaySAML(ctx, b, u.UPN, again)
		if err != nil {
			return "", err
		}
		if asks := p.AsksPassword(trip.English); asks != (i != 1) {
			return "", fmt.Errorf("visit %d: the password is asked: %v (%d %q)", i+1, asks, p.Status, p.Heading())
		} else if asks {
			if p, err = b.Password(ctx, p, trip.English, u.UPN, u.Password); err != nil {
				return "", err
			}
		}
		if p, err = d.handOverSAML(ctx, b, p, nil); err != nil {
			return "", err
		}
		if err := signedInAs(p, u.UPN); err != nil {
			return "", err
		}
	}
	return "signed in, again without password, again with", nil
}

// checkTamperedSAML makes sure that the judge of SAML 2.0 is awake.
func (d *Demo) checkTamperedSAML(ctx context.Context) (string, error) {
	b := d.Browser()
	defer b.Close()
	u := d.Users[0]
	p, err := d.toGatewaySAML(ctx, b, u.UPN, false)
	if err != nil {
		return "", err
	}
	if p, err = b.Password(ctx, p, trip.English, u.UPN, u.Password); err != nil {
		return "", err
	}
	p, err = d.handOverSAML(ctx, b, p, func(s string) string { return strings.ReplaceAll(s, u.UPN, "bob@"+federated) })
	if err != nil {
		return "", err
	}
	if p.ID("code") != "AADSTS50006" {
		return "", fmt.Errorf("Microsoft 365 answered %q %q", p.ID("code"), p.Heading())
	}
	return "refused by the stand-in of Microsoft 365: AADSTS50006", nil
}
