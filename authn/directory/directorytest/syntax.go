package directorytest

import (
	"bytes"
	"strconv"
	"strings"
)

// syntax says how values of an attribute compare ([MS-ADTS] 3.1.1.2.2).
type syntax uint8

const (
	syntaxString syntax = iota
	syntaxInteger
	syntaxOctets
	syntaxSID
	syntaxDN
)

// syntaxOf takes a lower-case attribute name.
func syntaxOf(attr string) syntax {
	switch attr {
	case "objectguid", "ms-ds-consistencyguid", "logonhours":
		return syntaxOctets
	case "objectsid", "tokengroups", "sidhistory":
		return syntaxSID
	case "member", "memberof", "distinguishedname", "ncname", "manager":
		return syntaxDN
	case "samaccounttype", "useraccountcontrol", "primarygroupid", "pwdlastset", "accountexpires", "grouptype",
		"lockoutthreshold", "lockoutduration", "lockoutobservationwindow", "maxpwdage", "minpwdage":
		return syntaxInteger
	default:
		return syntaxString
	}
}

// constructed are the attributes that a DC computes: they come only when named
// and cannot be filtered on.
var constructed = map[string]bool{
	"tokengroups": true, "tokengroupsglobalanduniversal": true, "msds-tokengroupnames": true,
	"msds-user-account-control-computed": true, "msds-userpasswordexpirytimecomputed": true,
	"msds-resultantpso": true, "canonicalname": true,
}

// Rules of extensible matches ([MS-ADTS] 3.1.1.3.4.4).
const (
	ruleBitAnd = "1.2.840.113556.1.4.803"
	ruleBitOr  = "1.2.840.113556.1.4.804"
	ruleChain  = "1.2.840.113556.1.4.1941"
)

// usesConstructed returns the first constructed attribute a filter names.
func (f *filter) usesConstructed() string {
	if constructed[strings.ToLower(f.attr)] {
		return f.attr
	}
	for _, k := range f.kids {
		if name := k.usesConstructed(); name != "" {
			return name
		}
	}
	return ""
}

// candidates returns the objects that can match by an index, or false when the
// filter needs a scan.
func (db *database) candidates(f *filter) ([]*object, bool) {
	switch f.kind {
	case filterEqual:
		attr := strings.ToLower(f.attr)
		if attr == "distinguishedname" {
			return one(db.byKey[db.indexKey(attr, f.value)]), true
		}
		ix, ok := db.index[attr]
		if !ok {
			return nil, false
		}
		return ix[db.indexKey(attr, f.value)], true
	case filterAnd:
		for _, k := range f.kids {
			if hits, ok := db.candidates(k); ok {
				return hits, true
			}
		}
	case filterOr:
		var all []*object
		for _, k := range f.kids {
			hits, ok := db.candidates(k)
			if !ok {
				return nil, false
			}
			for _, o := range hits {
				if !containsObject(all, o) {
					all = append(all, o)
				}
			}
		}
		return all, true
	}
	return nil, false
}

func containsObject(list []*object, o *object) bool {
	for _, x := range list {
		if x == o {
			return true
		}
	}
	return false
}

// matches evaluates a filter. An attribute that the object lacks does not match.
func (db *database) matches(f *filter, o *object) bool {
	switch f.kind {
	case filterAnd:
		for _, k := range f.kids {
			if !db.matches(k, o) {
				return false
			}
		}
		return true
	case filterOr:
		for _, k := range f.kids {
			if db.matches(k, o) {
				return true
			}
		}
		return false
	case filterNot:
		return !db.matches(f.kids[0], o)
	}
	attr := strings.ToLower(f.attr)
	values := o.attrs[attr].values
	if f.kind == filterPresent {
		return len(values) > 0
	}
	if f.kind == filterExtensible {
		return db.matchesRule(f, attr, o)
	}
	for _, v := range values {
		if db.matchesValue(f, attr, v) {
			return true
		}
	}
	return false
}

func (db *database) matchesValue(f *filter, attr string, v []byte) bool {
	switch f.kind {
	case filterEqual, filterApprox:
		return bytes.Equal(v, f.value) || db.indexKey(attr, v) == db.indexKey(attr, f.value)
	case filterGreater, filterLess:
		order := 0
		a, errA := strconv.ParseInt(string(v), 10, 64)
		b, errB := strconv.ParseInt(string(f.value), 10, 64)
		switch {
		case errA != nil || errB != nil:
			order = strings.Compare(db.m.fold(string(v)), db.m.fold(string(f.value)))
		case a < b:
			order = -1
		case a > b:
			order = 1
		}
		return order == 0 || f.kind == filterGreater && order > 0 || f.kind == filterLess && order < 0
	case filterSubstrings:
		return db.matchesSubstrings(f, v)
	default:
		return false
	}
}

func (db *database) matchesSubstrings(f *filter, v []byte) bool {
	s := db.m.fold(string(v))
	for _, p := range f.parts {
		part := db.m.fold(string(p.value))
		switch p.kind {
		case 0x80:
			if !strings.HasPrefix(s, part) {
				return false
			}
			s = s[len(part):]
		case 0x81:
			i := strings.Index(s, part)
			if i < 0 {
				return false
			}
			s = s[i+len(part):]
		default:
			return strings.HasSuffix(s, part)
		}
	}
	return true
}

func (db *database) matchesRule(f *filter, attr string, o *object) bool {
	switch f.rule {
	case ruleBitAnd, ruleBitOr:
		want, err := strconv.ParseInt(string(f.value), 10, 64)
		have, err2 := strconv.ParseInt(o.first(attr), 10, 64)
		if err != nil || err2 != nil {
			return false
		}
		return f.rule == ruleBitAnd && have&want == want || f.rule == ruleBitOr && have&want != 0
	case ruleChain:
		key := db.indexKey("member", f.value)
		switch attr {
		case "memberof": // objects below the group
			for _, g := range closure(o) {
				if g.key == key {
					return true
				}
			}
		case "member": // groups above the object
			if start := db.byKey[key]; start != nil {
				return containsObject(closure(start), o)
			}
		}
	}
	return false
}

// closure returns every group above o, direct or not, each once.
func closure(o *object) []*object {
	var out []*object
	seen := map[*object]bool{}
	queue := o.parents
	for len(queue) > 0 {
		g := queue[0]
		queue = queue[1:]
		if seen[g] {
			continue
		}
		seen[g] = true
		out = append(out, g)
		queue = append(queue[:len(queue):len(queue)], g.parents...)
	}
	return out
}
