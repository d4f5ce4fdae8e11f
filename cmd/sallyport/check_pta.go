package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
	"sallyport/ptaagent"
)

// pta judges the agent of pass-through authentication, where there is to be one.
func (r *report) pta(ctx context.Context, cfg *config.Config, offline bool) {
	const what = "pass-through agent"
	if !cfg.PTA.Enabled {
		return
	}
	id, err := app.PTAIdentity(cfg, time.Now())
	switch {
	case errors.Is(err, ptaagent.ErrNoIdentity):
		r.add(bad, what, "no agent is registered in "+cfg.PTA.StateDir, "run sallyport pta register as the service's user")
		return
	case err != nil:
		r.add(bad, what, err.Error(), remedyFor(err))
		return
	}
	found := fmt.Sprintf("%s of tenant %s, certificate %s", id.Agent(), id.Tenant(), days(id.NotAfter()))
	switch left := time.Until(id.NotAfter()); {
	case left <= 0:
		r.add(bad, what, found, "empty "+cfg.PTA.StateDir+" and run sallyport pta register again")
	case left < 14*24*time.Hour:
		r.add(warn, what, found, "it should have been renewed: sallyport pta status says why not")
	default:
		r.add(good, what, found, "")
	}
	if offline {
		return
	}
	network, err := app.PTANetwork(cfg)
	if err != nil {
		r.add(bad, what, err.Error(), "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if host, err := ptaagent.Reach(ctx, app.PTACloud(cfg), network, id.Tenant()); err != nil {
		r.add(bad, what, err.Error(), "")
	} else {
		r.add(good, what, host+" answers", "")
	}
}
