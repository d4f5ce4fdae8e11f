// Package federation holds the nouns that all federation protocols share: the
// [RelyingParty] that trusts this service, the [SignInRequest] which a protocol
// handler reads from the wire, the [Subject] that signed in, and the [Answer]
// that goes back through the browser.
//
// A protocol package (wsfed, saml, wstrust) parses its message into one
// SignInRequest and turns a Subject into its own answer; package signin does
// everything between. No package here trusts a value of a request to decide
// where a token goes: addresses come from the registry of relying parties only.
//
// Short names used in comments of the packages below this one:
//
//	[MS-MWBF]        Microsoft Web Browser Federated Sign-On Protocol
//	WS-Federation    OASIS Web Services Federation Language 1.2
//	SAML Core 1.1    OASIS Assertions and Protocol for SAML 1.1
//	SAML Core 2.0    OASIS Assertions and Protocols for SAML 2.0
//	XML-DSIG         W3C XML Signature Syntax and Processing
//	Exc-C14N         W3C Exclusive XML Canonicalization 1.0
package federation
