package web

import (
	"net/http"
	"net/netip"
)

// ReadFrame exports readFrame.
var ReadFrame = readFrame

// CanonicalPath exports canonicalPath.
var CanonicalPath = canonicalPath

// Client exports the choice of the client's address.
func Client(t Trust, peer netip.Addr, h http.Header) (netip.Addr, bool, error) {
	n, err := t.check()
	if err != nil {
		return netip.Addr{}, false, err
	}
	a, certain := n.client(peer, h)
	return a, certain, nil
}
