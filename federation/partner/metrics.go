package partner

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what keepers do. Parties' keys are the only labels besides results
// of a closed set. A nil value counts nothing.
type Metrics struct {
	renewals *prometheus.CounterVec
	until    *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		renewals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_metadata_renewals_total",
			Help: "Attempts to renew a party's metadata, by party and result (renewed, unchanged, older, untrusted, expired, unusable, failed).",
		}, []string{"party", "result"}),
		until: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sallyport_metadata_valid_until_seconds",
			Help: "When a party's metadata ends, in seconds since 1970; absent for metadata without an end.",
		}, []string{"party"}),
	}
	if err := errors.Join(r.Register(m.renewals), r.Register(m.until)); err != nil {
		return nil, fmt.Errorf("partner: metrics: %w", err)
	}
	return m, nil
}

func (m *Metrics) count(party string, err error) {
	if m != nil {
		m.renewals.WithLabelValues(party, result(err)).Inc()
	}
}

func result(err error) string {
	switch {
	case err == nil:
		return "renewed"
	case errors.Is(err, ErrUnchanged):
		return "unchanged"
	case errors.Is(err, ErrOlder):
		return "older"
	case errors.Is(err, ErrUntrusted):
		return "untrusted"
	case errors.Is(err, ErrExpired):
		return "expired"
	case errors.Is(err, ErrNotMetadata), errors.Is(err, ErrAbsent):
		return "unusable"
	default:
		return "failed"
	}
}

func (m *Metrics) valid(party string, until time.Time) {
	switch {
	case m == nil:
	case until.IsZero():
		m.until.DeleteLabelValues(party)
	default:
		m.until.WithLabelValues(party).Set(float64(until.Unix()))
	}
}

func (m *Metrics) forget(party string) {
	if m != nil {
		m.until.DeleteLabelValues(party)
	}
}
