package claims

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Domain is one federated domain with settings of its own at Microsoft.
// Sub-domains that inherit are not listed.
type Domain struct {
	// Name is the domain as Entra knows it.
	Name string
	// Issuer is its issuerUri: a string that is compared byte for byte, so nothing
	// is added to or cut from it.
	Issuer string
	// ObjectGUID makes the ImmutableID from objectGUID alone; otherwise
	// mS-DS-ConsistencyGuid comes first.
	ObjectGUID bool
}

// The reasons for which a person gets no token for Microsoft 365. They are
// causes of a [federation.Error] with [federation.ProblemNotReady].
var (
	// ErrNoUPN: the object has no userPrincipalName.
	ErrNoUPN = errors.New("claims: the account has no user principal name")
	// ErrUPN: the user principal name is no name@domain that a token could carry.
	ErrUPN = errors.New("claims: the user principal name is malformed")
	// ErrSuffix: the UPN's domain is not federated, nor a sub-domain of one that is.
	ErrSuffix = errors.New("claims: the domain of the user principal name is not federated with Microsoft 365")
	// ErrNoAnchor: there is no value for the ImmutableID.
	ErrNoAnchor = errors.New("claims: the account has no source anchor")
	// ErrSharedAnchor: another enabled object has the same source anchor.
	ErrSharedAnchor = errors.New("claims: another account has the same source anchor")
)

// issuers finds the domain that a UPN belongs to.
type issuers map[string]*Domain

// newIssuers checks the domains. No two may share an issuer: Entra refuses that.
func newIssuers(domains []Domain) (issuers, error) {
	m := make(issuers, len(domains))
	owner := make(map[string]string, len(domains))
	var errs []error
	for _, d := range domains {
		name := lower(d.Name)
		switch u, err := url.Parse(d.Issuer); {
		case !wellFormed(name):
			errs = append(errs, fmt.Errorf("claims: domain %q is not a DNS name", d.Name))
		case m[name] != nil:
			errs = append(errs, fmt.Errorf("claims: domain %s is listed twice", name))
		case err != nil || u.Scheme == "" || strings.ContainsAny(d.Issuer, " \t\r\n"):
			errs = append(errs, fmt.Errorf("claims: issuer %q of %s is not an absolute URI", d.Issuer, name))
		case owner[d.Issuer] != "":
			errs = append(errs, fmt.Errorf("claims: %s and %s share the issuer %q", owner[d.Issuer], name, d.Issuer))
		default:
			own := d
			m[name], owner[d.Issuer] = &own, name
		}
	}
	return m, errors.Join(errs...)
}

// find returns the domain whose name is the longest suffix of the UPN's domain on
// a label boundary: sub-domains fold into their federated parent, and nothing
// else does (CASES C27). Counting labels would be wrong for co.uk.
func (m issuers) find(upn string) (*Domain, error) {
	local, suffix, ok := strings.Cut(upn, "@")
	if !ok || local == "" || strings.Contains(suffix, "@") {
		return nil, fmt.Errorf("%w: %.300q", ErrUPN, upn)
	}
	name := lower(suffix)
	if !wellFormed(name) {
		return nil, fmt.Errorf("%w: %.300q", ErrSuffix, suffix)
	}
	for {
		if d := m[name]; d != nil {
			return d, nil
		}
		_, parent, ok := strings.Cut(name, ".")
		if !ok {
			return nil, fmt.Errorf("%w: %.300q", ErrSuffix, suffix)
		}
		name = parent
	}
}

// wellFormed reports whether name is dot-separated labels, none empty: a final
// dot or a doubled one would let a label be skipped.
func wellFormed(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	previous := byte('.')
	for i := range len(name) {
		c := name[i]
		if c == '.' && previous == '.' || c <= 0x20 || c == 0x7f {
			return false
		}
		previous = c
	}
	return previous != '.'
}

// lower folds ASCII letters only: Unicode folding would make look-alikes equal.
func lower(s string) string {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			continue
		}
		b := []byte(s)
		for j := i; j < len(b); j++ {
			if b[j] >= 'A' && b[j] <= 'Z' {
				b[j] += 'a' - 'A'
			}
		}
		return string(b)
	}
	return s
}
