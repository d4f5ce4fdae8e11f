// Package redisstore keeps sign-on sessions in Redis, so that all instances share
// them. It implements [session.Store].
//
// # What Redis may know
//
// Redis, its replicas, its dumps and whoever can read or write them are not
// trusted with anything but availability. A session's record lies under a name
// made by hashing the browser's secret; it is sealed (package seal) with a key
// that Redis never has, bound to that name; and so are the relying parties it was
// used for, padded so that their length tells little. Reading Redis therefore
// tells how many sessions there are and when they are used, not whose or where;
// writing to it can end sessions, but not make, change, swap or lengthen one
// beyond the limit that is sealed inside. The same makes a reply that reaches the
// wrong request harmless (CVE-2025-29923): it does not open there, and the answer
// of Once carries a token of its own request.
//
// # Layout
//
//	PREFIX s:{NAME}  string  sealed record, or sealed tombstone after sign-out
//	PREFIX p:{NAME}  list    sealed relying parties, latest first
//	PREFIX o:NAME    string  something used once
//	PREFIX l:NAME    list    sealed names of sessions that a party can end itself
//	PREFIX probe:…   health probes and the self-test
//
// Every key has a time to live from the command that makes it on. The list is made
// with the record and never later (LPUSHX), so that requests with a dead session
// leave nothing behind. Use is one round trip: GETEX, LREM, LPUSHX, LTRIM. No
// scripts are used. The braces keep both keys of a session in one cluster slot.
//
// # When Redis fails
//
// Every call is bounded by twice Config.Timeout and is never repeated. After a few
// failures in a row the store stops asking and answers [session.ErrUnavailable] at
// once, while one goroutine of its own keeps probing with the very commands that
// sessions need; it opens the store again by itself. A permission taken away in a
// running system is the same to it as an outage. [Store.Down] has the reason for
// readiness and logs. A sign-out that Redis could not take is remembered in this
// process, refused here at once, and carried out when Redis is back.
//
// # Differences from a plain cache
//
// The idle limit is Redis's own expiry: who can write to Redis can stretch it, up
// to the absolute limit, which is sealed. Redis replicates asynchronously, so a
// failover may bring back a session that was signed out in the last moments.
package redisstore
