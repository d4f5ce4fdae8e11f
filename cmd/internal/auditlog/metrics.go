package auditlog

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	events  *prometheus.CounterVec
	lost    *prometheus.CounterVec
	broken  *prometheus.GaugeVec
	seconds *prometheus.HistogramVec
}

func newMetrics() *metrics {
	return &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_audit_events_total", Help: "Audit events by code.",
		}, []string{"code"}),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_audit_events_lost_total", Help: "Audit events that a sink never got because memory for waiting ones was full.",
		}, []string{"sink"}),
		broken: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sallyport_audit_sink_broken", Help: "1 while an audit sink does not accept events.",
		}, []string{"sink"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sallyport_audit_write_seconds", Help: "Time of one write of an audit sink, which concurrent events share.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .25, 1, 5},
		}, []string{"sink"}),
	}
}

func (m *metrics) register(r prometheus.Registerer, l *Log) error {
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sallyport_audit_events_waiting", Help: "Audit events that wait in memory for a sink.",
	}, func() float64 {
		n := 0
		for _, w := range l.workers {
			waiting, _ := w.trouble()
			n += waiting
		}
		return float64(n)
	})
	var errs []error
	for _, c := range []prometheus.Collector{m.events, m.lost, m.broken, m.seconds, waiting} {
		errs = append(errs, r.Register(c))
	}
	for _, s := range l.cfg.Sinks {
		m.broken.WithLabelValues(s.Name()).Set(0)
		m.lost.WithLabelValues(s.Name())
	}
	return errors.Join(errs...)
}
