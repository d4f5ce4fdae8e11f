// Package authn holds the nouns that every way of signing in shares: the
// directory [Account], the [Credentials] that a person offers, the [Attempt]
// they are offered in, and the closed list of [Reason] values an attempt can
// end with.
//
// The package decides nothing and talks to nobody. Its one duty towards
// security is that a [Password] cannot be printed, logged or marshalled by
// accident, and that a caller can always tell "the password is wrong" from
// "nobody knows" (see [Reason.Counts] and [Reason.ProvesPassword]).
//
// Short names used in comments of the packages below this one:
//
//	[MS-ADTS]  Active Directory Technical Specification
//	[MS-SAMR]  Security Account Manager (SAM) Remote Protocol
//	RFC 4511   LDAP: The Protocol
//	RFC 4513   LDAP: Authentication Methods and Security Mechanisms
package authn
