// Package lockout stops password guessing before it reaches a domain controller.
//
// AD locks an account after a number of wrong passwords, whoever typed them. A
// gateway on the internet would hand that lock to strangers, so it counts for
// itself, with a threshold below AD's, and stops asking. The threats, with their
// rows in the threat catalogue: outsiders who lock people out (L01), parallel
// requests that slip past a counter (L02), one account under many spellings
// (L03), traffic that pushes a counter out of memory (L04), one password tried on
// many accounts (L06).
//
// How it is met:
//
//   - [Memory.Begin] checks and counts in one step before the bind; the attempt
//     holds its place in the count until [Memory.Settle] tells how it ended. What
//     never ends stays counted.
//   - Accounts are counted by objectGUID. Names that lead to no account share a
//     fixed number of counters, chosen by a keyed hash of the normalised name:
//     they behave like real ones to the outside and cost no memory.
//   - A person's own places, addresses from which they have signed in before, have
//     a counter of their own. Strangers who use up the common one do not shut the
//     owner out. Both together stay below AD's threshold.
//   - Each address and each network (/24, or /64) has a budget of failures that
//     refills with time and grows with successes of different people, so that an
//     office behind one address is slowed only when far more fails than succeeds.
//     Budgets lie in tables of fixed size: a flood makes them stricter, never
//     forgetful. An account's own places are exempt.
//   - Nothing is evicted to make room. A table that is full refuses.
//
// An outcome that nobody decided (no DC, unclear answer) gives the place back:
// an outage must not lock people out. Nothing here ever unlocks an account in the
// directory.
//
// The methods are shaped for a store shared by all instances: one round trip
// before the bind, one after it. Until such a store exists each instance counts
// for itself and Config.Instances divides the thresholds.
package lockout
