package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Policy is a domain's lockout policy, as far as the service account can read
// it.
type Policy struct {
	// Threshold is the lowest number of wrong passwords that locks an account,
	// over the domain's own policy, the readable password settings objects and
	// the configured minimum; 0 means that nothing locks.
	Threshold int
	// Window is how long AD remembers failures, the longest of all.
	Window time.Duration
	// Duration is how long a lock lasts, the longest of all; 0 with Forever set
	// means until an admin unlocks.
	Duration time.Duration
	Forever  bool
	// SettingsObjects is how many password settings objects were readable. An
	// account without the right to them gets none and no error, so 0 proves
	// nothing: DomainConfig.MinLockoutThreshold is for that case.
	SettingsObjects int
}

// LockoutPolicy reads the lockout policy of a configured domain.
func (d *Directory) LockoutPolicy(ctx context.Context, domain string) (Policy, error) {
	dm, err := d.domain(domain)
	if err != nil {
		return Policy{}, err
	}
	b := d.budget(ctx)
	head, err := dm.find(b, baseSearch(dm.nc, present, "lockoutThreshold", "lockOutObservationWindow", "lockoutDuration"))
	if err == nil && len(head) != 1 {
		err = errNoObject
	}
	if err != nil {
		return Policy{}, undecided(fmt.Errorf("lockout policy of %s: %w", dm.name, err))
	}
	var p Policy
	if !p.add(head[0], "lockoutThreshold", "lockOutObservationWindow", "lockoutDuration") {
		return Policy{}, undecided(fmt.Errorf("lockout policy of %s is not readable", dm.name))
	}
	objects, err := dm.find(b, &ldap.SearchRequest{BaseDN: "CN=Password Settings Container,CN=System," + dm.nc,
		Scope: ldap.ScopeSingleLevel, DerefAliases: ldap.NeverDerefAliases, SizeLimit: 500, TimeLimit: 3, EnforceSizeLimit: true,
		Filter:     string(equal("objectClass", "msDS-PasswordSettings")),
		Attributes: []string{"msDS-LockoutThreshold", "msDS-LockoutObservationWindow", "msDS-LockoutDuration"}})
	if err != nil && !errors.Is(err, errNoObject) {
		return Policy{}, undecided(fmt.Errorf("password settings objects of %s: %w", dm.name, err))
	}
	for _, e := range objects {
		if p.add(e, "msDS-LockoutThreshold", "msDS-LockoutObservationWindow", "msDS-LockoutDuration") {
			p.SettingsObjects++
		}
	}
	p.lower(dm.cfg.MinLockoutThreshold)
	return p, nil
}

// add takes one object's policy in: the strictest threshold, the longest times.
func (p *Policy) add(e *ldap.Entry, threshold, window, duration string) bool {
	n, ok := integer(e, threshold)
	if !ok {
		return false
	}
	p.lower(int(min(max(n, 0), 1<<20)))
	if v, ok := integer(e, window); ok {
		if d, limited := interval(v); limited {
			p.Window = max(p.Window, d)
		}
	}
	if v, ok := integer(e, duration); ok {
		if d, limited := interval(v); limited {
			p.Duration = max(p.Duration, d)
		} else {
			p.Forever = true
		}
	}
	return true
}

func (p *Policy) lower(threshold int) {
	if threshold > 0 && (p.Threshold == 0 || threshold < p.Threshold) {
		p.Threshold = threshold
	}
}
