// Package signin is the sign-in state machine of the browser protocols. A
// protocol handler parses its message into one [federation.SignInRequest] and
// calls [Flow.Begin]; the person's own form comes back to [Flow.Continue]; both
// end in an answer that the protocol's [federation.Responder] makes.
//
// # Design
//
// The request travels through the browser as a sealed transaction (form field t),
// so that any instance can finish what another one began and a lost session store
// stops nobody. It holds the request, a random id, its time, and a hash of the
// browser-binding cookie. A transaction that led to a token is marked as used in
// the session store; when the store is down the mark is lost, which costs a second
// token for a person who typed a right password a second time, and nothing else. A
// request that has a name of its own ([federation.Ledger]) is marked by its protocol
// instead, and looked up before a page asks for a password for it.
//
// The states of a request:
//
//	Begin    -> answer           a session exists and is good enough
//	         -> page             it is not
//	         -> used             it is not, and the request was answered before
//	Continue -> page             field empty, credentials refused, language changed
//	         -> answer           the directory accepted the password
//	         -> error page       it accepted the password but not the person, or nobody could judge
//	         -> used             the transaction was finished before
//	         -> Begin            "try again", "start again", "another account"
//	answer   -> hand-over page   token made, audit record taken
//
// Begin and Continue are the only dispatchers; steps return what comes next and
// do not call each other.
//
// # Threat
//
//   - Login CSRF, transaction swapping: a post needs the same origin (the browser's
//     Sec-Fetch-Site, else Origin), the browser-binding cookie, and a transaction
//     sealed for exactly that cookie.
//   - Token theft: the reply address, the party and the form action come from the
//     registry, and are looked up there again when the form comes back.
//   - Fixation: each password gets a new session id; the old one ends.
//   - Enumeration: what the page says of an account depends on the reason only if
//     the reason proves that the password was right.
//   - Silent issue: no token leaves before its audit record was taken.
//   - Loops: more than five tokens for one party in twenty seconds stop. The count
//     lives in a cookie of 20 s, see loop.go.
//
// # Choices where specifications are silent
//
//   - A locked account ends its sessions, although that lets an outsider who can
//     lock accounts end them: AD gives such an account no new tickets either.
//   - A framed request is refused before a session is looked at, unless its party
//     has origins that may frame the page which posts an answer. Nothing with a
//     control is ever framed: where somebody would have to be asked, a framed
//     request is refused all the same, and only a passive one is answered. Across
//     sites browsers send no SameSite=Lax cookie, so that there is no session then.
//   - When accounts cannot be read, a session is neither used nor ended: the page
//     says that the directory is not answering.
package signin
