package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/cmd/internal/config"
	"sallyport/cmd/internal/telemetry"
	"sallyport/ptaagent"
)

// PTACloud is the cloud that the pta section names.
func PTACloud(cfg *config.Config) ptaagent.Cloud {
	if cfg.PTA.Cloud == "usgov" {
		return ptaagent.USGov()
	}
	return ptaagent.Global()
}

// PTANetwork translates how the pta section reaches the cloud.
func PTANetwork(cfg *config.Config) (ptaagent.Network, error) {
	proxy, err := cfg.PTA.Proxy()
	if err != nil {
		return ptaagent.Network{}, fmt.Errorf("pta.proxy_url: %w", err)
	}
	roots, err := cfg.PTA.Roots()
	if err != nil {
		return ptaagent.Network{}, fmt.Errorf("pta.ca_file: %w", err)
	}
	return ptaagent.Network{Roots: roots, Proxy: proxy}, nil
}

// buildPTA makes the agent, where the settings ask for one. A directory in which no
// agent is registered yet does not stop the service: readiness says so.
func (a *App) buildPTA() error {
	if !a.cfg.PTA.Enabled {
		return nil
	}
	identity, err := ptaagent.LoadIdentity(a.cfg.PTA.StateDir, a.now())
	if errors.Is(err, ptaagent.ErrNoIdentity) {
		a.log.Error("pta: the agent does not run", "error", err)
		a.health.Add("pta", func(context.Context) telemetry.Report { return degraded("", ptaagent.ErrNoIdentity) })
		return nil
	}
	if err != nil {
		return fmt.Errorf("pta.state_dir: %w", err)
	}
	network, err := PTANetwork(a.cfg)
	if err != nil {
		return err
	}
	agent, err := ptaagent.New(ptaagent.Config{
		Identity: identity, Passwords: a.passwords, Audit: a.audit, Suffixes: a.cfg.PTASuffixes(), Cloud: PTACloud(a.cfg), Network: network,
		Concurrent: a.cfg.PTA.Concurrent, Delay: a.directory.RefusalDelay, Logger: a.log, Registerer: a.registry, Now: a.now,
	})
	if err != nil {
		return err
	}
	a.pta = agent
	a.health.Add("pta", func(context.Context) telemetry.Report {
		return degraded("pass-through authentication: ", agent.Trouble())
	})
	return errors.Join(
		register(a.registry, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sallyport_pta_certificate_expiry_timestamp_seconds", Help: "When the agent's certificate ends.",
		}, func() float64 { return float64(identity.NotAfter().Unix()) })),
		register(a.registry, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sallyport_pta_links", Help: "Signalling links that stand.",
		}, func() float64 {
			up := 0.0
			for _, l := range agent.Status().Links {
				if l.Listening {
					up++
				}
			}
			return up
		})),
	)
}

// startPTA runs the agent until ctx ends.
func (a *App) startPTA(ctx context.Context) {
	if a.pta != nil {
		a.spawn(func() { a.pta.Run(ctx) })
	}
}

// PTAStatus is the agent's status for the control socket, nil where none runs.
func (a *App) PTAStatus() any {
	if a.pta == nil {
		return nil
	}
	return a.pta.Status()
}
