package saml

// Namespaces.
const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
)

// The bindings (SAML Bindings 2.0 §3).
const (
	BindingPost     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
	BindingRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	BindingArtifact = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact"
	BindingSOAP     = "urn:oasis:names:tc:SAML:2.0:bindings:SOAP"
	BindingPAOS     = "urn:oasis:names:tc:SAML:2.0:bindings:PAOS"
)

// The name identifier formats (SAML Core 2.0 §8.3).
const (
	FormatUnspecified = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	FormatEmail       = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	FormatWindows     = "urn:oasis:names:tc:SAML:1.1:nameid-format:WindowsDomainQualifiedName"
	FormatPersistent  = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	FormatTransient   = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
	formatEntity      = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
	formatEncrypted   = "urn:oasis:names:tc:SAML:2.0:nameid-format:encrypted"
)

// status is a status code (SAML Core 2.0 §3.2.2.2).
type status string

const (
	statusPrefix = "urn:oasis:names:tc:SAML:2.0:status:"

	requester       status = statusPrefix + "Requester"
	responder       status = statusPrefix + "Responder"
	versionMismatch status = statusPrefix + "VersionMismatch"

	authnFailed         status = statusPrefix + "AuthnFailed"
	invalidNameIDPolicy status = statusPrefix + "InvalidNameIDPolicy"
	noAuthnContext      status = statusPrefix + "NoAuthnContext"
	noAvailableIDP      status = statusPrefix + "NoAvailableIDP"
	noPassive           status = statusPrefix + "NoPassive"
	requestDenied       status = statusPrefix + "RequestDenied"
	requestUnsupported  status = statusPrefix + "RequestUnsupported"
	versionTooHigh      status = statusPrefix + "RequestVersionTooHigh"
	versionTooLow       status = statusPrefix + "RequestVersionTooLow"
	unknownPrincipal    status = statusPrefix + "UnknownPrincipal"
	unsupportedBinding  status = statusPrefix + "UnsupportedBinding"
)
