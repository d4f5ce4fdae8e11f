package ptaagent

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn"
	"sallyport/ptaagent/internal/enroll"
	"sallyport/ptaagent/internal/relay"
)

// Request is one answered request, for an administrator.
type Request struct {
	// CorrelationID is what Microsoft's sign-in log shows.
	CorrelationID string    `json:"correlation_id"`
	User          string    `json:"user"`
	Received      time.Time `json:"received"`
	// Reason is the true one, Number what the cloud was told: 0, or a Win32 error.
	Reason string `json:"reason"`
	Number int    `json:"number"`
	// Error says why the verdict was not taken, empty when it was.
	Error string `json:"error,omitempty"`
	// The steps: in the queue, decrypting, all of judging, posting, and the whole.
	Waited    time.Duration `json:"waited_ns"`
	Decrypted time.Duration `json:"decrypted_ns"`
	Judged    time.Duration `json:"judged_ns"`
	Posted    time.Duration `json:"posted_ns"`
	Took      time.Duration `json:"took_ns"`
}

// Link is one endpoint.
type Link = relay.Status

// Status is how an agent is.
type Status struct {
	Tenant, Agent string
	Thumbprint    string
	NotAfter      time.Time
	RenewError    string
	// Bootstrapped is the last success; Failures counts since then.
	Bootstrapped   time.Time
	Failures       int
	BootstrapError string
	// CloudState and CloudMessage are what the cloud last told.
	CloudState, CloudMessage string
	Links                    []Link
	// Inspected is when the tenant's agents were compared last, Strange those that
	// should not be there.
	Inspected      time.Time
	InventoryError string
	Strange        []Strange
	// Recent are the last requests, at most 10,000, the newest first.
	Recent []Request

	uninspected bool // for two periods
}

const recentSize = 10_000

func (a *Agent) remember(r Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.recent) < recentSize {
		a.recent = append(a.recent, r)
		return
	}
	a.recent[a.next] = r
	a.next = (a.next + 1) % recentSize
}

// Status returns how the agent is.
func (a *Agent) Status() Status {
	s := a.state()
	a.mu.Lock()
	defer a.mu.Unlock()
	s.Recent = append(slices.Clone(a.recent[a.next:]), a.recent[:a.next]...)
	slices.Reverse(s.Recent)
	return s
}

// Listening returns how many signalling links stand.
func (a *Agent) Listening() int { return listeningOf(a.state().Links) }

func listeningOf(links []Link) (up int) {
	for _, l := range links {
		if l.Listening {
			up++
		}
	}
	return up
}

// state is Status without requests.
func (a *Agent) state() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.status
	s.Thumbprint, s.NotAfter = a.cfg.Identity.Thumbprint(), a.cfg.Identity.NotAfter()
	for _, l := range a.listeners {
		s.Links = append(s.Links, l.Status())
	}
	slices.SortFunc(s.Links, func(x, y Link) int { return strings.Compare(x.Endpoint, y.Endpoint) })
	return s
}

// Trouble says what an administrator should look at, nil when nothing.
func (a *Agent) Trouble() error {
	s := a.state()
	if len(s.Strange) > 0 {
		return errors.New("the tenant has an agent that should not be there: " + s.Strange[0].String())
	}
	switch left := s.NotAfter.Sub(a.cfg.Now()); {
	case left <= 0:
		return errors.New("the agent's certificate has expired: register the agent again")
	case s.BootstrapError != "":
		return errors.New(s.BootstrapError)
	case s.Bootstrapped.IsZero():
		return errors.New("no bootstrap has worked yet")
	case listeningOf(s.Links) == 0:
		return errors.New("no signalling link stands, the cloud cannot reach this agent")
	case s.RenewError != "":
		return errors.New("the certificate was not renewed: " + s.RenewError)
	case s.uninspected:
		return errors.New("the tenant's agents have not been compared for long: " + s.InventoryError)
	case s.CloudState != "" && s.CloudState != "Ok":
		return errors.New("the cloud says " + s.CloudState + ": " + s.CloudMessage)
	}
	return nil
}

func (a *Agent) note(f func(s *Status)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.status)
}

func (a *Agent) bootstrapped(p *enroll.Plan) {
	a.note(func(s *Status) {
		s.Bootstrapped, s.Failures, s.BootstrapError, s.CloudState, s.CloudMessage = a.cfg.Now(), 0, "", p.State, p.Message
	})
	a.metrics.bootstraps["ok"].Inc()
	if p.Override != "" {
		a.cfg.Logger.Warn("pta: the cloud names another bootstrap address, which is not followed")
	}
}

func (a *Agent) bootstrapFailed(ctx context.Context, err error, failures int) {
	if ctx.Err() != nil {
		return
	}
	a.metrics.bootstraps["failed"].Inc()
	a.note(func(s *Status) { s.Failures, s.BootstrapError = failures, err.Error() })
	level := a.cfg.Logger.Warn
	var status *enroll.HTTPError
	if failures >= 3 && errors.As(err, &status) && status.Status == http.StatusForbidden {
		level = a.cfg.Logger.Error
	}
	level("pta: bootstrap", "failures", failures, "error", err.Error())
}

// metrics are the counters that the Windows agent has, and each step's time.
type metrics struct {
	results    []prometheus.Counter // by reason
	errors     prometheus.Counter
	strange    prometheus.Gauge
	refused    map[string]prometheus.Counter
	bootstraps map[string]prometheus.Counter
	steps      [5]prometheus.Observer // wait, decrypt, judge, post, all
}

// refusals is the closed set of the metric's label.
var refusals = [...]string{
	"pta_malformed", "pta_protocol", "pta_foreign_tenant", "pta_foreign_host", "pta_foreign_user", "pta_repeated", "pta_overload", "pta_undecryptable", "pta_key_away",
}

func newMetrics(r prometheus.Registerer) *metrics {
	results := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_pta_authentications_total", Help: "Requests of the cloud that were judged, by reason.",
	}, []string{"reason"})
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_pta_refused_total", Help: "Requests that were not judged, by reason.",
	}, []string{"reason"})
	bootstraps := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_pta_bootstraps_total", Help: "Heartbeats by result.",
	}, []string{"result"})
	steps := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "sallyport_pta_step_seconds", Help: "Time of the steps of a request, and of the whole.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15},
	}, []string{"step"})
	m := &metrics{
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sallyport_pta_errors_total", Help: "Requests whose verdict the cloud did not get.",
		}),
		strange: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sallyport_pta_strange_agents", Help: "Agents of the tenant that should not be there, where the settings have them compared.",
		}),
		refused: map[string]prometheus.Counter{}, bootstraps: map[string]prometheus.Counter{},
	}
	for _, reason := range authn.Reasons() {
		m.results = append(m.results, results.WithLabelValues(reason.String()))
	}
	for _, reason := range refusals {
		m.refused[reason] = refused.WithLabelValues(reason)
	}
	for _, result := range []string{"ok", "failed"} {
		m.bootstraps[result] = bootstraps.WithLabelValues(result)
	}
	for i, step := range [...]string{"wait", "decrypt", "judge", "post", "all"} {
		m.steps[i] = steps.WithLabelValues(step)
	}
	if r != nil {
		r.MustRegister(results, refused, bootstraps, steps, m.errors, m.strange)
	}
	return m
}

func (m *metrics) finished(s Request, reason authn.Reason, err error) {
	m.results[reason].Inc()
	if err != nil {
		m.errors.Inc()
	}
	for i, d := range [...]time.Duration{s.Waited, s.Decrypted, s.Judged, s.Posted, s.Took} {
		m.steps[i].Observe(d.Seconds())
	}
}
