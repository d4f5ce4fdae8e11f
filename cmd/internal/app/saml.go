package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"sallyport/authn/seal"
	"sallyport/authn/session"
	"sallyport/cmd/internal/config"
	"sallyport/federation"
	"sallyport/federation/metadata"
	"sallyport/federation/partner"
	"sallyport/federation/saml"
	"sallyport/federation/signin"
	"sallyport/federation/token"
	"sallyport/federation/web"
	"sallyport/federation/wsfed"
)

// samlFormats translates saml.name_id_format.
var samlFormats = map[string]string{
	"unspecified": saml.FormatUnspecified, "email": saml.FormatEmail, "windows": saml.FormatWindows,
	"persistent": saml.FormatPersistent, "transient": saml.FormatTransient,
}

// What saml.encryption says, in the words of the standard.
var (
	samlContents   = map[string]string{"aes256-gcm": saml.AES256GCM, "aes128-gcm": saml.AES128GCM}
	samlTransports = map[string]string{"rsa-oaep-mgf1p": saml.OAEPMGF1, "rsa-oaep": saml.OAEP}
	samlDigests    = map[string]string{"sha1": saml.DigestSHA1, "sha256": saml.DigestSHA256}
	samlMasks      = map[string]string{"sha1": saml.MaskSHA1, "sha256": saml.MaskSHA256}
)

var samlBindings = map[string]string{"post": saml.BindingPost, "artifact": saml.BindingArtifact, "paos": saml.BindingPAOS}

// SAMLParties makes the registry of SAML 2.0 parties from the settings. The
// built-in party is Microsoft's one of the WS-Federation registry: a domain with
// protocol: saml opens this door too and does not close the other one, since
// Microsoft takes hours to change over.
// A party whose metadata is missing or has ended is not in it.
func SAMLParties(cfg *config.Config, passive *wsfed.Registry, k *partner.Keeper) (*saml.Registry, error) {
	var list []*saml.Party
	for _, d := range cfg.Microsoft365.Domains {
		if d.Protocol == "saml" {
			p, err := entra(cfg, passive)
			if err != nil {
				return nil, err
			}
			list = append(list, p)
			break
		}
	}
	for i := range cfg.RelyingParties {
		rp := &cfg.RelyingParties[i]
		if rp.Protocol != "saml" {
			continue
		}
		p, err := samlParty(*rp)
		if err == nil && rp.UsesMetadata() {
			p, err = described(cfg, rp, p, k)
		}
		if err != nil {
			return nil, fmt.Errorf("relying party %s: %w", rp.Key, err)
		}
		if p != nil {
			list = append(list, p)
		}
	}
	found, err := foundParties(cfg, k)
	if err != nil {
		return nil, err
	}
	return saml.NewRegistry(append(list, found...)...)
}

// entra is the built-in party with what the settings say of its messages.
func entra(cfg *config.Config, passive *wsfed.Registry) (*saml.Party, error) {
	p, s := saml.Microsoft365(passive.ByKey(wsfed.Microsoft365Key)), cfg.Microsoft365.SAML
	p.WantSigned, p.ValidOnly, p.SHA1 = s.SignedRequests, s.ValidCertificates, s.AllowSHA1
	var err error
	if p.Certificates, err = s.RequestCertificates(); err != nil {
		return nil, cfg.At("microsoft365.saml.request_certificates_file", err)
	}
	return p, nil
}

// foundParties are the parties that the metadata query service has described. One
// that cannot be set up any more, after a reload, is left out.
func foundParties(cfg *config.Config, k *partner.Keeper) ([]*saml.Party, error) {
	template := cfg.Found()
	if template == nil {
		return nil, nil
	}
	var list []*saml.Party
	for _, e := range k.Found() {
		if p, err := foundParty(cfg, *template, e); err == nil {
			list = append(list, p)
		}
	}
	return list, nil
}

// foundParty sets a party up from what the metadata query service says of it.
func foundParty(cfg *config.Config, template config.RelyingParty, e *partner.Entity) (*saml.Party, error) {
	template.Key, template.Identifiers = partner.QueryKey(e.ID), []string{e.ID}
	hand, err := samlParty(template)
	if err != nil {
		return nil, err
	}
	hand.Rules = config.FoundKey
	o := metadataOptions(cfg, &template)
	o.Private = cfg.MetadataQuery.Private
	return e.Party(hand, o)
}

func samlParty(rp config.RelyingParty) (*saml.Party, error) {
	s := rp.SAML
	p := &saml.Party{
		RelyingParty: federation.RelyingParty{
			Key: rp.Key, Name: rp.Name, Identifiers: rp.Identifiers, StartURL: rp.StartURL,
			TokenLifetime: rp.TokenLifetime, FormActions: rp.FormActions, FrameOrigins: rp.FrameOrigins,
			OwnNames: rp.NameID.Attribute != "",
		},
		WantSigned: s.SignedRequests, ValidOnly: s.ValidCertificates, SHA1: s.AllowSHA1, NameIDFormat: samlFormats[s.NameIDFormat],
		IgnoreContext: s.IgnoreContext, Unsolicited: s.IdPInitiated,
		Encryption: saml.Encryption{
			Content: samlContents[s.Encryption.Content], Transport: samlTransports[s.Encryption.Transport],
			Digest: samlDigests[s.Encryption.Digest], Mask: samlMasks[s.Encryption.Mask],
		},
	}
	switch s.Sign {
	case "assertion":
		p.Sign = saml.SignAssertion
	case "response":
		p.Sign = saml.SignResponse
	}
	if l := s.Logout; l.URL != "" {
		p.Logout = &saml.Logout{URL: l.URL, ResponseURL: l.ResponseURL, Binding: saml.BindingRedirect}
		switch l.Binding {
		case "post":
			p.Logout.Binding = saml.BindingPost
		case "soap":
			p.Logout.Binding = saml.BindingSOAP
		}
	}
	for _, a := range s.ACS {
		p.Consumers = append(p.Consumers, saml.Endpoint{URL: a.URL, Index: a.Index, Binding: samlBindings[a.Binding], Default: a.Default})
	}
	var err error
	if p.Certificates, err = s.RequestCertificates(); err != nil {
		return nil, err
	}
	p.Encrypt, err = s.EncryptionCertificate()
	return p, err
}

// party finds a relying party of either protocol by its key.
func (a *App) party(key string) *federation.RelyingParty {
	l := a.live.Load()
	if rp := l.parties.ByKey(key); rp != nil {
		return rp
	}
	if rp := l.saml.RelyingParty(key); rp != nil {
		return rp
	}
	// Another instance may have found it for this person's request.
	entity, found := partner.QueriedEntity(key)
	if !found || l.query == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := a.discover(ctx, netip.Addr{}, entity); err != nil {
		return nil
	}
	return a.live.Load().saml.RelyingParty(key)
}

// samlResponder makes the answers of SAML 2.0.
func (a *App) samlResponder() (*saml.Responder, error) {
	secret, err := a.cfg.SAML.PersistentIDSecret()
	if err != nil {
		return nil, a.cfg.At("saml.persistent_id_secret_file", err)
	}
	r := &saml.Responder{
		Parties: func() *saml.Registry { return a.live.Load().saml },
		Claims:  func() saml.Claims { return a.live.Load().claims },
		Signer:  func() *token.Signer { return a.live.Load().signer },
		Issuer:  func() string { return a.live.Load().samlIssuers[0] },
		Issued: func(party string) {
			if q := a.live.Load().query; q != nil {
				q.Used(party)
			}
		},
		Used: a.sessions, Fallback: session.NewMemory(session.Config{Now: a.now}),
		Logger: a.log, Now: a.now,
	}
	r.Identifiers, err = saml.NewIdentifiers(secret)
	return r, err
}

// samlHandler serves SAML messages for the dispatcher of /adfs/ls/.
func (a *App) samlHandler(r *saml.Responder, masters [][]byte) (web.Handler, error) {
	box, err := seal.New(seal.PurposeCookie, masters...)
	if err != nil {
		return nil, err
	}
	links, ok := a.sessions.(session.Links)
	if !ok {
		return nil, fmt.Errorf("sessions.store: %T keeps no links", a.sessions)
	}
	h, err := saml.New(saml.Config{
		URL: a.cfg.PublicURL + metadata.DefaultPassivePath, Issuers: func() []string { return a.live.Load().samlIssuers },
		Discover: a.discover,
		Back: saml.BackChannel{URL: a.cfg.PublicURL + saml.LogoutPath, Links: links, Person: a.flow.PersonOf,
			Client: (&partner.Client{AllowPrivate: true}).Messenger(), Public: (&partner.Client{}).Messenger()},
		Responder: r, Flow: a.flow, Seal: box, Party: a.party, SessionCookie: signin.SessionCookie,
		Audit: a.audit, Logger: a.log, Registerer: a.registry, Now: a.now,
	})
	if err != nil {
		return nil, err
	}
	a.saml = h
	return func(w http.ResponseWriter, r *http.Request) error {
		if l := a.live.Load(); len(l.saml.All()) == 0 && l.query == nil {
			return federation.Refuse(federation.ProblemBadRequest, nil, errors.New("no party signs in over SAML 2.0 here"))
		}
		return h.Serve(w, r)
	}, nil
}

// buildEnhanced makes the endpoint of enhanced clients. It is routed whatever the
// settings say, so that a reload can switch it on and off.
func (a *App) buildEnhanced(masters [][]byte) (*saml.ECP, error) {
	key, err := seal.Key(seal.PurposeVerdict, masters[0])
	if err != nil {
		return nil, a.cfg.At("saml.ecp", err)
	}
	cfg := saml.ECPConfig{
		Messages: a.saml, URL: a.cfg.PublicURL + saml.ECPPath, Key: key,
		Access:    func() web.Access { return a.live.Load().active.enhanced },
		Passwords: cachingPasswords{a.passwords, a.cache}, Audit: a.audit, Logger: a.log, Registerer: a.registry, Now: a.now,
	}
	if notes, ok := a.sessions.(saml.Notes); ok {
		cfg.Notes = notes
	}
	return saml.NewECP(cfg)
}

// samlIssuers are the entity ids by which this service may be known, its own first.
func samlIssuers(cfg *config.Config) []string {
	list := []string{cfg.Issuer}
	for _, d := range cfg.Microsoft365.Domains {
		list = append(list, d.Issuer)
	}
	return list
}

// samlMetadata adds the SAML role where it is served.
func samlMetadata(p metadata.Params, cfg *config.Config) metadata.Params {
	if !cfg.UsesSAML() {
		return p
	}
	formats := []string{saml.FormatEmail, saml.FormatTransient, saml.FormatUnspecified, saml.FormatWindows}
	if cfg.SAML.PersistentIDSecretFile != "" {
		formats = append([]string{saml.FormatPersistent}, formats...)
	}
	p.SAML = &metadata.SAML{NameIDFormats: formats}
	if cfg.SAML.ECP != "off" {
		p.SAML.EnhancedPath = saml.ECPPath
	}
	for _, rp := range cfg.RelyingParties {
		if rp.SAML.Logout.URL != "" || rp.UsesMetadata() {
			p.SAML.SingleLogoutPath = metadata.DefaultPassivePath
		}
		// Only when somebody uses it: pysaml2 takes SOAP first wherever it is named, and
		// cannot verify a signed answer by SOAP, whose prefixes it rewrites.
		if rp.SAML.Logout.Binding == "soap" {
			p.SAML.BackLogoutPath = saml.LogoutPath
		}
	}
	return p
}
