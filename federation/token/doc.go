// Package token writes the assertions that this service issues: SAML 1.1 for
// WS-Federation and WS-Trust, SAML 2.0 for SAML.
//
// An assertion is written in exclusive canonical form in one pass; the bytes that
// go out are the bytes that were digested. There is no tree and no second
// serialisation, so nothing can be signed that is not sent. One RSA-SHA256
// signature (PKCS#1 v1.5) over SignedInfo is all the public-key work, and it is
// verified before the token leaves: a faulty signature computed with CRT gives
// the private key away.
//
// The threats this package answers: markup smuggled into a token through a claim
// (every value goes through one escaping writer, and what XML cannot carry is
// refused with the claim's name); tokens without a restriction ([Assertion] is
// refused unless it names subject, issuer, exactly one audience, method and all
// times); tokens that live too long; ids that can be guessed or come twice.
// Deciding what is true of a person is not done here; see package claims.
//
// What we do differently from AD FS, or choose where it is silent:
//
//   - attributes of an element stand in canonical order (AssertionID first), not
//     in AD FS's order; XML gives their order no meaning;
//   - prefixes saml and ds are written out where AD FS uses default namespaces;
//   - a line feed in a value is written as a character reference, so that no raw
//     line feed is in a token and a browser's form cannot change it.
//
// Short names used in comments: see package federation.
package token
