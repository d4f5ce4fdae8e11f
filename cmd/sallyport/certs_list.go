package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"sallyport/certs"
)

// keyLine is one key as it is shown.
type keyLine struct {
	Thumbprint string    `json:"thumbprint"`
	State      string    `json:"state"`
	Since      time.Time `json:"since"`
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	DaysLeft   int       `json:"days_left"`
	Subject    string    `json:"subject"`
	Origin     string    `json:"origin"`
	Stolen     bool      `json:"stolen,omitempty"`
}

// partyLine is what is known of a party and the next certificate.
type partyLine struct {
	Party string `json:"party"`
	Name  string `json:"name,omitempty"`
	// Knows: yes, no, or time (it is given time to read the metadata).
	Knows string `json:"knows"`
	Why   string `json:"why"`
	// Now and NowWhy say the same of the certificate that signs, while that is in
	// question: after an emergency, or a promotion by force.
	Now    string `json:"knows_current,omitempty"`
	NowWhy string `json:"why_current,omitempty"`
}

type instanceLine struct {
	Instance string    `json:"instance"`
	Seen     time.Time `json:"seen"`
	Running  bool      `json:"running"`
	Signs    string    `json:"signs"`
	Loaded   []string  `json:"loaded"`
	Trouble  string    `json:"trouble,omitempty"`
}

// stepLine is one of the next steps in words.
type stepLine struct {
	certs.Step
	Text string `json:"text"`
}

// overview is all that the list shows.
type overview struct {
	Rotation string `json:"rotation"`
	Alarm    string `json:"alarm,omitempty"`
	// Copy is why all of it is this instance's own copy, which may be older.
	Copy string `json:"copy,omitempty"`
	// AlarmFrom is when there is an alarm if the key that signs now signs still, Ends
	// when its certificate ends.
	AlarmFrom time.Time      `json:"alarm_from"`
	Ends      time.Time      `json:"ends"`
	Keys      []keyLine      `json:"keys"`
	Parties   []partyLine    `json:"parties"`
	Instances []instanceLine `json:"instances"`
	Next      []stepLine     `json:"next"`

	now time.Time
}

func (r *certsRun) list(ctx context.Context) int {
	l, err := r.hand.Store.Load(ctx)
	if errors.Is(err, certs.ErrNoLedger) {
		fmt.Fprintln(r.stderr, "sallyport certs: there is no signing key yet.\n  -> sallyport certs import FILE brings in the key of the service that is replaced;\n     sallyport certs stage makes a new one; signing.generate: true makes it at the start")
		return exitFailed
	}
	if err != nil {
		return r.fail(err)
	}
	o := overviewOf(r.hand.View(l))
	if err := ownCopy(r.hand); err != nil {
		o.Copy = err.Error()
	}
	if r.json {
		return printJSON(r.env, o)
	}
	return o.print(r.stdout)
}

// ownCopy says why what was loaded is this instance's own copy, nil when it is not.
func ownCopy(h *certs.Hand) error {
	if m, ok := h.Store.(interface{ Down() error }); ok {
		if err := m.Down(); err != nil {
			return fmt.Errorf("the store that instances share cannot be used (%w): this is this instance's own copy, which may be older, and nothing can be changed meanwhile", err)
		}
	}
	return nil
}

func overviewOf(v certs.View) overview {
	o := overview{Rotation: "automatic", Alarm: v.Alarm(), now: v.Now}
	if v.Policy.Manual {
		o.Rotation = "manual"
	}
	if c, err := v.Ledger.Of(certs.Signing).X509(); err == nil {
		o.Ends = c.NotAfter
		o.AlarmFrom = c.NotAfter.Add(-v.Policy.WithDefaults().AlarmBefore)
	}
	entries := slices.Clone(v.Ledger.Entries)
	order := []certs.State{certs.Signing, certs.Published, certs.Staged, certs.Retired, certs.Gone}
	sort.SliceStable(entries, func(i, j int) bool {
		return slices.Index(order, entries[i].State) < slices.Index(order, entries[j].State)
	})
	for _, e := range entries {
		c, err := e.X509()
		if err != nil {
			continue // the ledger was checked when it was read
		}
		o.Keys = append(o.Keys, keyLine{
			Thumbprint: e.ID, State: string(e.State), Since: e.Since, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
			DaysLeft: int(c.NotAfter.Sub(v.Now).Hours() / 24), Subject: c.Subject.String(), Origin: e.Origin, Stolen: e.Stolen,
		})
	}
	next := v.Ledger.Next()
	hurried := len(v.Uninformed()) > 0
	for _, p := range v.Parties {
		line := partyOf(v, next, p)
		if hurried {
			now := partyOf(v, v.Ledger.Of(certs.Signing), p)
			line.Now, line.NowWhy = now.Knows, now.Why
		}
		o.Parties = append(o.Parties, line)
	}
	for name, i := range v.Ledger.Instances {
		_, running := v.Running[name]
		o.Instances = append(o.Instances, instanceLine{name, i.Seen, running, i.Signs, i.Loaded, i.Trouble})
	}
	slices.SortFunc(o.Instances, func(a, b instanceLine) int { return strings.Compare(a.Instance, b.Instance) })
	for _, s := range v.Plan() {
		o.Next = append(o.Next, stepLine{s, words(v, s)})
	}
	return o
}

// partyOf says what is known of a party and a key's certificate.
func partyOf(v certs.View, next *certs.Entry, p certs.Party) partyLine {
	line := partyLine{Party: p.Key, Name: p.Name, Knows: "-", Why: "there is no next certificate"}
	if next == nil {
		return line
	}
	seen, known := next.Knows[p.Key]
	switch {
	case known && (!p.Pushed || seen.How == certs.Proved):
		line.Knows, line.Why = "yes", map[string]string{
			certs.Fetched: "read the metadata", certs.Told: "an admin says so", certs.ReadBack: "read back", certs.Proved: "read back, and a token was proved",
		}[seen.How]+" on "+dateOf(seen.At)
	case known && seen.How == certs.ReadBack:
		line.Knows, line.Why = "no", "read back on "+dateOf(seen.At)+", but a token of its key was not accepted when it was tried"
	case p.Pushed:
		line.Knows, line.Why = "no", "was not read back to hold it yet: sallyport domain check "+p.Key
	case p.ByHand && next.State == certs.Staged:
		line.Knows, line.Why = "no", "not yet: when it is published, sallyport domain script update "+p.Key+" puts it there"
	case p.ByHand:
		line.Knows, line.Why = "no", "put it there (sallyport domain script update "+p.Key+"), then sallyport certs told "+brief(next.ID)+" "+p.Key
	case next.State == certs.Signing:
		line.Knows, line.Why = "no", "not known: tell it (sallyport certs export), then sallyport certs told "+brief(next.ID)+" "+p.Key
	case p.Single:
		line.Knows, line.Why = "no", "holds one certificate only: agree on a moment, then sallyport certs promote"
	default:
		left := v.Policy.WithDefaults().PartyTime - time.Duration(next.Exposed)
		line.Knows, line.Why = "time", fmt.Sprintf("not seen to read the metadata; it is given until %s", dateOf(v.Now.Add(max(0, left))))
		if left <= 0 {
			line.Why = "not seen to read the metadata, but it has had its time"
		}
	}
	return line
}

// words says a step for somebody who knows nothing of keys.
func words(v certs.View, s certs.Step) string {
	p := v.Policy.WithDefaults()
	var text string
	switch s.Action {
	case certs.NextTell:
		return brief(s.ID) + " signs already: people cannot sign in to a relying party that does not hold its certificate"
	case certs.NextStage:
		text = "the next key is made and its certificate published"
	case certs.NextPublish:
		text = brief(s.ID) + " becomes published: every instance lists it in the metadata"
	case certs.NextPromote:
		text = brief(s.ID) + " begins to sign, and the key before it is retired"
	case certs.NextGone:
		text = brief(s.ID) + " is taken out of the metadata and its private key destroyed"
	}
	switch {
	case s.ByAdmin:
		text = "you: sallyport certs " + s.Action + " (" + text + ")"
	case len(s.Waits) > 0:
		text += ", as soon as what it waits for is there"
	default:
		text += ", by itself"
	}
	if s.Action == certs.NextStage {
		text += fmt.Sprintf("; it signs %d to %d days later, when relying parties know it", int(p.PromoteAfter.Hours()/24), int(p.PartyTime.Hours()/24))
	}
	return text
}

func dateOf(t time.Time) string { return t.UTC().Format("2006-01-02") }

func brief(id string) string { return id[:min(8, len(id))] }

// print writes the overview and returns the exit status.
func (o overview) print(w io.Writer) int {
	if o.Copy != "" {
		fmt.Fprintf(w, "CAUTION: %s\n\n", printable(o.Copy))
	}
	if o.Alarm != "" {
		fmt.Fprintf(w, "ALARM: %s\n\n", printable(o.Alarm))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "THUMBPRINT\tSTATE\tSINCE\tENDS\tDAYS LEFT\tWHAT IT DOES")
	for _, k := range o.Keys {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\n", k.Thumbprint, k.State, dateOf(k.Since), dateOf(k.NotAfter), k.DaysLeft, k.does())
	}
	if slices.ContainsFunc(o.Parties, func(p partyLine) bool { return p.Now != "" }) {
		fmt.Fprintln(t, "\nRELYING PARTY\tKNOWS THE CERTIFICATE THAT SIGNS NOW\tWHY")
		for _, p := range o.Parties {
			fmt.Fprintf(t, "%s\t%s\t%s\n", printable(p.Party), p.Now, p.NowWhy)
		}
	}
	if len(o.Parties) > 0 {
		fmt.Fprintln(t, "\nRELYING PARTY\tKNOWS THE NEXT CERTIFICATE\tWHY")
		for _, p := range o.Parties {
			knows := p.Knows
			if knows == "time" {
				knows = "not seen"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\n", printable(p.Party), knows, p.Why)
		}
	}
	fmt.Fprintln(t, "\nINSTANCE\tRUNNING\tLAST REPORT\tSIGNS WITH\tHOLDS")
	for _, i := range o.Instances {
		running := map[bool]string{true: "yes", false: "no"}[i.Running]
		var holds []string
		for _, id := range i.Loaded {
			holds = append(holds, brief(id))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", printable(i.Instance), running, i.Seen.UTC().Format("2006-01-02 15:04:05"), brief(i.Signs), strings.Join(holds, " "))
		if i.Trouble != "" {
			fmt.Fprintf(t, "\t\t\t\t! %s\n", printable(i.Trouble))
		}
	}
	if len(o.Instances) == 0 {
		fmt.Fprintln(t, "none has reported yet: start the service")
	}
	if err := t.Flush(); err != nil {
		return exitFailed
	}
	fmt.Fprintf(w, "\nWHAT HAPPENS NEXT (rotation is %s)\n", o.Rotation)
	for _, s := range o.Next {
		fmt.Fprintf(w, "%-10s  %s\n", o.when(s.Step), s.Text)
		for _, wait := range s.Waits {
			fmt.Fprintf(w, "            waits for: %s\n", printable(wait))
		}
	}
	if o.now.Before(o.AlarmFrom) {
		fmt.Fprintf(w, "%s  an alarm (log, /readyz, metrics), if no other key signs by then\n", dateOf(o.AlarmFrom))
	}
	if o.now.Before(o.Ends) {
		fmt.Fprintf(w, "%s  the certificate that signs now ends: parties refuse tokens of its key from then on\n", dateOf(o.Ends))
	}
	return exitGood
}

// when is the date of a step; what has only something else to wait for has none.
func (o overview) when(s certs.Step) string {
	switch {
	case s.Action == certs.NextTell:
		return "now"
	case s.Due.IsZero() || len(s.Waits) > 0 && !s.Due.After(o.now):
		return "waiting"
	case !s.Due.After(o.now):
		return "now"
	}
	return dateOf(s.Due)
}

func (k keyLine) does() string {
	switch certs.State(k.State) {
	case certs.Signing:
		if k.Origin == certs.Imported {
			return "signs every token (it was imported)"
		}
		return "signs every token"
	case certs.Published:
		return "published beside it, so that parties learn it; signs next"
	case certs.Staged:
		return "instances are loading it"
	case certs.Retired:
		return "still published until its last tokens have expired"
	}
	if k.Stolen {
		return "given up for stolen; its key is destroyed"
	}
	return "its key is destroyed"
}
