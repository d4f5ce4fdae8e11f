//go:build linux

// Command bench measures the gateway against the budget: go run ./deploy/bench.
//
// It starts a stand-in directory (directorytest) in its own process and the
// gateway in another (cmd/internal/benchserver, built on the spot), drives it with
// keep-alive HTTPS over loopback, and prints a table of what was reached beside
// the goal. It needs Go and nothing else, takes about five minutes on two cores
// (-short: one), and exits 1 when a figure misses its CI gate.
//
// # How it measures
//
// The figure is the CPU time of the server process (getrusage, user and system)
// for one operation, not wall clock: machines of this kind are shared. Rounds of
// the kinds are interleaved, raw RSA-2048 signatures and a net/http server with a
// 10 KB answer among them, in the same process, with the same key; each ratio is
// formed within one round and the median over the rounds is shown. Raw signing
// runs on all cores at once, because the gateway does while it is driven: two
// hardware threads of a core slow each other down.
//
// Everything besides the signature (line 3) is measured with a signer that repeats
// one old signature instead of making one (see cmd/internal/benchserver).
// crypto/rsa verifies each signature that it makes, which is a part of signing here.
// What a pass-through request costs besides its decryption (line 5) is measured in the
// same way, with a key that repeats one old plaintext.
//
// Browsers have so many connections that the gateway is never idle, though each of
// them waits for the disk: tokens leave once their audit record is synced, which
// happens at most every 8 ms under load. With few connections a gateway without RSA
// sleeps most of the time, and its threads' waking would be measured (-browsers 16
// shows it). The floor gets the same number. The log is the shipped one, with all its
// redaction, and goes to /dev/null.
//
// A password sign-in is two requests, the page and its form; both are counted.
package main
