// Package password is the one way in which a password is checked. Every protocol
// (WS-Federation, SAML, WS-Trust, pass-through authentication, the command line)
// calls [Pipeline.Verify]; none has a way of its own.
//
// The steps, each of which can end the attempt:
//
//	input     names and passwords that no directory may see
//	resolve   the name becomes one directory object, or none
//	gate      the object's failures and the address's budget are checked and the
//	          attempt counted, before any domain controller is asked
//	bind      one bind as that object, the only proof of a password
//	settle    the outcome goes back to the gate
//	audit     the event is recorded, before anybody acts on the result
//
// What it guards against: one account counted under many spellings (all after
// resolve goes by objectGUID, L03), counting after the fact (L02), passwords that
// are changed on the way (L07) or stay in memory (L09), an outage that looks like
// a wrong password or moves a counter (D07, D08), and telling strangers which
// names exist (L05).
//
// For the last, every refusal is answered on one schedule: not before a floor, and
// then on the next step of a grid, so that refusals for whatever reason fall on
// the same few instants. An attempt that was refused without a bind first waits as
// long as a recent refused bind took (adds-ldap.md 8.1), so that a slow directory
// does not lift the known names above the unknown ones. Nothing is held while
// waiting: no connection, no lock, no password.
//
// A client that hangs up does not stop an attempt: otherwise it could have wrong
// passwords judged by the directory and never counted here.
package password
