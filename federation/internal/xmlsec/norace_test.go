//go:build !race

package xmlsec_test

const slowdown = 1
