package metadata

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"sallyport/federation/internal/xmlsec"
)

const (
	fedNS  = ` xmlns:fed="http://docs.oasis-open.org/wsfed/federation/200706"`
	wsaNS  = ` xmlns="http://www.w3.org/2005/08/addressing"`
	mexNS  = ` xmlns="http://schemas.xmlsoap.org/ws/2004/09/mex"`
	authNS = ` xmlns:auth="http://docs.oasis-open.org/wsfed/authorization/200706"`
)

// Build returns the signed document. Equal inputs give equal bytes.
func Build(p Params) ([]byte, error) {
	p, err := p.normalise()
	if err != nil {
		return nil, err
	}
	// The id is a digest of the document with an id of zeros.
	var b builder
	b.p = &p
	_, digest, err := b.write("_" + strings.Repeat("0", 40))
	if err != nil {
		return nil, err
	}
	id := "_" + hex.EncodeToString(digest[:20])
	place, digest, err := b.write(id)
	if err != nil {
		return nil, err
	}
	signature, err := p.Signer.AppendSignature(nil, id, digest)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	b.Insert(place, signature)
	return b.Bytes()
}

// builder writes the document without its signature, in exclusive canonical form.
type builder struct {
	xmlsec.Writer
	p *Params
}

// write returns the signature's place (first child, SAML Metadata §2.3.2) and the
// digest of the whole.
func (b *builder) write(id string) (place int, digest [sha256.Size]byte, err error) {
	b.Reset(nil)
	b.Begin()
	b.Raw(`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" ID="` + id + `" entityID="`)
	b.Attr("EntityID", b.p.EntityID)
	b.Raw(`">`)
	place = b.Len()
	if !b.p.SAMLOnly {
		b.securityTokenService()
	}
	if b.p.SAML != nil {
		b.identityProvider(b.p.SAML)
	}
	if b.p.Organization != nil {
		b.organization(b.p.Organization)
	}
	for i := range b.p.Contacts {
		b.contact(&b.p.Contacts[i])
	}
	b.Raw(`</EntityDescriptor>`)
	b.End(digest[:0])
	if _, err = b.Bytes(); err != nil {
		err = fmt.Errorf("metadata: %w", err)
	}
	return place, digest, err
}

// securityTokenService writes the WS-Federation role (WS-Federation §3.1.2).
func (b *builder) securityTokenService() {
	b.Raw(`<RoleDescriptor`)
	b.Uncovered(fedNS)
	b.Raw(` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ServiceDisplayName="`)
	b.Attr("DisplayName", b.p.DisplayName)
	b.Raw(`" protocolSupportEnumeration="http://docs.oasis-open.org/ws-sx/ws-trust/200512 ` +
		`http://schemas.xmlsoap.org/ws/2005/02/trust http://docs.oasis-open.org/wsfed/federation/200706" ` +
		`xsi:type="fed:SecurityTokenServiceType">`)
	b.keys()
	b.Raw(`<fed:TokenTypesOffered` + fedNS + `>` +
		`<fed:TokenType Uri="urn:oasis:names:tc:SAML:2.0:assertion"></fed:TokenType>` +
		`<fed:TokenType Uri="urn:oasis:names:tc:SAML:1.0:assertion"></fed:TokenType></fed:TokenTypesOffered>`)
	if len(b.p.Claims) > 0 {
		b.Raw(`<fed:ClaimTypesOffered` + fedNS + `>`)
		for i := range b.p.Claims {
			b.claim(&b.p.Claims[i])
		}
		b.Raw(`</fed:ClaimTypesOffered>`)
	}
	if len(b.p.TrustPaths) == 0 {
		b.endpoint("SecurityTokenServiceEndpoint", b.p.PassivePath, "")
	}
	for _, path := range b.p.TrustPaths {
		b.endpoint("SecurityTokenServiceEndpoint", path, b.p.MEXPath)
	}
	b.endpoint("PassiveRequestorEndpoint", b.p.PassivePath, "")
	b.Raw(`</RoleDescriptor>`)
}

// keys writes the signing keys, the current one first.
func (b *builder) keys() {
	for _, c := range b.p.Signing {
		b.Raw(`<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>`)
		b.Raw(base64.StdEncoding.EncodeToString(c.Raw))
		b.Raw(`</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`)
	}
}

func (b *builder) claim(c *Claim) {
	b.Raw(`<auth:ClaimType` + authNS + ` Optional="true" Uri="`)
	b.Attr("claim type", c.URI)
	b.Raw(`">`)
	if c.DisplayName != "" {
		b.Raw(`<auth:DisplayName>`)
		b.Text(c.URI, c.DisplayName)
		b.Raw(`</auth:DisplayName>`)
	}
	if c.Description != "" {
		b.Raw(`<auth:Description>`)
		b.Text(c.URI, c.Description)
		b.Raw(`</auth:Description>`)
	}
	b.Raw(`</auth:ClaimType>`)
}

// endpoint writes an endpoint reference, with a reference to the MEX document
// where there is one.
func (b *builder) endpoint(name, path, mex string) {
	b.Raw(`<fed:` + name + fedNS + `><EndpointReference` + wsaNS + `><Address>`)
	b.Text(name, b.p.PublicURL+path)
	b.Raw(`</Address>`)
	if mex != "" {
		b.Raw(`<Metadata><Metadata` + mexNS + `><MetadataSection Dialect="http://schemas.xmlsoap.org/ws/2004/09/mex">` +
			`<MetadataReference><Address` + wsaNS + `>`)
		b.Text(name, b.p.PublicURL+mex)
		b.Raw(`</Address></MetadataReference></MetadataSection></Metadata></Metadata>`)
	}
	b.Raw(`</EndpointReference></fed:` + name + `>`)
}

// identityProvider writes the SAML 2.0 role (SAML Metadata §2.4.3).
func (b *builder) identityProvider(role *SAML) {
	b.Raw(`<IDPSSODescriptor`)
	if role.WantAuthnRequestsSigned {
		b.Raw(` WantAuthnRequestsSigned="true"`)
	}
	b.Raw(` protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">`)
	b.keys()
	if role.SingleLogoutPath != "" {
		b.bindings("SingleLogoutService", role.SingleLogoutPath)
	}
	if role.BackLogoutPath != "" {
		b.binding("SingleLogoutService", "SOAP", role.BackLogoutPath)
	}
	for _, format := range role.NameIDFormats {
		b.Raw(`<NameIDFormat>`)
		b.Text("NameIDFormat", format)
		b.Raw(`</NameIDFormat>`)
	}
	b.bindings("SingleSignOnService", role.SingleSignOnPath)
	if role.EnhancedPath != "" {
		b.binding("SingleSignOnService", "SOAP", role.EnhancedPath)
	}
	for i := range b.p.Claims {
		c := &b.p.Claims[i]
		b.Raw(`<Attribute xmlns="urn:oasis:names:tc:SAML:2.0:assertion"`)
		if c.DisplayName != "" {
			b.Raw(` FriendlyName="`)
			b.Attr(c.URI, c.DisplayName)
			b.Raw(`"`)
		}
		b.Raw(` Name="`)
		b.Attr("claim type", c.URI)
		b.Raw(`" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri"></Attribute>`)
	}
	b.Raw(`</IDPSSODescriptor>`)
}

func (b *builder) bindings(name, path string) {
	for _, binding := range [...]string{"HTTP-Redirect", "HTTP-POST"} {
		b.binding(name, binding, path)
	}
}

func (b *builder) binding(name, binding, path string) {
	b.Raw(`<` + name + ` Binding="urn:oasis:names:tc:SAML:2.0:bindings:` + binding + `" Location="`)
	b.Attr(name, b.p.PublicURL+path)
	b.Raw(`"></` + name + `>`)
}

func (b *builder) organization(o *Organization) {
	lang := o.Language
	if lang == "" {
		lang = "en"
	}
	b.Raw(`<Organization>`)
	for _, f := range [...]struct{ name, value string }{
		{"OrganizationName", o.Name}, {"OrganizationDisplayName", o.DisplayName}, {"OrganizationURL", o.URL},
	} {
		b.Raw(`<` + f.name + ` xml:lang="`)
		b.Attr("language", lang)
		b.Raw(`">`)
		b.Text(f.name, f.value)
		b.Raw(`</` + f.name + `>`)
	}
	b.Raw(`</Organization>`)
}

func (b *builder) contact(c *Contact) {
	b.Raw(`<ContactPerson contactType="`)
	b.Attr("contact type", c.Type)
	b.Raw(`">`)
	for _, f := range [...]struct{ name, value string }{
		{"Company", c.Company}, {"GivenName", c.GivenName}, {"SurName", c.SurName},
		{"EmailAddress", c.Email}, {"TelephoneNumber", c.Telephone},
	} {
		if f.value != "" {
			b.Raw(`<` + f.name + `>`)
			b.Text(f.name, f.value)
			b.Raw(`</` + f.name + `>`)
		}
	}
	b.Raw(`</ContactPerson>`)
}
