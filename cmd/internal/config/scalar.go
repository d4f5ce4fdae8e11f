package config

import (
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
)

func wanted(t reflect.Type) string {
	switch t {
	case durationType:
		return "a duration such as 90s, 15m or 8h"
	case sizeType:
		return "a size such as 64KB, 100MB or 1GB"
	case prefixType:
		return "a network such as 10.0.0.0/8 or 2001:db8::/32"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	default:
		return "a text"
	}
}

// setScalar sets v from n and returns what is wrong with it, empty when nothing.
func setScalar(n *yaml.Node, v reflect.Value) string {
	switch v.Type() {
	case durationType:
		dur, msg := parseDuration(n.Value)
		v.SetInt(int64(dur))
		return msg
	case sizeType:
		size, msg := parseSize(n.Value)
		v.SetInt(int64(size))
		return msg
	case prefixType:
		prefix, msg := parsePrefix(n.Value)
		v.Set(reflect.ValueOf(prefix))
		return msg
	}
	switch v.Kind() {
	case reflect.Bool:
		if n.Tag != "!!bool" || (n.Value != "true" && n.Value != "false") {
			return "write true or false, not " + quote(n.Value)
		}
		v.SetBool(n.Value == "true")
	case reflect.Int:
		i, err := strconv.ParseInt(n.Value, 10, 32)
		if n.Tag != "!!int" || err != nil || i < 0 {
			return "write a whole number, not " + quote(n.Value)
		}
		v.SetInt(i)
	case reflect.String:
		return setText(n, v)
	}
	return ""
}

func setText(n *yaml.Node, v reflect.Value) string {
	switch {
	case n.Tag != "!!str":
		return "write a text, in quotes since YAML would read it as something else: \"" + n.Value + "\""
	case strings.Contains(n.Value, "-----BEGIN "):
		return "holds a key or certificate: put it in a file of its own and write the file's path"
	case strings.TrimSpace(n.Value) == "":
		return "is empty: give it a value, or take the line out"
	case strings.TrimSpace(n.Value) != n.Value:
		return "begins or ends with white space: take it out"
	case strings.ContainsFunc(n.Value, forbidden):
		return "holds a control or direction character: take it out of " + quote(n.Value)
	}
	v.SetString(n.Value)
	return ""
}

// forbidden tells the characters that have no business in any setting: control
// characters, and those that turn the reading direction, which could make a name
// on a page or in a log read as another one.
func forbidden(r rune) bool {
	return unicode.IsControl(r) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) || r == unicode.ReplacementChar ||
		r == 0x200e || r == 0x200f || r == 0x061c || r == 0xfeff || r == 0x2028 || r == 0x2029
}

// quote quotes at most the beginning of a value for a message.
func quote(s string) string {
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "…"
	}
	return strconv.QuoteToGraphic(s)
}

func parseDuration(s string) (time.Duration, string) {
	d, err := time.ParseDuration(s)
	switch {
	case err == nil && d > 0:
		return d, ""
	case err == nil:
		return 0, quote(s) + " is not a time: write one above zero, such as 90s, 15m or 8h, or take the line out for the default"
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return 0, quote(s) + " has no unit: write " + s + "s, " + s + "m or " + s + "h"
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return 0, "days are written in hours: " + strconv.FormatUint(n*24, 10) + "h"
		}
	}
	return 0, quote(s) + " is not a duration: write one such as 90s, 15m or 8h"
}

func parseSize(s string) (Size, string) {
	const help = " is not a size: write one such as 64KB, 100MB or 1GB"
	for _, unit := range []struct {
		name string
		size int64
	}{{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}} {
		digits, ok := strings.CutSuffix(s, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n <= 0 || n > math.MaxInt64/unit.size {
			return 0, quote(s) + help
		}
		return Size(n * unit.size), ""
	}
	return 0, quote(s) + help
}

func parsePrefix(s string) (netip.Prefix, string) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			return netip.Prefix{}, quote(s) + " is one address: write " + netip.PrefixFrom(a, a.BitLen()).String()
		}
		return netip.Prefix{}, quote(s) + " is not a network: write one such as 10.0.0.0/8 or 2001:db8::/32"
	}
	switch {
	case p.Bits() == 0:
		return netip.Prefix{}, quote(s) + " is the whole internet: list the networks that are meant"
	case p.Masked() != p:
		return netip.Prefix{}, quote(s) + " has bits behind its length: write " + p.Masked().String() + ", or a longer length"
	case p.Addr().Is4In6():
		return netip.Prefix{}, quote(s) + " is IPv4 in IPv6 form: write it as IPv4"
	}
	return p, ""
}
