package app

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/certs"
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
	// With a life cycle, the check "signing" knows more than a date.
	key := a.keys.Current()
	if left := key.Certificate.NotAfter.Sub(a.now()); left < warnBefore && a.manager == nil {
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
	for _, r := range a.ldapRoots() {
		if left := r.NotAfter.Sub(a.now()); left < warnBefore {
			return bad("the root certificate %s of directory.ca_file ends in %d days", r.Subject, days(left))
		}
	}
	return telemetry.Report{State: telemetry.OK}
}

func days(d time.Duration) int { return int(d / (24 * time.Hour)) }

// certificateCollector tells the days that certificates have left.
type certificateCollector struct{ a *App }

var certificateDays = prometheus.NewDesc("sallyport_certificate_days_left",
	"Days until a certificate ends.", []string{"use", "thumbprint"}, nil)

var (
	keyState = prometheus.NewDesc("sallyport_signing_key_state",
		"Always 1; the labels say where each token-signing key stands.", []string{"thumbprint", "state"}, nil)
	keyAlarm = prometheus.NewDesc("sallyport_signing_alarm",
		"1 when an admin must act for the token-signing keys, else 0; see sallyport certs list.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (c *certificateCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- certificateDays
	ch <- keyState
	ch <- keyAlarm
}

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
	for _, r := range c.a.ldapRoots() {
		ch <- prometheus.MustNewConstMetric(certificateDays, prometheus.GaugeValue, left(r.NotAfter), "ldap_ca", certs.Thumbprint(r))
	}
	if c.a.manager == nil {
		return
	}
	status := c.a.manager.Status()
	alarm := 0.0
	if status.Alarm != "" || status.Lacking != "" {
		alarm = 1
	}
	ch <- prometheus.MustNewConstMetric(keyAlarm, prometheus.GaugeValue, alarm)
	for _, e := range status.Ledger.Entries {
		ch <- prometheus.MustNewConstMetric(keyState, prometheus.GaugeValue, 1, e.ID, string(e.State))
	}
}

// ldapRoots are the roots of directory.ca_file, none when the system's are used.
func (a *App) ldapRoots() []*x509.Certificate {
	data, err := readFile(a.live.Load().settings.Directory.CAFile)
	if err != nil {
		return nil // a reload says so
	}
	seen := map[string]bool{}
	var roots []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return roots
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && !seen[string(c.Raw)] {
			seen[string(c.Raw)] = true
			roots = append(roots, c)
		}
	}
}

// startChallenge opens the plain HTTP listener on which an ACME authority asks, where
// the settings want one.
func (a *App) startChallenge(ctx context.Context) error {
	address := a.cfg.TLS.ACME.HTTPListen
	if address == "" {
		return nil
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("tls.acme.http_listen: %w", err)
	}
	server := &http.Server{
		Handler: a.tls.HTTPChallenge(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	a.spawn(func() {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("the listener for ACME ended", "error", err)
		}
	})
	a.spawn(func() {
		<-ctx.Done()
		_ = server.Close()
	})
	return nil
}

// watchSigning logs, once a day at least, why an admin must act for the keys.
func (a *App) watchSigning(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	last := ""
	for {
		if s := a.manager.Status(); s.Alarm != last { // the text counts the days
			if last = s.Alarm; last != "" {
				a.log.Error("ALARM: signing keys", "alarm", last)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
