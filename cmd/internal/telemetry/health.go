package telemetry

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// State is how a part of the service is.
type State uint8

// The states, from good to bad.
const (
	// OK needs nobody.
	OK State = iota
	// Degraded works, but somebody should look. The instance stays in service:
	// other instances would not do better.
	Degraded
	// Failed is for what another instance would do better; it takes this one out
	// of service.
	Failed
)

// String returns ok, degraded or failed.
func (s State) String() string {
	switch s {
	case OK:
		return "ok"
	case Degraded:
		return "degraded"
	default:
		return "failed"
	}
}

// MarshalText implements [encoding.TextMarshaler].
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Report is the answer of one check.
type Report struct {
	State State `json:"state"`
	// Reason says why, in words for an admin; empty with OK. It holds no secret:
	// who can reach the ops listener reads it.
	Reason string `json:"reason,omitempty"`
}

// Check looks at one part. It must be quick and cheap, since a balancer may ask
// each second: it reports what the part knows rather than trying it out.
type Check func(ctx context.Context) Report

// Health is the checks of the service. It is safe for concurrent use. The zero
// value is not started, thus not ready.
type Health struct {
	// Timeout bounds one check; one that does not answer is degraded. Default 1s.
	Timeout time.Duration

	mu       sync.Mutex
	names    []string // sorted
	checks   map[string]Check
	started  bool
	draining bool
}

// Add registers a check under a name from a closed set.
func (h *Health) Add(name string, c Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checks == nil {
		h.checks = map[string]Check{}
	}
	if _, ok := h.checks[name]; !ok {
		h.names = append(h.names, name)
		slices.Sort(h.names)
	}
	h.checks[name] = c
}

// SetStarted says that everything is in place.
func (h *Health) SetStarted() { h.mu.Lock(); h.started = true; h.mu.Unlock() }

// SetDraining says that the instance is about to stop: readiness goes first, so
// that balancers send nobody else.
func (h *Health) SetDraining() { h.mu.Lock(); h.draining = true; h.mu.Unlock() }

// Named is a check's report under its name.
type Named struct {
	Name string `json:"name"`
	Report
}

// Readiness is the whole answer.
type Readiness struct {
	State  State   `json:"state"`
	Checks []Named `json:"checks,omitempty"`
}

// Ready asks all checks at once.
func (h *Health) Ready(ctx context.Context) Readiness {
	h.mu.Lock()
	names := slices.Clone(h.names)
	checks := make([]Check, len(names))
	for i, n := range names {
		checks[i] = h.checks[n]
	}
	started, draining := h.started, h.draining
	h.mu.Unlock()
	switch {
	case draining:
		return Readiness{Failed, []Named{{"service", Report{Failed, "draining: this instance is about to stop"}}}}
	case !started:
		return Readiness{Failed, []Named{{"service", Report{Failed, "not started yet"}}}}
	}
	timeout := h.Timeout
	if timeout == 0 {
		timeout = time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answers := make([]chan Report, len(checks))
	for i, c := range checks {
		answers[i] = make(chan Report, 1)
		go func() { answers[i] <- c(ctx) }()
	}
	all := Readiness{Checks: make([]Named, len(checks))}
	for i, name := range names {
		r := Report{Degraded, "the check did not answer in time"}
		select {
		case r = <-answers[i]:
		default:
			select {
			case r = <-answers[i]:
			case <-ctx.Done():
			}
		}
		all.Checks[i] = Named{name, r}
		all.State = max(all.State, r.State)
	}
	return all
}

// Collector returns metrics of readiness: the state of each check (0 ok, 1
// degraded, 2 failed), asked at each scrape.
func (h *Health) Collector() prometheus.Collector { return healthCollector{h} }

type healthCollector struct{ h *Health }

func checkDesc() *prometheus.Desc {
	return prometheus.NewDesc("sallyport_check_state", "State of a part of the service: 0 ok, 1 degraded, 2 failed.", []string{"check"}, nil)
}

// Describe implements [prometheus.Collector].
func (c healthCollector) Describe(ch chan<- *prometheus.Desc) { ch <- checkDesc() }

// Collect implements [prometheus.Collector].
func (c healthCollector) Collect(ch chan<- prometheus.Metric) {
	for _, n := range c.h.Ready(context.Background()).Checks {
		ch <- prometheus.MustNewConstMetric(checkDesc(), prometheus.GaugeValue, float64(n.State), n.Name)
	}
}
