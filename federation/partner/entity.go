package partner

import (
	"crypto/x509"
	"time"

	"sallyport/federation/saml"
)

// Entity is one service provider as its metadata describes it. It is read-only.
type Entity struct {
	// ID is the entityID, exactly as written.
	ID string
	// Name is a display name for people, in English where there is one; empty when
	// the document has none. Names are those of the same kind by language, its primary
	// tag in lower case.
	Name  string
	Names map[string]string
	// Contacts are the addresses of people, without "mailto:".
	Contacts []string
	// ValidUntil ends the description: the earliest of those that hold for the
	// entity. Zero: it has no end.
	ValidUntil time.Time
	// CacheDuration is how long a copy is good before somebody should ask again, the
	// shortest of those that hold for the entity. Zero: the document does not say.
	CacheDuration time.Duration
	// SignsRequests is AuthnRequestsSigned: requests without a signature are forged.
	SignsRequests bool
	// WantsAssertions is WantAssertionsSigned.
	WantsAssertions bool
	// Formats are the name identifier formats, the preferred one first.
	Formats []string
	// Consumers are the assertion consumer services that can be used or named.
	Consumers []saml.Endpoint
	// Logout are the single logout services with an https address, in the order of
	// the document.
	Logout []Logout
	// Signing are the certificates whose keys sign the party's messages. Dates do
	// not matter.
	Signing []*x509.Certificate
	// Encryption is what assertions are encrypted to; nil when the party has no key
	// for it.
	Encryption *Encryption
	// Unencryptable says why the party's wish for encryption cannot be met, empty
	// when it can or there is none.
	Unencryptable string
	// Attributes are the claims that the party would like to get.
	Attributes []Attribute
	// Tags are the entity attributes (mdattr), such as an entity category, by name.
	Tags map[string][]string
	// Warnings tell an admin what was left out or looks wrong, one sentence each.
	Warnings []string
}

// Logout is one single logout service (SAML Metadata 2.0 §2.4.2).
type Logout struct {
	// Binding is a URI of SAML Bindings 2.0.
	Binding string
	// URL takes requests; ResponseURL, when it is not empty, takes answers.
	URL, ResponseURL string
}

// Encryption is an encryption key and the algorithms that go with it.
type Encryption struct {
	// Certificate holds an RSA key of at least 2048 bits.
	Certificate *x509.Certificate
	// Content is the content algorithm's URI, AES-GCM of 128 or 256 bits; Transport
	// the key's, RSA-OAEP.
	Content, Transport string
	// Digest and Mask are what the transport's EncryptionMethod asks for, empty for
	// what usually goes with it.
	Digest, Mask string
}

// Attribute is a RequestedAttribute (SAML Metadata 2.0 §2.4.4.1.1).
type Attribute struct {
	Name, NameFormat, FriendlyName string
	Required                       bool
}
