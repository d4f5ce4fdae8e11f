package wsfed

import (
	"errors"
	"fmt"
	"strings"

	"sallyport/federation"
)

// demand is what a value of wauth asks for.
type demand uint8

const (
	demandUnknown     demand = iota
	demandNothing            // no particular method
	demandPassword           // a password, typed
	demandIntegrated         // Kerberos
	demandCertificate        // a client certificate, smart card or token
	demandMulti              // a second factor
)

// The families of names in which one method is known by several.
const (
	adfsMethod  = "http://schemas.microsoft.com/ws/2008/06/identity/authenticationmethod/"
	samlClass   = "urn:oasis:names:tc:SAML:2.0:ac:classes:"
	samlMethod  = "urn:oasis:names:tc:SAML:1.0:am:"
	extraMethod = "http://schemas.microsoft.com/ws/2012/12/authmethod/"
)

// demandOf reads wauth ([MS-MWBF] note 14 and the names that AD FS takes beside).
// Names are compared as they are; only Microsoft's https spelling of its http
// family is taken too.
func demandOf(wauth string) demand {
	switch wauth {
	case "urn:federation:authentication:windows":
		return demandIntegrated
	case "urn:ietf:rfc:2246":
		return demandCertificate
	case "http://schemas.microsoft.com/claims/multipleauthn", "http://schemas.microsoft.com/claims/wiaormultiauthn":
		// wiaormultiauthn: Kerberos inside or a second factor outside; neither can be
		// given for a password.
		return demandMulti
	}
	if name, ok := strings.CutPrefix(wauth, samlMethod); ok {
		switch name {
		case "password":
			return demandPassword
		case "unspecified":
			return demandNothing
		case "X509-PKI", "HardwareToken":
			return demandCertificate
		}
		return demandUnknown
	}
	if name, ok := strings.CutPrefix(wauth, samlClass); ok {
		switch name {
		case "PasswordProtectedTransport", "Password":
			return demandPassword
		case "unspecified":
			return demandNothing
		case "Kerberos":
			return demandIntegrated
		case "X509", "TLSClient", "SmartcardPKI", "Smartcard":
			return demandCertificate
		}
		return demandUnknown
	}
	if rest, ok := strings.CutPrefix(wauth, "https://"); ok {
		wauth = "http://" + rest
	}
	if name, ok := strings.CutPrefix(wauth, adfsMethod); ok {
		switch name {
		case "password":
			return demandPassword
		case "windows", "kerberos":
			return demandIntegrated
		case "tlsclient", "x509", "smartcard", "smartcardpki", "hardwaretoken":
			return demandCertificate
		}
		return demandUnknown
	}
	if strings.HasPrefix(wauth, extraMethod) {
		return demandMulti
	}
	return demandUnknown
}

// errMethod is why a method is refused; the texts say which kind it was.
var errMethod = errors.New("wsfed: the requested method of authentication is not available")

// method applies wauth. What cannot be given truthfully is refused: a weaker
// method under a stronger name would be a lie, and the same method under no name
// would make the party send the browser back in a loop.
func (m *message) method(req *federation.SignInRequest) error {
	if m.wauth.s == "" {
		return nil
	}
	switch demandOf(m.wauth.s) {
	case demandNothing:
		return nil
	case demandPassword:
		req.Passwords = true
		return nil
	case demandIntegrated:
		return fmt.Errorf("%w: integrated Windows authentication (%s)", errMethod, m.wauth.s)
	case demandCertificate:
		return fmt.Errorf("%w: a certificate (%s)", errMethod, m.wauth.s)
	case demandMulti:
		return fmt.Errorf("%w: more than one factor (%s)", errMethod, m.wauth.s)
	default:
		return fmt.Errorf("%w: %.200q is not known", errMethod, m.wauth.s)
	}
}
