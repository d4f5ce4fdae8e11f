// Package domain keeps a federated domain's trust at Microsoft Entra ID in step
// with this service: it reads and writes internalDomainFederation through
// Microsoft Graph, compares what Microsoft holds with what this service owns, and
// watches for changes by others.
//
// # Threat
//
// Whoever may write a domain's federation settings can sign in as anybody of it:
// a second certificate in nextSigningCertificate opens the whole tenant to the
// holder of its key, and nothing else shows it. So every certificate is compared
// byte for byte with those that this service owns, every address with its own
// host, and whatever is not ours is an alarm, not a difference to smooth over:
// [Client.Push], which the life cycle of keys uses by itself, never overwrites a
// foreign key. A person decides, since it may as well be the identity provider
// that is about to be replaced. [Watch] raises the alarm.
//
// The application's own credential is as valuable. It goes to the login origin
// only, the token to Graph's origin only; no redirection is followed, and neither
// stands in an error, a log or a URL. Certificates of servers are always verified.
//
// # What Microsoft does, and what is only assumed
//
// A change may be made although the answer says it was not (an answer of 500 has
// federated a domain: case C24), and what is read may be older than what was
// written. So a change is followed by reading until both slots show it; after an
// answer that leaves the outcome open the true state is read first, and a request
// that federates is never repeated blindly. Requests that are turned away (429)
// wait as Retry-After says.
//
// Graph's reference says that tokens of both certificates are accepted. That, the
// time until a change counts everywhere, and that null empties a slot are not
// proven against Microsoft's cloud: this package has only met its stand-in,
// graphtest, which is written from the reference and is stricter.
//
// # Sources
//
// Microsoft Graph v1.0 reference (internalDomainFederation, domain,
// federatedTokenValidationPolicy, throttling, error responses), "Microsoft
// identity platform application authentication certificate credentials",
// "Multiple Domain Support for Federating with Microsoft Entra ID", RFC 6749,
// RFC 7518, RFC 7523, RFC 9110.
package domain
