package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sallyport/authn/directory"
	"sallyport/authn/lockout"
	"sallyport/authn/redisstore"
	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
)

// redis tries every command that sessions need.
func (r *report) redis(ctx context.Context, cfg *config.Config, log *slog.Logger) {
	if cfg.Sessions.Store != "redis" {
		r.add(good, "sessions", "in memory: this is the only instance", "")
		return
	}
	rc, err := app.RedisConfig(cfg)
	if err != nil {
		r.add(bad, "redis", err.Error(), "")
		return
	}
	rc.Logger = log
	store, err := redisstore.New(rc)
	if err != nil {
		r.add(bad, "redis", err.Error(), "")
		return
	}
	defer store.Close()
	fine := 0
	for _, f := range store.SelfTest(ctx) {
		switch {
		case f.Problem == "":
			fine++
		case f.Fatal:
			r.add(bad, "redis", f.Step+": "+f.Problem, f.Advice)
		default:
			r.add(warn, "redis", f.Step+": "+f.Problem, f.Advice)
		}
	}
	if fine > 0 {
		r.add(good, "redis", fmt.Sprintf("%s: %d of the self-test's steps", cfg.Sessions.Redis.URL, fine), "")
	}
}

// directory probes every domain controller, then the lockout policies.
func (r *report) directory(ctx context.Context, cfg *config.Config, log *slog.Logger) {
	dc, err := app.DirectoryConfig(cfg)
	if err != nil {
		r.add(bad, "directory", err.Error(), "")
		return
	}
	dc.Logger = log
	d, err := directory.New(dc)
	if err != nil {
		r.add(bad, "directory", err.Error(), "")
		return
	}
	defer func() {
		if err := d.Close(); err != nil {
			r.add(warn, "directory", err.Error(), "")
		}
	}()
	reachable := map[string]bool{}
	for _, p := range d.Probe(ctx) {
		where := p.Domain
		if p.Server != "" {
			where = strings.SplitN(p.Server, ":", 2)[0]
		}
		v := good
		switch {
		case !p.OK:
			v = bad
		case p.Warning:
			v = warn
		}
		if p.OK && p.Step == directory.StepService {
			reachable[p.Domain] = true
		}
		r.add(v, fmt.Sprintf("%s %s", where, p.Step), p.Found, p.Remedy)
	}
	if err := d.Start(ctx); err != nil {
		r.add(bad, "directory", err.Error(), "")
		return
	}
	for _, dom := range cfg.Directory.Domains {
		if reachable[dom.Name] {
			r.lockout(ctx, cfg, d, dom.Name)
		}
	}
	if len(reachable) == len(cfg.Directory.Domains) {
		r.groups(ctx, cfg, d)
	}
}

// groups looks for the groups that claim rules and access lists name.
func (r *report) groups(ctx context.Context, cfg *config.Config, d *directory.Directory) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	found := 0
	for _, g := range app.NamedGroups(cfg) {
		switch sid, err := d.GroupSID(ctx, g.Value); {
		case err != nil:
			r.add(bad, "group "+g.Value, err.Error(), "")
		case sid == "":
			r.add(warn, "group "+g.Value, "there is no such security group ("+g.Field+")", "correct the name, or make the group; while it is missing a rule gives nothing, and deny_groups refuses everybody")
		default:
			found++
		}
	}
	if found > 0 {
		r.add(good, "groups", fmt.Sprintf("%d groups of the claim rules exist", found), "")
	}
}

// lockout compares our threshold with the domain's.
func (r *report) lockout(ctx context.Context, cfg *config.Config, d *directory.Directory, domain string) {
	what := domain + " lockout"
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	lc := app.LockoutConfig(cfg)
	var policy *lockout.Policy
	p, err := d.LockoutPolicy(ctx, domain)
	if err == nil {
		policy = &lockout.Policy{Threshold: p.Threshold, Window: p.Window, Duration: p.Duration}
	}
	limits := lc.LimitsFor(policy)
	advice, refused := lc.Check(domain, policy)
	switch {
	case refused != nil:
		r.add(bad, what, refused.Error(), "set lockout.threshold below the directory's, or leave it out")
	case advice != "":
		r.add(warn, what, advice, "")
	default:
		r.add(good, what, fmt.Sprintf("the directory locks after %s, this service refuses after %d in %s", wrong(p.Threshold), limits.Threshold, limits.Window), "")
	}
	// Where the domain itself locks, its probe has said this.
	if err == nil && p.Threshold == 0 && p.SettingsObjects == 0 && cfg.Lockout.LowestADThreshold == 0 {
		r.add(warn, what, "no password settings object (PSO) can be read; there may be stricter ones", "write the lowest threshold of all PSOs into lockout.lowest_ad_threshold")
	}
}

func wrong(threshold int) string {
	if threshold == 0 {
		return "never"
	}
	return fmt.Sprintf("%d wrong passwords", threshold)
}
