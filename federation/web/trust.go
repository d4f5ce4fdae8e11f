package web

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ForwardedHeader is the one header in which the configured proxies report the
// client. The other kind is never read: a proxy that does not write it passes a
// client's own through.
type ForwardedHeader uint8

// The headers that can be read.
const (
	XForwardedFor ForwardedHeader = iota // X-Forwarded-For, the usual one
	Forwarded                            // RFC 7239
)

// maxHops bounds how far a forwarding header is followed.
const maxHops = 32

// Trust is whom the edge believes. It may be replaced while the service runs; see
// [Edge.SetTrust].
type Trust struct {
	// Hosts are the names under which people reach this service; a port is
	// ignored. Required. A request for another name is answered 421.
	Hosts []string
	// Proxies are the addresses of the reverse proxies in front of this service.
	// Whoever is listed may state any client address: list single hosts or the
	// proxies' own subnet, never a network that people are in. Empty: nobody, and
	// the peer is the client.
	Proxies []netip.Prefix
	// Header is where these proxies report the client.
	Header ForwardedHeader
	// Inside are the corporate networks. Empty: nobody is inside.
	Inside []netip.Prefix
	// OnBehalf are services that sign people in in their name, without being their
	// proxy: Exchange Online. They are believed about the person's address on the
	// routes for it, and may narrow what is granted, never widen it. Empty: nobody.
	OnBehalf []netip.Prefix
}

// check returns a normalised copy, or an error that names every bad entry.
func (t Trust) check() (*trust, error) {
	var problems []string
	n := &trust{hosts: make(map[string]bool, len(t.Hosts)), header: t.Header}
	for _, h := range t.Hosts {
		name, ok := hostname(h)
		if !ok {
			problems = append(problems, fmt.Sprintf("host %q is not a name with an optional port", h))
			continue
		}
		n.hosts[name] = true
	}
	if len(t.Hosts) > 0 {
		n.host = t.Hosts[0]
	} else {
		problems = append(problems, "no host name: every request would be refused")
	}
	for _, p := range t.Proxies {
		if !p.IsValid() || p.Bits() == 0 {
			problems = append(problems, fmt.Sprintf("proxy %v would let every client state any address", p))
			continue
		}
		n.proxies = append(n.proxies, unmapPrefix(p))
	}
	for _, p := range t.Inside {
		if !p.IsValid() || p.Bits() == 0 {
			problems = append(problems, fmt.Sprintf("network %v would put everybody inside", p))
			continue
		}
		n.inside = append(n.inside, unmapPrefix(p))
	}
	for _, p := range t.OnBehalf {
		if !p.IsValid() || p.Bits() == 0 {
			problems = append(problems, fmt.Sprintf("service %v would let every client state any address", p))
			continue
		}
		n.onBehalfOf = append(n.onBehalfOf, unmapPrefix(p))
	}
	if t.Header > Forwarded {
		problems = append(problems, fmt.Sprintf("forwarding header %d is not known", t.Header))
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("web: %s", strings.Join(problems, "; "))
	}
	return n, nil
}

// unmapPrefix turns ::ffff:a.b.c.d/n into a.b.c.d/(n-96), the form that client
// addresses are compared in.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

// trust is a checked [Trust].
type trust struct {
	host            string // the first configured one, all that handlers see
	hosts           map[string]bool
	proxies, inside []netip.Prefix
	onBehalfOf      []netip.Prefix // services, see onBehalf
	header          ForwardedHeader
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// countedAs is the address under which limits count a client: the zero Addr, which
// is not counted, for a configured proxy, through which everybody comes, and the
// /64 of an IPv6 address, since a single client has all of one.
func (t *trust) countedAs(a netip.Addr) netip.Addr {
	if contains(t.proxies, a) {
		return netip.Addr{}
	}
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// client finds the person's address. certain is false when the address is only
// the best guess: the proxy sent no or an unreadable header, or named nobody but
// proxies. An uncertain client is never inside.
func (t *trust) client(peer netip.Addr, h http.Header) (addr netip.Addr, certain bool) {
	if !contains(t.proxies, peer) {
		return peer, true
	}
	hops := t.hops(h)
	last := peer
	for i := len(hops) - 1; i >= 0; i-- {
		if !hops[i].IsValid() {
			return last, false
		}
		if !contains(t.proxies, hops[i]) {
			return hops[i], true
		}
		last = hops[i]
	}
	return last, false
}

// hops returns the right-most addresses that the chosen header names, in its
// order. An entry that is not an address is the zero Addr: the walk stops there.
func (t *trust) hops(h http.Header) []netip.Addr {
	entries, parse := splitList(h["X-Forwarded-For"]), parseHop
	if t.header == Forwarded {
		entries, parse = splitQuoted(h["Forwarded"]), parseForwardedElement
	}
	if len(entries) > maxHops {
		entries = entries[len(entries)-maxHops:]
	}
	out := make([]netip.Addr, len(entries))
	for i, e := range entries {
		out[i] = parse(e)
	}
	return out
}

// splitList splits the field lines of a list header at commas, keeping order.
// X-Forwarded-For knows no quoted strings: a quotation mark that a client sends
// must not swallow the comma after which the proxy wrote the client's address.
func splitList(lines []string) []string {
	var out []string
	for _, line := range lines {
		for entry := range strings.SplitSeq(line, ",") {
			out = append(out, strings.TrimSpace(entry))
		}
	}
	return out
}

// splitQuoted does the same for Forwarded, whose values may be quoted strings (RFC
// 7239 §4). It goes from right to left, since only what the proxies appended is
// known to be well formed.
func splitQuoted(lines []string) []string {
	var out []string // from right to left
	for l := len(lines) - 1; l >= 0; l-- {
		line, end, quoted := lines[l], len(lines[l]), false
		for i := len(line) - 1; i >= 0; i-- {
			switch c := line[i]; {
			case c == '"' && !(quoted && escaped(line, i)):
				quoted = !quoted
			case c == ',' && !quoted:
				out = append(out, strings.TrimSpace(line[i+1:end]))
				end = i
			}
		}
		out = append(out, strings.TrimSpace(line[:end]))
	}
	slices.Reverse(out)
	return out
}

// escaped reports whether an odd number of backslashes stands before s[i].
func escaped(s string, i int) bool {
	n := 0
	for n < i && s[i-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// parseHop reads one address, with or without a port. Zones are refused: they
// have no meaning beyond the machine that wrote them.
func parseHop(s string) netip.Addr {
	if len(s) > 64 {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil && len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		a, err = netip.ParseAddr(s[1 : len(s)-1])
	}
	if err != nil {
		ap, perr := netip.ParseAddrPort(s)
		if perr != nil {
			return netip.Addr{}
		}
		a = ap.Addr()
	}
	if a.Zone() != "" {
		return netip.Addr{}
	}
	return a.Unmap()
}

// parseForwardedElement reads the for= parameter of one forwarded-element (RFC
// 7239 §4). Doubled or missing for= and obfuscated names give the zero Addr.
func parseForwardedElement(e string) netip.Addr {
	var found netip.Addr
	seen := false
	for pair := range strings.SplitSeq(e, ";") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || !strings.EqualFold(name, "for") {
			continue
		}
		if seen {
			return netip.Addr{}
		}
		seen = true
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		found = parseHop(value)
	}
	return found
}

// hostAllowed compares the name that the request is for. From a configured proxy
// X-Forwarded-Host is that name, its right-most value being the one which the
// proxy itself added; from anybody else it does not exist.
func (t *trust) hostAllowed(peer netip.Addr, host string, h http.Header) bool {
	if fh := h["X-Forwarded-Host"]; len(fh) > 0 && contains(t.proxies, peer) {
		list := splitList(fh)
		host = list[len(list)-1]
	}
	name, ok := hostname(host)
	return ok && t.hosts[name]
}

// hostname returns the lower-case name of a host with an optional port.
func hostname(s string) (string, bool) {
	if s == "" || len(s) > 300 {
		return "", false
	}
	name := s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && strings.IndexByte(s, ']') < i {
		port := s[i+1:]
		if port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "" {
			return "", false
		}
		name = s[:i]
	}
	name = lowerASCII(name)
	for i := range len(name) {
		c := name[i]
		ok := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '[' || c == ']' || c == ':'
		if !ok {
			return "", false
		}
	}
	return name, name != ""
}

func lowerASCII(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// forwarding reports whether a header is one in which proxies describe the
// original request. All of them are deleted before a handler runs.
func forwarding(name string) bool {
	switch name {
	case "Forwarded", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Client-Ip", "Cf-Connecting-Ip",
		"Fastly-Client-Ip", "X-Original-Url", "X-Original-Host", "X-Original-Forwarded-For", "X-Rewrite-Url", "X-Host",
		"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Remote-User", "X-Ssl-Client-Cert":
		return true
	}
	// Keys made by net/http are canonical; a key with characters that are not
	// allowed in one is kept as sent, so the prefixes are compared without case.
	return hasPrefixFold(name, "X-Forwarded") || hasPrefixFold(name, "X-Ms-")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// stripForwarding deletes every forwarding header and reports whether one of
// those that name a client was there.
func stripForwarding(h http.Header) (found bool) {
	for name := range h {
		if forwarding(name) {
			found = found || name == "Forwarded" || name == "X-Real-Ip" || hasPrefixFold(name, "X-Forwarded")
			delete(h, name)
		}
	}
	return found
}
