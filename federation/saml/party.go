package saml

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // names a certificate as Windows does; secures nothing
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"sallyport/federation"
)

// Sign says what of an answer is signed.
type Sign uint8

// What can be signed. Assertions travel by POST, so that one of the two must be
// (SAML Profiles 2.0 §4.1.4.5).
const (
	// SignBoth satisfies every party that insists on one of the two.
	SignBoth Sign = iota
	SignAssertion
	SignResponse
)

// Endpoint is one address of a party.
type Endpoint struct {
	// URL is https; a token is posted to it as it stands here.
	URL string
	// Binding is one of the Binding constants; empty means [BindingPost]. Answers
	// go by POST only; other endpoints are kept so that their index is known.
	Binding string
	// Index is the number by which requests name the endpoint.
	Index int
	// Default marks the endpoint that is meant when a request names none.
	Default bool
	// NotDefault is isDefault="false" of metadata, which is not the same as absent.
	NotDefault bool
}

// Party is one service provider. It is read-only after [NewRegistry].
type Party struct {
	// RelyingParty is what all protocols share. Its identifiers are entity ids; its
	// reply addresses are filled in from Consumers. TokenType is SAML 2.0.
	federation.RelyingParty
	// Consumers are the assertion consumer services. At least one has the POST
	// binding.
	Consumers []Endpoint
	// Certificates hold the keys that the party signs with. Without ValidOnly dates
	// do not matter: a signature by an expired one counts and is reported.
	Certificates []*x509.Certificate
	// WantSigned refuses requests without a signature.
	WantSigned bool
	// ValidOnly refuses signatures by a certificate that is not valid at the time.
	ValidOnly bool
	// SHA1 accepts RSA-SHA1 signatures of this party.
	SHA1 bool
	// Sign is what of the answer is signed.
	Sign Sign
	// NameIDFormat is what a request without a wish of its own gets. Empty:
	// unspecified, and persistent for Microsoft 365.
	NameIDFormat string
	// Encrypt is the certificate that assertions are encrypted to. Nil: they are
	// not.
	Encrypt *x509.Certificate
	// Encryption is how they are encrypted then.
	Encryption Encryption
	// IgnoreContext answers requests as if they had no RequestedAuthnContext, for
	// parties whose library asks for a class that nobody chose.
	IgnoreContext bool
	// Logout is where the party hears of sign-outs. Nil: nowhere.
	Logout *Logout
	// Unsolicited lets sign-ins begin here, without a request.
	Unsolicited bool
}

// entity is the party's own name in its requests.
func (p *Party) entity() string { return p.Identifiers[0] }

// keys returns the public keys in the order of Certificates.
func (p *Party) keys() []crypto.PublicKey {
	keys := make([]crypto.PublicKey, len(p.Certificates))
	for i, c := range p.Certificates {
		keys[i] = c.PublicKey
	}
	return keys
}

// defaultConsumer is the endpoint for requests that name none: the one marked,
// else the first that is not marked as no default, else the first (SAML Metadata
// 2.0 §2.2.3), among those with the POST binding.
func (p *Party) defaultConsumer() *Endpoint {
	var first, unmarked *Endpoint
	for i := range p.Consumers {
		e := &p.Consumers[i]
		switch {
		case e.Binding != BindingPost:
			continue
		case e.Default:
			return e
		case !e.NotDefault && unmarked == nil:
			unmarked = e
		}
		if first == nil {
			first = e
		}
	}
	if unmarked != nil {
		return unmarked
	}
	return first
}

// Registry holds the parties. It is read-only after [NewRegistry] and safe for
// concurrent use.
type Registry struct {
	parties  []*Party
	byKey    map[string]*Party
	byEntity map[string]*Party
}

// NewRegistry checks the parties and indexes them; the error names every problem.
func NewRegistry(parties ...*Party) (*Registry, error) {
	r := &Registry{byKey: make(map[string]*Party), byEntity: make(map[string]*Party)}
	var errs []error
	for _, given := range parties {
		p := *given // the caller's value stays its own
		for _, err := range r.add(&p) {
			errs = append(errs, fmt.Errorf("saml: party %q: %w", p.Key, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Registry) add(p *Party) (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if p.Key == "" || r.byKey[p.Key] != nil {
		bad("the key is empty or used twice")
	}
	if len(p.Identifiers) == 0 {
		bad("no entity id")
	}
	for _, id := range p.Identifiers {
		if id == "" || len(id) > maxEntity || strings.TrimSpace(id) != id {
			bad("entity id %.80q is empty, too long or padded with blanks", id)
		} else if other := r.byEntity[id]; other != nil {
			bad("entity id %q already belongs to %q", id, other.Key)
		}
		r.byEntity[id] = p
	}
	p.TokenType = federation.SAML20
	if p.TokenLifetime == 0 {
		p.TokenLifetime = time.Hour
	}
	if p.NameIDFormat == "" {
		if p.NameIDFormat = FormatUnspecified; p.Microsoft365 {
			p.NameIDFormat = FormatPersistent
		}
	}
	if !supported(p, p.NameIDFormat) {
		bad("name id format %q is not offered", p.NameIDFormat)
	}
	r.endpoints(p, bad)
	if l := p.Logout; l != nil {
		if err := errors.Join(checkURL(l.URL), checkURL(l.answerTo())); err != nil {
			bad("sign-out address: %w", err)
		}
		if l.Binding != "" && l.Binding != BindingRedirect && l.Binding != BindingPost && l.Binding != BindingSOAP {
			bad("sign-out binding %q is not served", l.Binding)
		}
		if len(p.Certificates) == 0 && !p.Microsoft365 {
			bad("sign-outs are signed and there is no certificate to verify them with")
		}
	}
	for _, c := range p.Certificates {
		if err := checkKey(c); err != nil {
			bad("%w", err)
		}
	}
	if p.WantSigned && len(p.Certificates) == 0 {
		bad("signed requests are wanted and there is no certificate to verify them with")
	}
	if p.Encrypt != nil {
		if _, ok := p.Encrypt.PublicKey.(*rsa.PublicKey); !ok {
			bad("the encryption certificate's key is not RSA")
		} else if err := checkKey(p.Encrypt); err != nil {
			bad("%w", err)
		}
		if _, err := p.Encryption.complete(); err != nil {
			bad("%w", err)
		}
	}
	r.byKey[p.Key] = p
	r.parties = append(r.parties, p)
	return errs
}

func (r *Registry) endpoints(p *Party, bad func(string, ...any)) {
	p.Consumers = append([]Endpoint(nil), p.Consumers...)
	p.ReplyURLs = nil
	index := make(map[int]bool, len(p.Consumers))
	for i := range p.Consumers {
		e := &p.Consumers[i]
		if e.Binding == "" {
			e.Binding = BindingPost
		}
		if index[e.Index] {
			bad("index %d is used twice", e.Index)
		}
		index[e.Index] = true
		if err := checkURL(e.URL); err != nil {
			bad("address %.200q: %w", e.URL, err)
		}
		if e.Binding == BindingPost {
			p.ReplyURLs = append(p.ReplyURLs, e.URL)
		}
	}
	if p.defaultConsumer() == nil {
		bad("no assertion consumer service with the POST binding")
	}
}

var errURL = errors.New("not an absolute https address")

// checkURL refuses what is no https address, or could be read in two ways.
func checkURL(raw string) error {
	if raw == "" || len(raw) > maxURL {
		return errURL
	}
	for i := range len(raw) {
		if c := raw[i]; c <= 0x20 || c >= 0x7f || strings.IndexByte("\\#\"<>^`{|}", c) >= 0 {
			return errURL
		}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.Opaque != "" || u.User != nil || u.Hostname() == "" {
		return errURL
	}
	return nil
}

// checkKey refuses keys that could not verify anything under our rules.
func checkKey(c *x509.Certificate) error {
	if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < 2048 {
		return fmt.Errorf("certificate %q has an RSA key of %d bits, at least 2048 are needed", c.Subject.String(), k.N.BitLen())
	}
	return nil
}

// All returns the parties in the order given.
func (r *Registry) All() []*Party { return append([]*Party(nil), r.parties...) }

// ByKey returns the party with that key, nil when there is none.
func (r *Registry) ByKey(key string) *Party { return r.byKey[key] }

// ByEntity returns the party with exactly this entity id, nil when there is none.
func (r *Registry) ByEntity(id string) *Party { return r.byEntity[id] }

// RelyingParty returns what all protocols share of the party with that key, nil
// when there is none.
func (r *Registry) RelyingParty(key string) *federation.RelyingParty {
	if p := r.byKey[key]; p != nil {
		return &p.RelyingParty
	}
	return nil
}

// thumbprint names a certificate as Windows does.
func thumbprint(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw) //nolint:gosec // see the import
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// thumbprints names all certificates of a party, for the log.
func thumbprints(p *Party) string {
	if len(p.Certificates) == 0 {
		return "none: the party has no certificate"
	}
	names := make([]string, len(p.Certificates))
	for i, c := range p.Certificates {
		names[i] = thumbprint(c)
	}
	return strings.Join(names, ", ")
}
