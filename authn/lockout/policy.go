package lockout

import (
	"fmt"
	"time"
)

// Policy is a domain's own lockout policy, as its directory tells it.
type Policy struct {
	// Threshold is lockoutThreshold: so many wrong passwords lock; 0 is never.
	Threshold int
	// Window is lockOutObservationWindow, Duration lockoutDuration; a duration of
	// 0 is "until an administrator unlocks".
	Window, Duration time.Duration
}

// Limits are what is kept for one domain. See [Config.LimitsFor].
type Limits struct {
	// Threshold is how many failures an account may have from places unknown to
	// it; Familiar how many more from its own places, 0 for none of their own.
	Threshold, Familiar int
	// Window runs from the last counted failure.
	Window time.Duration
}

const (
	defaultWindow = 30 * time.Minute
	// longestWindow bounds what a domain may ask for, so that no sum of windows and
	// instants can overflow.
	longestWindow = 366 * 24 * time.Hour
	openThreshold = 10 // AD has lockout switched off
	blindPolicy   = 3  // the policy cannot be read
)

// LimitsFor returns the limits that follow from a domain's policy, nil when it
// could not be read, and the settings.
func (c Config) LimitsFor(p *Policy) Limits {
	ad, known := c.effective(p)
	l := Limits{Threshold: c.Threshold, Window: max(c.Window, defaultWindow)}
	if p != nil {
		l.Window = max(l.Window, p.Window)
	}
	l.Window = min(l.Window, longestWindow)
	// A value at or above AD's is an error of the settings (see Check); until it is
	// mended nobody shall lock accounts through us.
	if l.Threshold <= 0 || (known && ad > 0 && l.Threshold >= ad && !c.Unsafe) {
		l.Threshold = derived(ad, known)
	}
	switch {
	case known && ad == 0:
		l.Familiar = l.Threshold
	case known:
		// One below AD's threshold, whoever fails.
		l.Familiar = min(l.Threshold, max(0, ad-1-l.Threshold))
	}
	if c.Instances > 1 {
		l.Threshold = max(1, l.Threshold/c.Instances)
		l.Familiar /= c.Instances
	}
	return l
}

// effective returns the lowest threshold that any account of the domain may have.
func (c Config) effective(p *Policy) (ad int, known bool) {
	if p != nil {
		ad, known = p.Threshold, true
	}
	if c.LowestPolicy > 0 && (ad == 0 || c.LowestPolicy < ad) {
		ad, known = c.LowestPolicy, true
	}
	return ad, known
}

// derived is half of AD's threshold, rounded down, and at least 2 below it.
func derived(ad int, known bool) int {
	switch {
	case !known:
		return blindPolicy
	case ad == 0:
		return openThreshold
	case ad <= 2:
		return 1
	default:
		return min(ad/2, ad-2)
	}
}

// Check compares the settings with a domain's policy, nil when it could not be
// read. The error is a reason not to serve, the advice one to tell the admin.
func (c Config) Check(domain string, p *Policy) (advice string, err error) {
	ad, known := c.effective(p)
	if known && ad > 0 && c.Threshold >= ad && !c.Unsafe {
		return "", fmt.Errorf("lockout: threshold %d is not below the %d of domain %s: strangers could lock accounts there; "+
			"%d is used instead; lower it, or leave it out", c.Threshold, ad, domain, derived(ad, true))
	}
	switch {
	case known && (ad == 1 || ad == 2):
		return fmt.Sprintf("domain %s locks accounts after %d wrong password(s); no gateway can stay below that: raise lockoutThreshold to 10", domain, ad), nil
	case p == nil && c.LowestPolicy == 0 && c.Threshold == 0:
		return fmt.Sprintf("the lockout policy of domain %s cannot be read; %d failures are allowed: state the lowest threshold in the settings", domain, blindPolicy), nil
	case p == nil:
		return fmt.Sprintf("the lockout policy of domain %s cannot be read; the settings' own value is used", domain), nil
	case c.Instances > 1 && ad > 0 && max(1, c.LimitsFor(p).Threshold)*c.Instances >= ad:
		return fmt.Sprintf("%d instances that count for themselves can together reach the threshold of domain %s", c.Instances, domain), nil
	}
	return "", nil
}
