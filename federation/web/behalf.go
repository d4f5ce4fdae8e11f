package web

import (
	"net/http"
	"net/netip"
)

// onBehalf finds the person in whose name a known service, which is itself the
// certain client, signs in: Exchange Online does so for mail programs that only
// know user name and password, and states their address in
// X-MS-Forwarded-Client-IP. The right-most address that is no such service counts,
// since each of them appends. The zero Addr means that nobody is named, or that
// what stands there cannot be read; then the service is the client.
//
// The other headers of that family (X-MS-Client-Application,
// X-MS-Client-User-Agent, X-MS-Proxy) are deleted with it and decide nothing.
func (t *trust) onBehalf(client netip.Addr, certain bool, h http.Header) netip.Addr {
	const header = "X-Ms-Forwarded-Client-Ip"
	if len(t.onBehalfOf) == 0 || !certain || !contains(t.onBehalfOf, client) {
		return netip.Addr{}
	}
	entries := splitList(h[header])
	if len(entries) > maxHops {
		entries = entries[len(entries)-maxHops:]
	}
	for i := len(entries) - 1; i >= 0; i-- {
		switch a := parseHop(entries[i]); {
		case !a.IsValid():
			return netip.Addr{}
		case !contains(t.onBehalfOf, a):
			return a
		}
	}
	return netip.Addr{}
}

// standIn makes the person that a service stands in for the request's client. It
// never makes anybody inside: who was outside stays so.
func (t *trust) standIn(info *Info, person netip.Addr) {
	if !person.IsValid() {
		return
	}
	info.Via, info.Client = info.Client, person
	info.Inside = info.Inside && contains(t.inside, person)
}
