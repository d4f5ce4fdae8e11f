package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"sallyport/cmd/internal/config"
	"sallyport/cmd/internal/telemetry"
	"sallyport/federation"
	"sallyport/federation/partner"
	"sallyport/federation/saml"
)

// partners keeps the metadata of the parties that are set up from it. A reload
// replaces the keeper.
type partners struct {
	metrics *partner.Metrics

	mu     sync.Mutex
	keeper *partner.Keeper
	stop   func() // ends the running keeper and waits for it; nil before the start
}

// MetadataKeeper makes a keeper of the settings' parties and loads what lies on the
// disk. changed, metrics and the other parts of base are the caller's.
func MetadataKeeper(cfg *config.Config, base partner.KeeperConfig) (*partner.Keeper, error) {
	base.Directory = cfg.SAML.MetadataDir
	for i := range cfg.RelyingParties {
		rp := &cfg.RelyingParties[i]
		if !rp.UsesMetadata() {
			continue
		}
		s, err := metadataSource(cfg, rp)
		if err != nil {
			return nil, fmt.Errorf("relying party %s: %w", rp.Key, err)
		}
		base.Sources = append(base.Sources, s)
	}
	k := partner.NewKeeper(base)
	return k, k.Load()
}

func metadataSource(cfg *config.Config, rp *config.RelyingParty) (partner.Source, error) {
	s := partner.Source{
		Key: rp.Key, Identifiers: rp.Identifiers, File: rp.MetadataFile, URL: rp.MetadataURL, SHA256: rp.MetadataSHA256,
		Client: &partner.Client{AllowPrivate: rp.MetadataPrivate},
	}
	var err error
	if s.Certificates, err = rp.MetadataCertificates(); err != nil {
		return s, err
	}
	if s.Client.Roots, err = rp.MetadataRoots(); err != nil {
		return s, err
	}
	hand, err := samlParty(*rp)
	if err != nil {
		return s, err
	}
	s.Check = func(e *partner.Entity) error {
		p, err := e.Party(hand, metadataOptions(cfg, rp))
		if err == nil {
			_, err = saml.NewRegistry(p)
		}
		return err
	}
	return s, nil
}

func metadataOptions(cfg *config.Config, rp *config.RelyingParty) partner.Options {
	return partner.Options{
		Persistent: cfg.SAML.PersistentIDSecretFile != "", NeverEncrypt: rp.SAML.Encrypt == "never",
		Private: rp.MetadataPrivate || rp.MetadataFile != "", // an admin has put the file there
	}
}

// described completes a party by its metadata; nil when there is none that is valid
// now, and nobody can sign in there.
func described(cfg *config.Config, rp *config.RelyingParty, hand *saml.Party, k *partner.Keeper) (*saml.Party, error) {
	e := k.Entity(rp.Key)
	if e == nil {
		return nil, nil
	}
	return e.Party(hand, metadataOptions(cfg, rp))
}

// newKeeper makes the keeper for settings that are to be put into force.
func (a *App) newKeeper(cfg *config.Config) (*partner.Keeper, error) {
	return MetadataKeeper(cfg, partner.KeeperConfig{
		Changed: a.partnersChanged, Metrics: a.partners.metrics, Logger: a.log, Now: a.now,
	})
}

// newQuery makes the query for parties that nobody has registered, nil when nobody is
// asked.
func (a *App) newQuery(cfg *config.Config, k *partner.Keeper) (*partner.Query, error) {
	template := cfg.Found()
	if template == nil {
		return nil, nil
	}
	q := cfg.MetadataQuery
	c := partner.QueryConfig{
		URL: q.URL, Hashed: q.Hashed, Client: &partner.Client{AllowPrivate: q.Private}, Keeper: k,
		Never: registeredNames(cfg), Most: q.MaxParties, Now: a.now,
		Check: func(e *partner.Entity) error {
			p, err := foundParty(cfg, *template, e)
			if err == nil {
				_, err = saml.NewRegistry(p)
			}
			return err
		},
	}
	var err error
	if c.Certificates, err = cfg.QueryCertificates(); err != nil {
		return nil, cfg.At("metadata_query.certificate_file", err)
	}
	if c.Client.Roots, err = cfg.QueryRoots(); err != nil {
		return nil, cfg.At("metadata_query.ca_file", err)
	}
	query := partner.NewQuery(c)
	if !a.opts.Beside {
		query.Restore()
	}
	return query, nil
}

// registeredNames are the entity ids that no query may describe: this service's own,
// Microsoft's, and those of the settings' parties, whose own rules hold also while
// their metadata is missing.
func registeredNames(cfg *config.Config) []string {
	names := append(samlIssuers(cfg), federation.MicrosoftOnline)
	for i := range cfg.RelyingParties {
		names = append(names, cfg.RelyingParties[i].Identifiers...)
	}
	return names
}

// discover looks for a party that nobody has registered. The zero client is this
// service itself.
func (a *App) discover(ctx context.Context, client netip.Addr, entity string) error {
	l := a.live.Load()
	if l.query == nil {
		return errNotAsked
	}
	if err := l.query.Find(ctx, client, entity); err != nil {
		return err
	}
	if a.live.Load().saml.ByEntity(entity) == nil {
		a.partnersChanged()
	}
	return nil
}

var errNotAsked = errors.New("no metadata query service is asked")

// watchPartners lets the keeper of the settings in force run, and ends the one
// before.
func (a *App) watchPartners(k *partner.Keeper) {
	p := &a.partners
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keeper = k
	if a.run == nil { // before Start
		return
	}
	if p.stop != nil {
		p.stop()
	}
	ctx, cancel := context.WithCancel(a.run)
	done := make(chan struct{})
	a.spawn(func() { defer close(done); k.Run(ctx) })
	p.stop = func() { cancel(); <-done }
}

// partnersChanged puts changed metadata into force: the registry is made anew from
// the settings in force.
func (a *App) partnersChanged() {
	a.swapping.Lock()
	defer a.swapping.Unlock()
	next := *a.live.Load()
	registry, err := SAMLParties(next.settings, next.parties, next.keeper)
	if err != nil { // each party was tried alone before
		a.log.Error("changed metadata of parties cannot be put into force; what was before stays", "error", err)
		return
	}
	next.saml = registry
	a.live.Store(&next)
}

// partnersHealth reports parties whose metadata is missing or gets old.
func (a *App) partnersHealth(context.Context) telemetry.Report {
	a.partners.mu.Lock()
	k := a.partners.keeper
	a.partners.mu.Unlock()
	if k == nil {
		return telemetry.Report{State: telemetry.OK}
	}
	return degraded("metadata of parties: ", k.Trouble())
}
