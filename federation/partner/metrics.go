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
	queries  *prometheus.CounterVec
	parties  *prometheus.GaugeVec
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
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_metadata_queries_total",
			Help: "Questions for a party that nobody registered, by result: found, unknown, failed, or refused (unasked: too many).",
		}, []string{"result"}),
		parties: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sallyport_metadata_found_parties",
			Help: "Parties that are kept after a query, by state: used (somebody got a token for it) or waiting (nobody has yet).",
		}, []string{"state"}),
	}
	if err := errors.Join(r.Register(m.renewals), r.Register(m.until), r.Register(m.queries), r.Register(m.parties)); err != nil {
		return nil, fmt.Errorf("partner: metrics: %w", err)
	}
	return m, nil
}

func (m *Metrics) count(s *source, err error) {
	if m != nil {
		m.renewals.WithLabelValues(s.label(), result(err)).Inc()
	}
}

// query counts the end of a question.
func (m *Metrics) query(err error) {
	if m == nil {
		return
	}
	result := "failed"
	switch {
	case err == nil:
		result = "found"
	case errors.Is(err, ErrUnknown):
		result = "unknown"
	case errors.Is(err, ErrTooMany):
		result = "refused"
	}
	m.queries.WithLabelValues(result).Inc()
}

// found shows how many parties are kept that came by queries.
func (m *Metrics) found(used, waiting int) {
	if m != nil {
		m.parties.WithLabelValues("used").Set(float64(used))
		m.parties.WithLabelValues("waiting").Set(float64(waiting))
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
