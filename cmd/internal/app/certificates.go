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
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"

	"sallyport/certs"
	"sallyport/cmd/internal/telemetry"
)

// warnBefore is how long before its end a certificate is reported.
const warnBefore = 15 * 24 * time.Hour

// inUse is a certificate that this service needs.
type inUse struct {
	use, what, thumbprint string
	end                   time.Time
	// warned: the check "signing" says more about it than a date.
	warned bool
}

// certificatesInUse lists them: those that tokens are signed with, the listener's, the
// roots that domain controllers are judged by, that of the application at Microsoft, and
// that of the agent.
func (a *App) certificatesInUse() []inUse {
	var list []inUse
	for i, k := range a.SigningCertificates() {
		u := inUse{use: "signing", what: "the token-signing certificate", thumbprint: k.ID, end: k.Certificate.NotAfter, warned: a.manager != nil}
		if i > 0 {
			u.use, u.warned = "signing_published", true
		}
		list = append(list, u)
	}
	if a.tls != nil {
		list = append(list, inUse{use: "listener", what: "the listener's certificate", thumbprint: a.tls.Thumbprint(), end: a.tls.NotAfter()})
	}
	for _, r := range a.ldapRoots() {
		list = append(list, inUse{use: "ldap_ca", what: "the root certificate " + r.Subject.String() + " of directory.ca_file", thumbprint: certs.Thumbprint(r), end: r.NotAfter})
	}
	if c := a.graph.cert; c != nil {
		list = append(list, inUse{
			use: "graph", what: "the certificate of the application at Microsoft (microsoft365.graph.certificate_file), without which domains are not kept in step,",
			thumbprint: certs.Thumbprint(c), end: c.NotAfter,
		})
	}
	if a.pta != nil {
		list = append(list, inUse{use: "pta_agent", what: "the certificate of the pass-through agent, which renews itself,", thumbprint: a.ptaIdentity.Thumbprint(), end: a.ptaIdentity.NotAfter()})
	}
	return list
}

// certificateWarnings says which certificates end soon, and what is wrong with a
// changed file.
func (a *App) certificateWarnings() []string {
	var list []string
	a.mu.Lock()
	if a.tlsProblem != nil {
		list = append(list, fmt.Sprintf("the listener's changed certificate cannot be used: %v", a.tlsProblem))
	}
	a.mu.Unlock()
	for _, u := range a.certificatesInUse() {
		left := u.end.Sub(a.now())
		switch {
		case u.warned || left >= warnBefore:
		case left < 0:
			list = append(list, fmt.Sprintf("%s (%s) ended on %s", u.what, u.thumbprint, u.end.UTC().Format(time.DateOnly)))
		default:
			list = append(list, fmt.Sprintf("%s (%s) ends in %d days, on %s", u.what, u.thumbprint, days(left), u.end.UTC().Format(time.DateOnly)))
		}
	}
	return list
}

// certificateHealth is degraded by warnings, never failed: other instances have the
// same certificates.
func (a *App) certificateHealth(context.Context) telemetry.Report {
	if list := a.certificateWarnings(); len(list) > 0 {
		return telemetry.Report{State: telemetry.Degraded, Reason: strings.Join(list, "; ")}
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
	for _, u := range c.a.certificatesInUse() {
		ch <- prometheus.MustNewConstMetric(certificateDays, prometheus.GaugeValue, left(u.end), u.use, u.thumbprint)
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
	settings := a.cfg
	if l := a.live.Load(); l != nil {
		settings = l.settings
	}
	data, err := readFile(settings.Directory.CAFile)
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

// challengeConns is how many connections the plain HTTP listener takes at a time: what
// floods it takes no file descriptors from the people who sign in.
const challengeConns = 256

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
	ln = netutil.LimitListener(ln, challengeConns)
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

// watchCertificates logs, once a day at least, why an admin must act for the keys, and
// which certificates end.
func (a *App) watchCertificates(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	alarm, warnings := "", ""
	for { // the texts count the days
		if a.manager != nil {
			if s := a.manager.Status(); s.Alarm != alarm {
				if alarm = s.Alarm; alarm != "" {
					a.log.Error("ALARM: signing keys", "alarm", alarm)
				}
			}
		}
		if now := strings.Join(a.certificateWarnings(), "; "); now != warnings {
			if warnings = now; warnings != "" {
				a.log.Warn("certificates", "warning", warnings)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
