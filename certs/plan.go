package certs

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Step is what happens to a key next.
type Step struct {
	// Action is one of the Next constants.
	Action string `json:"action"`
	// ID is the key's thumbprint, empty for a key that does not exist yet.
	ID string `json:"id,omitempty"`
	// Due is when it can happen at the earliest, zero when that depends on an event.
	Due time.Time `json:"due,omitzero"`
	// Waits says what it waits for, each a sentence for an admin; empty when only
	// the date is missing.
	Waits []string `json:"waits_for,omitempty"`
	// ByAdmin: it does not happen by itself.
	ByAdmin bool `json:"by_admin,omitempty"`
}

// The steps.
const (
	NextStage   = "stage"
	NextPublish = "publish"
	NextPromote = "promote"
	NextGone    = "remove"
)

// View is what a plan is made from.
type View struct {
	Ledger  *Ledger
	Policy  Policy
	Parties []Party
	// Running are the instances that count.
	Running map[string]Instance
	Now     time.Time
}

// Plan tells what happens next, in the order in which it happens, for an admin and
// for the loop alike.
func (v View) Plan() []Step {
	l, p, now := v.Ledger, v.Policy.WithDefaults(), v.Now
	var steps []Step
	if e := l.Of(Retired); e != nil {
		steps = append(steps, Step{Action: NextGone, ID: e.ID, Due: now.Add(max(0, p.RetireFor-time.Duration(e.Exposed)))})
	}
	next := l.Next()
	switch {
	case next == nil:
		steps = append(steps, stageStep(l, p, now))
	case next.State == Staged:
		s := Step{Action: NextPublish, ID: next.ID, Due: now}
		if missing := lacking(v.Running, next.ID); len(missing) > 0 {
			s.Waits = append(s.Waits, "instances that have not loaded it: "+strings.Join(missing, ", "))
		} else if len(v.Running) == 0 {
			s.Waits = append(s.Waits, "no instance is running")
		}
		steps = append(steps, s)
	default:
		due, waits := v.promotable(next)
		steps = append(steps, Step{Action: NextPromote, ID: next.ID, Due: due, Waits: waits, ByAdmin: p.Manual})
	}
	return steps
}

func stageStep(l *Ledger, p Policy, now time.Time) Step {
	s := Step{Action: NextStage, ByAdmin: p.Manual, Due: now}
	if cert, err := l.Of(Signing).X509(); err == nil {
		if due := cert.NotAfter.Add(-p.StageBefore); due.After(now) {
			s.Due = due
		}
	}
	if r := l.Of(Retired); r != nil {
		s.Waits = append(s.Waits, "the earlier certificate is taken out first")
	}
	if lease := l.Lease; lease != nil && now.Before(lease.Until) {
		s.Waits = append(s.Waits, lease.Holder+" is making a key just now")
	}
	return s
}

// promotable says from when e may sign as far as time goes, and what else stands in
// the way.
func (v View) promotable(e *Entry) (due time.Time, waits []string) {
	p, now := v.Policy.WithDefaults(), v.Now
	exposed := time.Duration(e.Exposed)
	if e.State != Published {
		exposed = 0
		waits = append(waits, "it is not published yet")
	}
	due = now.Add(max(0, p.PromoteAfter-exposed))
	// A key that was made early, or stands by since an emergency, waits for its time.
	if current, err := v.Ledger.Of(Signing).X509(); err == nil {
		if t := current.NotAfter.Add(p.PromoteAfter - p.StageBefore); t.After(due) {
			due = t
		}
	}
	if missing := lacking(v.Running, e.ID); len(missing) > 0 {
		waits = append(waits, "instances that have not loaded it: "+strings.Join(missing, ", "))
	}
	if len(v.Running) == 0 {
		waits = append(waits, "no instance is running, so nobody publishes it")
	}
	if cert, err := e.X509(); err == nil && now.Before(cert.NotBefore) {
		waits = append(waits, "it is valid only from "+date(cert.NotBefore))
	}
	for _, party := range v.Parties {
		if e.knownTo(party) {
			continue
		}
		switch {
		case party.Pushed:
			waits = append(waits, fmt.Sprintf("%s: not read back and proved that it accepts this certificate", party.Key))
		case party.Single:
			waits = append(waits, fmt.Sprintf("%s holds one certificate only: agree a moment with it, then promote by hand", party.Key))
		case party.ByHand:
			waits = append(waits, fmt.Sprintf("%s: nobody said that it holds this certificate (sallyport certs told %s %s)", party.Key, short(e.ID), party.Key))
		default:
			if t := now.Add(max(0, p.PartyTime-exposed)); t.After(due) {
				due = t // parties that were not seen are given their time
			}
		}
	}
	return due, waits
}

// knownTo reports whether it is known that the party holds the certificate.
func (e *Entry) knownTo(p Party) bool {
	switch how := e.Knows[p.Key].How; {
	case p.Pushed:
		return how == Proved
	case p.ByHand, p.Single:
		return strength(how) >= strength(Told)
	default:
		return how != ""
	}
}

// lacking returns the instances that do not hold a key, sorted.
func lacking(running map[string]Instance, id string) []string {
	var names []string
	for name, i := range running {
		if !slices.Contains(i.Loaded, id) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func short(id string) string { return id[:min(8, len(id))] }

// Alarm says why somebody must act, empty when nobody must.
func (v View) Alarm() string {
	p, now := v.Policy.WithDefaults(), v.Now
	current := v.Ledger.Of(Signing)
	cert, err := current.X509()
	if err != nil {
		return err.Error()
	}
	left := cert.NotAfter.Sub(now)
	if left > p.AlarmBefore {
		return ""
	}
	text := fmt.Sprintf("the token-signing certificate %s ends on %s, in %d days", short(current.ID), date(cert.NotAfter), int(left/day))
	if left < 0 {
		text = fmt.Sprintf("the token-signing certificate %s ended on %s: relying parties refuse its tokens", short(current.ID), date(cert.NotAfter))
	}
	for _, s := range v.Plan() {
		switch {
		case s.Action == NextGone:
			continue
		case len(s.Waits) > 0:
			text += "; the next step (" + s.Action + ") waits: " + strings.Join(s.Waits, "; ")
		case s.ByAdmin:
			text += "; the next step is yours: sallyport certs " + s.Action
		default:
			text += "; the next step (" + s.Action + ") comes on " + date(s.Due)
		}
	}
	return text
}
