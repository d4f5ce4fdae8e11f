package password

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn"
)

const (
	stepResolve = "resolve"
	stepGate    = "gate"
	stepBind    = "bind"
)

// metrics has a child for every label set from the start, so that counting needs
// no look-up by text and a dashboard shows zeros instead of gaps.
type metrics struct {
	signIns map[string][]prometheus.Counter // protocol, then reason
	steps   map[string]prometheus.Observer
}

// protocols is the closed set of the protocol label; anything else is "other".
var protocols = [...]string{"wsfed", "saml", "wstrust", "pta", "cli", "other"}

func newMetrics(r prometheus.Registerer) *metrics {
	signIns := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_signins_total",
		Help: "Password sign-ins by protocol, result (accepted, refused, failed) and reason.",
	}, []string{"protocol", "result", "reason"})
	steps := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "sallyport_signin_step_seconds",
		Help:    "Duration of the steps of a password sign-in.",
		Buckets: []float64{.0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, []string{"step"})
	m := &metrics{signIns: make(map[string][]prometheus.Counter), steps: make(map[string]prometheus.Observer)}
	for _, p := range protocols {
		for _, reason := range authn.Reasons() {
			m.signIns[p] = append(m.signIns[p], signIns.WithLabelValues(p, resultOf(reason), reason.String()))
		}
	}
	for _, s := range []string{stepResolve, stepGate, stepBind} {
		m.steps[s] = steps.WithLabelValues(s)
	}
	if r != nil {
		r.MustRegister(signIns, steps)
	}
	return m
}

func resultOf(r authn.Reason) string {
	switch {
	case r == authn.Accepted:
		return "accepted"
	case r.Undecided():
		return "failed"
	default:
		return "refused"
	}
}

func (m *metrics) count(protocol string, r authn.Reason) {
	children, ok := m.signIns[protocol]
	if !ok {
		children = m.signIns["other"]
	}
	children[r].Inc()
}

func (m *metrics) took(step string, since time.Time) {
	m.steps[step].Observe(time.Since(since).Seconds())
}
