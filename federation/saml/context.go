package saml

import "slices"

// The authentication context classes that are known (SAML 2.0 Authentication
// Context).
const (
	classPrefix      = "urn:oasis:names:tc:SAML:2.0:ac:classes:"
	classUnspecified = classPrefix + "unspecified"
	classPassword    = classPrefix + "Password"
	classProtected   = classPrefix + "PasswordProtectedTransport"
	classKerberos    = classPrefix + "Kerberos"
	classWindows     = "urn:federation:authentication:windows"
	classMulti       = "http://schemas.microsoft.com/claims/multipleauthn"
)

// offered are the classes that a password typed over TLS satisfies, the strongest
// first. Other methods cannot be asked for yet.
var offered = [...]string{classProtected, classPassword, classUnspecified}

// strength orders the classes that are known; zero means that one is not. Only the
// order counts, and only within one comparison.
func strength(class string) int {
	switch class {
	case classUnspecified:
		return 1
	case classPassword:
		return 2
	case classProtected:
		return 3
	case classKerberos, classWindows:
		return 4
	case classPrefix + "TLSClient", classPrefix + "X509", classPrefix + "SoftwarePKI":
		return 5
	case classPrefix + "Smartcard", classPrefix + "SmartcardPKI":
		return 6
	case classMulti, classPrefix + "TimeSyncToken", classPrefix + "MobileTwoFactorContract", classPrefix + "MobileTwoFactorUnregistered",
		"https://refeds.org/profile/mfa":
		return 7
	}
	return 0
}

// choose returns the class that an answer names, or that none can be met (SAML Core
// 2.0 §3.3.2.2.1). For exact the list is in order of preference and exactly one of
// it comes back; a class that was not asked for is never named.
func choose(comparison string, classes []string) (string, bool) {
	if comparison == "exact" {
		for _, c := range classes {
			if slices.Contains(offered[:], c) {
				return c, true
			}
		}
		return "", false
	}
	for _, o := range offered {
		if satisfies(comparison, strength(o), classes) {
			return o, true
		}
	}
	return "", false
}

// satisfies compares one strength with the list: at least as strong as one of it
// (minimum), as strong as possible without exceeding at least one of it (maximum),
// stronger than each of it (better). Unknown classes make minimum and maximum look
// at the others, and better impossible.
func satisfies(comparison string, have int, classes []string) bool {
	better := true
	for _, c := range classes {
		want := strength(c)
		switch {
		case comparison == "minimum" && want > 0 && have >= want,
			comparison == "maximum" && want > 0 && have <= want:
			return true
		case want == 0 || have <= want:
			better = false
		}
	}
	return comparison == "better" && better
}
