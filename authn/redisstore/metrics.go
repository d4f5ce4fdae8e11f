package redisstore

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	steps   *prometheus.HistogramVec
	errors  *prometheus.CounterVec
	shed    prometheus.Counter
	damaged prometheus.Counter
}

func newMetrics(r prometheus.Registerer, s *Store) *metrics {
	m := &metrics{
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sallyport_redis_seconds", Help: "Duration of round trips to Redis, by operation.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5},
		}, []string{"op"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_redis_errors_total", Help: "Round trips to Redis that failed, by operation.",
		}, []string{"op"}),
		shed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sallyport_redis_shed_total", Help: "Operations not tried because Redis was known to be down.",
		}),
		damaged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sallyport_session_damaged_total", Help: "Session records that did not open: changed, moved, or sealed with another master secret.",
		}),
	}
	for _, op := range []string{"create", "use", "peek", "end", "once", "seen", "ping"} {
		m.errors.WithLabelValues(op)
	}
	if r != nil {
		r.MustRegister(m.steps, m.errors, m.shed, m.damaged, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sallyport_redis_up", Help: "1 while Redis answers.",
		}, func() float64 {
			if s.Down() != nil {
				return 0
			}
			return 1
		}))
	}
	return m
}

func (m *metrics) took(op string, since time.Time, err error) {
	m.steps.WithLabelValues(op).Observe(time.Since(since).Seconds())
	if err != nil {
		m.errors.WithLabelValues(op).Inc()
	}
}
