package claims

import (
	"strings"

	"sallyport/federation/token"
)

// The claim types, as one URI each.
const (
	TypeUPN365      = "http://schemas.xmlsoap.org/claims/UPN"
	TypeImmutableID = "http://schemas.microsoft.com/LiveID/Federation/2008/05/ImmutableID"
	TypeUPN         = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"
	TypeName        = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
	TypePrimarySID  = "http://schemas.microsoft.com/ws/2008/06/identity/claims/primarysid"
	TypeInside      = "http://schemas.microsoft.com/ws/2012/01/insidecorporatenetwork"
	TypePersistent  = "http://schemas.microsoft.com/2014/03/psso"
	TypeExpiryTime  = "http://schemas.microsoft.com/ws/2012/01/passwordexpirationtime"
	TypeExpiryDays  = "http://schemas.microsoft.com/ws/2012/01/passwordexpirationdays"
	TypeChangeURL   = "http://schemas.microsoft.com/ws/2012/01/passwordchangeurl"
	TypeMethods     = "http://schemas.microsoft.com/claims/authnmethodsreferences"
)

// The methods of authentication, as AuthenticationMethod and in the methods claim.
const (
	MethodPassword = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
	MethodWindows  = "urn:federation:authentication:windows"
)

// FormatUnspecified is the name identifier's format.
const FormatUnspecified = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"

// nameFormats begins the NameFormat of SAML 2.0 attributes (SAML Core 2.0 §8.2).
const nameFormats = "urn:oasis:names:tc:SAML:2.0:attrname-format:"

// attribute writes a claim as AD FS does: the type is split at its last slash,
// the right part is the name, the left one the namespace. SAML 2.0 has the whole
// URI as its name, which [attribute20] makes of it.
func attribute(claimType string, values ...string) token.Attribute {
	i := strings.LastIndexByte(claimType, '/')
	if i < 0 { // of a SAML 2.0 party
		return token.Attribute{Name: claimType, Values: values}
	}
	return token.Attribute{Name: claimType[i+1:], Namespace: claimType[:i], Values: values}
}

// attribute20 rewrites attributes for a SAML 2.0 assertion.
func attribute20(attributes []token.Attribute) {
	for i := range attributes {
		a := &attributes[i]
		if a.Format != "" {
			continue
		}
		if a.Namespace != "" {
			a.Name, a.Namespace = a.Namespace+"/"+a.Name, ""
		}
		a.Format = nameFormats + "uri"
	}
}
