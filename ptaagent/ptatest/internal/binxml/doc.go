// Package binxml reads and writes the binary XML of .NET as far as the relay of
// pass-through authentication needs it: [MC-NBFX] records, the static dictionary
// of [MC-NBFS] and the session dictionary of [MC-NBFSE].
//
// The writer has the habits of .NET: static ids for the names that the
// dictionary knows, a session table for the others where the stream has one,
// the smallest text record that fits, and records that close their element. The
// reader is strict and bounded: depth, number of nodes, lengths inside the
// message, UTF-8, known ids, declared prefixes.
package binxml
