package app

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"sallyport/authn/audit"
	"sallyport/cmd/internal/auditlog"
	"sallyport/cmd/internal/config"
	"sallyport/cmd/internal/telemetry"
)

// ErrRestart says that settings changed which only a restart brings into force;
// what may change live is in force.
var ErrRestart = errors.New("needs a restart")

// Reload reads the settings again and puts into force what may change while
// people sign in: relying parties, domains of Microsoft 365, pages, proxies,
// networks, log level, the roots of the directory, the listener's certificate
// and the audit file. With an error that is not [ErrRestart] nothing changes at all.
func (a *App) Reload(context.Context) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	if err := a.reload(); err != nil && !errors.Is(err, ErrRestart) {
		a.record(audit.SettingsBad, "", err.Error())
		a.log.Error("settings were not reloaded; the old ones stay in force", "error", err)
		return err
	} else if err != nil {
		a.record(audit.SettingsLoaded, "", err.Error())
		a.log.Warn("settings reloaded, but not all of them", "error", err)
		return err
	}
	a.record(audit.SettingsLoaded, "", "")
	a.log.Info("settings reloaded")
	return nil
}

func (a *App) reload() error {
	load := a.opts.Load
	if load == nil {
		load = func() (*config.Config, error) { return config.Load(a.cfg.Path) }
	}
	cfg, err := load()
	if err != nil {
		return err
	}
	level, err := telemetry.ParseLevel(cfg.Ops.LogLevel)
	if err != nil {
		return err
	}
	roots, err := cfg.Directory.Roots()
	if err != nil {
		return cfg.At("directory.ca_file", err)
	}
	if cfg.AgentAlone() != a.cfg.AgentAlone() {
		return errors.New("federation cannot begin or end while the service runs: restart it")
	}
	if cfg.PublicURL != a.cfg.PublicURL {
		// Host names, links and the check of a form's origin must agree, and the
		// last is fixed: in force by halves, it would keep everybody out.
		return fmt.Errorf("public_url cannot change while the service runs: restart it")
	}
	if err := a.reopenAudit(); err != nil {
		return err
	}
	var held []string
	if a.edge != nil {
		if held, err = a.reloadFront(cfg); err != nil {
			return err
		}
	}
	a.level.Set(level)
	a.directory.Reload(roots)
	if fixed := append(changedFixed(a.cfg, cfg), held...); len(fixed) > 0 {
		return fmt.Errorf("%s %w", strings.Join(fixed, ", "), ErrRestart)
	}
	return nil
}

// reloadFront puts what federation reads live into force, and returns what it holds
// back until a restart.
func (a *App) reloadFront(cfg *config.Config) (held []string, err error) {
	held = a.holdParties(cfg)
	l, err := a.swapLive(cfg)
	if err != nil {
		return nil, err
	}
	a.watchPartners(l.keeper)
	a.flow.SetPages(l.pages)
	if a.tls != nil {
		if _, err := a.tls.Reload(); err != nil {
			a.tlsChanged(err)
		}
	}
	a.watchAnchors(cfg)
	return held, nil
}

// swapLive puts new settings in force, with the keys that are in force.
func (a *App) swapLive(cfg *config.Config) (*live, error) {
	a.swapping.Lock()
	defer a.swapping.Unlock()
	l, err := a.buildLive(cfg)
	if err != nil {
		return nil, err
	}
	if err := a.edge.SetTrust(trust(cfg)); err != nil {
		return nil, err
	}
	a.live.Store(l)
	return l, nil
}

// reopenAudit lets the audit file follow a rotation from outside. Where sign-in may
// go on without the trail, a disk that is full does not stop a reload either.
func (a *App) reopenAudit() error {
	if a.auditFile == nil {
		return nil
	}
	err := a.auditFile.Reopen()
	if err != nil && !a.cfg.Audit.Required && auditlog.Passing(err) {
		a.log.Error("audit file cannot be written", "error", err)
		return nil
	}
	if err != nil {
		return a.auditTrouble(err)
	}
	return nil
}

// changedFixed names the sections that changed although they are read at start
// only.
func changedFixed(was, is *config.Config) []string {
	var names []string
	for _, s := range []struct {
		name    string
		was, is any
	}{
		{"listen", was.Listen, is.Listen}, {"tls", was.TLS, is.TLS}, {"proxy.proxy_protocol", was.Proxy.ProxyProtocol, is.Proxy.ProxyProtocol},
		{"directory", was.Directory, is.Directory}, {"sessions", was.Sessions, is.Sessions}, {"signing", was.Signing, is.Signing},
		{"microsoft365.graph", was.Microsoft365.Graph, is.Microsoft365.Graph},
		{"lockout", was.Lockout, is.Lockout}, {"saml", was.SAML, is.SAML}, {"audit", was.Audit, is.Audit}, {"pta", was.PTA, is.PTA},
		{"ops", [3]any{was.Ops.Listen, was.Ops.Control, was.Ops.Pprof}, [3]any{is.Ops.Listen, is.Ops.Control, is.Ops.Pprof}},
	} {
		if !reflect.DeepEqual(s.was, s.is) {
			names = append(names, s.name)
		}
	}
	return names
}
