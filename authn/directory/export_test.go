package directory

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/prometheus/client_golang/prometheus"
)

// Hooks for the external tests.

// SubCode parses a diagnostic message.
func SubCode(text string) (uint32, bool) { return newDiagnostics().subCode(text) }

// ReasonOf maps a sub-code.
var ReasonOf = reasonOf

// FileTime and Interval convert AD's times.
var (
	FileTime        = fileTime
	Interval        = interval
	GeneralizedTime = generalizedTime
	SiteOf          = siteOf
)

// EqualFilter is the one way by which a value gets into a filter.
func EqualFilter(attribute, value string) string { return string(equal(attribute, value)) }

// ValidName reports whether a typed name is taken to the directory.
func ValidName(s string) bool { return parseName(s).form != formBad }

// SplitName returns the parts of a typed name.
func SplitName(s string) (domain, local, suffix string) {
	n := parseName(s)
	return n.domain, n.local, n.suffix
}

// ParseMessage and ParseResult read LDAP messages.
func ParseMessage(b []byte) (id int64, op byte, body []byte, err error) {
	m, err := parseMessage(b)
	return m.id, m.op, m.body, err
}

// ParseResult reads an LDAPResult.
var ParseResult = parseResult

// Frame is a framing connection over any stream.
type Frame struct{ f *frameConn }

// NewFrame wraps c, which stands for the TLS connection and the socket at once.
func NewFrame(c net.Conn, limit int) *Frame {
	return &Frame{f: newFrameConn(c, &countConn{Conn: c}, limit)}
}

// Arm, Restrict, Read, Write, Answer and Cause are those of the framing
// connection.
func (x *Frame) Arm(entries int)             { x.f.arm(entries) }
func (x *Frame) Restrict()                   { x.f.restrict() }
func (x *Frame) Read(p []byte) (int, error)  { return x.f.Read(p) }
func (x *Frame) Write(p []byte) (int, error) { return x.f.Write(p) }
func (x *Frame) Answer() int                 { return x.f.answer() }
func (x *Frame) Cause() error                { return x.f.cause() }
func (x *Frame) Clean() bool                 { return x.f.clean() }
func (x *Frame) Buffer() int                 { return cap(x.f.buf) }

// Breaker is a circuit breaker.
type Breaker struct{ b breaker }

func (x *Breaker) Closed() bool                              { return x.b.closed() }
func (x *Breaker) State() string                             { return x.b.current().String() }
func (x *Breaker) Trial(now time.Time, urgent bool) bool     { return x.b.trial(now, urgent) }
func (x *Breaker) Success(now time.Time) bool                { return x.b.success(now) }
func (x *Breaker) Failure(now time.Time) bool                { return x.b.failure(now) }
func (x *Breaker) Force(now time.Time, d time.Duration) bool { return x.b.force(now, d) }

// Meter is what the choice between DCs looks at.
type Meter struct{ m meter }

func (x *Meter) Begin(now time.Time)                   { x.m.begin(now) }
func (x *Meter) End(now time.Time, took time.Duration) { x.m.end(now, took, true) }
func (x *Meter) Score(now time.Time) float64           { return x.m.score(now) }

// Collector returns the metrics.
func (d *Directory) Collector() prometheus.Collector { return d.metrics }

// Discover runs one discovery for each domain.
func (d *Directory) Discover(ctx context.Context) {
	for _, dm := range d.domains {
		dm.discover(ctx)
	}
}

// ServiceClock sets the clock that the service account's pauses follow.
func (d *Directory) ServiceClock(now func() time.Time) {
	for _, dm := range d.domains {
		dm.service.now = now
	}
}

// GroupsOf reads the groups in an entry.
var GroupsOf = groupsOf

// Samples fills the memory of refused binds.
func (d *Directory) Samples(took ...time.Duration) {
	for _, t := range took {
		d.refusal.add(t)
	}
}

// ParseEntry, BindRequest and SearchRequest are what replaces go-ldap's own.
var (
	ParseEntry    = parseEntry
	BindRequest   = bindRequest
	SearchRequest = searchRequest
)

// SearchBothWays runs one search over a domain as sign-ins do, and through go-ldap
// alone on the same connection.
func (d *Directory) SearchBothWays(ctx context.Context, domain, match string, attributes []string) (ours, theirs *ldap.SearchResult, err error) {
	dm, err := d.domain(domain)
	if err != nil {
		return nil, nil, err
	}
	s := dm.choose(nil)
	c, err := s.take(d.budget(ctx), forSearches, d.cfg.Limits.Dial)
	if err != nil {
		return nil, nil, err
	}
	defer s.searches.put(c)
	req := &ldap.SearchRequest{BaseDN: dm.baseDN, Scope: ldap.ScopeWholeSubtree, DerefAliases: ldap.NeverDerefAliases, SizeLimit: 500, TimeLimit: 3,
		Filter: string(filter(match)), Attributes: attributes, Controls: []ldap.Control{ldap.NewControlString(oidDomainScope, true, "")}}
	ours, a := c.search(ctx, d.cfg.Limits.Search, req)
	if a.err != nil || a.code != 0 {
		return nil, nil, fmt.Errorf("ours: %d %w", a.code, a.err)
	}
	theirs, a = c.page(ctx, d.cfg.Limits.Search, req, 500)
	if a.err != nil || a.code != 0 {
		return nil, nil, fmt.Errorf("theirs: %d %w", a.code, a.err)
	}
	return ours, theirs, nil
}

// CompileFilter is how filters are encoded; ours reports that go-ldap was not asked.
func CompileFilter(f string) (encoded []byte, ours bool, err error) {
	_, rest, ours := appendFilter(nil, f)
	encoded, err = compile(nil, f)
	return encoded, ours && rest == "", err
}
