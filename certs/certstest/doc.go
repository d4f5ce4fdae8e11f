// Package certstest has stand-ins for what the life cycle of signing keys meets: a
// key store whose keys are made once per process, a party with two slots that is
// pushed to, and a pair of clocks that a test moves.
package certstest
