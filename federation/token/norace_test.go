//go:build !race

package token_test

const slowdown = 1
