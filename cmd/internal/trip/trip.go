package trip

import (
	"context"
	"errors"
	"fmt"
)

// Labels are the words by which the browser finds the gateway's fields.
type Labels struct{ UserName, Password string }

// English are the labels of the English pages.
var English = Labels{UserName: "User name", Password: "Password"}

// ErrNoPasswordAsked says that the gateway did not ask for a password.
var ErrNoPasswordAsked = errors.New("the gateway did not ask for a password")

// ToGateway types a user name at Microsoft 365's page and follows it to
// whatever the gateway shows.
func (b *Browser) ToGateway(ctx context.Context, start, upn string, again bool) (*Page, error) {
	p, err := b.Open(ctx, start)
	if err != nil {
		return nil, err
	}
	f, ok := p.FormWith("loginfmt")
	if !ok {
		return nil, fmt.Errorf("%s: no page that asks for the user name (%d %q)", p.URL.Host, p.Status, p.Heading())
	}
	f.Fields.Set("loginfmt", upn)
	if again {
		f.Fields.Set("prompt", "login")
	}
	return b.Submit(ctx, f)
}

// AsksPassword reports whether the page has a password field.
func (p *Page) AsksPassword(l Labels) bool {
	_, ok := p.Field(l.Password)
	return ok
}

// Password fills in the gateway's sign-in page and sends it. An empty name
// leaves the one that the page came with.
func (b *Browser) Password(ctx context.Context, p *Page, l Labels, name, password string) (*Page, error) {
	userField, ok1 := p.Field(l.UserName)
	passField, ok2 := p.Field(l.Password)
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("%w: %d %q", ErrNoPasswordAsked, p.Status, p.Heading())
	}
	f, ok := p.FormWith(passField)
	if !ok {
		return nil, errors.New("the password field stands in no form")
	}
	if name != "" {
		f.Fields.Set(userField, name)
	}
	f.Fields.Set(passField, password)
	return b.Submit(ctx, f)
}

// HandedOver returns the form that carries a token, if the page has one.
func (p *Page) HandedOver() (*Form, bool) { return p.FormWith("wresult") }

// HandOver posts the token to the relying party.
func (b *Browser) HandOver(ctx context.Context, p *Page) (*Page, error) {
	f, ok := p.HandedOver()
	if !ok {
		return nil, fmt.Errorf("no token on this page: %d %q", p.Status, p.Heading())
	}
	return b.Submit(ctx, f)
}
