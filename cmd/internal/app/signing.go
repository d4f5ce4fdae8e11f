package app

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"sallyport/authn/audit"
	"sallyport/authn/redisstore"
	"sallyport/certs"
	"sallyport/certs/keystore"
	"sallyport/cmd/internal/config"
	"sallyport/cmd/internal/telemetry"
	"sallyport/federation/domain"
	"sallyport/federation/metadata"
	"sallyport/federation/token"
	"sallyport/federation/web"
)

// SigningStores returns where the life cycle of the signing keys is recorded and
// where the private keys lie. shared is needed for signing.share: redis. A module is
// opened when a key is needed: see [keystore.Late].
func SigningStores(cfg *config.Config, shared *redisstore.Store) (certs.Store, certs.KeyStore, error) {
	s := cfg.Signing
	secret, err := s.KeyEncryption()
	if err != nil {
		return nil, nil, cfg.At("signing.key_encryption_file", err)
	}
	if s.Share == "redis" {
		if shared == nil {
			return nil, nil, cfg.At("signing.share", errors.New("redis needs sessions.store: redis"))
		}
		sealed, err := keystore.NewSealed(blobs{shared}, secret)
		if err != nil {
			return nil, nil, err
		}
		mirror := keystore.NewMirror(sealed, s.KeyDir, secret)
		return mirror, mirror, nil
	}
	ledger := certs.NewDirStore(s.KeyDir)
	if !s.PKCS11.On() {
		return ledger, keystore.NewFiles(s.KeyDir, secret), nil
	}
	return ledger, keystore.NewLate(func() (certs.KeyStore, error) {
		pin, err := s.PKCS11.PIN()
		if err != nil {
			return nil, cfg.At("signing.pkcs11.pin_file", err)
		}
		module, err := keystore.OpenModule(keystore.ModuleConfig{Path: s.PKCS11.ModuleFile, Token: s.PKCS11.Token, PIN: string(pin)})
		if err != nil {
			return nil, cfg.At("signing.pkcs11", err)
		}
		return module, nil
	}), nil
}

// blobs lets the sealed store use Redis.
type blobs struct{ s *redisstore.Store }

func (b blobs) Blob(ctx context.Context, name string) ([]byte, error) { return b.s.Document(ctx, name) }

func (b blobs) SwapBlob(ctx context.Context, name string, old, next []byte) (bool, error) {
	return b.s.SwapDocument(ctx, name, old, next)
}

// SigningPolicy translates when keys are made and promoted.
func SigningPolicy(cfg *config.Config) certs.Policy {
	s := cfg.Signing
	return certs.Policy{
		Manual: s.Manual(), StageBefore: s.StageBefore, PromoteAfter: s.PromoteAfter, PartyTime: s.PartyTime,
		AlarmBefore: s.AlarmBefore, RetireFor: s.RetireFor, Bits: s.KeyBits,
	}
}

// SigningParties are the relying parties as the life cycle of keys sees them. A
// domain of Microsoft 365 is pushed to where Graph is set up; without it an admin
// must say that the domain holds a certificate, since nobody promises that
// Microsoft reads it by itself.
func SigningParties(cfg *config.Config) []certs.Party {
	var list []certs.Party
	for _, d := range cfg.Microsoft365.Domains {
		on := cfg.Microsoft365.Graph.On()
		list = append(list, certs.Party{Key: d.Name, Name: "Microsoft 365, " + d.Name, Pushed: on, ByHand: !on})
	}
	for _, rp := range cfg.RelyingParties {
		list = append(list, certs.Party{Key: rp.Key, Name: cmp.Or(rp.Name, rp.Key), Single: rp.SingleCertificate})
	}
	return list
}

// SigningHand is what commands change the keys with.
func SigningHand(cfg *config.Config, shared *redisstore.Store, by string) (*certs.Hand, error) {
	store, keys, err := SigningStores(cfg, shared)
	if err != nil {
		return nil, err
	}
	return &certs.Hand{
		Store: store, Keys: keys, Policy: SigningPolicy(cfg), Parties: SigningParties(cfg), Host: cfg.Host(), By: by,
	}, nil
}

// buildSigning makes the life cycle of the keys and puts in force what it says now.
func (a *App) buildSigning() error {
	store, keys, err := SigningStores(a.cfg, a.store)
	if err != nil {
		return err
	}
	if late, ok := keys.(*keystore.Late); ok {
		if err := late.Ready(); err != nil {
			return err
		}
	}
	if a.opts.WrapSigning != nil {
		store, keys = a.opts.WrapSigning(store, keys)
	}
	initial, err := a.initialKey()
	if err != nil {
		return err
	}
	cfg := certs.ManagerConfig{
		Store: store, Keys: keys, Instance: a.cfg.InstanceName(), Policy: SigningPolicy(a.cfg), Host: a.cfg.Host(),
		Parties: a.signingParties, Apply: a.applyKeys, Audit: a.recordKeyEvent,
		Generate: a.cfg.Signing.Generate && !a.opts.Beside, Initial: initial,
		Poll: a.opts.SigningPoll, Logger: a.log, Now: a.now, Steady: a.opts.Steady,
	}
	if a.cfg.Microsoft365.Graph.On() {
		client, err := a.graphClient()
		if err != nil {
			return err
		}
		cfg.Trust = graphTrust{client, a.cfg.Microsoft365.Graph.KeepInStep, store, a.lookAtDomains}
		cfg.Prove = a.proveToDomain
	}
	if a.manager, err = certs.NewManager(cfg); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := a.manager.Start(ctx); err != nil {
		return err
	}
	a.keys = a.manager.Keys()
	return nil
}

// initialKey is the pair of the settings, which becomes the first key where there is
// none yet.
func (a *App) initialKey() (*certs.Key, error) {
	s := a.cfg.Signing
	if s.KeyFile == "" || a.opts.Beside {
		return nil, nil
	}
	secret, err := s.KeyEncryption()
	if err != nil {
		return nil, a.cfg.At("signing.key_encryption_file", err)
	}
	key, _, err := certs.Load(certs.Config{KeyFile: s.KeyFile, CertificateFile: s.CertificateFile, Passphrase: secret, Now: a.now})
	if err != nil {
		// It matters only where there is no ledger yet; Start says then that there is no
		// key, and the log why.
		a.log.Warn("the key is not taken over", "error", a.cfg.At("signing.key_file", err))
		return nil, nil
	}
	return key, nil
}

func (a *App) signingParties() []certs.Party {
	if l := a.live.Load(); l != nil {
		return l.keyParties
	}
	return SigningParties(a.cfg)
}

// recordKeyEvent writes a change of the keys into the audit trail.
func (a *App) recordKeyEvent(ctx context.Context, e certs.Event) error {
	code, ok := map[string]audit.Code{
		certs.ActionStaged: audit.KeyStaged, certs.ActionImported: audit.KeyStaged, certs.ActionPublished: audit.KeyPublished,
		certs.ActionPromoted: audit.KeyPromoted, certs.ActionGone: audit.KeyRetired, certs.ActionDiscarded: audit.KeyRetired,
		certs.ActionEmergency: audit.KeysReplaced, certs.ActionTold: audit.PartyTold,
	}[e.Action]
	if !ok {
		code = audit.KeyLoaded
	}
	detail := e.Action + " by " + e.By
	if e.Detail != "" {
		detail += ": " + e.Detail
	}
	return a.audit.Record(ctx, &audit.Event{Time: e.At, Code: code, KeyID: e.ID, Detail: detail})
}

// applyKeys puts a key set in force: tokens and metadata change together. Before the
// front is built there is nothing to change.
func (a *App) applyKeys(current *certs.Key, others []*certs.Key) error {
	a.swapping.Lock()
	defer a.swapping.Unlock()
	keys := append([]*certs.Key{current}, others...)
	old := a.live.Load()
	if old == nil {
		a.inForce = keys
		return nil
	}
	signer, err := token.NewSigner(current.Signer, current.Certificate)
	if err != nil {
		return err
	}
	if err := a.publishMetadata(old.settings, signer, keys); err != nil {
		return err
	}
	next := *old
	next.signer = signer
	a.live.Store(&next)
	a.inForce = keys
	return nil
}

func (a *App) publishMetadata(cfg *config.Config, signer *token.Signer, keys []*certs.Key) error {
	var published []*x509.Certificate
	for _, k := range keys {
		published = append(published, k.Certificate)
	}
	p := samlMetadata(activeMetadata(metadata.Params{
		EntityID: cfg.Issuer, PublicURL: cfg.PublicURL, DisplayName: cfg.SigninPage.Organisation,
		Signer: signer, Signing: published, Claims: metadata.Microsoft365Claims(),
	}, cfg), cfg)
	if err := a.metadata.Publish(p); err != nil || p.SAML == nil {
		return err
	}
	p.SAMLOnly = true
	return a.metadataSAML.Publish(p)
}

// serveMetadata answers, and notes what a party holds from now on. Anybody can write
// ?party=KEY, and who passes for a party would have keys promoted before it knows them:
// only a whole answer to the party's own address counts, for what was listed before it
// began.
func (a *App) serveMetadata(h *metadata.Handler, w http.ResponseWriter, r *http.Request) {
	var listed []string
	party := r.URL.Query().Get("party")
	counts := party != "" && a.manager != nil && h.Document() != nil && r.Method == http.MethodGet && r.Header.Get("Range") == "" &&
		a.readsAs(party, web.From(r.Context()).Client)
	if counts {
		a.swapping.Lock()
		for _, k := range a.inForce {
			listed = append(listed, k.ID)
		}
		a.swapping.Unlock()
	}
	h.ServeHTTP(w, r)
	if counts {
		a.manager.Fetched(party, listed)
	}
}

// readsAs reports whether the relying party reads the metadata from the address.
func (a *App) readsAs(party string, client netip.Addr) bool {
	for _, rp := range a.live.Load().settings.RelyingParties {
		if rp.Key == party {
			return slices.ContainsFunc(rp.MetadataFrom, func(p netip.Prefix) bool { return p.Contains(client) })
		}
	}
	return false
}

// signingHealth is failed only for what another instance does better: an instance
// without the key that the fleet signs with.
func (a *App) signingHealth(context.Context) telemetry.Report {
	s := a.manager.Status()
	switch {
	case s.Lacking != "":
		return telemetry.Report{State: telemetry.Failed, Reason: s.Lacking}
	case s.Alarm != "":
		return telemetry.Report{State: telemetry.Degraded, Reason: s.Alarm}
	case len(s.Troubles) > 0:
		return telemetry.Report{State: telemetry.Degraded, Reason: s.Troubles[0]}
	}
	return telemetry.Report{State: telemetry.OK}
}

// graphTrust reaches the domains of Microsoft 365.
type graphTrust struct {
	client *domain.Client
	write  bool
	store  certs.Store
	// pushed hears that something was written.
	pushed func()
}

// Slots implements [certs.Trust].
func (g graphTrust) Slots(ctx context.Context, party string) (certs.Slots, error) {
	signing, next, err := g.client.Slots(ctx, party)
	return certs.Slots{Current: signing, Next: next}, err
}

// Push implements [certs.Trust].
func (g graphTrust) Push(ctx context.Context, party string, want certs.Slots) error {
	if !g.write {
		return errors.New("Microsoft does not hold the certificates of now, and microsoft365.graph.keep_in_step is false: run sallyport domain update " + party)
	}
	l, err := g.store.Load(ctx)
	if err != nil {
		return err
	}
	own, err := OwnOf(l)
	if err != nil {
		return err
	}
	if err := g.client.Push(ctx, party, want.Current, want.Next, own.All()); err != nil {
		return err
	}
	g.pushed()
	return nil
}
