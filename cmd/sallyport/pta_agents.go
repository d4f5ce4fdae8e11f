package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
	"sallyport/ptaagent"
)

// ptaAgents lists the tenant's agents and says which should not be there.
func ptaAgents(e env, cfg *config.Config, o ptaFlags) error {
	network, err := app.PTANetwork(cfg)
	if err != nil {
		return err
	}
	known := app.PTAKnown(cfg)
	id, err := app.PTAIdentity(cfg, time.Now())
	switch {
	case err == nil:
		known.Agents = append(known.Agents, id.Agent())
		o.tenant = cmp.Or(o.tenant, id.Tenant())
	case !errors.Is(err, ptaagent.ErrNoIdentity):
		return err
	case o.tenant == "":
		return errors.New("no agent is registered here, so say whose agents: --tenant GUID")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	r := ptaagent.Registration{Tenant: strings.ToLower(o.tenant), Cloud: app.PTACloud(cfg), Network: network}
	token, err := ptaToken(ctx, e, r, o)
	if err != nil {
		return err
	}
	list, err := ptaagent.Inventory(ctx, r.Cloud, network, r.Tenant, token)
	if err != nil {
		return err
	}
	if id != nil {
		if err := ptaagent.Complete(list, id.Agent()); err != nil {
			return err
		}
	}
	why := map[string]string{}
	for _, s := range known.Judge(list) {
		why[s.ID] = s.Why
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "AGENT\tSTATUS\tADDRESS\tMACHINE\tJUDGEMENT\n")
	for _, l := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", printable(l.ID), printable(cmp.Or(l.Status, "-")), printable(cmp.Or(l.Address, "-")), printable(l.Machine), cmp.Or(why[l.ID], "known"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(why) > 0 {
		return fmt.Errorf("%d of %d agents should not be there: if they are yours, name them in pta.agents; else see the page on pass-through authentication, at once", len(why), len(list))
	}
	return nil
}
