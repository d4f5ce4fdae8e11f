package xmlsec

import (
	"crypto"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

const (
	dsigURI      = "http://www.w3.org/2000/09/xmldsig#"
	excC14N      = "http://www.w3.org/2001/10/xml-exc-c14n#"
	enveloped    = dsigURI + "enveloped-signature"
	assertionURI = "urn:oasis:names:tc:SAML:2.0:assertion"
)

// ErrSignature says that a document does not carry one good signature under the
// profile by one of the keys. Nothing of such a document may be used.
var ErrSignature = errors.New("xmlsec: signature refused")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrSignature}, args...)...)
}

// Profile is what may vary between the places that verify. The zero value is the
// strictest and right for SAML requests.
type Profile struct {
	// EmptyReference lets a Reference with URI "" stand for the whole document.
	// Metadata only.
	EmptyReference bool
	// SHA1 lets RSA-SHA1 and SHA-1 digests pass: a named exception for one party.
	SHA1 bool
}

// Verified is what a good signature covers.
type Verified struct {
	// Root is the signed element without its signature, read anew from the bytes
	// that were digested. It has no tie to the document.
	Root *etree.Element
	// Key is the index of the key that verified it.
	Key int
}

// Verify checks the one signature of d with the registered keys of the party that
// claims to have sent it. The profile (XML-DSIG, SAML Core 2.0 §5.4):
//
//   - exactly one ds:Signature in the document, a child of the root, and before it
//     nothing but a SAML Issuer;
//   - in it SignedInfo, SignatureValue and at most one KeyInfo, in this order;
//   - in SignedInfo exclusive canonicalisation and one Reference, to the root's ID;
//   - transforms: enveloped signature, then exclusive canonicalisation, no others;
//   - RSA-SHA256/384/512 with at least 2048 bits, or ECDSA-SHA256/384 on P-256 or
//     P-384.
//
// KeyInfo is not read at all: what is in it can neither choose a key nor cause a
// request. Certificates' dates do not matter here.
func (d *Document) Verify(keys []crypto.PublicKey, p Profile) (*Verified, error) {
	root := d.tree.Root()
	sig, err := signatureOf(root)
	if err != nil {
		return nil, err
	}
	info, value, err := signatureParts(sig)
	if err != nil {
		return nil, err
	}
	// From here on SignedInfo is read from its own canonical bytes.
	canonical, err := canonicalInfo(info)
	if err != nil {
		return nil, err
	}
	s, err := readSignedInfo(canonical, d.rules)
	if err != nil {
		return nil, err
	}
	if err := s.covers(root, p); err != nil {
		return nil, err
	}
	key, err := VerifyOctets(s.method, keys, canonical, value, p.SHA1)
	if err != nil {
		return nil, err
	}
	signed, err := canonicalRoot(root, sig, s.prefixes)
	if err != nil {
		return nil, err
	}
	hash, ok := digestAlgorithm(s.digestMethod, p.SHA1)
	if !ok {
		return nil, refuse("digest algorithm is not allowed")
	}
	h := hash.New()
	h.Write(signed)
	if subtle.ConstantTimeCompare(h.Sum(nil), s.digest) != 1 {
		return nil, refuse("digest does not match")
	}
	fresh, err := Parse(signed, canonicalRules(d.rules, len(signed)))
	if err != nil {
		return nil, refuse("%w", err)
	}
	return &Verified{Root: fresh.tree.Root(), Key: key}, nil
}

// canonicalRules lets a canonical form be longer than the document was: it
// repeats declarations and writes references out.
func canonicalRules(r Rules, n int) Rules {
	r.MaxBytes = max(r.MaxBytes, n)
	r.MaxDeclarations = max(r.MaxDeclarations, r.MaxElements)
	r.MaxAttributes *= 2
	r.MaxText *= 6
	return r
}

// signatureOf returns the only signature, which is a child of the root.
func signatureOf(root *etree.Element) (*etree.Element, error) {
	signatures, infos := 0, 0
	walk(root, func(e *etree.Element) {
		if Is(e, dsigURI, "Signature") {
			signatures++
		}
		if Is(e, dsigURI, "SignedInfo") {
			infos++
		}
	})
	if signatures != 1 || infos != 1 {
		return nil, refuse("%d signatures and %d SignedInfo in the document, want one of each", signatures, infos)
	}
	children := root.ChildElements()
	switch {
	case Is(children[0], dsigURI, "Signature"):
		return children[0], nil
	case len(children) > 1 && Is(children[0], assertionURI, "Issuer") && Is(children[1], dsigURI, "Signature"):
		return children[1], nil
	default:
		return nil, refuse("the signature is not the root's first child or the one after Issuer")
	}
}

// signatureParts returns SignedInfo and the decoded SignatureValue.
func signatureParts(sig *etree.Element) (info *etree.Element, value []byte, err error) {
	children := sig.ChildElements()
	if len(children) == 3 && Is(children[2], dsigURI, "KeyInfo") {
		children = children[:2]
	}
	if err := sequence(children, "SignedInfo", "SignatureValue"); err != nil {
		return nil, nil, err
	}
	value, err = base64Text(children[1])
	return children[0], value, err
}

// sequence checks that children are exactly the named elements of XML-DSIG.
func sequence(children []*etree.Element, names ...string) error {
	if len(children) != len(names) {
		return refuse("%d elements, want %d: %v", len(children), len(names), names)
	}
	for i, name := range names {
		if !Is(children[i], dsigURI, name) {
			return refuse("%s in the place of %s", children[i].Tag, name)
		}
	}
	return nil
}

func base64Text(e *etree.Element) ([]byte, error) {
	text, err := Text(e)
	if err != nil {
		return nil, refuse("%w", err)
	}
	b, err := Base64(text, true)
	if err != nil {
		return nil, refuse("%s: %w", e.Tag, err)
	}
	return b, nil
}

// signedInfo is what SignedInfo says, read from its canonical form.
type signedInfo struct {
	method       string
	uri          string
	prefixes     string
	digestMethod string
	digest       []byte
}

func readSignedInfo(canonical []byte, rules Rules) (*signedInfo, error) {
	doc, err := Parse(canonical, canonicalRules(rules, len(canonical)))
	if err != nil {
		return nil, refuse("SignedInfo: %w", err)
	}
	root := doc.tree.Root()
	parts := root.ChildElements()
	if err := sequence(parts, "CanonicalizationMethod", "SignatureMethod", "Reference"); err != nil {
		return nil, err
	}
	var s signedInfo
	if method, err := algorithm(parts[0]); err != nil {
		return nil, err
	} else if method != excC14N {
		return nil, refuse("canonicalisation of SignedInfo is not exclusive")
	}
	if s.method, err = algorithm(parts[1]); err != nil {
		return nil, err
	}
	return &s, s.readReference(parts[2])
}

func (s *signedInfo) readReference(ref *etree.Element) (err error) {
	uri, ok := Attr(ref, "URI")
	if !ok {
		return refuse("reference without URI")
	}
	s.uri = uri
	parts := ref.ChildElements()
	if err := sequence(parts, "Transforms", "DigestMethod", "DigestValue"); err != nil {
		return err
	}
	transforms := parts[0].ChildElements()
	if err := sequence(transforms, "Transform", "Transform"); err != nil {
		return err
	}
	if first, err := algorithm(transforms[0]); err != nil {
		return err
	} else if first != enveloped {
		return refuse("first transform is not enveloped signature")
	}
	if s.prefixes, err = inclusivePrefixes(transforms[1]); err != nil {
		return err
	}
	if s.digestMethod, err = algorithm(parts[1]); err != nil {
		return err
	}
	s.digest, err = base64Text(parts[2])
	return err
}

// algorithm returns the Algorithm of an element that holds nothing.
func algorithm(e *etree.Element) (string, error) {
	if len(e.ChildElements()) > 0 {
		return "", refuse("%s has parameters", e.Tag)
	}
	a, ok := Attr(e, "Algorithm")
	if !ok {
		return "", refuse("%s without Algorithm", e.Tag)
	}
	return a, nil
}

// inclusivePrefixes checks the second transform and returns the PrefixList of its
// only allowed parameter (Exc-C14N §4); OpenSAML sends one.
func inclusivePrefixes(transform *etree.Element) (string, error) {
	if a, _ := Attr(transform, "Algorithm"); a != excC14N {
		return "", refuse("second transform is not exclusive canonicalisation")
	}
	params := transform.ChildElements()
	switch {
	case len(params) == 0:
		return "", nil
	case len(params) > 1 || !Is(params[0], excC14N, "InclusiveNamespaces") || len(params[0].ChildElements()) > 0:
		return "", refuse("parameters of exclusive canonicalisation")
	}
	list, _ := Attr(params[0], "PrefixList")
	return list, nil
}

// covers checks that the reference is to the root of the document.
func (s *signedInfo) covers(root *etree.Element, p Profile) error {
	id, ok := Attr(root, "ID")
	switch {
	case s.uri == "" && p.EmptyReference:
		return nil
	case !ok || id == "":
		return refuse("the root has no ID")
	case s.uri != "#"+id:
		return refuse("the reference is not to the root")
	}
	return nil
}

// canonicalInfo returns SignedInfo in the form that is signed.
func canonicalInfo(info *etree.Element) ([]byte, error) {
	ctx, err := etreeutils.NSBuildParentContext(info)
	if err != nil {
		return nil, refuse("SignedInfo: %w", err)
	}
	alone, err := etreeutils.NSDetatch(ctx, info)
	if err != nil {
		return nil, refuse("SignedInfo: %w", err)
	}
	return canonicalise(alone, "")
}

// canonicalRoot returns the root without the signature in the form that was
// digested.
func canonicalRoot(root, sig *etree.Element, prefixes string) ([]byte, error) {
	at := sig.Index()
	alone := root.Copy()
	alone.RemoveChildAt(at)
	return canonicalise(alone, prefixes)
}

// canonicalise changes e.
func canonicalise(e *etree.Element, prefixes string) ([]byte, error) {
	b, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(prefixes).Canonicalize(e)
	if err != nil {
		return nil, refuse("canonicalisation: %w", err)
	}
	return b, nil
}
