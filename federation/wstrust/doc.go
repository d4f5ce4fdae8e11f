// Package wstrust serves active clients: programs that have a name and a
// password and want a token in one SOAP exchange, without a browser. These are
// the endpoints mex, 2005/usernamemixed and 13/usernamemixed below
// /adfs/services/trust, as MSAL, ADAL, Windows and scripts use them.
//
// # Design
//
// [Parse] reads one message strictly: every element by its path, exactly as often
// as it may stand there, nothing beside what is known. [Handler] gives name and
// password to the one password pipeline, asks the claims engine, and writes the
// signed assertion into the answer. Whatever goes wrong becomes a
// [federation.Error] that carries a SOAP fault; [Pages] is the one place that
// writes faults, so that also a panic or an overload ends in what a SOAP client
// can read and never in a page for people.
//
// # Threat
//
// No browser and no second factor: this is what password sprayers like best. So
// the service is off until it is switched on, uses the counters of every other
// door, and tells nothing: unknown user, wrong password, locked, disabled and not
// allowed are one fault with one text at one pace. A message that two readers
// could understand differently (two user names, two tokens, a signature, an
// attribute instead of an element) is refused before a password is looked at.
//
// Clients send a refused message again by themselves, with the same id. Such a
// repetition within a minute gets the first verdict again, on whichever instance
// it arrives, without a second bind and without a second count; see package repeat.
// Nothing is remembered of an accepted message, and a message id is never refused
// for having been seen: who holds the message holds the password.
//
// No address of a message is ever connected to; answers go back on the connection.
//
// # Choices
//
//   - Exactly one Timestamp with both instants is demanded, as the policy in our
//     own MEX says and as AD FS's WCF does; at most 30 minutes old, five minutes of
//     skew. Scripts that leave it out are refused.
//   - KeyType may be absent. Lifetime may only shorten. Elements of a
//     RequestSecurityToken that ask for anything else are refused, not ignored.
//   - SAML 2.0 is issued when the TokenType asks for it and the party is Microsoft
//     365 or registered for it; otherwise the answer is SAML 1.1, or the party's own
//     type when no TokenType is asked for.
//   - FailedAuthentication stands in the WSS namespace, which owns it.
//   - An endpoint that is off for a client answers 503, as AD FS's do.
//
// Short names used in comments: SOAP is SOAP 1.2 part 1, WSA is WS-Addressing 1.0,
// WSS is WS-Security 1.0 with the UsernameToken profile, WS-Trust is WS-Trust 1.3,
// WSDL is WSDL 1.1.
package wstrust
