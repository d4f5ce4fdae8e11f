package app

import (
	"fmt"

	"sallyport/authn/seal"
	"sallyport/cmd/internal/config"
	"sallyport/federation"
	"sallyport/federation/metadata"
	"sallyport/federation/token"
	"sallyport/federation/web"
	"sallyport/federation/wstrust"
)

// active is what a reload may change for active clients.
type active struct {
	access, enhanced web.Access
	tell             bool
}

func activeOf(cfg *config.Config) active {
	access := map[string]web.Access{"inside": web.Inside, "everywhere": web.Everywhere}
	return active{access: access[cfg.WSTrust], tell: cfg.WSTrustTellExpired, enhanced: access[cfg.SAML.ECP]}
}

// buildActive makes the endpoints of active clients. They are routed whatever the
// settings say, so that a reload can switch them on and off.
func (a *App) buildActive(masters [][]byte) (*wstrust.Handler, error) {
	key, err := seal.Key(seal.PurposeVerdict, masters[0])
	if err != nil {
		return nil, fmt.Errorf("wstrust: %w", err)
	}
	cfg := wstrust.Config{
		PublicURL: a.cfg.PublicURL, Key: key,
		Access:      func() web.Access { return a.live.Load().active.access },
		TellExpired: func() bool { return a.live.Load().active.tell },
		Passwords:   cachingPasswords{a.passwords, a.cache},
		Party:       func(id string) *federation.RelyingParty { return a.live.Load().parties.ByIdentifier(id) },
		Claims:      func() wstrust.Claims { return a.live.Load().claims },
		Signer:      func() *token.Signer { return a.live.Load().signer },
		Audit:       a.audit, Logger: a.log, Registerer: a.registry, Now: a.now,
	}
	if notes, ok := a.sessions.(wstrust.Notes); ok {
		cfg.Notes = notes
	}
	return wstrust.New(cfg)
}

// activeMetadata adds the active endpoints to the metadata, if there are any.
func activeMetadata(p metadata.Params, cfg *config.Config) metadata.Params {
	if activeOf(cfg).access == web.Off {
		return p
	}
	p.MEXPath = wstrust.MexPath
	for _, v := range wstrust.Versions() {
		p.TrustPaths = append(p.TrustPaths, v.Path())
	}
	return p
}
