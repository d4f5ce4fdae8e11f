package directorytest

import (
	"errors"
	"strconv"
	"strings"
)

// errBaseOnly is AD's answer to tokenGroups in a search that is not a base search.
var errBaseOnly = errors.New("directorytest: attribute only by base search")

// value returns one named attribute of an object as the DC serves it, nil when
// the object has none. name is lower-case without options. The caller holds the
// lock.
func (d *Directory) value(o *object, dc *DC, name string, scope int64) ([][]byte, error) {
	switch name {
	case "tokengroups", "tokengroupsglobalanduniversal", "msds-tokengroupnames":
		if scope != scopeBase {
			return nil, errBaseOnly
		}
		return d.tokenGroups(o, dc, name), nil
	case "canonicalname":
		return text(canonicalName(o.dn, "/")), nil
	}
	if o.user == nil {
		return o.attrs[name].values, nil
	}
	switch name {
	case "msds-user-account-control-computed":
		return number(int64(d.computed(o, dc))), nil
	case "msds-userpasswordexpirytimecomputed":
		return number(o.user.passwordExpiry(&d.cfg)), nil
	case "msds-resultantpso":
		return text(o.user.ResultantPSO), nil
	case "badpwdcount":
		return number(int64(o.acct.bad[dc.index].count)), nil
	case "badpasswordtime":
		if last := o.acct.bad[dc.index].last; !last.IsZero() {
			return number(toFiletime(last)), nil
		}
		return number(0), nil
	case "lockouttime":
		switch at := o.acct.lockedAt; {
		case o.user.Locked:
			return number(toFiletime(d.cfg.started)), nil
		case !at.IsZero():
			return number(toFiletime(at)), nil
		default:
			return number(0), nil
		}
	}
	return o.attrs[name].values, nil
}

func text(s string) [][]byte {
	if s == "" {
		return nil
	}
	return [][]byte{[]byte(s)}
}

func number(v int64) [][]byte { return [][]byte{strconv.AppendInt(nil, v, 10)} }

// tokenGroups computes the three attributes of that family: security groups only,
// nested ones and the primary group included.
func (d *Directory) tokenGroups(o *object, dc *DC, name string) [][]byte {
	if name == "tokengroupsglobalanduniversal" && dc.settings().NoGlobalGroups {
		return nil
	}
	groups := closure(o)
	if o.user != nil {
		if primary := d.db.index["objectsid"][string(d.db.sid.with(513))]; len(primary) == 1 && !o.user.Machine {
			groups = append(groups, primary[0])
			groups = append(groups, closure(primary[0])...)
		}
	}
	var out [][]byte
	seen := map[*object]bool{}
	for _, g := range groups {
		if seen[g] || g.group.Distribution || name == "tokengroupsglobalanduniversal" && g.group.DomainLocal {
			continue
		}
		seen[g] = true
		if name == "msds-tokengroupnames" {
			out = append(out, []byte(g.dn))
		} else {
			out = append(out, g.sid)
		}
	}
	if name == "tokengroups" && o.user != nil {
		out = append(out, mustSID(sidBuiltinUsers))
	}
	return out
}

// ranged applies an option range=low-high to the values of name (RFC-less,
// [MS-ADTS] 3.1.1.3.1.3.3) and returns the name to answer with. More than
// maxValRange values are cut on Windows even when nobody asked for a range.
func (d *Directory) ranged(asked, name string, values [][]byte) (string, [][]byte) {
	low, high, explicit := 0, len(values)-1, false
	if _, option, ok := strings.Cut(asked, ";"); ok && strings.HasPrefix(strings.ToLower(option), "range=") {
		from, to, _ := strings.Cut(option[len("range="):], "-")
		var err error
		if low, err = strconv.Atoi(from); err != nil || low < 0 {
			return name, nil
		}
		if to != "*" {
			if high, err = strconv.Atoi(to); err != nil {
				return name, nil
			}
		}
		explicit = true
	}
	if !d.cfg.Samba && high >= low+maxValRange {
		high = low + maxValRange - 1
		explicit = true
	}
	if low >= len(values) {
		return name, nil
	}
	if !explicit {
		return name, values
	}
	end := strconv.Itoa(high)
	if high >= len(values)-1 {
		high, end = len(values)-1, "*"
	}
	return name + ";range=" + strconv.Itoa(low) + "-" + end, values[low : high+1]
}
