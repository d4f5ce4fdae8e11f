package m365sim

import (
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

const (
	microsoftOnline = "urn:federation:MicrosoftOnline"
	multipleAuthn   = "http://schemas.microsoft.com/claims/multipleauthn"

	nsTrust = "http://schemas.xmlsoap.org/ws/2005/02/trust"
	nsUtil  = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
	nsAddr  = "http://www.w3.org/2005/08/addressing"
	nsPol   = "http://schemas.xmlsoap.org/ws/2004/09/policy"
	nsSAML  = "urn:oasis:names:tc:SAML:1.0:assertion"
	nsDS    = "http://www.w3.org/2000/09/xmldsig#"

	excC14N    = "http://www.w3.org/2001/10/xml-exc-c14n#"
	enveloped  = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	rsaSHA256  = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	sha256URI  = "http://www.w3.org/2001/04/xmlenc#sha256"
	formatNone = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	bearer     = "urn:oasis:names:tc:SAML:1.0:cm:bearer"

	// skew is the tolerance for clocks, five minutes as WIF has it.
	skew = 5 * time.Minute
)

// Claim is one attribute value of a token.
type Claim struct{ Name, Namespace, Value string }

// Check is one rule with its outcome.
type Check struct {
	Rule string
	OK   bool
}

// Verdict is the judgement of one answer.
type Verdict struct {
	At time.Time
	// Code is empty when the answer was accepted, else an AADSTS code.
	Code string
	// Why says what was wrong, for a human.
	Why    string
	Checks []Check

	UPN, ImmutableID, DisplayName   string
	Issuer, Domain                  string
	Claims                          []Claim
	AuthnMethod                     string
	AuthnInstant, NotBefore, NotOn  time.Time
	Thumbprint, Slot, SignatureAlgo string
	// MFA is true when the token claims a second factor.
	MFA bool
	// Active is true for an answer that came to the token endpoint.
	Active bool
	// Token is the assertion's XML as received.
	Token string
}

// OK reports whether the answer was accepted.
func (v *Verdict) OK() bool { return v.Code == "" }

// refusal is an AADSTS code with its reason.
type refusal struct{ code, why string }

func (r *refusal) Error() string { return r.code + ": " + r.why }

func refuse(code, format string, args ...any) error {
	return &refusal{code: code, why: fmt.Sprintf(format, args...)}
}

// judge holds one judgement in progress.
type judge struct {
	v       *Verdict
	now     time.Time
	domains []Domain
	users   []User
	want    pending

	rstr, assertion *etree.Element // rstr is nil for an assertion without its frame
	domain          Domain
	outer           string // the issuer of a SAML 2.0 response
	active          bool   // from the token endpoint
}

// step is one rule.
type step struct {
	rule string
	f    func() error
}

// Judge applies every rule to the XML of wresult. want is the request that the
// answer belongs to.
func (j *judge) run(wresult string) {
	j.steps([]step{
		{"the answer is one RequestSecurityTokenResponse of WS-Trust February 2005", func() error { return j.response(wresult) }},
		{"no line feed and no white space around the assertion", func() error { return j.noBlanks(wresult) }},
		{"the signature verifies with a certificate that the domain has registered", j.signature},
		{"the assertion has the shape that [MS-MWBF] 2.2.4.2 asks for", j.shape},
		{"the issuer is the domain's issuerUri, character for character", j.issuer},
		{"the audience is " + microsoftOnline + " and AppliesTo repeats it", j.audience},
		{"the token is valid now and lives at most an hour", j.times},
		{"both subjects are equal: unspecified NameIdentifier, bearer", j.subjects},
		{"ImmutableID names a user of the tenant, UPN lies in the issuer's domain", j.identity},
		{"method and instant are those of a real authentication, fresh where asked", j.method},
		{"no claim twice, no instruction sent as a claim", j.claims},
	})
}

// steps applies rules until one is broken.
func (j *judge) steps(steps []step) {
	for _, s := range steps {
		err := s.f()
		j.v.Checks = append(j.v.Checks, Check{Rule: s.rule, OK: err == nil})
		if err == nil {
			continue
		}
		var r *refusal
		if !errors.As(err, &r) {
			r = &refusal{code: "AADSTS50008", why: err.Error()}
		}
		j.v.Code, j.v.Why = r.code, r.why
		return
	}
}

func (j *judge) response(wresult string) error {
	if wresult == "" {
		return refuse("AADSTS20001", "wresult is missing or empty")
	}
	if strings.Contains(wresult, "<!") || strings.Contains(wresult, "<?") {
		return refuse("AADSTS20012", "wresult holds a declaration, comment or processing instruction")
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromString(wresult); err != nil || doc.Root() == nil {
		return refuse("AADSTS20012", "wresult is not XML: %v", err)
	}
	j.rstr = doc.Root()
	if !is(j.rstr, nsTrust, "RequestSecurityTokenResponse") {
		return refuse("AADSTS20012", "the root is {%s}%s", j.rstr.NamespaceURI(), j.rstr.Tag)
	}
	var order []string
	for _, c := range j.rstr.ChildElements() {
		order = append(order, c.Tag)
	}
	if got := strings.Join(order, " "); got != "Lifetime AppliesTo RequestedSecurityToken TokenType RequestType KeyType" {
		return refuse("AADSTS20012", "the children are %q, not in AD FS's order", got)
	}
	for _, w := range [][2]string{
		{"TokenType", nsSAML}, {"RequestType", nsTrust + "/Issue"}, {"KeyType", "http://schemas.xmlsoap.org/ws/2005/05/identity/NoProofKey"},
	} {
		if e := child(j.rstr, nsTrust, w[0]); e == nil || e.Text() != w[1] {
			return refuse("AADSTS20012", "%s is not %s", w[0], w[1])
		}
	}
	rst := child(j.rstr, nsTrust, "RequestedSecurityToken")
	if rst == nil || len(rst.ChildElements()) != 1 || !is(rst.ChildElements()[0], nsSAML, "Assertion") {
		return refuse("AADSTS50008", "RequestedSecurityToken does not hold exactly one SAML 1.1 assertion")
	}
	j.assertion = rst.ChildElements()[0]
	return nil
}

func (j *judge) noBlanks(wresult string) error {
	if strings.ContainsAny(wresult, "\r\n\t") {
		return refuse("AADSTS50008", "the answer holds line feeds, returns or tabs; browsers change them on the way")
	}
	rst := child(j.rstr, nsTrust, "RequestedSecurityToken")
	if len(rst.Child) != 1 {
		return refuse("AADSTS50008", "there is text between RequestedSecurityToken and Assertion")
	}
	start, end := strings.Index(wresult, "<saml:Assertion"), strings.LastIndex(wresult, "</saml:Assertion>")
	if start >= 0 && end > start {
		j.v.Token = wresult[start : end+len("</saml:Assertion>")]
	}
	return nil
}

// signature verifies and then replaces j.assertion by the verified tree: what
// is read afterwards is what was signed.
func (j *judge) signature() error {
	sigs := children(j.assertion, nsDS, "Signature")
	if len(sigs) != 1 || len(j.assertion.FindElements(".//Signature")) != 1 {
		return refuse("AADSTS50006", "the assertion has %d signatures of its own", len(sigs))
	}
	kids := j.assertion.ChildElements()
	if kids[len(kids)-1] != sigs[0] {
		return refuse("AADSTS50006", "the signature is not the last child of a SAML 1.1 assertion")
	}
	return j.verify(sigs[0], "AssertionID")
}

// verify checks the assertion's own signature.
func (j *judge) verify(sig *etree.Element, idAttribute string) error {
	if err := signatureShape(sig, j.assertion.SelectAttrValue(idAttribute, "")); err != nil {
		return err
	}
	var slots []*x509.Certificate
	names := map[string]string{}
	for _, d := range j.domains {
		for name, c := range map[string]*x509.Certificate{"signingCertificate": d.SigningCertificate, "nextSigningCertificate": d.NextSigningCertificate} {
			if c != nil {
				slots = append(slots, c)
				names[string(c.Raw)] = name
			}
		}
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: slots})
	ctx.IdAttribute = idAttribute
	ctx.Clock = dsig.NewFakeClockAt(j.now)
	parent, err := etreeutils.NSBuildParentContext(j.assertion)
	if err != nil {
		return refuse("AADSTS50006", "namespaces: %v", err)
	}
	detached, err := etreeutils.NSDetatch(parent, j.assertion)
	if err != nil {
		return refuse("AADSTS50006", "namespaces: %v", err)
	}
	cert, err := embeddedCertificate(sig)
	if err != nil {
		return err
	}
	sum := sha1.Sum(cert.Raw) // thumbprint as Windows shows it, not a proof of anything
	j.v.Thumbprint = strings.ToUpper(hex.EncodeToString(sum[:]))
	if j.v.Slot = names[string(cert.Raw)]; j.v.Slot == "" {
		return refuse("AADSTS50006", "the token's certificate %s is in no slot of any domain", j.v.Thumbprint)
	}
	if pub, ok := cert.PublicKey.(*rsa.PublicKey); !ok || pub.N.BitLen() < 2048 {
		return refuse("AADSTS50032", "the key is not RSA of at least 2048 bits")
	}
	verified, err := ctx.Validate(detached)
	if err != nil {
		return refuse("AADSTS50006", "signature: %v", err)
	}
	j.assertion = verified
	j.v.SignatureAlgo = "RSA-SHA256, exclusive C14N"
	return nil
}

func signatureShape(sig *etree.Element, id string) error {
	si := child(sig, nsDS, "SignedInfo")
	if si == nil || id == "" {
		return refuse("AADSTS50006", "SignedInfo or the id is missing")
	}
	refs := children(si, nsDS, "Reference")
	if len(refs) != 1 || refs[0].SelectAttrValue("URI", "") != "#"+id {
		return refuse("AADSTS50006", "the signature does not reference the assertion by its id")
	}
	var transforms []string
	if t := child(refs[0], nsDS, "Transforms"); t != nil {
		for _, e := range t.ChildElements() {
			transforms = append(transforms, e.SelectAttrValue("Algorithm", ""))
		}
	}
	got := strings.Join(append(transforms, algorithm(si, "CanonicalizationMethod"), algorithm(si, "SignatureMethod"), algorithm(refs[0], "DigestMethod")), " ")
	if want := strings.Join([]string{enveloped, excC14N, excC14N, rsaSHA256, sha256URI}, " "); got != want {
		return refuse("AADSTS50006", "algorithms are %q", got)
	}
	return nil
}

func embeddedCertificate(sig *etree.Element) (*x509.Certificate, error) {
	e := sig
	for _, tag := range []string{"KeyInfo", "X509Data", "X509Certificate"} {
		if e = child(e, nsDS, tag); e == nil {
			return nil, refuse("AADSTS50006", "%s is missing", tag)
		}
	}
	der, err := base64.StdEncoding.DecodeString(e.Text())
	if err != nil {
		return nil, refuse("AADSTS50006", "X509Certificate is not base64")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, refuse("AADSTS50006", "X509Certificate: %v", err)
	}
	return cert, nil
}

func is(e *etree.Element, ns, tag string) bool { return e.Tag == tag && e.NamespaceURI() == ns }

func children(e *etree.Element, ns, tag string) []*etree.Element {
	if e == nil {
		return nil
	}
	var found []*etree.Element
	for _, c := range e.ChildElements() {
		if is(c, ns, tag) {
			found = append(found, c)
		}
	}
	return found
}

// child returns the one child of that name, nil when there is none or several.
func child(e *etree.Element, ns, tag string) *etree.Element {
	if found := children(e, ns, tag); len(found) == 1 {
		return found[0]
	}
	return nil
}

func algorithm(e *etree.Element, tag string) string {
	if c := child(e, nsDS, tag); c != nil {
		return c.SelectAttrValue("Algorithm", "")
	}
	return ""
}
