package domain

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// watchMetrics are the figures of a [Watch]. Labels are the settings' domains.
type watchMetrics struct {
	severity, readable *prometheus.GaugeVec
}

func newWatchMetrics(r prometheus.Registerer) (*watchMetrics, error) {
	m := &watchMetrics{
		severity: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sallyport_domain_difference",
			Help: "The worst difference between Microsoft's view of a federated domain and this service's: 0 same, 1 note, 2 behind, 3 broken, 4 foreign key, issuer or address.",
		}, []string{"domain"}),
		readable: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sallyport_domain_readable",
			Help: "1 when the last attempt to read Microsoft's view of a federated domain succeeded, else 0.",
		}, []string{"domain"}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.severity), r.Register(m.readable))
}

func (m *watchMetrics) see(v View) { m.severity.WithLabelValues(v.Domain).Set(float64(v.Worst())) }

func (m *watchMetrics) read(domain string, ok bool) {
	if domain == "" {
		return
	}
	value := 0.0
	if ok {
		value = 1
	}
	m.readable.WithLabelValues(domain).Set(value)
}

func (m *watchMetrics) forget(domain string) {
	m.severity.DeleteLabelValues(domain)
	m.readable.DeleteLabelValues(domain)
}
