package app

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/authn"
	"sallyport/authn/directory"
	"sallyport/authn/lockout"
	"sallyport/authn/password"
	"sallyport/cmd/internal/config"
	"sallyport/cmd/internal/telemetry"
)

// policyInterval is how often the domains' lockout policies are read again.
const policyInterval = 10 * time.Minute

// DirectoryConfig translates the directory section. Commands that ask the
// directory without the whole service (check) use it too.
func DirectoryConfig(cfg *config.Config) (directory.Config, error) {
	roots, err := cfg.Directory.Roots()
	if err != nil {
		return directory.Config{}, cfg.At("directory.ca_file", err)
	}
	l := cfg.Directory.Limits
	dc := directory.Config{
		DefaultDomain: cfg.Directory.DefaultDomain, AllowBareNames: cfg.Directory.AllowBareNames, Roots: roots,
		LoginAttribute: cfg.Directory.LoginAttribute,
		Limits: directory.Limits{
			BindMax: l.BindMax, BindMin: l.BindMin, ServiceMax: l.ServiceMax, Idle: l.Idle, Age: l.Age,
			Dial: l.Dial, Bind: l.Bind, Search: l.Search, Wait: l.Wait, Attempt: l.Attempt,
		},
		Service: directory.Service{Name: cfg.Directory.ServiceAccount.Name, Passwords: servicePasswords(cfg.Directory.ServiceAccount)},
	}
	n := needsOf(cfg)
	dc.Attributes, dc.ReadGroups = n.attributes, n.groups
	for _, d := range cfg.Directory.Domains {
		dom := directory.DomainConfig{
			DNSName: d.Name, NetBIOS: d.NetBIOS, Site: d.Site, BaseDN: d.BaseDN, UPNSuffixes: d.UPNSuffixes, AllowRODC: d.AllowRODC,
			MinLockoutThreshold: cfg.Lockout.LowestADThreshold,
		}
		for _, s := range d.Servers {
			dom.Servers = append(dom.Servers, directory.ServerConfig{URL: s.URL, Address: s.Address})
		}
		dc.Domains = append(dc.Domains, dom)
	}
	return dc, nil
}

// servicePasswords reads the password files for every new connection, so that a
// changed password needs no restart. A file that cannot be read offers nothing.
func servicePasswords(a config.ServiceAccount) func() [][]byte {
	return func() [][]byte {
		list, err := a.Passwords()
		if err != nil {
			return nil
		}
		return list
	}
}

// LockoutConfig translates the lockout section.
func LockoutConfig(cfg *config.Config) lockout.Config {
	return lockout.Config{
		Threshold: cfg.Lockout.Threshold, Window: cfg.Lockout.Window, LowestPolicy: cfg.Lockout.LowestADThreshold, Unsafe: cfg.Lockout.Unsafe,
		Instances: cfg.Lockout.Instances,
	}
}

// watchPolicies reads each domain's lockout policy now and then, so that our
// threshold follows the directory's. It returns when ctx ends.
func (a *App) watchPolicies(ctx context.Context) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		next := policyInterval
		for _, d := range a.cfg.Directory.Domains {
			if !a.readPolicy(ctx, d.Name) {
				next = 15 * time.Second // a directory that was down comes back
			}
		}
		wait.Reset(next)
	}
}

func (a *App) readPolicy(ctx context.Context, domain string) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	p, err := a.directory.LockoutPolicy(ctx, domain)
	if err != nil {
		a.log.Debug("lockout policy of the domain cannot be read", "domain", domain, "error", err)
		a.gate.SetPolicy(domain, nil)
		if a.unread(domain) {
			a.setPolicyProblem(domain, policyUnread, nil)
		}
		return false
	}
	policy := &lockout.Policy{Threshold: p.Threshold, Window: p.Window, Duration: p.Duration}
	advice, err := LockoutConfig(a.cfg).Check(domain, policy)
	a.gate.SetPolicy(domain, policy)
	a.setPolicyProblem(domain, advice, err)
	return true
}

// policyUnread is said until a domain's lockout policy has been read once.
const policyUnread = "the domain's lockout policy has not been read yet; until then an account may have 3 wrong passwords (lockout.lowest_ad_threshold states a lower one)"

// unread reports whether a domain's lockout policy has never been read.
func (a *App) unread(domain string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	said, known := a.policyProblems[domain]
	return !known || said == policyUnread
}

// setPolicyProblem keeps what the lockout settings are told for readiness, and
// logs it when it changes.
func (a *App) setPolicyProblem(domain, advice string, err error) {
	text := advice
	if err != nil {
		text = err.Error()
	}
	a.mu.Lock()
	changed := a.policyProblems[domain] != text
	a.policyProblems[domain] = text
	a.mu.Unlock()
	if changed && text != "" {
		a.log.Warn("lockout settings", "domain", domain, "advice", text)
	}
}

// directoryHealth is failed only when no domain has a usable DC: then another
// instance may do better.
func (a *App) directoryHealth(context.Context) telemetry.Report {
	status := a.directory.Status()
	usable, reason := 0, ""
	for _, d := range status {
		if d.Usable {
			usable++
			continue
		}
		if reason != "" {
			reason += "; "
		}
		reason += d.Domain + ": " + domainTrouble(d)
	}
	switch {
	case usable == len(status):
		return telemetry.Report{State: telemetry.OK}
	case usable > 0:
		return telemetry.Report{State: telemetry.Degraded, Reason: reason}
	default:
		return telemetry.Report{State: telemetry.Failed, Reason: reason}
	}
}

func domainTrouble(d directory.DomainStatus) string {
	if d.ServiceAccount != "" {
		return "the service account is not accepted (" + d.ServiceAccount + ")"
	}
	for _, s := range d.Servers {
		if s.LastError != "" {
			return "no usable domain controller; " + s.Name + ": " + s.LastError
		}
	}
	return "no usable domain controller"
}

// clockHealth is degraded when a DC's clock is more than a minute off ours: all
// instances would share it, so none is taken out.
func (a *App) clockHealth(context.Context) telemetry.Report {
	for _, d := range a.directory.Status() {
		for _, s := range d.Servers {
			if s.ClockKnown && s.ClockOffset.Abs() > time.Minute {
				return telemetry.Report{State: telemetry.Degraded, Reason: fmt.Sprintf(
					"the clock of %s differs from this machine's by %s; tokens carry this machine's time: check NTP on both", s.Name, s.ClockOffset.Round(time.Second))}
			}
		}
	}
	return telemetry.Report{State: telemetry.OK}
}

// register adds a collector, if it is not there yet.
func register(reg *prometheus.Registry, c prometheus.Collector) error {
	if err := reg.Register(c); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// accounts answers sessions from the cache.
type accounts struct{ cache *directory.Cache }

// Account implements [signin.Accounts].
func (a accounts) Account(ctx context.Context, domain string, id authn.GUID, since time.Time) (*authn.Account, error) {
	acc, err := a.cache.Account(ctx, domain, id)
	if err != nil || !acc.ReadAt.Before(since) {
		return acc, err
	}
	a.cache.Drop(id)
	return a.cache.Account(ctx, domain, id)
}

// cachingPasswords keeps what a sign-in has just read, so that the session's
// next request need not ask again, and forgets what has proved to be old.
type cachingPasswords struct {
	pipeline *password.Pipeline
	cache    *directory.Cache
}

// Verify implements [signin.Passwords].
func (p cachingPasswords) Verify(ctx context.Context, at authn.Attempt, c authn.Credentials) authn.Result {
	res := p.pipeline.Verify(ctx, at, c)
	switch {
	case res.Account == nil:
	case res.Reason == authn.Accepted:
		p.cache.Put(res.Account)
	case res.Reason.ProvesPassword():
		p.cache.Drop(res.Account.ID)
	}
	return res
}
