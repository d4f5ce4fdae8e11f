package token

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"sallyport/federation"
	"sallyport/federation/internal/xmlsec"
)

// The hard limits of an assertion's times. Settings may be tighter, never wider.
const (
	// MaxLifetime is the longest time between IssueInstant and NotOnOrAfter.
	MaxLifetime = 60 * time.Minute
	// MaxBackdate is how far NotBefore may lie before IssueInstant.
	MaxBackdate = 5 * time.Minute
	// MaxConfirmation is the longest time between IssueInstant and
	// SubjectNotOnOrAfter.
	MaxConfirmation = 5 * time.Minute
)

// Assertion is everything that one assertion says. All values are written as they
// are; all fields are required unless their comment says otherwise.
type Assertion struct {
	Version federation.TokenType
	// ID is an NCName; empty means that a new one is made ([NewID]) and stored
	// here.
	ID           string
	Issuer       string
	IssueInstant time.Time
	// NotBefore and NotOnOrAfter bound the conditions.
	NotBefore    time.Time
	NotOnOrAfter time.Time
	// Audience is the one party that may accept the token.
	Audience string
	NameID   string
	// NameIDFormat is left out of the token when empty.
	NameIDFormat string
	// EncryptedID, when there is one, is written in place of the NameID: an element
	// saml:EncryptedID in exclusive canonical form, as it stands inside an assertion.
	// It is not checked. SAML 2.0.
	EncryptedID []byte
	// AuthnMethod is AuthenticationMethod (1.1) or AuthnContextClassRef (2.0).
	AuthnMethod string
	// AuthnInstant is the true instant of the authentication, not of the token.
	AuthnInstant time.Time
	// Attributes may be empty; then there is no AttributeStatement.
	Attributes []Attribute

	// Recipient is the address that the bearer confirmation holds for. SAML 2.0.
	Recipient string
	// InResponseTo is the id of the request, an NCName; empty for an unsolicited
	// answer. SAML 2.0.
	InResponseTo string
	// SessionIndex may be empty. SAML 2.0.
	SessionIndex string
	// SubjectNotOnOrAfter ends the bearer confirmation. SAML 2.0.
	SubjectNotOnOrAfter time.Time
}

// Attribute is one claim with its values.
type Attribute struct {
	// Name is AttributeName (1.1) or Name (2.0).
	Name string
	// Namespace is AttributeNamespace, required by SAML 1.1 and unused in 2.0.
	Namespace string
	// Format is NameFormat and FriendlyName itself; both optional, SAML 2.0 only.
	Format       string
	FriendlyName string
	// Values has at least one value; a value may be empty.
	Values []string
	// OriginalIssuer marks where AD FS took the claim from, for example
	// "CLIENT CONTEXT"; empty means no mark.
	OriginalIssuer string
	// Boolean types the values as xs:boolean, as AD FS does for
	// insidecorporatenetwork.
	Boolean bool
}

// ErrIncomplete says that an assertion lacks a restriction or breaks a limit; it
// is the target of errors.Is for every [*FieldError].
var ErrIncomplete = errors.New("token: the assertion is incomplete")

// FieldError names the field of an [Assertion] that keeps it from being written.
type FieldError struct{ Field, Problem string }

// Error implements error.
func (e *FieldError) Error() string { return "token: " + e.Field + " " + e.Problem }

// Is makes errors.Is(err, ErrIncomplete) true.
func (e *FieldError) Is(target error) bool { return target == ErrIncomplete }

// CharacterError names the claim or field whose value XML cannot carry.
type CharacterError = xmlsec.CharacterError

// ErrCharacter is the target of errors.Is for every [*CharacterError].
var ErrCharacter = xmlsec.ErrCharacter

// CheckValue tells beforehand whether a token can carry value: nil, or a
// [*CharacterError] with the given claim name. A claims engine asks it to drop an
// optional claim instead of losing the token.
func CheckValue(claim, value string) error { return xmlsec.CheckValue(claim, value) }

// NewID returns a fresh id: an underscore, so that it is an NCName, and 160
// random bits.
func NewID() string {
	var raw [20]byte
	rand.Read(raw[:]) // never fails; crypto/rand ends the process instead
	var id [41]byte
	id[0] = '_'
	hex.Encode(id[1:], raw[:])
	return string(id[:])
}

// check refuses an assertion that would say less than it must.
func (a *Assertion) check() error {
	if a.Version != federation.SAML11 && a.Version != federation.SAML20 {
		return &FieldError{"Version", "is neither SAML 1.1 nor SAML 2.0"}
	}
	if !xmlsec.IsNCName(a.ID) {
		return &FieldError{"ID", "is not an NCName of at most 256 bytes"}
	}
	for _, f := range [...]struct{ name, value string }{
		{"Issuer", a.Issuer}, {"Audience", a.Audience}, {"NameID", a.NameID}, {"AuthnMethod", a.AuthnMethod},
	} {
		if f.value == "" {
			return &FieldError{f.name, "is empty"}
		}
	}
	if err := a.checkTimes(); err != nil {
		return err
	}
	if a.Version == federation.SAML20 {
		if a.Recipient == "" {
			return &FieldError{"Recipient", "is empty"}
		}
		if a.InResponseTo != "" && !xmlsec.IsNCName(a.InResponseTo) {
			return &FieldError{"InResponseTo", "is not an NCName of at most 256 bytes"}
		}
	}
	for i := range a.Attributes {
		at := &a.Attributes[i]
		switch {
		case at.Name == "":
			return &FieldError{fmt.Sprintf("Attributes[%d]", i), "has no name"}
		case len(at.Values) == 0:
			return &FieldError{"attribute " + at.Name, "has no value"}
		case a.Version == federation.SAML11 && at.Namespace == "":
			return &FieldError{"attribute " + at.Name, "has no namespace"}
		}
	}
	return nil
}

func (a *Assertion) checkTimes() error {
	switch {
	case a.IssueInstant.IsZero():
		return &FieldError{"IssueInstant", "is zero"}
	case a.AuthnInstant.IsZero():
		return &FieldError{"AuthnInstant", "is zero"}
	case a.NotBefore.Before(a.IssueInstant.Add(-MaxBackdate)):
		return &FieldError{"NotBefore", "lies more than five minutes before IssueInstant"}
	case a.NotBefore.After(a.IssueInstant):
		return &FieldError{"NotBefore", "lies after IssueInstant"}
	case !a.NotOnOrAfter.After(a.IssueInstant):
		return &FieldError{"NotOnOrAfter", "is not after IssueInstant"}
	case a.NotOnOrAfter.After(a.IssueInstant.Add(MaxLifetime)):
		return &FieldError{"NotOnOrAfter", "lies more than 60 minutes after IssueInstant"}
	}
	if a.Version != federation.SAML20 {
		return nil
	}
	switch {
	case !a.SubjectNotOnOrAfter.After(a.IssueInstant):
		return &FieldError{"SubjectNotOnOrAfter", "is not after IssueInstant"}
	case a.SubjectNotOnOrAfter.After(a.IssueInstant.Add(MaxConfirmation)):
		return &FieldError{"SubjectNotOnOrAfter", "lies more than five minutes after IssueInstant"}
	}
	return nil
}
