package relay

import "github.com/prometheus/client_golang/prometheus"

// events is the closed set of the metric's label.
var events = [...]string{
	"link_opened", "link_lost", "link_failed", "link_silent",
	"notice", "notice_refused", "notice_repeated", "notice_shed",
	"relayed_opened", "relayed_failed", "message_refused", "message_repeated", "message_resent",
}

// Metrics counts what happens to links, notifications and relayed connections. It is
// safe for concurrent use.
type Metrics struct{ events map[string]prometheus.Counter }

// NewMetrics returns metrics, registered with r unless it is nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_pta_relay_events_total",
		Help: "What happened to signalling links, notifications, relayed connections and their messages.",
	}, []string{"event"})
	m := &Metrics{events: map[string]prometheus.Counter{}}
	for _, e := range events {
		m.events[e] = vec.WithLabelValues(e)
	}
	if r != nil {
		r.MustRegister(vec)
	}
	return m
}

func (m *Metrics) count(event string) { m.events[event].Inc() }
