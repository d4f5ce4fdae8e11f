package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn"
)

// maxLoginHits bounds a lookup by the further login attribute, where several
// accounts may share a value.
const maxLoginHits = 10

// Resolve finds the one account that a typed name means. The error is an
// [authn.Error]: UnknownUser, Ambiguous, or a reason that nobody decided.
func (d *Directory) Resolve(ctx context.Context, typed string) (*authn.Account, error) {
	name := parseName(typed)
	b := d.budget(ctx)
	var hits []hit
	var err error
	switch name.form {
	case formSAM:
		dm := d.byNetBIOS(name.domain)
		if dm == nil {
			return nil, d.noSuchNetBIOS()
		}
		hits, err = dm.lookupSAM(b, name.local)
	case formBare:
		if !d.cfg.AllowBareNames {
			return nil, unknown("a name without a domain, and allow_bare_names is off")
		}
		if !plausibleSAM(name.local) {
			return nil, unknown("not a possible name")
		}
		hits, err = d.byName[canonicalDNS(d.cfg.DefaultDomain)].lookupSAM(b, name.local)
	case formUPN:
		hits, err = d.lookupUPN(b, name)
	default:
		return nil, unknown("not a possible name")
	}
	if err != nil {
		return nil, err
	}
	h, err := single(hits)
	if err != nil {
		return nil, err
	}
	return h.dm.withGroups(b, h.acc)
}

func unknown(why string) error {
	return &authn.Error{Reason: authn.UnknownUser, Cause: errors.New("directory: " + why)}
}

func ambiguous(dns ...string) error {
	return &authn.Error{Reason: authn.Ambiguous, Cause: fmt.Errorf("directory: the name means several objects: %q", dns)}
}

func (d *Directory) byNetBIOS(name string) *domain {
	for _, dm := range d.domains {
		if n := dm.netbiosName(); n != "" && strings.EqualFold(n, name) {
			return dm
		}
	}
	return nil
}

// noSuchNetBIOS is why nobody has the NetBIOS name typed. It may be that of a domain
// whose own is not configured and has not been read yet.
func (d *Directory) noSuchNetBIOS() error {
	for _, dm := range d.domains {
		if dm.nameless() {
			return undecided(fmt.Errorf("directory: the NetBIOS name of %s is not known before a domain controller was reached", dm.name))
		}
	}
	return unknown("no configured domain has the NetBIOS name typed")
}

// hit is an account with the way in which the name matched it.
type hit struct {
	dm       *domain
	acc      *authn.Account
	explicit bool // by userPrincipalName
	implicit bool // by sAMAccountName
	login    bool // by the further login attribute
}

// lookupSAM finds the account with that sAMAccountName.
func (dm *domain) lookupSAM(b budget, sam string) ([]hit, error) {
	f := all(userObjects(), equal("sAMAccountName", sam))
	return dm.lookup(b, f, 2, func(h *hit, _ *ldap.Entry) {
		h.implicit = strings.EqualFold(h.acc.SAMAccountName, sam)
	})
}

// lookupUPN asks the domains that the suffix belongs to, or all when it belongs
// to none: AD does not demand that a suffix is known. The name could be an account
// of each of them, so that a domain which does not answer leaves it open whom the
// name means, unless it is of the forest whose one owner of the name was found: a
// person is not refused, or counted against, for a namesake elsewhere.
func (d *Directory) lookupUPN(b budget, name typedName) ([]hit, error) {
	owned := false
	for _, dm := range d.domains {
		owned = owned || dm.suffixes[name.suffix]
	}
	var hits []hit
	var silent []*domain
	var trouble error
	for _, dm := range d.domains {
		if owned && !dm.suffixes[name.suffix] {
			continue
		}
		found, err := dm.lookupUPN(b, name)
		if err != nil {
			var e *authn.Error
			if errors.As(err, &e) && !e.Reason.Undecided() {
				return nil, err
			}
			silent = append(silent, dm)
			trouble = errors.Join(trouble, fmt.Errorf("the name may be one of %s: %w", dm.name, err))
			continue
		}
		hits = append(hits, found...)
	}
	if trouble != nil && !ownerIn(hits, silent) {
		return nil, undecided(trouble)
	}
	return hits, nil
}

// ownerIn reports whether a hit owns the name as its userPrincipalName, which AD
// keeps unique in a forest, and every domain that was not heard is of its forest.
func ownerIn(hits []hit, silent []*domain) bool {
	for _, h := range hits {
		forest := h.dm.forest.Load()
		if h.explicit && forest != nil && !slices.ContainsFunc(silent, func(dm *domain) bool {
			other := dm.forest.Load()
			return other == nil || *other != *forest
		}) {
			return true
		}
	}
	return false
}

func (dm *domain) lookupUPN(b budget, name typedName) ([]hit, error) {
	ways := []filter{equal("userPrincipalName", name.whole)}
	implicit := name.suffix == dm.name && plausibleSAM(name.local)
	if implicit {
		ways = append(ways, equal("sAMAccountName", name.local))
	}
	limit, login := 2, dm.d.cfg.LoginAttribute
	if login != "" {
		ways = append(ways, equal(login, name.whole))
		limit = maxLoginHits
	}
	match := ways[0]
	if len(ways) > 1 {
		match = anyOf(ways...)
	}
	return dm.lookup(b, all(userObjects(), match), limit, func(h *hit, e *ldap.Entry) {
		h.explicit = strings.EqualFold(h.acc.UPN, name.whole)
		h.implicit = implicit && strings.EqualFold(h.acc.SAMAccountName, name.local)
		if login != "" {
			for _, v := range e.GetEqualFoldAttributeValues(login) {
				h.login = h.login || strings.EqualFold(v, name.whole)
			}
		}
	})
}

// lookup runs one filter over the domain. A DC compares more loosely than we do
// (case, width, accents): a lone object that does not really bear the name is
// dropped, several objects are never told apart that way.
func (dm *domain) lookup(b budget, f filter, limit int, match func(*hit, *ldap.Entry)) ([]hit, error) {
	entries, err := dm.find(b, &ldap.SearchRequest{BaseDN: dm.baseDN, Scope: ldap.ScopeWholeSubtree, DerefAliases: ldap.NeverDerefAliases,
		SizeLimit: limit, TimeLimit: 3, Filter: string(f), Attributes: dm.attributes(), EnforceSizeLimit: true})
	switch {
	case errors.Is(err, errTooMany):
		return nil, ambiguous("more than can be told apart")
	case errors.Is(err, errNoObject):
		return nil, &authn.Error{Reason: authn.Misconfigured, Cause: err}
	case err != nil:
		return nil, undecided(err)
	}
	hits := make([]hit, 0, len(entries))
	for _, e := range entries {
		acc, err := dm.accountOf(e, dm.d.cfg.Now())
		if err != nil {
			return nil, undecided(err)
		}
		if err := dm.addRanges(b, e, acc); err != nil {
			return nil, err
		}
		h := hit{dm: dm, acc: acc}
		match(&h, e)
		hits = append(hits, h)
	}
	return hits, nil
}

// single decides which of the hits is meant.
func single(hits []hit) (hit, error) {
	switch len(hits) {
	case 0:
		return hit{}, unknown("no object has the name")
	case 1:
		if h := hits[0]; h.explicit || h.implicit || h.login {
			return h, nil
		}
		return hit{}, unknown("the object found does not bear the name exactly")
	}
	if h, ok := crossed(hits); ok {
		return h, nil
	}
	if h, ok := onlyEnabled(hits); ok {
		return h, nil
	}
	dns := make([]string, len(hits))
	for i, h := range hits {
		dns[i] = h.acc.DN
	}
	return hit{}, ambiguous(dns...)
}

// crossed picks the owner of the explicit UPN when the same string is the
// implicit UPN of another object, as AD itself does. Everything that follows
// (bind, claims, counters) is about that object alone.
func crossed(hits []hit) (hit, bool) {
	if len(hits) != 2 {
		return hit{}, false
	}
	a, b := hits[0], hits[1]
	if !a.explicit {
		a, b = b, a
	}
	if !a.explicit || b.explicit || !b.implicit {
		return hit{}, false
	}
	a.acc.CrossedWith = b.acc.DN
	return a, true
}

// onlyEnabled picks the one enabled account among several that share a value of
// the further login attribute: a leaver must not block a living user.
func onlyEnabled(hits []hit) (hit, bool) {
	var found hit
	n := 0
	for _, h := range hits {
		if h.explicit || h.implicit || !h.login {
			return hit{}, false
		}
		if h.acc.State&authn.StateDisabled == 0 {
			found = h
			n++
		}
	}
	return found, n == 1
}
