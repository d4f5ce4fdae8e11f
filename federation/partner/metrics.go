package partner

import (
	"errors"
	"fmt"

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

func (m *Metrics) count(s *source, err error) {
	if m != nil {
		m.renewals.WithLabelValues(s.label(), result(err)).Inc()
	}
}

// label is the party's key, one for all that came by queries.
func (s *source) label() string {
	if s.adopted {
		return "mdq"
	}
	return s.Key
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

// valid shows when what is held ends; nothing for parties that came by queries.
func (m *Metrics) valid(s *source) {
	switch until := s.held.entity.ValidUntil; {
	case m == nil || s.adopted:
	case until.IsZero():
		m.until.DeleteLabelValues(s.Key)
	default:
		m.until.WithLabelValues(s.Key).Set(float64(until.Unix()))
	}
}

func (m *Metrics) forget(s *source) {
	if m != nil {
		m.until.DeleteLabelValues(s.Key)
	}
}
