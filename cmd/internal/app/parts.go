package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sallyport/authn/audit"
	"sallyport/authn/directory"
	"sallyport/authn/lockout"
	"sallyport/authn/password"
	"sallyport/authn/redisstore"
	"sallyport/authn/seal"
	"sallyport/authn/session"
	"sallyport/certs"
	"sallyport/cmd/internal/auditlog"
	"sallyport/cmd/internal/config"
	"sallyport/cmd/internal/telemetry"
	"sallyport/federation/claims"
)

// accountAge is how old an account's data may be when a session gets a token.
const accountAge = 15 * time.Minute

// anchorInterval is how often all accounts are read to find shared source
// anchors, which no index of the directory tells.
const anchorInterval = time.Hour

func (a *App) buildAudit() error {
	key, err := a.cfg.Audit.ChainKey()
	if err != nil {
		return a.cfg.At("audit.chain_key_file", err)
	}
	c := a.cfg.Audit
	cfg := auditlog.Config{Required: c.Required, Buffer: c.Buffer, Logger: a.log, Registerer: a.registry, Now: a.now}
	if c.File != "" {
		a.auditFile = auditlog.NewFile(auditlog.FileConfig{
			Path: c.File, MaxSize: int64(c.RotateSize), Daily: c.RotateDaily, NoSync: c.NoSync, ChainKey: key, Logger: a.log, Now: a.now,
		})
		switch err := a.auditFile.Open(); {
		case err != nil && !c.Required && auditlog.Passing(err):
			// Sign-in goes on; events wait until the disk takes them.
			a.log.Error("audit file cannot be written", "error", err)
		case err != nil:
			return a.auditTrouble(err)
		}
		cfg.Sinks = append(cfg.Sinks, a.auditFile)
	}
	if c.Stdout {
		cfg.Sinks = append(cfg.Sinks, &auditlog.Stdout{Writer: a.opts.Stdout})
	}
	a.audit, err = auditlog.New(cfg)
	return err
}

// auditTrouble says where the audit file is named, and what to do when there is no
// directory for it.
func (a *App) auditTrouble(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: make the directory and give it to the service's user: install -d -o sallyport -m 0750 %s", err, filepath.Dir(a.cfg.Audit.File))
	}
	return a.cfg.At("audit.file", err)
}

// signingPlace is the setting that keys with a life cycle come from.
func signingPlace(cfg *config.Config) string {
	if cfg.Signing.Share == "redis" {
		return "signing"
	}
	return "signing.key_dir"
}

// listenerPlace is the setting that the listener's certificate comes from.
func listenerPlace(cfg *config.Config) string {
	if cfg.TLS.CertificateFile != "" {
		return "tls.certificate_file"
	}
	return "tls"
}

func (a *App) buildKeys() error {
	if a.cfg.Signing.Living() && a.opts.Key == nil {
		if err := a.buildSigning(); err != nil {
			return a.cfg.At(signingPlace(a.cfg), err)
		}
	} else if err := a.fixedKey(); err != nil {
		return err
	}
	t := a.cfg.TLS
	if t.PlainHTTP {
		return nil
	}
	cfg := certs.ListenerConfig{CertificateFile: t.CertificateFile, KeyFile: t.KeyFile, Hosts: []string{a.cfg.Host()}, Now: a.now}
	if t.ACME.On() {
		roots, err := t.ACME.Roots()
		if err != nil {
			return a.cfg.At("tls.acme.ca_file", err)
		}
		cfg.ACME = &certs.ACMEConfig{Directory: t.ACME.DirectoryURL, Email: t.ACME.Email, Cache: t.ACME.CacheDir, Roots: roots}
	}
	l, err := certs.NewListener(cfg)
	if err != nil {
		return a.cfg.At(listenerPlace(a.cfg), err)
	}
	a.tls = l
	return nil
}

// fixedKey loads the one key of settings without a life cycle.
func (a *App) fixedKey() error {
	key, warnings := a.opts.Key, []certs.Warning(nil)
	if key == nil {
		secret, err := a.cfg.Signing.KeyEncryption()
		if err != nil {
			return a.cfg.At("signing.key_encryption_file", err)
		}
		if key, warnings, err = certs.Load(certs.Config{
			KeyFile: a.cfg.Signing.KeyFile, CertificateFile: a.cfg.Signing.CertificateFile, Generate: a.cfg.Signing.Generate && !a.opts.Beside,
			Passphrase: secret, Host: a.cfg.Host(), Bits: a.cfg.Signing.KeyBits, Now: a.now,
		}); err != nil {
			return a.cfg.At("signing.key_file", err)
		}
	}
	for _, w := range warnings {
		a.log.Warn("signing certificate", "advice", w.Message)
	}
	a.keys, a.inForce = certs.NewKeys(key), []*certs.Key{key}
	a.record(audit.KeyLoaded, "", "token-signing certificate "+key.ID)
	return nil
}

func (a *App) buildDirectory() error {
	cfg, err := DirectoryConfig(a.cfg)
	if err != nil {
		return err
	}
	cfg.Logger, cfg.Registerer, cfg.Now = a.log, a.registry, a.now
	if a.directory, err = directory.New(cfg); err != nil {
		return err
	}
	a.cache = directory.NewCache(a.directory, accountAge, 0)
	a.groups = claims.NewGroupIndex(a.directory, a.log, a.now)
	a.anchors = claims.NewAnchorIndex(a.directory, domainNames(a.cfg), a.log)
	return nil
}

func domainNames(cfg *config.Config) []string {
	var names []string
	for _, d := range cfg.Directory.Domains {
		names = append(names, d.Name)
	}
	return names
}

// masters returns the secrets that seal sessions and sign-in pages; a single
// instance without a secret file makes one that lives as long as it does.
func (a *App) masters() ([][]byte, error) {
	masters, err := a.cfg.Sessions.Masters()
	if err != nil {
		return nil, a.cfg.At("sessions.secret_file", err)
	}
	if len(masters) == 0 {
		masters = [][]byte{seal.NewMaster()}
	}
	return masters, nil
}

func lifetimes(s config.Sessions) session.Lifetimes {
	return session.Lifetimes{Absolute: s.Absolute, Idle: s.Idle, PersistentAbsolute: s.KeepSignedIn, PersistentIdle: s.KeepSignedIn}
}

func (a *App) buildSessions() error {
	if err := a.buildStore(); err != nil {
		return err
	}
	notes, ok := a.sessions.(session.Notes)
	if !ok {
		return fmt.Errorf("sessions.store: %T keeps no notes", a.sessions)
	}
	var err error
	a.revocations, err = session.NewRevocations(session.RevocationsConfig{
		Notes: notes, Lifetimes: lifetimes(a.cfg.Sessions), Now: a.now, Logger: a.log,
	})
	return err
}

func (a *App) buildStore() error {
	if a.cfg.Sessions.Store == "memory" {
		a.sessions = session.NewMemory(session.Config{Lifetimes: lifetimes(a.cfg.Sessions), Now: a.now})
		return nil
	}
	cfg, err := RedisConfig(a.cfg)
	if err != nil {
		return err
	}
	cfg.Logger, cfg.Registerer, cfg.Now = a.log, a.registry, a.now
	if a.store, err = redisstore.New(cfg); err != nil {
		return a.cfg.At("sessions.redis", err)
	}
	a.sessions = a.store
	return nil
}

// EndSessions ends all sessions of a person on every instance, whatever form the
// user name has, and returns whose they were, as NETBIOS\name.
func (a *App) EndSessions(ctx context.Context, user string) (string, error) {
	acc, err := a.directory.Resolve(ctx, user)
	if err != nil {
		return "", fmt.Errorf("the directory has no answer for %q: %w", user, err)
	}
	if err := a.revocations.EndAll(ctx, acc.ID); err != nil {
		return "", fmt.Errorf("the sessions of %s may live on, try again when the store answers: %w", acc.Name(), err)
	}
	e := &audit.Event{Time: a.now(), Code: audit.SessionsEnded, Account: acc.ID.String(), AccountName: acc.Name(), UPN: acc.UPN}
	if err := a.audit.Record(ctx, e); err != nil {
		a.log.Error("the end of all sessions of an account was not recorded", "account", acc.Name(), "error", err)
	}
	return acc.Name(), nil
}

// RedisConfig translates the sessions.redis section.
func RedisConfig(cfg *config.Config) (redisstore.Config, error) {
	masters, err := cfg.Sessions.Masters()
	if err != nil {
		return redisstore.Config{}, cfg.At("sessions.secret_file", err)
	}
	r := cfg.Sessions.Redis
	roots, err := r.Roots()
	if err != nil {
		return redisstore.Config{}, cfg.At("sessions.redis.ca_file", err)
	}
	out, err := redisstore.ParseURL(r.URL)
	if err != nil {
		return redisstore.Config{}, cfg.At("sessions.redis.url", err)
	}
	if r.User != "" {
		out.Username = r.User
	}
	out.Password = func() (string, error) {
		p, err := r.Password()
		return string(p), err
	}
	out.Prefix, out.Masters, out.Lifetimes = r.KeyPrefix, masters, lifetimes(cfg.Sessions)
	out.Documents = cfg.Signing.Share == "redis"
	if strings.HasPrefix(r.URL, "rediss:") {
		out.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: r.ServerName}
	}
	return out, nil
}

func (a *App) buildPasswords() error {
	cfg := LockoutConfig(a.cfg)
	cfg.Logger, cfg.Registerer, cfg.Now = a.log, a.registry, a.now
	a.gate = lockout.NewMemory(cfg)
	p, err := password.New(password.Config{
		Directory: a.directory, Gate: a.gate, Audit: a.audit, Budget: a.cfg.Directory.Limits.Attempt,
		Now: a.now, Logger: a.log, Registerer: a.registry,
	})
	a.passwords = p
	return err
}

// buildHealth adds what readiness looks at in every service.
func (a *App) buildHealth() error {
	a.health.Add("directory", a.directoryHealth)
	a.health.Add("clock", a.clockHealth)
	a.health.Add("certificates", a.certificateHealth)
	a.health.Add("lockout", a.lockoutHealth)
	a.health.Add("audit", func(context.Context) telemetry.Report { return degraded("", a.audit.Trouble()) })
	return errors.Join(register(a.registry, a.health.Collector()), register(a.registry, &certificateCollector{a}))
}

// buildFrontHealth adds what it looks at where federation is served.
func (a *App) buildFrontHealth() error {
	if a.manager != nil {
		a.health.Add("signing", a.signingHealth)
	}
	a.health.Add("metadata", a.partnersHealth)
	if a.store != nil {
		a.health.Add("sessions", func(context.Context) telemetry.Report {
			return degraded("Redis cannot be used, people sign in with their password each time: ", a.store.Down())
		})
	}
	return nil
}

// degraded reports err as something that other instances would not do better.
func degraded(prefix string, err error) telemetry.Report {
	if err == nil {
		return telemetry.Report{State: telemetry.OK}
	}
	return telemetry.Report{State: telemetry.Degraded, Reason: prefix + err.Error()}
}

func (a *App) lockoutHealth(context.Context) telemetry.Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	for domain, problem := range a.policyProblems {
		if problem != "" {
			return telemetry.Report{State: telemetry.Degraded, Reason: domain + ": " + problem}
		}
	}
	return telemetry.Report{State: telemetry.OK}
}

// readFile returns nil for an empty path.
func readFile(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	return os.ReadFile(path)
}
