package web

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the edge. Every label comes from a closed set: route names, status
// codes, names of limits.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge
	panics   *prometheus.CounterVec
	stray    prometheus.Counter
	conns    prometheus.Gauge
	refused  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sallyport_http_requests_total",
			Help: "Requests answered, by route and status."}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sallyport_http_request_seconds",
			Help:    "Time from the request's header to the end of the answer, by route.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sallyport_http_requests_in_flight",
			Help: "Requests being answered now."}),
		panics: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sallyport_http_panics_total",
			Help: "Handlers that panicked, by route."}, []string{"route"}),
		stray: prometheus.NewCounter(prometheus.CounterOpts{Name: "sallyport_http_stray_forwarding_total",
			Help: "Requests with forwarding headers from a peer that is no configured proxy; the headers were ignored."}),
		conns: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sallyport_http_connections",
			Help: "Connections open on the public listener."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sallyport_http_refused_total",
			Help: "Work refused by a limit: connections (total, address) and requests (overload in all, overload_client)."}, []string{"limit"}),
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.inFlight, m.panics, m.stray, m.conns, m.refused} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) answered(route string, status int, seconds float64) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(seconds)
}
