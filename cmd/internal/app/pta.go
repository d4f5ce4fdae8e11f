package app

import (
	"context"
	"errors"

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

// PTAKnown are the agents that the pta section knows.
func PTAKnown(cfg *config.Config) ptaagent.Known {
	return ptaagent.Known{Agents: cfg.PTA.Agents, Networks: cfg.PTA.AgentNetworks}
}

// PTANetwork translates how the pta section reaches the cloud.
func PTANetwork(cfg *config.Config) (ptaagent.Network, error) {
	proxy, err := cfg.PTA.Proxy()
	if err != nil {
		return ptaagent.Network{}, cfg.At("pta.proxy_url", err)
	}
	roots, err := cfg.PTA.Roots()
	if err != nil {
		return ptaagent.Network{}, cfg.At("pta.ca_file", err)
	}
	return ptaagent.Network{Roots: roots, Proxy: proxy}, nil
}

// buildPTA makes the agent, where the settings ask for one. A directory in which no
// agent is registered yet does not stop the service: readiness says so.
func (a *App) buildPTA() error {
	if !a.cfg.PTA.Enabled || a.opts.Beside {
		return nil
	}
	identity, err := a.agentIdentity()
	if errors.Is(err, ptaagent.ErrNoIdentity) {
		a.log.Error("pta: the agent does not run", "error", err)
		a.health.Add("pta", func(context.Context) telemetry.Report { return degraded("", ptaagent.ErrNoIdentity) })
		return nil
	}
	if err != nil {
		return a.cfg.At("pta.state_dir", err)
	}
	network, err := PTANetwork(a.cfg)
	if err != nil {
		return err
	}
	inspection := ptaagent.Inspection{Known: PTAKnown(a.cfg)}
	if file := a.cfg.PTA.InventoryTokenFile; file != "" {
		inspection.Token = func() (string, error) { return ptaagent.ReadToken(file) }
	}
	agent, err := ptaagent.New(ptaagent.Config{
		Identity: identity, Passwords: a.passwords, Audit: a.audit, Suffixes: a.cfg.PTASuffixes(), Cloud: PTACloud(a.cfg), Network: network,
		Inspection: inspection, Concurrent: a.cfg.PTA.Concurrent, Delay: a.directory.RefusalDelay, Logger: a.log, Registerer: a.registry, Now: a.now,
	})
	if err != nil {
		return err
	}
	a.pta, a.ptaIdentity = agent, identity
	a.health.Add("pta", func(context.Context) telemetry.Report {
		return degraded("pass-through authentication: ", agent.Trouble())
	})
	return register(a.registry, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sallyport_pta_links", Help: "Signalling links that stand.",
	}, func() float64 { return float64(agent.Listening()) }))
}

func (a *App) agentIdentity() (*ptaagent.Identity, error) {
	if keys := a.opts.PTAKeys; keys != nil {
		return ptaagent.LoadIdentity(a.cfg.PTA.StateDir, keys, a.now())
	}
	return PTAIdentity(a.cfg, a.now())
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
