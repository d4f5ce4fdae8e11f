package verify

import (
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // names a certificate as Windows does; secures nothing
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"

	"sallyport/federation/internal/xmlsec"
)

const (
	nsSAML11 = "urn:oasis:names:tc:SAML:1.0:assertion"
	nsSAML20 = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsDS     = "http://www.w3.org/2000/09/xmldsig#"
)

func (j *judge) parse(assertion []byte) (string, string, bool) {
	doc, err := xmlsec.Parse(assertion, xmlsec.Message(maxToken))
	if err != nil {
		return err.Error(), "the token is broken", false
	}
	j.root = doc.Unverified() // signature is the next rule; nothing is read before
	switch {
	case xmlsec.Is(j.root, nsSAML11, "Assertion"):
		return fmt.Sprintf("SAML 1.1, %d bytes", len(assertion)), "", true
	case xmlsec.Is(j.root, nsSAML20, "Assertion"):
		return fmt.Sprintf("SAML 2.0, %d bytes", len(assertion)), "", true
	}
	return "the root is " + j.root.Tag, "it must be one assertion", false
}

// idAttribute is where an assertion's own id stands.
func (j *judge) idAttribute() string {
	if j.root.NamespaceURI() == nsSAML11 {
		return "AssertionID"
	}
	return "ID"
}

// signature verifies, and puts the verified tree in the place of what was sent.
func (j *judge) signature() (string, string, bool) {
	const remedy = "the certificate that signs must stand in one of the domain's slots (sallyport domain update) before it signs"
	sigs := xmlsec.All(j.root, nsDS, "Signature")
	if len(sigs) != 1 {
		return fmt.Sprintf("%d signatures", len(sigs)), "it must have exactly one", false
	}
	id, _ := xmlsec.Attr(j.root, j.idAttribute())
	if why := algorithms(sigs[0], id); why != "" {
		return why, "only RSA-SHA256 with exclusive canonicalisation is sent to Microsoft", false
	}
	cert, err := embedded(sigs[0])
	if err != nil {
		return err.Error(), "the signature must carry its certificate", false
	}
	sum := sha1.Sum(cert.Raw) //nolint:gosec // see the import
	j.v.Thumbprint = strings.ToUpper(hex.EncodeToString(sum[:]))
	slots := map[string][]*x509.Certificate{}
	var trusted []*x509.Certificate
	for _, d := range j.want.Domains {
		for slot, c := range map[string]*x509.Certificate{"signingCertificate": d.Current, "nextSigningCertificate": d.Next} {
			if c != nil && c.Equal(cert) {
				slots[slot] = append(slots[slot], c)
				trusted = append(trusted, c)
			}
		}
	}
	if len(trusted) == 0 {
		return j.v.Thumbprint + " is in no slot", remedy, false
	}
	for _, name := range []string{"signingCertificate", "nextSigningCertificate"} {
		if len(slots[name]) > 0 && j.v.Slot == "" {
			j.v.Slot = name
		}
	}
	if pub, ok := cert.PublicKey.(*rsa.PublicKey); !ok || pub.N.BitLen() < 2048 {
		return "the key is not RSA of at least 2048 bits", "make another key", false
	}
	verified, err := j.check(trusted[:1])
	if err != nil {
		return err.Error(), "the signature is wrong: report this", false
	}
	j.root = verified
	return fmt.Sprintf("%s in %s, RSA-SHA256", j.v.Thumbprint, j.v.Slot), "", true
}

// check lets goxmldsig verify the assertion on its own. The certificate's dates are
// a rule of their own, so its clock stands inside them.
func (j *judge) check(trusted []*x509.Certificate) (*etree.Element, error) {
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: trusted})
	ctx.IdAttribute = j.idAttribute()
	ctx.Clock = dsig.NewFakeClockAt(trusted[0].NotBefore.Add(trusted[0].NotAfter.Sub(trusted[0].NotBefore) / 2))
	parent, err := etreeutils.NSBuildParentContext(j.root)
	if err != nil {
		return nil, err
	}
	detached, err := etreeutils.NSDetatch(parent, j.root)
	if err != nil {
		return nil, err
	}
	return ctx.Validate(detached)
}

// algorithms says what is wrong with the frame of a signature, empty when nothing is.
func algorithms(sig *etree.Element, id string) string {
	info, err := xmlsec.One(sig, nsDS, "SignedInfo")
	if err != nil || id == "" {
		return "SignedInfo or the assertion's id is missing"
	}
	ref, err := xmlsec.One(info, nsDS, "Reference")
	if err != nil {
		return "not exactly one Reference"
	}
	if uri, _ := xmlsec.Attr(ref, "URI"); uri != "#"+id {
		return "the signature is not over the assertion"
	}
	got := []string{named(info, "CanonicalizationMethod"), named(info, "SignatureMethod"), named(ref, "DigestMethod")}
	if transforms, err := xmlsec.One(ref, nsDS, "Transforms"); err == nil {
		for _, t := range xmlsec.All(transforms, nsDS, "Transform") {
			a, _ := xmlsec.Attr(t, "Algorithm")
			got = append(got, a)
		}
	}
	want := []string{
		"http://www.w3.org/2001/10/xml-exc-c14n#", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2001/04/xmlenc#sha256",
		"http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/2001/10/xml-exc-c14n#",
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		return "the algorithms are " + strings.Join(got, ", ")
	}
	return ""
}

func named(e *etree.Element, local string) string {
	c, err := xmlsec.One(e, nsDS, local)
	if err != nil {
		return ""
	}
	a, _ := xmlsec.Attr(c, "Algorithm")
	return a
}

func embedded(sig *etree.Element) (*x509.Certificate, error) {
	e := sig
	for _, local := range []string{"KeyInfo", "X509Data", "X509Certificate"} {
		var err error
		if e, err = xmlsec.One(e, nsDS, local); err != nil {
			return nil, fmt.Errorf("no %s", local)
		}
	}
	text, err := xmlsec.Text(e)
	if err != nil {
		return nil, err
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("the certificate in it is not base64")
	}
	return x509.ParseCertificate(der)
}

func (j *judge) dates() (string, string, bool) {
	for _, d := range j.want.Domains {
		for _, c := range []*x509.Certificate{d.Current, d.Next} {
			if c == nil || fmt.Sprintf("%X", sha1.Sum(c.Raw)) != j.v.Thumbprint { //nolint:gosec // a name
				continue
			}
			found := "ends " + c.NotAfter.UTC().Format("2006-01-02")
			if j.want.Now.After(c.NotAfter) || j.want.Now.Before(c.NotBefore) {
				return found + ", from " + c.NotBefore.UTC().Format("2006-01-02"), "replace it (sallyport certs list)", false
			}
			return found, "", true
		}
	}
	return "not found", "", false
}

// read takes the facts out of the verified tree.
func (j *judge) read() (string, string, bool) {
	f := &j.facts
	f.claims = map[string][]string{}
	read := f.saml11
	if j.root.NamespaceURI() == nsSAML20 {
		read = f.saml20
	}
	if err := read(j.root); err != nil {
		return err.Error(), "the assertion has not the shape that AD FS gives it", false
	}
	return fmt.Sprintf("%d claims", len(f.claims)), "", true
}

// saml11 reads an assertion of SAML 1.1 Core §2.3.
func (f *facts) saml11(a *etree.Element) error {
	f.id, _ = xmlsec.Attr(a, "AssertionID")
	f.issuer, _ = xmlsec.Attr(a, "Issuer")
	if err := f.conditions(a, nsSAML11, "AudienceRestrictionCondition"); err != nil {
		return err
	}
	auth, err := xmlsec.One(a, nsSAML11, "AuthenticationStatement")
	if err != nil {
		return err
	}
	f.method, _ = xmlsec.Attr(auth, "AuthenticationMethod")
	if f.authnAt, err = instant(auth, "AuthenticationInstant"); err != nil {
		return err
	}
	statement, err := xmlsec.One(a, nsSAML11, "AttributeStatement")
	if err != nil {
		return err
	}
	for _, s := range []*etree.Element{auth, statement} {
		subject, err := xmlsec.One(s, nsSAML11, "Subject")
		if err != nil {
			return err
		}
		name, err := text(subject, nsSAML11, "NameIdentifier")
		if err != nil {
			return err
		}
		if f.nameID != "" && f.nameID != name {
			return fmt.Errorf("the two subjects differ")
		}
		f.nameID = name
	}
	for _, at := range xmlsec.All(statement, nsSAML11, "Attribute") {
		name, _ := xmlsec.Attr(at, "AttributeName")
		ns, _ := xmlsec.Attr(at, "AttributeNamespace")
		if err := f.claim(at, nsSAML11, ns+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

// saml20 reads an assertion of SAML 2.0 Core §2.3.
func (f *facts) saml20(a *etree.Element) error {
	f.id, _ = xmlsec.Attr(a, "ID")
	var err error
	if f.issuer, err = text(a, nsSAML20, "Issuer"); err != nil {
		return err
	}
	if err := f.conditions(a, nsSAML20, "AudienceRestriction"); err != nil {
		return err
	}
	subject, err := xmlsec.One(a, nsSAML20, "Subject")
	if err != nil {
		return err
	}
	if f.nameID, err = text(subject, nsSAML20, "NameID"); err != nil {
		return err
	}
	auth, err := xmlsec.One(a, nsSAML20, "AuthnStatement")
	if err != nil {
		return err
	}
	if f.authnAt, err = instant(auth, "AuthnInstant"); err != nil {
		return err
	}
	ctx, err := xmlsec.One(auth, nsSAML20, "AuthnContext")
	if err != nil {
		return err
	}
	if f.method, err = text(ctx, nsSAML20, "AuthnContextClassRef"); err != nil {
		return err
	}
	for _, statement := range xmlsec.All(a, nsSAML20, "AttributeStatement") {
		for _, at := range xmlsec.All(statement, nsSAML20, "Attribute") {
			name, _ := xmlsec.Attr(at, "Name")
			if err := f.claim(at, nsSAML20, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *facts) conditions(a *etree.Element, ns, restriction string) error {
	cond, err := xmlsec.One(a, ns, "Conditions")
	if err != nil {
		return err
	}
	if f.notBefore, err = instant(cond, "NotBefore"); err != nil {
		return err
	}
	if f.notOnOrAfter, err = instant(cond, "NotOnOrAfter"); err != nil {
		return err
	}
	for _, r := range xmlsec.All(cond, ns, restriction) {
		for _, e := range xmlsec.All(r, ns, "Audience") {
			t, err := xmlsec.Text(e)
			if err != nil {
				return err
			}
			f.audiences = append(f.audiences, t)
		}
	}
	return nil
}

func (f *facts) claim(at *etree.Element, ns, name string) error {
	if _, twice := f.claims[name]; twice {
		return fmt.Errorf("the claim %s stands there twice", name)
	}
	f.claims[name] = nil
	for _, v := range xmlsec.All(at, ns, "AttributeValue") {
		t, err := xmlsec.Text(v)
		if err != nil {
			return err
		}
		f.claims[name] = append(f.claims[name], t)
	}
	return nil
}

func text(e *etree.Element, ns, local string) (string, error) {
	c, err := xmlsec.One(e, ns, local)
	if err != nil {
		return "", err
	}
	return xmlsec.Text(c)
}

// instant reads xs:dateTime in UTC with Z (SAML 2.0 Core §1.3.3).
func instant(e *etree.Element, attr string) (time.Time, error) {
	v, _ := xmlsec.Attr(e, attr)
	t, err := time.Parse("2006-01-02T15:04:05.999999999Z", v)
	if err != nil {
		return t, fmt.Errorf("%s %q is no instant in UTC", attr, v)
	}
	return t, nil
}
