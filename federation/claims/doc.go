// Package claims decides what a relying party is told about a person: it turns a
// [federation.Subject] into the unsigned [token.Assertion].
//
// # Design
//
// Microsoft 365 gets the set that Entra Connect's rules put on the AD FS trust,
// in their order: UPN and ImmutableID, name identifier, network location,
// persistent sign-on, password expiry, methods, primary SID; and the issuer that
// belongs to the user's federated root domain. Other parties get a small fixed
// set: UPN, name, primary SID.
//
// # Threat
//
// A token is as good as the person's own key at the party. Every value is a fact
// of the directory object whose password or ticket was checked, or of this
// sign-in; nothing that was typed or sent by a client reaches a token. A user's
// suffix must lie in a federated domain, on a label boundary; an ImmutableID is
// never empty and never shared by two objects; a second factor is never claimed.
// What cannot be said truthfully makes the token fail with a reason of its own
// ([federation.ProblemNotReady]), never with a guess. A value that XML cannot
// carry refuses the token where it names the person; another claim is left out
// and logged.
//
// # Choices where the rules are silent
//
//   - The method of a password sign-in is PasswordProtectedTransport, which AD FS's
//     forms sign-in writes on the passive endpoint.
//   - accounttype is not issued for users: Entra Connect's rule only adds it for
//     its own further use.
//   - passwordexpirationtime counts seconds, passwordexpirationdays whole days.
//   - NotBefore lies 30 s before IssueInstant, for parties whose clock is late; the
//     lifetime counts from NotBefore.
//   - Other parties get NETBIOS\sAMAccountName as name: display names are neither
//     unique nor always the administrator's to set.
//
// Short names used in comments: see package federation. TRUST is Microsoft's page
// on the rules of the Entra Connect trust.
package claims
