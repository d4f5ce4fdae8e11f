package lockout

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	refused  map[Scope]prometheus.Counter
	failures prometheus.Counter
	alarms   prometheus.Counter
}

func newMetrics(r prometheus.Registerer, tracked func() float64) *metrics {
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_lockout_refused_total", Help: "Attempts refused before a bind, by the count that refused.",
	}, []string{"scope"})
	m := &metrics{
		refused: make(map[Scope]prometheus.Counter),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sallyport_lockout_failures_total", Help: "Failures counted against an account or a name.",
		}),
		alarms: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sallyport_lockout_alarms_total", Help: "Minutes in which failures over all accounts passed the alarm rate.",
		}),
	}
	for _, s := range []Scope{ScopeAccount, ScopeName, ScopeAddress, ScopeNetwork, ScopeFull} {
		m.refused[s] = refused.WithLabelValues(string(s))
	}
	if r != nil {
		r.MustRegister(refused, m.failures, m.alarms, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sallyport_lockout_accounts", Help: "Accounts with a counter in memory.",
		}, tracked))
	}
	return m
}

func (m *metrics) refuse(s Scope) { m.refused[s].Inc() }

// alarm counts failures in one-minute windows.
type alarm struct {
	since time.Time
	n     int
}

// failure counts one and reports true once in a window that reaches the limit.
func (a *alarm) failure(now time.Time, limit int) bool {
	if now.Sub(a.since) >= time.Minute || now.Before(a.since) {
		a.since, a.n = now, 0
	}
	a.n++
	return a.n == limit
}
