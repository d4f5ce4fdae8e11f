package directory

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn"
)

// maxRanges bounds how many pieces of one attribute are fetched: at 1,500 values
// each more than any claim could carry.
const maxRanges = 20

// ranged reads the option of an attribute that came in pieces, such as
// member;range=0-1499 ([MS-ADTS] 3.1.1.3.1.3.3). next is where the following
// piece begins; last is true for the final one (range=1500-*).
func ranged(name string) (base string, next int, last, ok bool) {
	base, option, found := strings.Cut(strings.ToLower(name), ";")
	if !found || !strings.HasPrefix(option, "range=") {
		return "", 0, false, false
	}
	_, high, found := strings.Cut(option[len("range="):], "-")
	if !found {
		return "", 0, false, false
	}
	if high == "*" {
		return base, 0, true, true
	}
	n, err := strconv.Atoi(high)
	if err != nil || n < 0 || n > 1<<24 {
		return "", 0, false, false
	}
	return base, n + 1, false, true
}

// addRanges completes those of the settings' attributes that the DC sent in
// pieces. A piece that cannot be had is an error: a claim from half an attribute
// would be a wrong claim.
func (dm *domain) addRanges(b budget, e *ldap.Entry, acc *authn.Account) error {
	for _, a := range e.Attributes {
		name, next, last, ok := ranged(a.Name)
		if !ok || !dm.wants(name) {
			continue
		}
		values := append([]string(nil), a.Values...)
		for piece := 0; !last; piece++ {
			if piece == maxRanges {
				return undecided(fmt.Errorf("directory: %s of %q has too many values", name, acc.DN))
			}
			part, err := dm.piece(b, acc, name, next)
			if err != nil {
				return err
			}
			_, following, final, _ := ranged(part.Name)
			if !final && following <= next {
				return undecided(fmt.Errorf("directory: %s of %q: the range %q does not go on", name, acc.DN, part.Name))
			}
			values, next, last = append(values, part.Values...), following, final
		}
		if acc.Attributes == nil {
			acc.Attributes = map[string][]string{}
		}
		acc.Attributes[name] = values
	}
	return nil
}

// piece fetches one further piece of an attribute.
func (dm *domain) piece(b budget, acc *authn.Account, name string, from int) (*ldap.EntryAttribute, error) {
	entries, err := dm.find(b, baseSearch(guidBase(acc.ID), present, fmt.Sprintf("%s;range=%d-*", name, from)))
	if err != nil {
		return nil, undecided(err)
	}
	if len(entries) == 1 {
		for _, a := range entries[0].Attributes {
			if base, _, _, ok := ranged(a.Name); ok && base == name {
				return a, nil
			}
		}
	}
	return nil, undecided(fmt.Errorf("directory: %s of %q from value %d on is missing", name, acc.DN, from))
}

func (dm *domain) wants(attribute string) bool {
	for _, a := range dm.d.cfg.Attributes {
		if strings.EqualFold(a, attribute) {
			return true
		}
	}
	return false
}
