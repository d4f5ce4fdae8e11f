// Package disk reads and writes files that hold keys, or say which key is in force.
//
// Reading judges the opened file and the directories above it: a key that others
// can read, or exchange, is refused (threats C01). Writing is durable before it
// returns, and a file is there as a whole or not at all; [Dir.Create] never replaces
// a file, which makes it a lock that no crash leaves behind, also on file systems
// that several machines share.
package disk
