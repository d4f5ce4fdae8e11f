package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
	"sallyport/federation/domain"
)

func graphClient(d *domainRun) (*domain.Client, error) { return app.GraphClient(d.cfg) }

// check judges the domains at Microsoft as `sallyport check` judges the rest.
func (d *domainRun) check(ctx context.Context) int {
	client, list, err := d.prepare(ctx)
	if err != nil {
		return d.fail(err)
	}
	defer client.Close()
	r := &report{e: d.env, json: d.json}
	r.domains(ctx, client, list)
	if len(d.names) == 0 {
		r.tenant(ctx, client, d.cfg, list)
	}
	return r.end()
}

// microsoft is the part of `sallyport check` that asks Microsoft.
func (r *report) microsoft(ctx context.Context, cfg *config.Config) {
	if !cfg.Microsoft365.Graph.On() {
		return
	}
	client, err := app.GraphClient(cfg)
	if err != nil {
		r.add(bad, "microsoft 365", err.Error(), "")
		return
	}
	defer client.Close()
	own, err := app.OwnCertificates(ctx, cfg)
	if err != nil {
		r.add(bad, "microsoft 365", err.Error(), "")
		return
	}
	list := app.DomainsWanted(cfg, own)
	r.domains(ctx, client, list)
	r.tenant(ctx, client, cfg, list)
}

// domains compares each domain.
func (r *report) domains(ctx context.Context, client *domain.Client, list []*domain.Wanted) {
	for _, w := range list {
		what := w.Domain + " at Microsoft"
		d, f, err := client.Read(ctx, w.Domain)
		if errors.Is(err, domain.ErrNotFound) {
			r.add(bad, what, "the tenant has no such domain", "add and verify it there, or take it out of microsoft365.domains")
			continue
		}
		if err != nil {
			r.add(bad, what, err.Error(), "")
			continue
		}
		v := domain.Compare(w, d, f)
		for _, row := range v.Rows {
			switch row.Severity {
			case domain.Foreign, domain.Broken:
				r.add(bad, what, row.Severity.String()+": "+row.Property+": "+orDash(row.Microsoft), row.Reason)
			case domain.Behind:
				r.add(warn, what, row.Property+": "+orDash(row.Microsoft), row.Reason)
			case domain.Note:
				r.add(good, what, row.Property+": "+orDash(row.Microsoft)+" ("+row.Reason+")", "")
			}
		}
		if v.Worst() < domain.Behind {
			r.add(good, what, "issuer, addresses and certificates are this service's", "")
		}
	}
}

// tenant judges what concerns all domains: the token validation policy, domains
// that the settings do not name, and the admins that would remain.
func (r *report) tenant(ctx context.Context, client *domain.Client, cfg *config.Config, list []*domain.Wanted) {
	var names []string
	for _, w := range list {
		names = append(names, w.Domain)
	}
	switch p, err := client.Policy(ctx); {
	case errors.Is(err, domain.ErrPermission):
		r.add(warn, "token validation policy", "the application may not read it", "grant it Policy.Read.All")
	case err != nil:
		r.add(warn, "token validation policy", err.Error(), "")
	default:
		v, row := good, p.Judge(names)
		if row.Severity > domain.Same {
			v = warn
		}
		r.add(v, "token validation policy", orDash(row.Microsoft), row.Reason)
	}
	r.strangers(ctx, client, cfg, names)
	upns, err := client.Admins(ctx)
	if err != nil {
		r.add(warn, "admins", "cannot be read: "+err.Error(), "see that one Global Administrator is at *.onmicrosoft.com")
		return
	}
	for _, name := range names {
		if len(domain.Outside(upns, name)) == 0 {
			r.add(bad, "admins", "no Global Administrator is outside "+name, "make one at *.onmicrosoft.com: when this service is down, nobody could take the federation back")
		}
	}
}

// strangers looks for federated domains of the tenant that send people here though
// the settings do not name them.
func (r *report) strangers(ctx context.Context, client *domain.Client, cfg *config.Config, names []string) {
	all, err := client.Domains(ctx)
	if err != nil {
		r.add(warn, "tenant's domains", err.Error(), "")
		return
	}
	for _, d := range all {
		if !d.Federated || slices.Contains(names, d.Name) || !d.Root {
			continue
		}
		f, err := client.Federation(ctx, d.Name)
		switch {
		case err != nil:
			r.add(warn, d.Name, "is federated, and its settings cannot be read: "+err.Error(), "")
		case hostOf(f.PassiveSignInURI) == cfg.Host():
			r.add(bad, d.Name, "Microsoft sends its people here, and the settings do not name it: they get no token", "write it into microsoft365.domains")
		default:
			r.add(good, d.Name, "is federated with another identity provider", "")
		}
	}
	r.add(good, "tenant's domains", fmt.Sprintf("%d", len(all)), "")
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// script prints PowerShell and asks nobody.
func (d *domainRun) script(ctx context.Context) int {
	action := domain.Action(d.names[0])
	if !slices.Contains([]domain.Action{domain.ActionFederate, domain.ActionUpdate, domain.ActionUnfederate}, action) {
		fmt.Fprintf(d.stderr, "sallyport domain script: there is no script for %q: write federate, update or unfederate\n", action)
		return exitUsage
	}
	var list []*domain.Wanted
	var err error
	if action == domain.ActionUnfederate {
		for _, n := range d.names[1:] {
			list = append(list, &domain.Wanted{Domain: n})
		}
	} else if list, err = d.wanted(ctx, d.names[1:]); err != nil {
		return d.fail(err)
	}
	text, err := domain.Script(action, d.cfg.Microsoft365.Cloud, d.cfg.Microsoft365.Graph.Tenant, list)
	if err != nil {
		return d.fail(err)
	}
	fmt.Fprint(d.stdout, text)
	d.noteStaged() // on standard error: the script may go to a file
	return exitGood
}
