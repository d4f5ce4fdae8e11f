// Package directory checks names and passwords against Active Directory Domain
// Services and reads the accounts that claims are made from.
//
// # Design
//
// A [Directory] knows one or more domains, each with its domain controllers
// (named in the settings or found by DNS). Per DC there are two pools which
// never mix: connections that carry user binds and nothing else, and
// connections bound as the service account that carry searches and nothing
// else. A name is resolved to exactly one object by a search; the password is
// judged by one simple bind as that object's DN; the answer is an
// [authn.Reason]. What a person typed is never sent as a bind name, because the
// same string can mean different objects to a search and to a bind.
//
// Requests are written and entries are read here (direct.go); go-ldap reads the
// socket, compiles filters and judges results, on top of a framing connection of
// our own (frame.go) that parses each message itself. go-ldap takes several kinds of
// reply for a successful bind which are none, so the one proof of a password is:
// go-ldap reports no error and the framing connection saw a BindResponse with
// the awaited messageID and result code 0.
//
// # Threats, and what holds against them
//
//   - A password is never sent outside TLS with a verified certificate; there is
//     no fallback and no switch that turns verification off.
//   - Empty passwords, and passwords with a NUL, never reach a DC: AD answers an
//     empty one with success (RFC 4513 section 5.1.2).
//   - A bind of which any byte was written is never sent twice, and an answer of
//     49 never leads to another DC: either could count a mistake twice and lock
//     the account.
//   - A connection whose state is not certain (timeout, cancelled request, bad
//     frame, late answer) is closed, never used again: a late BindResponse would
//     change whose connection it is.
//   - Network trouble is never "wrong password" and moves no counter.
//   - Values enter a filter only through one builder (filter.go).
//   - Referrals and references are never followed.
//   - The service account's password is offered at most twice per change of the
//     password files, so that the gateway cannot lock out its own account.
//   - Message sizes, message counts, nesting, connections, dials and waiting are
//     all bounded.
//
// Choices where the specifications are silent are listed in CHOICES.md.
//
// Short names used in comments: [MS-ADTS] Active Directory Technical
// Specification; [MS-SAMR] SAM Remote Protocol; RFC 4511 LDAP: The Protocol;
// RFC 4513 LDAP authentication methods; RFC 4515 search filters; RFC 2782 DNS
// SRV.
package directory
