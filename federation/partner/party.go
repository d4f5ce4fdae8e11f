package partner

import (
	"fmt"
	"slices"

	"sallyport/federation/saml"
)

// Options are what an entity is turned into a party with, besides what an admin
// wrote of the party itself.
type Options struct {
	// Persistent says that persistent name identifiers can be given.
	Persistent bool
	// NeverEncrypt leaves the party's encryption key alone.
	NeverEncrypt bool
	// Private lets messages go to addresses of the metadata that the internet does not
	// reach.
	Private bool
}

// Party returns the settings of the service provider: those in hand, completed by
// what the metadata says. Fields of hand that are not zero win, with three
// exceptions that never make the party weaker: Consumers can only choose among those
// of the metadata, by address; a party that signs its requests must sign them,
// whatever WantSigned says; and one that wants its assertions signed gets them
// signed. hand is not changed.
func (e *Entity) Party(hand *saml.Party, o Options) (*saml.Party, error) {
	p := *hand
	if !slices.Contains(p.Identifiers, e.ID) {
		return nil, fmt.Errorf("the metadata is of %.200q, which is none of the party's identifiers", e.ID)
	}
	if p.Name == "" {
		p.Name, p.Names = e.Name, e.Names
	}
	if p.Name == "" {
		p.Name = e.Host()
	}
	var err error
	if p.Consumers, err = e.narrow(hand.Consumers); err != nil {
		return nil, err
	}
	if len(p.Certificates) == 0 {
		p.Certificates = e.Signing
	}
	p.WantSigned = p.WantSigned || e.SignsRequests
	if e.WantsAssertions && p.Sign == saml.SignResponse {
		return nil, fmt.Errorf("%w: the party wants its assertions signed: sign both, or the assertion", ErrNotMetadata)
	}
	if p.NameIDFormat == "" {
		p.NameIDFormat = e.Format(o.Persistent || p.OwnNames)
	}
	if p.Logout == nil && len(p.Certificates) > 0 {
		p.Logout = e.logout(!o.Private)
	}
	switch {
	case o.NeverEncrypt:
		p.Encrypt = nil
	case p.Encrypt != nil:
	case e.Encryption != nil:
		p.Encrypt = e.Encryption.Certificate
		if p.Encryption != (saml.Encryption{}) { // the settings have chosen
			break
		}
		p.Encryption = saml.Encryption{Content: e.Encryption.Content, Transport: e.Encryption.Transport, Digest: e.Encryption.Digest, Mask: e.Encryption.Mask}
	case e.Unencryptable != "":
		return nil, fmt.Errorf("%w: assertions cannot be encrypted to the party: %s", ErrNotMetadata, e.Unencryptable)
	}
	return &p, nil
}

// narrow keeps the endpoints whose address is in chosen; with none chosen, all. The
// default is the chosen one, where one is marked.
func (e *Entity) narrow(chosen []saml.Endpoint) ([]saml.Endpoint, error) {
	if len(chosen) == 0 {
		return slices.Clone(e.Consumers), nil
	}
	var kept []saml.Endpoint
	for _, c := range chosen {
		found := false
		for _, have := range e.Consumers {
			if have.URL != c.URL || c.Binding != "" && have.Binding != c.Binding {
				continue
			}
			found = true
			if slices.ContainsFunc(kept, func(k saml.Endpoint) bool { return k.Index == have.Index }) {
				continue
			}
			kept = append(kept, have)
		}
		if !found {
			return nil, fmt.Errorf("the address %.200q is not in the metadata, and settings can only choose among those that are", c.URL)
		}
	}
	for _, c := range chosen {
		if !c.Default {
			continue
		}
		for i := range kept {
			kept[i].Default = kept[i].URL == c.URL && kept[i].Binding == saml.BindingPost
		}
	}
	return kept, nil
}

// formats are the name identifier formats that can be given to anybody.
var formats = []string{saml.FormatUnspecified, saml.FormatEmail, saml.FormatWindows, saml.FormatTransient}

// Format returns the first of the party's name identifier formats that can be given,
// unspecified when there is none.
func (e *Entity) Format(persistent bool) string {
	for _, f := range e.Formats {
		if slices.Contains(formats, f) || f == saml.FormatPersistent && persistent {
			return f
		}
	}
	return saml.FormatUnspecified
}

// logout chooses where the party hears of sign-outs: through the browser where it can,
// else by SOAP; nil when there is none.
func (e *Entity) logout(public bool) *saml.Logout {
	for _, binding := range [...]string{saml.BindingRedirect, saml.BindingPost, saml.BindingSOAP} {
		for _, l := range e.Logout {
			if l.Binding == binding {
				return &saml.Logout{URL: l.URL, ResponseURL: l.ResponseURL, Binding: binding, Public: public}
			}
		}
	}
	return nil
}
