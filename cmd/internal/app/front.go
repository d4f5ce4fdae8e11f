package app

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"sallyport/authn/seal"
	"sallyport/cmd/internal/config"
	"sallyport/cmd/internal/telemetry"
	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/metadata"
	"sallyport/federation/partner"
	"sallyport/federation/saml"
	"sallyport/federation/signin"
	"sallyport/federation/signin/pages"
	"sallyport/federation/token"
	"sallyport/federation/web"
	"sallyport/federation/wsfed"
	"sallyport/federation/wstrust"
)

// buildFront makes everything that browsers meet.
func (a *App) buildFront() error {
	var err error
	if a.partners.metrics, err = partner.NewMetrics(a.registry); err != nil {
		return err
	}
	l, err := a.buildLive(a.cfg)
	if err != nil {
		return err
	}
	a.live.Store(l)
	a.watchPartners(l.keeper)
	masters, err := a.masters()
	if err != nil {
		return err
	}
	box, err := seal.New(seal.PurposeTransaction, masters...)
	if err != nil {
		return err
	}
	samlResponder, err := a.samlResponder()
	if err != nil {
		return err
	}
	a.flow, err = signin.New(signin.Config{
		Passwords: cachingPasswords{a.passwords, a.cache}, Sessions: a.sessions, Accounts: accounts{a.cache},
		Responders: map[string]federation.Responder{"wsfed": &wsfed.Responder{
			Claims: func() wsfed.Claims { return a.live.Load().claims },
			Signer: func() *token.Signer { return a.live.Load().signer },
		}, "saml": samlResponder},
		Parties: a.party, Revoked: a.revocations.Revoked,
		Tell: func(w http.ResponseWriter, r *http.Request, out *federation.SignOut, parties []string, sub *federation.Subject) error {
			return a.saml.Propagate(w, r, out, parties, sub)
		},
		Resume: func(w http.ResponseWriter, r *http.Request) (bool, error) { return a.saml.Resume(w, r) },
		Origin: a.cfg.PublicURL, Seal: box, Audit: a.audit, Pages: a.live.Load().pages,
		Logger: a.log, Registerer: a.registry, Now: a.now,
	})
	if err != nil {
		return err
	}
	samlMessages, err := a.samlHandler(samlResponder, masters)
	if err != nil {
		return err
	}
	passive, err := wsfed.New(wsfed.Config{
		Parties: func() *wsfed.Registry { return a.live.Load().parties },
		Flow:    a.flow, OwnForm: signin.Owns, SAML: samlMessages, Audit: a.audit, Registerer: a.registry, Now: a.now,
	})
	if err != nil {
		return err
	}
	clients, err := a.buildActive(masters)
	if err != nil {
		return err
	}
	enhanced, err := a.buildEnhanced(masters)
	if err != nil {
		return err
	}
	a.edge, err = web.New(web.Config{
		Trust:  trust(a.cfg),
		Pages:  saml.Pages{Next: wstrust.Pages{Next: errorPages{a}, Now: a.now}, Realm: a.cfg.Host()},
		Logger: a.log, Registerer: a.registry, Now: a.now,
	}, passive, clients, a.saml, enhanced, a, web.Probe{Ready: a.ready})
	return err
}

// Routes implements [web.Mount] for what has no package of its own.
func (a *App) Routes(r *web.Router) {
	get := []string{http.MethodGet}
	r.Handle(web.Route{Name: "metadata", Path: metadata.Path, Methods: get, Handler: func(w http.ResponseWriter, r *http.Request) error {
		a.serveMetadata(a.metadata, w, r)
		return nil
	}})
	r.Handle(web.Route{Name: "saml_metadata", Path: metadata.SAMLPath, Methods: get, Handler: func(w http.ResponseWriter, r *http.Request) error {
		if a.metadataSAML.Document() == nil { // no SAML 2.0 party
			http.NotFound(w, r)
			return nil
		}
		a.serveMetadata(a.metadataSAML, w, r)
		return nil
	}})
	r.Handle(web.Route{Name: "assets", Path: pages.AssetPath + "{name}", Methods: get, Handler: func(w http.ResponseWriter, r *http.Request) error {
		return a.live.Load().pages.ServeAsset(w, r)
	}})
}

// ready is what balancers are told on the public listener.
func (a *App) ready() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return a.health.Ready(ctx).State != telemetry.Failed
}

func trust(cfg *config.Config) web.Trust {
	t := web.Trust{Hosts: []string{cfg.Host()}, Proxies: cfg.Proxy.Trusted, Inside: cfg.Networks.Inside, OnBehalf: cfg.Proxy.OnBehalf}
	if cfg.Proxy.Header == "forwarded" {
		t.Header = web.Forwarded
	}
	return t
}

// errorPages draws errors with the pages in force.
type errorPages struct{ a *App }

// Error implements [web.ErrorPage].
func (p errorPages) Error(w http.ResponseWriter, r *http.Request, info *web.Info, e *federation.Error) {
	p.a.live.Load().pages.Error(w, r, info, e)
}

// buildLive makes what a reload replaces, and publishes the metadata. The caller
// holds swapping until it has put the result in force.
func (a *App) buildLive(cfg *config.Config) (*live, error) {
	parties, err := Parties(cfg)
	if err != nil {
		return nil, err
	}
	keeper, err := a.newKeeper(cfg)
	if err != nil {
		return nil, err
	}
	query, err := a.newQuery(cfg, keeper)
	if err != nil {
		return nil, err
	}
	samlRegistry, err := SAMLParties(cfg, parties, keeper)
	if err != nil {
		return nil, err
	}
	set, err := a.buildPages(cfg)
	if err != nil {
		return nil, err
	}
	published := a.inForce
	signer, err := token.NewSigner(published[0].Signer, published[0].Certificate)
	if err != nil {
		return nil, err
	}
	engine, err := a.buildClaims(cfg)
	if err != nil {
		return nil, err
	}
	if err := a.publishMetadata(cfg, signer, published); err != nil {
		return nil, err
	}
	return &live{settings: cfg, keeper: keeper, query: query, parties: parties, relying: cfg.RelyingParties, pages: set, claims: engine, signer: signer, active: activeOf(cfg), keyParties: SigningParties(cfg),
		saml: samlRegistry, samlIssuers: samlIssuers(cfg)}, nil
}

func (a *App) buildClaims(cfg *config.Config) (*claims.Engine, error) {
	c := claims.Config{Issuer: cfg.Issuer, Rules: partyRules(cfg), Groups: a.groups, Anchors: a.anchors, PasswordChangeURL: cfg.SigninPage.ChangePasswordURL, Logger: a.log, Now: a.now}
	for _, d := range cfg.Microsoft365.Domains {
		c.Domains = append(c.Domains, claims.Domain{Name: d.Name, Issuer: d.Issuer, ObjectGUID: d.Anchor == "object-guid"})
	}
	engine, err := claims.New(c)
	if err == nil {
		a.groups.Want(watchedGroups(cfg))
	}
	return engine, err
}

// Parties makes the registry of relying parties from the settings.
func Parties(cfg *config.Config) (*wsfed.Registry, error) {
	var list []*federation.RelyingParty
	if len(cfg.Microsoft365.Domains) > 0 {
		m, err := wsfed.Microsoft365(wsfed.Microsoft365Config{
			Cloud: cfg.Microsoft365.Cloud, ReplyURLs: cfg.Microsoft365.ReplyURLs, TokenLifetime: cfg.Microsoft365.TokenLifetime,
			FrameOrigins: cfg.Microsoft365.FrameOrigins,
		})
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	for _, rp := range cfg.RelyingParties {
		if rp.Protocol == "saml" {
			continue
		}
		p := &federation.RelyingParty{
			Key: rp.Key, Name: rp.Name, Identifiers: rp.Identifiers, ReplyURLs: rp.ReplyURLs, StartURL: rp.StartURL,
			TokenType: federation.SAML11, TokenLifetime: rp.TokenLifetime, FormActions: rp.FormActions, FrameOrigins: rp.FrameOrigins,
			OwnNames: rp.NameID.Attribute != "",
		}
		if rp.TokenType == "saml20" {
			p.TokenType = federation.SAML20
		}
		list = append(list, p)
	}
	return wsfed.NewRegistry(list...)
}

func (a *App) buildPages(cfg *config.Config) (*pages.Set, error) {
	s := cfg.SigninPage
	public, err := url.Parse(cfg.PublicURL)
	if err != nil {
		return nil, fmt.Errorf("public_url: %w", err)
	}
	p := pages.Config{
		Org: s.Organisation, Host: public.Host, Accent: s.Accent, AccentDark: s.AccentDark, Help: s.HelpText,
		Links: pages.Links{Help: s.HelpURL, Privacy: s.PrivacyURL, Forgot: s.ForgotPasswordURL, Change: s.ChangePasswordURL}, Demo: a.opts.Demo, Banner: s.Banner,
	}
	if s.Language != "auto" {
		p.Language = s.Language
	}
	if p.Logo, err = readFile(s.LogoFile); err != nil {
		return nil, cfg.At("signin_page.logo_file", err)
	}
	if s.LogoDarkFile != s.LogoFile {
		if p.LogoDark, err = readFile(s.LogoDarkFile); err != nil {
			return nil, cfg.At("signin_page.logo_dark_file", err)
		}
	}
	switch s.KeepSignedIn {
	case "on":
		p.Keep = pages.KeepOn
	case "hidden":
		p.Keep = pages.KeepHidden
	}
	if d := cfg.Directory.Domains; len(d) > 0 && len(cfg.Microsoft365.Domains) > 0 {
		p.ExampleUPN = "name@" + cfg.Microsoft365.Domains[0].Name
		p.ExampleDown = d[0].NetBIOS + `\name`
	}
	return pages.New(p)
}
