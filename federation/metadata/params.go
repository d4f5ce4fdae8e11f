package metadata

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"sallyport/federation/token"
)

// Path is where AD FS publishes the document; match it without regard to case.
const Path = "/federationmetadata/2007-06/federationmetadata.xml"

// SAMLPath is where the same facts stand without the WS-Federation role, for
// readers that validate metadata against the SAML schemas alone and so refuse the
// other document, as they refuse AD FS's; match it without regard to case.
const SAMLPath = "/federationmetadata/2007-06/samlmetadata.xml"

// DefaultPassivePath is AD FS's address for WS-Federation and SAML.
const DefaultPassivePath = "/adfs/ls/"

// Params is everything that the document says. The zero value of an optional
// field leaves its part out.
type Params struct {
	// EntityID is the federation service identifier, by AD FS's habit
	// http://HOST/adfs/services/trust without a final slash. Required.
	EntityID string
	// PublicURL is where browsers reach this service: https, host, optional port,
	// no path. Every address in the document starts with it. Required.
	PublicURL string
	// DisplayName is ServiceDisplayName. Required.
	DisplayName string
	// Signer signs the document. It must be the signer of tokens. Required.
	Signer *token.Signer
	// Signing are the certificates that tokens are or will be signed with. The
	// first is Signer's; repeated ones are published once. Required.
	Signing []*x509.Certificate
	// Claims are the claim types on offer.
	Claims []Claim
	// PassivePath is the path of the passive endpoint; empty means
	// [DefaultPassivePath].
	PassivePath string
	// TrustPaths are paths of WS-Trust endpoints that answer.
	TrustPaths []string
	// MEXPath is the path of the WS-MetadataExchange document; used only beside
	// TrustPaths.
	MEXPath string
	// SAML is the SAML 2.0 identity provider's role.
	SAML *SAML
	// SAMLOnly leaves out the WS-Federation role; it needs SAML.
	SAMLOnly bool
	// Organization and Contacts are shown to the admins of other parties.
	Organization *Organization
	Contacts     []Contact
}

// Claim describes one claim type.
type Claim struct {
	// URI is the claim type.
	URI string
	// DisplayName and Description are for people; both may be empty.
	DisplayName string
	Description string
}

// SAML is what IDPSSODescriptor says. Set it only when the endpoints answer.
type SAML struct {
	// SingleSignOnPath and SingleLogoutPath serve the Redirect and the POST
	// binding; an empty SingleSignOnPath means [DefaultPassivePath], an empty
	// SingleLogoutPath that there is no single logout.
	SingleSignOnPath string
	SingleLogoutPath string
	// BackLogoutPath serves single logout by the SOAP binding; empty when it does not.
	BackLogoutPath string
	// EnhancedPath serves enhanced clients by the SOAP binding (SAML Profiles §4.2);
	// empty when they are not served.
	EnhancedPath string
	// NameIDFormats in order of preference; empty means email, persistent,
	// transient, as AD FS lists them.
	NameIDFormats []string
	// WantAuthnRequestsSigned asks parties to sign their requests.
	WantAuthnRequestsSigned bool
}

// Organization names the organisation that runs this service.
type Organization struct {
	Name, DisplayName, URL string
	// Language of the texts; empty means en.
	Language string
}

// Contact is a person or desk; Type is technical, support, administrative,
// billing or other.
type Contact struct {
	Type, Company, GivenName, SurName, Email, Telephone string
}

// Microsoft365Claims describes the claim types that Microsoft 365 gets.
func Microsoft365Claims() []Claim {
	return []Claim{
		{"http://schemas.xmlsoap.org/claims/UPN", "UPN", "The user principal name of the user"},
		{"http://schemas.microsoft.com/LiveID/Federation/2008/05/ImmutableID", "ImmutableID", "The source anchor of the user in Microsoft Entra ID"},
		{"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier", "Name ID", "The SAML name identifier of the user"},
		{"http://schemas.microsoft.com/ws/2008/06/identity/claims/authenticationmethod", "Authentication method", "The method used to authenticate the user"},
		{"http://schemas.microsoft.com/ws/2008/06/identity/claims/authenticationinstant", "Authentication time stamp", "The time at which the user was authenticated"},
		{"http://schemas.microsoft.com/claims/authnmethodsreferences", "Authentication methods references", "All methods used to authenticate the user"},
		{"http://schemas.microsoft.com/ws/2012/01/insidecorporatenetwork", "Inside corporate network", "Whether the request came from inside the corporate network"},
		{"http://schemas.microsoft.com/2014/03/psso", "Persistent sign-in", "Whether the user chose to stay signed in"},
		{"http://schemas.microsoft.com/ws/2012/01/passwordexpirationtime", "Password expiration time", "The time until the password expires"},
		{"http://schemas.microsoft.com/ws/2012/01/passwordexpirationdays", "Password expiration days", "The days until the password expires"},
		{"http://schemas.microsoft.com/ws/2012/01/passwordchangeurl", "Update password URL", "The address at which the password can be changed"},
		{"http://schemas.microsoft.com/ws/2012/01/accounttype", "Account type", "Whether the account is a user or a computer"},
		{"http://schemas.microsoft.com/ws/2008/06/identity/claims/primarysid", "Primary SID", "The security identifier of the user"},
	}
}

// normalise checks p and returns a copy with defaults in place.
func (p Params) normalise() (Params, error) {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if p.EntityID == "" || len(p.EntityID) > 1024 {
		bad("EntityID must have 1 to 1,024 characters") // SAML Metadata §2.2.1
	}
	if p.DisplayName == "" {
		bad("DisplayName is empty")
	}
	base := strings.TrimSuffix(p.PublicURL, "/")
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || base != "https://"+u.Host {
		bad("PublicURL %q is not https://HOST with nothing after it", p.PublicURL)
	}
	p.PublicURL = base
	if p.PassivePath == "" {
		p.PassivePath = DefaultPassivePath
	}
	if p.SAMLOnly && p.SAML == nil {
		bad("SAMLOnly leaves no role without SAML")
	}
	if p.SAML != nil {
		role := *p.SAML
		if role.SingleSignOnPath == "" {
			role.SingleSignOnPath = DefaultPassivePath
		}
		if len(role.NameIDFormats) == 0 {
			role.NameIDFormats = []string{
				"urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
				"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
				"urn:oasis:names:tc:SAML:2.0:nameid-format:transient",
			}
		}
		p.SAML = &role
	}
	if o := p.Organization; o != nil && (o.Name == "" || o.DisplayName == "" || o.URL == "") {
		bad("Organization needs name, display name and address") // SAML Metadata §2.3.2.1
	}
	for _, c := range p.Contacts {
		switch c.Type {
		case "technical", "support", "administrative", "billing", "other":
		default:
			bad("contact type %q is not one of SAML Metadata §2.3.2.2", c.Type)
		}
	}
	if p.Signer == nil {
		bad("Signer is missing")
	} else if len(p.Signing) == 0 || p.Signing[0] == nil || !p.Signer.Is(p.Signing[0]) {
		bad("the first of Signing is not the certificate that signs")
	}
	p.Signing = distinct(p.Signing)
	if len(problems) > 0 {
		return p, fmt.Errorf("metadata: %w", errors.Join(problems...))
	}
	return p, nil
}

// distinct drops nil and repeated certificates and keeps the order.
func distinct(certs []*x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
next:
	for _, c := range certs {
		if c == nil {
			continue
		}
		for _, have := range out {
			if bytes.Equal(have.Raw, c.Raw) {
				continue next
			}
		}
		out = append(out, c)
	}
	return out
}
