// Package session remembers who has signed in, so that the next application asks
// for no password.
//
// A [Session] is facts about one sign-in: which directory object, how, when. It
// holds no claim: names and groups are read from the directory, so that a change
// there is seen. A browser holds only an [ID], 256 bits that mean nothing; a store
// keeps the record under a name from which the ID cannot be computed, so that
// nobody who reads a store can act as the browser.
//
// Rules that every [Store] keeps, judged by package sessiontest:
//
//   - Every Create makes a new ID; a store never takes an ID from outside
//     (session fixation).
//   - A session ends at its absolute limit whatever is done with it, and earlier
//     when it was not used for the idle limit.
//   - A session that was ended stays ended, also for a request that is under way
//     on another instance.
//   - "There is no such session" ([ErrNone]) and "the store cannot say"
//     ([ErrUnavailable]) are different answers. Neither lets anybody in.
//   - Relying parties are remembered only for sessions that live, each once, and
//     at most [MaxParties] of them: neither a loop nor an attacker makes them grow.
//
// The store decides nothing about accounts: that a changed password or a disabled
// account ends a session is decided by the caller, who compares the account with
// the record and calls End.
package session
