// Package directorytest is a stand-in of Active Directory Domain Services: one
// domain, one or more domain controllers, each a real LDAP server over TLS on a
// loopback address with its own certificate. Tests, the demo and the load driver
// use it where a Windows DC would stand.
//
// # Design
//
// The package judges authn/directory and therefore shares nothing with it: it
// has its own BER reader and writer, imports neither authn/directory nor an LDAP
// library, and does not import "testing", because the demo binary links it. It
// keeps no secret worth protecting: its passwords and keys are made for one
// process and die with it.
//
// It is stricter than a DC. It closes the connection on a request that follows
// another one before its answer (outside fast bind), on an attribute list that is
// empty or holds "*" or "+", on an unknown critical control (after code 12), and
// on BER lengths and integers that are not minimal. Each breach is kept, see
// [Directory.Violations].
//
// It misbehaves on demand: [DC.Inject] adds a [Fault] for the nth request of a
// kind or name, [DC.Set] changes the [Settings] of one DC at run time.
//
// # What is Windows behaviour, and how sure that is
//
// From [MS-ADTS] and published Microsoft pages: the name forms of a simple bind
// and their order (5.1.1.1.1); several matches in one form give data 57; a name
// with an empty password is an unauthenticated bind that succeeds; fast bind
// (5.1.1.3), refused with 53 after a bind; rootDSE attributes; constructed
// attributes only by name; tokenGroups only by base search; references from a
// domain root unless the domain-scope control is sent; MaxPageSize 1000; range
// retrieval; lockout that counts per DC and sums at the PDC emulator; a password
// equal to one of the two before is refused uncounted; userWorkstations judged
// against the DC itself; machine accounts refused with 710.
//
// Measured on a Samba DC and taken over because published lists agree: lockout
// is told before the password is looked at, the password before any state; 533
// beats expiry and must-change; must-change shows in the computed bit 0x800000.
//
// Inferred from field practice, not read in an authoritative source: data 525
// for a name that is in no form; anonymous after a failed bind (RFC 4513 4);
// string matching without case, width, kana kind and non-spacing marks; the NUL
// at the end of diagnostics; lengths of constructed values written as 84 and
// four octets; the exact order of 701, 52f, 530, 531, 773 and 532 among each
// other; a right password that resets the counter at the PDC emulator too; the
// text of error messages besides the AcceptSecurityContext line; a password that
// holds NUL is compared whole (Windows is not known here).
//
// [Config.Samba] switches to what a Samba 4.17 DC does in the same places.
//
// Short names used in comments: [MS-ADTS] Active Directory Technical
// Specification, [MS-SAMR] Security Account Manager Remote Protocol, RFC 4511
// LDAP: The Protocol, RFC 4513 LDAP authentication methods, RFC 4514 LDAP string
// representation of distinguished names, RFC 4515 of search filters.
package directorytest
