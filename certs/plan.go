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
	NextTell    = "tell" // parties that do not know the key which signs already
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
	if waits := v.untold(); len(waits) > 0 {
		steps = append(steps, Step{Action: NextTell, ID: l.Of(Signing).ID, Due: now, Waits: waits})
	}
	if e := l.Of(Retired); e != nil {
		s := Step{Action: NextGone, ID: e.ID, Due: now.Add(max(0, p.RetireFor-time.Duration(e.Exposed)))}
		if len(v.Running) == 0 {
			s.Waits = append(s.Waits, nobodyRuns)
		}
		steps = append(steps, s)
	}
	next := l.Next()
	switch {
	case next == nil:
		steps = append(steps, v.stageStep())
	case next.State == Staged:
		s := Step{Action: NextPublish, ID: next.ID, Due: now}
		if missing := lacking(v.Running, next.ID); len(missing) > 0 {
			s.Waits = append(s.Waits, "instances that have not loaded it: "+strings.Join(missing, ", "))
		} else if len(v.Running) == 0 {
			s.Waits = append(s.Waits, nobodyRuns)
		}
		steps = append(steps, s)
	default:
		due, waits := v.promotable(next)
		// A key that was made early, or stands by since an emergency, waits for its time.
		if current, err := l.Of(Signing).X509(); err == nil {
			if t := current.NotAfter.Add(p.PromoteAfter - p.StageBefore); t.After(due) {
				due = t
			}
		}
		steps = append(steps, Step{Action: NextPromote, ID: next.ID, Due: due, Waits: waits, ByAdmin: p.Manual})
	}
	return steps
}

// nobodyRuns is a wait: whatever happens by itself is done by an instance.
const nobodyRuns = "no instance is running: start the service"

func (v View) stageStep() Step {
	l, p, now := v.Ledger, v.Policy.WithDefaults(), v.Now
	s := Step{Action: NextStage, ByAdmin: p.Manual, Due: now}
	if cert, err := l.Of(Signing).X509(); err == nil {
		if due := cert.NotAfter.Add(-p.StageBefore); due.After(now) {
			s.Due = due
		}
	}
	if len(v.Running) == 0 && !p.Manual {
		s.Waits = append(s.Waits, nobodyRuns)
	}
	if r := l.Of(Retired); r != nil && !s.Due.After(now.Add(p.RetireFor)) {
		s.Waits = append(s.Waits, "the earlier certificate is taken out first")
	}
	if lease := l.Lease; lease != nil && now.Before(lease.Until) {
		s.Waits = append(s.Waits, lease.Holder+" is making a key just now")
	}
	return s
}

// promotable says from when e may sign so that every party has had its time, and what
// else stands in the way. By itself it does so later, see [View.Plan].
func (v View) promotable(e *Entry) (due time.Time, waits []string) {
	p, now := v.Policy.WithDefaults(), v.Now
	exposed := time.Duration(e.Exposed)
	if e.State != Published {
		exposed = 0
		waits = append(waits, "it is not published yet")
	}
	due = now.Add(max(0, p.PromoteAfter-exposed))
	if missing := lacking(v.Running, e.ID); len(missing) > 0 {
		waits = append(waits, "instances that have not loaded it: "+strings.Join(missing, ", "))
	}
	if len(v.Running) == 0 {
		waits = append(waits, "no instance is running, so nobody publishes it")
	}
	if cert, err := e.X509(); err == nil {
		switch {
		case now.Before(cert.NotBefore):
			waits = append(waits, "it is valid only from "+date(cert.NotBefore))
		case now.After(cert.NotAfter):
			waits = append(waits, fmt.Sprintf("its certificate expired on %s: sallyport certs retire %s, then sallyport certs stage", date(cert.NotAfter), short(e.ID)))
		}
	}
	for _, party := range v.Parties {
		if e.knownTo(party) {
			continue
		}
		if wait := e.waitsFor(party); wait != "" {
			waits = append(waits, wait)
		} else if t := now.Add(max(0, p.PartyTime-exposed)); t.After(due) {
			due = t // parties that were not seen are given their time
		}
	}
	return due, waits
}

// waitsFor says what is missing of a party for which time does not count, empty for
// one that reads metadata.
func (e *Entry) waitsFor(party Party) string {
	switch {
	case party.Pushed && e.Knows[party.Key].How == ReadBack:
		return fmt.Sprintf("%s: holds this certificate, but a token of its key was not accepted when it was tried", party.Key)
	case party.Pushed:
		return fmt.Sprintf("%s: was not read back to hold this certificate (sallyport domain check %s)", party.Key, party.Key)
	case party.Single && e.State != Signing:
		return fmt.Sprintf("%s holds one certificate only: agree a moment with it, then promote by hand", party.Key)
	case party.ByHand, party.Single:
		return fmt.Sprintf("%s: nobody said that it holds this certificate (sallyport certs told %s %s)", party.Key, short(e.ID), party.Key)
	default:
		return ""
	}
}

// Uninformed returns the parties that are not known to hold the certificate of the key
// that signs now, where that key began before they could: people cannot sign in to one
// that does not hold it.
func (v View) Uninformed() []Party {
	e := v.Ledger.Of(Signing)
	if !e.Hurried {
		return nil
	}
	var list []Party
	for _, p := range v.Parties {
		hadTime := e.waitsFor(p) == "" && time.Duration(e.Exposed) >= v.Policy.WithDefaults().PartyTime
		if !e.knownTo(p) && !hadTime {
			list = append(list, p)
		}
	}
	return list
}

// untold says what is missing of the parties that are uninformed.
func (v View) untold() []string {
	e := v.Ledger.Of(Signing)
	var waits []string
	for _, p := range v.Uninformed() {
		wait := e.waitsFor(p)
		if wait == "" {
			wait = fmt.Sprintf("%s: was not seen to read the metadata (if it holds the certificate: sallyport certs told %s %s)", p.Key, short(e.ID), p.Key)
		}
		waits = append(waits, wait)
	}
	return waits
}

// unseen says which parties are given their time because nobody saw them learn e.
func (v View) unseen(e *Entry) []string {
	left := v.Policy.WithDefaults().PartyTime - time.Duration(e.Exposed)
	var list []string
	for _, p := range v.Parties {
		if left > 0 && !p.Pushed && !p.ByHand && !p.Single && !e.knownTo(p) {
			list = append(list, fmt.Sprintf("%s was not seen to read the metadata and has until %s (if it holds the certificate: sallyport certs told %s %s)",
				p.Key, date(v.Now.Add(left)), short(e.ID), p.Key))
		}
	}
	return list
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
	text := v.endAlarm()
	if waits := v.untold(); len(waits) > 0 {
		hurry := fmt.Sprintf("%s signs since %s, and people cannot sign in to a relying party that does not hold its certificate: %s",
			short(v.Ledger.Of(Signing).ID), date(v.Ledger.Of(Signing).Since), strings.Join(waits, "; "))
		text = strings.TrimSuffix(hurry+"; "+text, "; ")
	}
	return text
}

// endAlarm is the alarm because of the end of the certificate that signs.
func (v View) endAlarm() string {
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
		case s.Action == NextGone, s.Action == NextTell:
			continue
		case len(s.Waits) > 0:
			text += "; the next step (" + s.Action + ") waits: " + strings.Join(s.Waits, "; ")
		case s.ByAdmin:
			text += "; the next step is yours: sallyport certs " + s.Action
		default:
			text += "; the next step (" + s.Action + ") comes on " + date(s.Due)
		}
	}
	if left < 0 {
		text += "; the way out: sallyport certs stage unless there is a next key, make every relying party hold its certificate (sallyport certs export), then sallyport certs promote --force"
	}
	return text
}
