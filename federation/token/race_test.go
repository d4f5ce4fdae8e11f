//go:build race

package token_test

// The race detector makes everything several times slower.
const slowdown = 10
