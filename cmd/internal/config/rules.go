package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxOrganisation = 60

func at(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }

func count(flags ...bool) (n int) {
	for _, f := range flags {
		if f {
			n++
		}
	}
	return n
}

func choice(p *problems, key, value string, allowed []string) {
	if slices.Contains(allowed, value) {
		return
	}
	if near := nearest(value, allowed); near != "" {
		p.add(key, "%s is not known; did you mean %s?", quote(value), near)
		return
	}
	p.add(key, "%s is not known: write %s", quote(value), strings.Join(allowed, " or "))
}

var label = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

// dnsName returns what is wrong with a DNS name.
func dnsName(s string) string {
	const help = "write a name such as corp.contoso.test"
	if s == "" {
		return "is missing: " + help
	}
	lower := strings.ToLower(s)
	labels := strings.Split(lower, ".")
	switch {
	case strings.HasSuffix(s, "."):
		return quote(s) + " ends in a dot: take it out"
	case strings.ContainsRune(s, '*'):
		return quote(s) + " has a wildcard, which would trust every name: list the names"
	case len(s) > 253 || len(labels) < 2:
		return quote(s) + " is not a full DNS name: " + help
	}
	for _, l := range labels {
		if !label.MatchString(l) {
			return quote(s) + " is not a DNS name: " + help
		}
	}
	return ""
}

// origin returns what is wrong with https://HOST[:PORT].
func origin(s string) string {
	if msg := httpsURL(s); msg != "" {
		return msg
	}
	u, _ := url.Parse(s)
	if u.Path != "" || u.RawQuery != "" {
		return "has something behind the host: write https://" + u.Host
	}
	return ""
}

// httpsURL returns what is wrong with an https address.
func httpsURL(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Opaque != "":
		return quote(s) + " is not an address: write for example https://sts.contoso.test"
	case u.Scheme == "http":
		return "is http, which sends it in the clear: write https://" + u.Host + u.Path
	case u.Scheme != "https":
		return quote(s) + " is not an https address: write for example https://sts.contoso.test"
	case u.User != nil:
		return "holds a user: write the address without it"
	case u.Fragment != "" || strings.HasSuffix(s, "#"):
		return "holds a fragment (#): write the address without it"
	case badPort(u.Port()) || strings.HasSuffix(u.Host, ":"):
		return "port " + quote(u.Port()) + " is not between 1 and 65535"
	case u.Host != strings.ToLower(u.Host):
		return "write the host in lower case: " + strings.ToLower(u.Host)
	case strings.Contains(u.Host, "*"):
		return "has a wildcard, which would trust every host: list the addresses"
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil || u.Hostname() == "localhost" {
		return ""
	}
	return dnsName(u.Hostname())
}

// replyURL returns what is wrong with an address that tokens are posted to.
func replyURL(s string) string {
	if msg := httpsURL(s); msg != "" {
		return msg
	}
	if u, _ := url.Parse(s); u.Path == "" {
		return "has no path: write " + s + "/ if that is meant, since addresses are compared exactly"
	}
	return ""
}

// identifier returns what is wrong with an absolute URI that names a party.
func identifier(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme == "" || len(s) > 1024 || strings.ContainsFunc(s, unicode.IsSpace):
		return quote(s) + " is not an absolute URI: write it exactly as the other side does, for example http://sts.contoso.test/adfs/services/trust or urn:contoso:app"
	case strings.Contains(s, "*"):
		return "has a wildcard, which would trust every name: list the names"
	}
	return ""
}

func badPort(s string) bool {
	if s == "" {
		return false
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return err != nil || n == 0
}

// listenAddress returns what is wrong with [ADDRESS]:PORT.
func listenAddress(s string) string {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		if n, err := strconv.Atoi(s); err == nil {
			return fmt.Sprintf("%d is a port alone: write \":%d\"", n, n)
		}
		return quote(s) + " has no port: write for example \":8443\" or 127.0.0.1:8443"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || (n == 0 && host == "") {
		return "port " + quote(port) + " is not between 1 and 65535"
	}
	if host == "" || host == "localhost" {
		return ""
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return quote(host) + " is not an IP address of this machine: write one, or nothing for all"
	}
	return ""
}

func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && a.IsLoopback())
}

func redisURL(s string) string {
	const help = "write rediss://HOST:PORT, with /NUMBER behind it for another database"
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		// The text may hold a password: it is not repeated.
		return "is not an address: " + help
	case u.User != nil:
		return "holds a user or password, and a secret is never written in this file: write user: NAME and password_file: PATH beside it"
	case u.Scheme == "redis":
		if a, err := netip.ParseAddr(u.Hostname()); u.Hostname() != "localhost" && (err != nil || !a.IsLoopback()) {
			return "is without TLS to another machine: write rediss://" + u.Host
		}
	case u.Scheme != "rediss":
		return quote(u.Scheme) + " is not known: " + help
	}
	if badPort(u.Port()) {
		return "port " + quote(u.Port()) + " is not between 1 and 65535"
	}
	if db := strings.TrimPrefix(u.Path, "/"); db != "" {
		if _, err := strconv.ParseUint(db, 10, 16); err != nil {
			return quote(db) + " is not the number of a database: " + help
		}
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return "has something behind the database: " + help
	}
	return ""
}

// plainText checks a text that people read.
func plainText(p *problems, key, s string, low, high int) {
	switch n := utf8.RuneCountInString(s); {
	case n == 0 && low > 0:
		p.add(key, "is missing: write the name that people read")
	case n > high:
		p.add(key, "has %d characters, at most %d fit", n, high)
	case strings.ContainsFunc(s, forbidden):
		p.add(key, "holds a control or direction character: take it out")
	}
}
