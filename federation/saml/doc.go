// Package saml speaks the web browser profiles of SAML 2.0 as an identity
// provider, on /adfs/ls/ beside WS-Federation as AD FS does.
//
// # Design
//
// [Handler] reads a message from its binding, proves who sent it, and turns it
// into one [federation.SignInRequest] for the sign-in flow. [Responder] turns the
// person who signed in into a Response that the browser posts to the party.
// [Registry] holds the parties with their endpoints, keys and wishes. Types of a
// library are not used: each loses a part of some message, and some of that
// library's own service code is unsafe (it verifies nothing and encrypts wrongly).
//
// A message is parsed once, by package xmlsec. What a good signature covers is
// read from the tree that was made of the signed bytes; an unsigned message is
// read from the tree that passed the gate. There is no third way.
//
// # Threat
//
// Anybody can make a browser send anything here. Until the sender is known, the
// signature that is there (or must be there) is verified, the destination is this
// service and the request is fresh, a refusal is a page of our own. After that a
// refusal is a Status that goes to the party, at an address from the registry and
// never from the message. The request's id is the only text of it that comes back
// in an answer, and it is an NCName by then; RelayState is a form field.
//
//   - Replay: an id leads to one token. It is marked when the token is made, not
//     when the request arrives, so that a person may load the sign-in page twice,
//     and looked up before a password is asked for, so that nobody types one for a
//     request that will be refused. When the shared store is down, each instance remembers for itself. At the
//     endpoint of enhanced clients an id may come again, since each copy brings the
//     password; refused copies are one attempt there (package repeat).
//   - Pre-dating: all times of a token come from our clock.
//   - Key confusion: only registered keys verify; KeyInfo is not read.
//   - Parameter smuggling: the signature of the Redirect binding is verified over
//     the query's own octets; each parameter may stand once, in one spelling.
//
// # Choices where specifications are silent
//
//   - An address of the request that is not registered leads to a page of ours,
//     even when the party has only one address.
//
//   - SAMLEncoding is refused, with the one value that exists too.
//
//   - A cross-site POST without our cookie is sent once through a form of our own,
//     since browsers withhold SameSite=Lax cookies from it. The request counts as
//     arrived when it comes back.
//
//   - A person who is known and gets no token (no value for a claim that is needed, too
//     many groups, an account that has ended) is told by the party, to which a Status
//     goes with our reference. Trouble of our own ends on our page, where it can be
//     tried again, but at a passive request, where nobody looks at a page.
//
//   - RelayState may have 8 KiB; the bindings say 80 bytes and nobody keeps to it.
//     What a browser would not return unchanged (CR, LF, NUL) is refused.
//
//   - Scoping and its ProxyCount change nothing, as nothing is proxied; an IDPList
//     without us is answered by NoAvailableIDP.
//
//   - A transient identifier is the same for one party during one session, so that
//     a later message can be matched with it.
//
//   - An encrypted identifier (Format …:encrypted, SAML Core 2.0 §3.4.1.1) is given to
//     who has a key to encrypt to, although the assertion around it is encrypted too
//     then. Inside is the format that a request without a wish gets. We publish no key,
//     so that nobody sends us one; our LogoutRequest has it in plain.
//
//   - NameQualifier and SPNameQualifier are left out: their defaults are what they
//     would say.
//
//   - A LogoutRequest ends the session of the browser that brings it, when its
//     signature is good and its NameID is the person's; SessionIndex does not decide,
//     since a renewed session has another one while the party holds the old. Without
//     a session the answer is Success. Microsoft 365's needs neither signature nor
//     name, as the same address ends sessions by wsignout1.0, which has neither.
//
//   - Other SAML parties of the session are visited one by one, by the browser itself,
//     since they would not see their own cookies in a hidden frame. The session ends
//     first; whoever abandons the chain is signed out here and where they have been.
//     Parties that did not confirm, cannot be told, or speak WS-Federation, which
//     confirms nothing, make the answer PartialLogout. Each hears the name that it got
//     last in the session ([Responder.NameOf]).
//
//   - A party whose logout binding is SOAP is told server to server, and any party
//     with logout may sign people out so, as metadata that names the binding says it
//     to all of them: its name for a person leads to their sessions (package session, Links).
//     Its requests and its answers are signed, or they count for nothing.
//
// Short names used in comments, besides those of package federation: SAML Bindings
// 2.0, SAML Profiles 2.0 (OASIS), and XML-ENC, W3C XML Encryption 1.1.
package saml
