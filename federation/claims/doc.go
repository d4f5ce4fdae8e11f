// Package claims decides what a relying party is told about a person: it turns a
// [federation.Subject] into the unsigned [token.Assertion].
//
// # Design
//
// Microsoft 365 gets the set that Entra Connect's rules put on the AD FS trust,
// in their order: UPN and ImmutableID, name identifier, network location,
// persistent sign-on, password expiry, methods, primary SID; and the issuer that
// belongs to the user's federated root domain. Other parties get what their
// [Rules] say, or a small fixed set: UPN, name, primary SID.
//
// Rules are compiled when the engine is made and applied in order; they name
// attributes of the account, groups, constants and conditions. Groups that rules
// name by name are translated to SIDs by a [GroupIndex], so that a sign-in
// compares SIDs. Access lists come first, and deny wins.
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
// Rules cannot undo this: claims that say how somebody signed in cannot be given
// by a rule, a claim that names the person comes from an attribute of the person
// alone, and attributes are a closed list without anything secret. What cannot be
// judged never gives more: groups that the directory did not tell, or a group to
// shut out that does not exist, refuse the token. More groups than a claim may
// name refuse it too, because a list cut short would be a wrong claim.
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
//   - Rules of one claim type fill one attribute, each value once, in the order of
//     the rules.
//   - A group without a name in the configured domains (of a trusted domain, or a
//     former SID) is told by its SID where all groups are asked for by name, and
//     fits no pattern.
//   - The cap on groups counts values, after match, for each claim type.
//
// Short names used in comments: see package federation. TRUST is Microsoft's page
// on the rules of the Entra Connect trust.
package claims
