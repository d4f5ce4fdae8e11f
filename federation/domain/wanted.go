package domain

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// The values of federatedIdpMfaBehavior.
const (
	// MFAAccept takes a second factor that we checked, else Microsoft asks for one.
	MFAAccept = "acceptIfMfaDoneByFederatedIdp"
	// MFAEnforce sends people to us for the second factor.
	MFAEnforce = "enforceMfaByFederatedIdp"
	// MFAReject lets Microsoft always ask for the second factor itself.
	MFAReject = "rejectMfaByFederatedIdp"
)

// The values of promptLoginBehavior.
const (
	// PromptTranslate asks for a fresh sign-in by password (also when Microsoft
	// holds no value).
	PromptTranslate = "translateToFreshPasswordAuthentication"
	// PromptNative passes prompt=login on.
	PromptNative = "nativeSupport"
	// PromptDisabled asks for a fresh sign-in of any kind.
	PromptDisabled = "disabled"
)

// Wanted is what this service owns and wants Microsoft to hold for a domain. It
// is read-only.
type Wanted struct {
	// Domain is the federated domain's name, in lower case. Required.
	Domain string
	// DisplayName is the organisation's name.
	DisplayName string
	// Issuer is what tokens for the domain say. Required.
	Issuer string
	// The addresses of this service.
	PassiveSignInURI, ActiveSignInURI, MetadataExchangeURI, SignOutURI string
	// SAML makes Microsoft speak SAML 2.0 instead of WS-Federation.
	SAML bool
	// Signing is the certificate of the key that signs now. Required.
	Signing *x509.Certificate
	// Next is the certificate that is to sign next, nil when there is none.
	Next *x509.Certificate
	// Retiring are certificates whose tokens may still be on their way: they may
	// stay where they are.
	Retiring []*x509.Certificate
	// Gone are certificates that this service has retired for good.
	Gone []*x509.Certificate
	// SecondFactor says that this service can check a second factor.
	SecondFactor bool
	// ActiveOff says that the endpoints for clients without a browser are off.
	ActiveOff bool
	// MFA is the federatedIdpMfaBehavior to send. Default [MFAReject].
	MFA string
	// PromptLogin is the promptLoginBehavior to send. Default [PromptTranslate].
	PromptLogin string
}

// Settings is the body of a request that federates a domain, member by member as
// Graph names them.
type Settings struct {
	Type                            string `json:"@odata.type"`
	DisplayName                     string `json:"displayName"`
	IssuerURI                       string `json:"issuerUri"`
	PassiveSignInURI                string `json:"passiveSignInUri"`
	ActiveSignInURI                 string `json:"activeSignInUri"`
	MetadataExchangeURI             string `json:"metadataExchangeUri"`
	SignOutURI                      string `json:"signOutUri"`
	PreferredAuthenticationProtocol string `json:"preferredAuthenticationProtocol"`
	SigningCertificate              string `json:"signingCertificate"`
	NextSigningCertificate          string `json:"nextSigningCertificate,omitempty"`
	FederatedIDPMFABehavior         string `json:"federatedIdpMfaBehavior"`
	PromptLoginBehavior             string `json:"promptLoginBehavior"`
}

// Settings returns the request that federates the domain. What would leave its
// users outside is refused before anything is sent: Microsoft has federated a
// domain although the certificate was missing (case C24), and a second factor
// asked of a service that has none lets people go round in circles.
func (w *Wanted) Settings() (Settings, error) {
	if err := w.check(); err != nil {
		return Settings{}, fmt.Errorf("%s: %w", w.Domain, err)
	}
	s := Settings{
		Type: "#microsoft.graph.internalDomainFederation", DisplayName: w.DisplayName, IssuerURI: w.Issuer,
		PassiveSignInURI: w.PassiveSignInURI, ActiveSignInURI: w.ActiveSignInURI, MetadataExchangeURI: w.MetadataExchangeURI,
		SignOutURI: w.SignOutURI, PreferredAuthenticationProtocol: w.protocol(), SigningCertificate: encode(w.Signing),
		FederatedIDPMFABehavior: w.mfa(), PromptLoginBehavior: w.prompt(),
	}
	if w.Next != nil {
		s.NextSigningCertificate = encode(w.Next)
	}
	return s, nil
}

func (w *Wanted) protocol() string {
	if w.SAML {
		return "saml"
	}
	return "wsFed"
}

func (w *Wanted) mfa() string {
	if w.MFA == "" {
		return MFAReject
	}
	return w.MFA
}

func (w *Wanted) prompt() string {
	if w.PromptLogin == "" {
		return PromptTranslate
	}
	return w.PromptLogin
}

func (w *Wanted) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !domain.MatchString(w.Domain) {
		bad("%.60q is not a domain", w.Domain)
	}
	if strings.HasSuffix(w.Domain, ".onmicrosoft.com") {
		bad("Microsoft's own *.onmicrosoft.com domains cannot be federated")
	}
	if u, err := url.Parse(w.Issuer); err != nil || u.Scheme == "" {
		bad("the issuer %.100q is not an absolute URI", w.Issuer)
	}
	for _, a := range []struct{ name, value string }{
		{"passive sign-in", w.PassiveSignInURI}, {"active sign-in", w.ActiveSignInURI},
		{"metadata exchange", w.MetadataExchangeURI}, {"sign-out", w.SignOutURI},
	} {
		if u, err := url.Parse(a.value); err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
			bad("the %s address %.100q is not https://HOST/PATH without a query", a.name, a.value)
		}
	}
	for _, c := range []*x509.Certificate{w.Signing, w.Next} {
		if c == nil {
			continue
		}
		if pub, ok := c.PublicKey.(*rsa.PublicKey); !ok || pub.N.BitLen() < 2048 {
			bad("the certificate %s does not hold an RSA key of 2048 bits or more", Thumbprint(c))
		}
	}
	if w.Signing == nil {
		bad("there is no signing certificate: Microsoft would federate the domain all the same, and nobody could sign in")
	}
	if p := mfaProblem(w.mfa(), w.SecondFactor); p != "" {
		bad("federatedIdpMfaBehavior %s: %s", w.mfa(), p)
	}
	if p := promptProblem(w.prompt()); p != "" {
		bad("promptLoginBehavior %s: %s", w.prompt(), p)
	}
	return errors.Join(errs...)
}

// mfaProblem says what is wrong with a value of federatedIdpMfaBehavior; nothing
// is wrong with the empty string.
func mfaProblem(value string, secondFactor bool) string {
	switch value {
	case "", MFAAccept, MFAReject:
		return ""
	case MFAEnforce:
		if secondFactor {
			return ""
		}
		return "sign-in will loop: Microsoft sends people here for a second factor, and this service has none"
	default:
		return "is not a value that this version knows"
	}
}

// promptProblem says what is wrong with a value of promptLoginBehavior. All the
// known ones ask for a fresh sign-in, which this service can do.
func promptProblem(value string) string {
	switch value {
	case "", PromptTranslate, PromptNative, PromptDisabled:
		return ""
	default:
		return "is not a value that this version knows"
	}
}

// MultiDomain returns the issuer of a domain of a tenant with several, by the
// rule of "Multiple Domain Support for Federating with Microsoft Entra ID".
func MultiDomain(name string) string { return "http://" + name + "/adfs/services/trust/" }

// CheckIssuers refuses domains that share an issuer: Microsoft takes each once
// only, across all tenants.
func CheckIssuers(list []*Wanted) error {
	owner := map[string]string{}
	for _, w := range list {
		if first, ok := owner[w.Issuer]; ok {
			return fmt.Errorf("domain: %s and %s share the issuer %s, which Microsoft refuses: for several domains the rule is %s", first, w.Domain, w.Issuer, MultiDomain(w.Domain))
		}
		owner[w.Issuer] = w.Domain
	}
	return nil
}
