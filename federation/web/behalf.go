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
// X-MS-Client-Application, which says what kind of program the person uses, is for
// records. The other headers of that family (X-MS-Client-User-Agent, X-MS-Proxy) are
// deleted with it and decide nothing.
func (t *trust) onBehalf(client netip.Addr, certain bool, h http.Header) (person netip.Addr, program string) {
	if len(t.onBehalfOf) == 0 || !certain || !contains(t.onBehalfOf, client) {
		return netip.Addr{}, ""
	}
	if person = t.person(h); person.IsValid() {
		program = programName(h["X-Ms-Client-Application"])
	}
	return person, program
}

// programName takes a name such as Microsoft.Exchange.ActiveSync and nothing else.
func programName(values []string) string {
	if len(values) != 1 || len(values[0]) > 64 {
		return ""
	}
	for _, c := range []byte(values[0]) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '.' && c != '_' && c != '-' {
			return ""
		}
	}
	return values[0]
}

func (t *trust) person(h http.Header) netip.Addr {
	const header = "X-Ms-Forwarded-Client-Ip"
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
func (t *trust) standIn(info *Info, person netip.Addr, program string) {
	if !person.IsValid() {
		return
	}
	info.Via, info.Client, info.Program = info.Client, person, program
	info.Inside = info.Inside && contains(t.inside, person)
}
