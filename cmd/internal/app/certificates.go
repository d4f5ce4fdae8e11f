package app

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/cmd/internal/telemetry"
)

// warnBefore is how long before its end a certificate is reported.
const warnBefore = 15 * 24 * time.Hour

// certificateHealth is degraded when a certificate ends soon or a changed file
// cannot be used: other instances have the same certificates.
func (a *App) certificateHealth(context.Context) telemetry.Report {
	bad := func(format string, args ...any) telemetry.Report {
		return telemetry.Report{State: telemetry.Degraded, Reason: fmt.Sprintf(format, args...)}
	}
	key := a.keys.Current()
	if left := key.Certificate.NotAfter.Sub(a.now()); left < warnBefore {
		return bad("the token-signing certificate %s ends in %d days; Microsoft 365 must know its successor before", key.ID, days(left))
	}
	if a.tls == nil {
		return telemetry.Report{State: telemetry.OK}
	}
	a.mu.Lock()
	problem := a.tlsProblem
	a.mu.Unlock()
	if problem != nil {
		return bad("the listener's changed certificate cannot be used: %v", problem)
	}
	if left := a.tls.NotAfter().Sub(a.now()); left < warnBefore {
		return bad("the listener's certificate ends in %d days", days(left))
	}
	return telemetry.Report{State: telemetry.OK}
}

func days(d time.Duration) int { return int(d / (24 * time.Hour)) }

// certificateCollector tells the days that certificates have left.
type certificateCollector struct{ a *App }

var certificateDays = prometheus.NewDesc("sallyport_certificate_days_left",
	"Days until a certificate ends.", []string{"use", "thumbprint"}, nil)

// Describe implements [prometheus.Collector].
func (c *certificateCollector) Describe(ch chan<- *prometheus.Desc) { ch <- certificateDays }

// Collect implements [prometheus.Collector].
func (c *certificateCollector) Collect(ch chan<- prometheus.Metric) {
	left := func(end time.Time) float64 { return end.Sub(c.a.now()).Hours() / 24 }
	for i, k := range c.a.keys.Published() {
		use := "signing"
		if i > 0 {
			use = "signing_published"
		}
		ch <- prometheus.MustNewConstMetric(certificateDays, prometheus.GaugeValue, left(k.Certificate.NotAfter), use, k.ID)
	}
	if c.a.tls != nil {
		ch <- prometheus.MustNewConstMetric(certificateDays, prometheus.GaugeValue, left(c.a.tls.NotAfter()), "listener", c.a.tls.Thumbprint())
	}
}
