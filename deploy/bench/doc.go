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
// The share besides the signature (line 3) is found by weighing every fourth
// signature with the thread's CPU clock; there is no signer that does not sign.
// crypto/rsa verifies each signature that it makes, which is a part of signing here.
//
// A password sign-in is two requests, the page and its form; both are counted.
package main
