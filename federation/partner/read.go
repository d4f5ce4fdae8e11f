package partner

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/beevik/etree"

	"sallyport/federation/internal/xmlsec"
)

// MaxSize is the largest document that [Read] takes, in bytes.
const MaxSize = 2 << 20

// What a document is refused for; targets of errors.Is.
var (
	// ErrNotMetadata: not SAML 2.0 metadata, or against its rules.
	ErrNotMetadata = errors.New("no usable SAML 2.0 metadata")
	// ErrUntrusted: not signed by a pinned key.
	ErrUntrusted = errors.New("not signed by one of the pinned certificates")
	// ErrExpired: validUntil has passed, or is missing where it is demanded.
	ErrExpired = errors.New("no longer valid")
	// ErrAbsent: the entity that was asked for is not in the document.
	ErrAbsent = errors.New("the entity is not in the document")
)

// Trust is what [Read] holds a document against.
type Trust struct {
	// Certificates hold the keys of which one must have signed the document. Empty:
	// the signature does not matter, since the caller knows where the document is
	// from.
	Certificates []*x509.Certificate
	// MustEnd refuses documents without validUntil at their root. An aggregate that
	// is believed for its signature must have one in any case.
	MustEnd bool
	// Now is the time at which the document must be valid. Required.
	Now time.Time
}

// Document is what one document holds.
type Document struct {
	// Entities are the service providers, in order.
	Entities []*Entity
	// Others counts entities that are no SAML 2.0 service providers.
	Others int
	// ValidUntil is the root's end; zero when it has none.
	ValidUntil time.Time
	// Created is when the publisher says it made the document (MDRPI §2.2.1); zero
	// when it does not say.
	Created time.Time
	// Signed reports that the signature was verified.
	Signed bool
}

// Entity returns the service provider with exactly this entity id.
func (d *Document) Entity(id string) (*Entity, error) {
	for _, e := range d.Entities {
		if e.ID == id {
			return e, nil
		}
	}
	return nil, fmt.Errorf("%w: %.200q; it describes %s", ErrAbsent, id, d.names())
}

// names lists a few entity ids for an error text.
func (d *Document) names() string {
	if len(d.Entities) == 0 {
		return "no service provider"
	}
	var names []string
	for _, e := range d.Entities[:min(len(d.Entities), 5)] {
		names = append(names, fmt.Sprintf("%.200q", e.ID))
	}
	if more := len(d.Entities) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNotMetadata}, args...)...)
}

// Read reads a document whose root is EntityDescriptor or EntitiesDescriptor. Each
// service provider in it is complete, or the whole document is refused. The error
// wraps one of the errors above or one of the XML gate.
func Read(data []byte, trust Trust) (*Document, error) {
	doc, err := xmlsec.Parse(data, xmlsec.Imported())
	if err != nil {
		if errors.Is(err, xmlsec.ErrLimit) {
			return nil, fmt.Errorf("%w; an aggregate is taken apart by: sallyport rp import", err)
		}
		return nil, err
	}
	root, d := doc.Unverified(), &Document{}
	if len(trust.Certificates) > 0 {
		v, err := doc.Verify(Keys(trust.Certificates), xmlsec.Profile{EmptyReference: true})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
		}
		root, d.Signed = v.Root, true
	}
	if until, ok := xmlsec.Attr(root, "validUntil"); ok && until != zeroUntil {
		if d.ValidUntil, err = instant(until); err != nil {
			return nil, bad("validUntil %.40q", until)
		}
	}
	if (trust.MustEnd || d.Signed && xmlsec.Is(root, nsMetadata, "EntitiesDescriptor")) && d.ValidUntil.IsZero() {
		return nil, fmt.Errorf("%w: the document has no validUntil, so that an old one could be played back for ever", ErrExpired)
	}
	if d.Created, err = created(root); err != nil {
		return nil, err
	}
	r := reader{doc: d, now: trust.Now, seen: make(map[string]bool)}
	if err := r.walk(root, limits{}); err != nil {
		return nil, err
	}
	return d, nil
}

// Keys returns the public keys of certificates, in their order.
func Keys(list []*x509.Certificate) []crypto.PublicKey {
	keys := make([]crypto.PublicKey, len(list))
	for i, c := range list {
		keys[i] = c.PublicKey
	}
	return keys
}

// created reads mdrpi:PublicationInfo in the root's Extensions.
func created(root *etree.Element) (time.Time, error) {
	for _, x := range xmlsec.All(root, nsMetadata, "Extensions") {
		for _, p := range xmlsec.All(x, nsRegister, "PublicationInfo") {
			if s, ok := xmlsec.Attr(p, "creationInstant"); ok {
				t, err := instant(s)
				if err != nil {
					return t, bad("creationInstant %.40q", s)
				}
				return t, nil
			}
		}
	}
	return time.Time{}, nil
}

// zeroUntil is what an old library writes when there is no end (CASES C04).
const zeroUntil = "0001-01-01T00:00:00Z"

// limits are what outer descriptors say about inner ones.
type limits struct {
	until    time.Time
	cache    time.Duration
	warnings []string
}

// within adds what e says (SAML Metadata 2.0 §2.3.1: the earliest end and the
// shortest duration hold).
func (l limits) within(e *etree.Element, now time.Time) (limits, error) {
	if s, ok := xmlsec.Attr(e, "validUntil"); ok && s == zeroUntil {
		l.warnings = append(l.warnings[:len(l.warnings):len(l.warnings)], "validUntil is "+zeroUntil+" and is taken as absent")
	} else if ok {
		t, err := instant(s)
		if err != nil {
			return l, bad("validUntil %.40q", s)
		}
		if !t.After(now) {
			return l, fmt.Errorf("%w: validUntil was %s", ErrExpired, t.Format(time.RFC3339))
		}
		if l.until.IsZero() || t.Before(l.until) {
			l.until = t
		}
	}
	if s, ok := xmlsec.Attr(e, "cacheDuration"); ok {
		d, err := duration(s)
		if err != nil {
			return l, bad("cacheDuration %.40q", s)
		}
		if l.cache == 0 || d < l.cache {
			l.cache = d
		}
	}
	return l, nil
}

type reader struct {
	doc  *Document
	now  time.Time
	seen map[string]bool
}

// walk reads an EntityDescriptor, or an EntitiesDescriptor and what is in it.
func (r *reader) walk(e *etree.Element, l limits) error {
	l, err := l.within(e, r.now)
	if err != nil {
		return err
	}
	switch {
	case xmlsec.Is(e, nsMetadata, "EntityDescriptor"):
		return r.entity(e, l)
	case !xmlsec.Is(e, nsMetadata, "EntitiesDescriptor"):
		return bad("the element {%.80s}%.60s is in the place of EntityDescriptor", e.NamespaceURI(), e.Tag)
	}
	for _, c := range e.ChildElements() {
		switch {
		case xmlsec.Is(c, nsMetadata, "EntityDescriptor"), xmlsec.Is(c, nsMetadata, "EntitiesDescriptor"):
			if err := r.walk(c, l); err != nil {
				return err
			}
		case xmlsec.Is(c, nsMetadata, "Extensions"), xmlsec.Is(c, nsSignature, "Signature"):
		default:
			return bad("the element {%.80s}%.60s stands in EntitiesDescriptor", c.NamespaceURI(), c.Tag)
		}
	}
	return nil
}

func (r *reader) entity(e *etree.Element, l limits) error {
	id, err := entityID(e)
	if err != nil {
		return err
	}
	if r.seen[id] {
		return bad("entity %.200q is described twice", id)
	}
	r.seen[id] = true
	var role *etree.Element
	for _, c := range xmlsec.All(e, nsMetadata, "SPSSODescriptor") {
		protocols, _ := xmlsec.Attr(c, "protocolSupportEnumeration")
		switch {
		case !contains(strings.Fields(protocols), nsProtocol):
		case role != nil:
			return bad("entity %.200q has two roles as a SAML 2.0 service provider", id)
		default:
			role = c
		}
	}
	if role == nil {
		r.doc.Others++
		return nil
	}
	if l, err = l.within(role, r.now); err != nil {
		return fmt.Errorf("entity %.200q: %w", id, err)
	}
	out := &Entity{ID: id, ValidUntil: l.until, CacheDuration: l.cache, Warnings: l.warnings}
	if err := out.read(e, role, r.now); err != nil {
		return fmt.Errorf("entity %.200q: %w", id, err)
	}
	r.doc.Entities = append(r.doc.Entities, out)
	return nil
}

// entityID reads the name of an EntityDescriptor.
func entityID(e *etree.Element) (string, error) {
	id, _ := xmlsec.Attr(e, "entityID")
	if !isEntityID(id) {
		return "", bad("entityID %.100q is empty, too long or holds blanks", id)
	}
	return id, nil
}

func isEntityID(id string) bool {
	return id != "" && len(id) <= maxEntity && !strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xfffd })
}

func contains(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}
