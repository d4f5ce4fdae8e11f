package signin

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the package's series; all labels come from closed sets.
type metrics struct {
	pages    *prometheus.CounterVec
	tokens   *prometheus.CounterVec
	sessions *prometheus.CounterVec
	framed   *prometheus.CounterVec
	steps    *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		pages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_signin_pages_total", Help: "Pages shown to people, by kind.",
		}, []string{"page"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_signin_tokens_total",
			Help: "Browser sign-ins that reached the point of a token: issued, refused, loop, audit (record not taken), error.",
		}, []string{"protocol", "party", "result"}),
		sessions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_signin_sessions_total",
			Help: "Sign-on sessions: started, used, ended (signed out), revoked (account check), unavailable (store).",
		}, []string{"event"}),
		framed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_signin_framed_total", Help: "Sign-in requests refused because they came from a frame.",
		}, []string{"party"}),
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sallyport_signin_flow_seconds", Help: "Time spent in one step of a browser sign-in.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"step"}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.pages, m.tokens, m.sessions, m.framed, m.steps} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("signin: metrics: %w", err)
		}
	}
	return m, nil
}

// step starts a clock; the returned function stops it.
func (m *metrics) step(name string) (done func()) {
	start := time.Now()
	return func() { m.steps.WithLabelValues(name).Observe(time.Since(start).Seconds()) }
}
