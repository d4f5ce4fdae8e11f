package directory

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn"
)

// operation names for the latency metric.
type operation uint8

const (
	opBind operation = iota
	opSearch
	opDial
)

// metrics are the package's metrics; it is one collector, so that the pools'
// state is read when somebody asks and not kept in step all the time. All labels
// come from closed sets: configured domains, their DCs, and the lists in this
// package.
type metrics struct {
	d       *Directory
	errors  *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	dials   *prometheus.CounterVec
	reasons *prometheus.CounterVec
	clock   *prometheus.GaugeVec
	wait    *prometheus.HistogramVec

	conns, up, breaker, latency, age, service *prometheus.Desc
}

// serverMetrics are one DC's, looked up once.
type serverMetrics struct {
	errors  map[class]prometheus.Counter
	seconds [3]prometheus.Observer
	dials   [2]prometheus.Counter
	reasons map[authn.Reason]prometheus.Counter
	clock   prometheus.Gauge
	wait    [2]prometheus.Observer
}

func newMetrics(d *Directory) *metrics {
	const ns, sub = "sallyport", "directory"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help,
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2, 3, 5}}, labels)
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(ns, sub, name), help, labels, nil)
	}
	return &metrics{
		d:       d,
		errors:  counter("errors_total", "Operations that no verdict came of, by class.", "domain", "dc", "class"),
		seconds: histogram("operation_seconds", "Time from request to answer; dial includes TLS and the first read.", "domain", "dc", "op"),
		dials:   counter("dials_total", "Connections opened.", "domain", "dc", "pool"),
		reasons: counter("binds_total", "User binds judged by a DC, by reason.", "domain", "dc", "reason"),
		clock: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: "clock_offset_seconds",
			Help: "The DC's clock minus ours."}, []string{"domain", "dc"}),
		wait:    histogram("pool_wait_seconds", "Wait for a connection that was not there at once.", "domain", "dc", "pool"),
		conns:   desc("pool_connections", "Connections by state.", "domain", "dc", "pool", "state"),
		up:      desc("dc_usable", "1 while the DC passed its checks and its breaker is closed.", "domain", "dc"),
		breaker: desc("breaker_state", "0 closed, 1 open, 2 half-open.", "domain", "dc"),
		latency: desc("latency_seconds", "Moving average of answer times.", "domain", "dc"),
		age:     desc("discovery_age_seconds", "Time since DNS last gave the DCs.", "domain"),
		service: desc("service_account_usable", "0 while the service account is refused.", "domain"),
	}
}

func (m *metrics) server(domain, dc string) serverMetrics {
	sm := serverMetrics{errors: map[class]prometheus.Counter{}, reasons: map[authn.Reason]prometheus.Counter{}}
	for _, c := range classes() {
		sm.errors[c] = m.errors.WithLabelValues(domain, dc, string(c))
	}
	for op, name := range [...]string{opBind: "bind", opSearch: "search", opDial: "dial"} {
		sm.seconds[op] = m.seconds.WithLabelValues(domain, dc, name)
	}
	for _, p := range []purpose{forBinds, forSearches} {
		sm.dials[p] = m.dials.WithLabelValues(domain, dc, p.String())
		sm.wait[p] = m.wait.WithLabelValues(domain, dc, p.String())
	}
	for _, r := range authn.Reasons() {
		sm.reasons[r] = m.reasons.WithLabelValues(domain, dc, r.String())
	}
	sm.clock = m.clock.WithLabelValues(domain, dc)
	return sm
}

// forget removes the metrics of a DC that discovery no longer finds.
func (m *metrics) forget(domain, dc string) {
	labels := prometheus.Labels{"domain": domain, "dc": dc}
	m.errors.DeletePartialMatch(labels)
	m.seconds.DeletePartialMatch(labels)
	m.dials.DeletePartialMatch(labels)
	m.reasons.DeletePartialMatch(labels)
	m.clock.DeletePartialMatch(labels)
	m.wait.DeletePartialMatch(labels)
}

func (m *metrics) vectors() []prometheus.Collector {
	return []prometheus.Collector{m.errors, m.seconds, m.dials, m.reasons, m.clock, m.wait}
}

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, v := range m.vectors() {
		v.Describe(ch)
	}
	for _, d := range []*prometheus.Desc{m.conns, m.up, m.breaker, m.latency, m.age, m.service} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, v := range m.vectors() {
		v.Collect(ch)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	m.d.eachServer(func(dm *domain, s *server) {
		for _, p := range []purpose{forBinds, forSearches} {
			n := s.pool(p).size()
			gauge(m.conns, float64(n.idle), dm.name, s.name, p.String(), "idle")
			gauge(m.conns, float64(n.lent), dm.name, s.name, p.String(), "lent")
			gauge(m.conns, float64(n.dialling), dm.name, s.name, p.String(), "dialling")
		}
		gauge(m.up, oneIf(s.usable()), dm.name, s.name)
		gauge(m.breaker, float64(s.br.current()), dm.name, s.name)
		gauge(m.latency, s.meter.average().Seconds(), dm.name, s.name)
	})
	for _, dm := range m.d.domains {
		gauge(m.service, oneIf(dm.service.stopped() == nil), dm.name)
		if at := dm.discovered.Load(); at != 0 {
			gauge(m.age, time.Since(time.Unix(0, at)).Seconds(), dm.name)
		}
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
