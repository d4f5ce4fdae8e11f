//go:build race

package xmlsec_test

// The race detector makes everything several times slower.
const slowdown = 10
