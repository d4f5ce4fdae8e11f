package ptatest

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Kind is what happened.
type Kind string

// The kinds of record.
const (
	Registered   Kind = "registered"   // a certificate was issued to a new agent
	Renewed      Kind = "renewed"      // a certificate was issued to a known agent
	Bootstrapped Kind = "bootstrapped" // a heartbeat was answered
	Listening    Kind = "listening"    // a link can take notifications
	Gone         Kind = "gone"         // a link ended
	Notified     Kind = "notified"     // a notification was sent
	Taken        Kind = "taken"        // the agent accepted the notification
	Rendezvous   Kind = "rendezvous"   // the agent opened the relayed connection
	Established  Kind = "established"  // preamble and session are up
	Signalled    Kind = "signalled"    // a SignalConnector was sent
	Acknowledged Kind = "acknowledged" // its reply came
	Socket       Kind = "socket"       // the agent opened a front-end WebSocket
	Result       Kind = "result"       // a result was taken
	Refused      Kind = "refused"      // a message broke a rule
	Stray        Kind = "stray"        // a connection to a host that is not the cloud's
)

// Record is one thing that happened.
type Record struct {
	// Time is by the cloud's clock.
	Time time.Time
	Kind Kind
	// Agent, Transaction and Endpoint are set where known.
	Agent, Transaction, Endpoint string
	// Detail is for a reader; no password is ever in it.
	Detail string
}

// Refusal is a message that broke a rule.
type Refusal struct {
	Time time.Time
	// Part is where: registration, renewal, bootstrap, link, rendezvous, session,
	// front end, proxy.
	Part string
	// Reason names the rule, with its section, and what was found.
	Reason string
}

// String is part and reason.
func (r Refusal) String() string { return r.Part + ": " + r.Reason }

// Stats are counters since the start.
type Stats struct {
	// Counts has one number per [Kind].
	Counts map[Kind]int
	// Links is the number of links that wait for notifications now, Relayed that
	// of open relayed connections, Sockets that of front-end WebSockets.
	Links, Relayed, Sockets int
}

// kept bounds the records, so that a long run does not grow.
const kept = 8192

// diary keeps records and counters. Safe for concurrent use.
type diary struct {
	now func() time.Time

	mu       sync.Mutex
	records  []Record
	refusals []Refusal
	strays   []string
	counts   map[Kind]int
	changed  chan struct{} // closed and replaced at every change
}

func newDiary(now func() time.Time) *diary {
	return &diary{now: now, counts: map[Kind]int{}, changed: make(chan struct{})}
}

func (d *diary) add(r Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.put(r)
}

// put is add with the lock held.
func (d *diary) put(r Record) {
	r.Time = d.now()
	if len(d.records) >= 2*kept {
		d.records = slices.Delete(d.records, 0, len(d.records)-kept)
	}
	d.records = append(d.records, r)
	d.counts[r.Kind]++
	d.wake()
}

// wake wakes who waits for a change; the caller holds the lock.
func (d *diary) wake() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// poke is wake for changes that leave no record.
func (d *diary) poke() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wake()
}

// refuse keeps a broken rule and gives it back as an error.
func (d *diary) refuse(part, format string, args ...any) error {
	r := Refusal{Time: d.now(), Part: part, Reason: fmt.Sprintf(format, args...)}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.refusals) < kept {
		d.refusals = append(d.refusals, r)
	}
	d.put(Record{Kind: Refused, Detail: r.String()})
	return &broken{r}
}

func (d *diary) stray(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.strays) < kept {
		d.strays = append(d.strays, addr)
	}
	d.put(Record{Kind: Stray, Detail: addr})
}

// broken is the error of a broken rule that has been kept already.
type broken struct{ refusal Refusal }

func (b *broken) Error() string { return b.refusal.String() }
