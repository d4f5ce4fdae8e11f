package app

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"

	"sallyport/authn/audit"
	"sallyport/cmd/internal/telemetry"
	"sallyport/federation/domain"
)

// graphParts are there only with an application at Microsoft.
type graphParts struct {
	watch *domain.Watch
	cert  *x509.Certificate // the application's, nil when it has a secret
}

// buildWatch makes the tamper watch, where the settings have an application at
// Microsoft and do not switch it off.
func (a *App) buildWatch() error {
	g := a.cfg.Microsoft365.Graph
	if !g.On() || !g.Watch || a.opts.Beside {
		return nil
	}
	client, err := a.graphClient()
	if err != nil {
		return err
	}
	a.graph.watch, err = domain.NewWatch(domain.WatchConfig{
		Confirm: 6 * a.opts.SigningPoll, // by then every instance knows a key that another has made
		Client:  client, Wanted: a.domainsWanted, Changed: a.recordView, Interval: g.WatchInterval,
		Logger: a.log, Registerer: a.registry, Now: a.now,
	})
	if err != nil {
		return err
	}
	a.health.Add("microsoft365", func(context.Context) telemetry.Report {
		if trouble := a.graph.watch.Trouble(); trouble != "" {
			return telemetry.Report{State: telemetry.Degraded, Reason: trouble}
		}
		return telemetry.Report{State: telemetry.OK}
	})
	return nil
}

// lookAtDomains lets the watch compare soon, after this service has written something.
func (a *App) lookAtDomains() {
	if a.graph.watch != nil {
		a.graph.watch.Wake()
	}
}

// domainsWanted is what this service owns now, by the settings and keys in force.
func (a *App) domainsWanted() ([]*domain.Wanted, error) {
	own := Own{Signing: a.keys.Current().Certificate}
	if a.manager != nil {
		var err error
		if own, err = OwnOf(a.manager.Status().Ledger); err != nil {
			return nil, err
		}
	}
	return DomainsWanted(a.live.Load().settings, own), nil
}

// recordView keeps in the audit trail how a domain is at Microsoft, whenever that
// changes: who changed it there is in Microsoft's own trail at that time.
func (a *App) recordView(v domain.View) {
	detail := fmt.Sprintf("%s: %s", v.Domain, v.Worst())
	if reasons := v.Reasons(domain.Note); len(reasons) > 0 {
		detail += ": " + strings.Join(reasons, "; ")
	}
	if err := a.audit.Record(context.Background(), &audit.Event{
		Time: a.now(), Code: audit.DomainView, Party: "microsoft365", Reason: v.Worst().String(), Detail: detail,
	}); err != nil {
		a.log.Error("audit event of the service itself was not recorded", "code", string(audit.DomainView), "error", err)
	}
}
