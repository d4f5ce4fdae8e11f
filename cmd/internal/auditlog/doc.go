// Package auditlog stores the events of the audit trail: to a file with a hash
// chain, to standard output, or both.
//
// A token that nobody recorded is a token whose forging nobody would notice
// (threats C02). So an event is written, and synced to disk, before Record
// returns. Concurrent events share one write and one fsync: while one batch is
// on its way the next one gathers.
//
// With Required, Record returns an error unless a sink has accepted the event,
// and the caller lets no token leave. Without it a dead sink does not stop
// sign-in: events wait in bounded memory, in order, and are written when the sink
// is back; what does not fit is counted, and the count itself becomes a record.
//
// The file is JSON lines. Each record carries a sequence number and, in prev, the
// SHA-256 of the line before (an HMAC, when there is a key), over rotation and
// restart: see [Verify]. Whoever takes out, changes or moves a record breaks the
// chain. Who can write the file and has the key can still cut off its end, so the
// head of the chain is logged at each rotation and start.
package auditlog
