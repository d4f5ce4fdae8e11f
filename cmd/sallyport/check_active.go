package main

import (
	"strings"

	"sallyport/cmd/internal/config"
	"sallyport/federation/saml"
)

// active says who may sign in without a browser, and what follows from it. Off is
// no mistake; not knowing what stops working with it would be one.
func (r *report) active(cfg *config.Config) {
	const what = "active clients (WS-Trust)"
	trust := cfg.PublicURL + "/adfs/services/trust/"
	switch cfg.WSTrust {
	case "inside":
		r.add(good, what, "on for networks.inside only: elsewhere MSAL by user name and password, older Office and scripts cannot sign in, "+
			"nor can people at Windows devices of federated domains get a new primary refresh token by password",
			"the domain's activeSignInUri is "+trust+"2005/usernamemixed, its metadataExchangeUri "+trust+"mex")
	case "everywhere":
		r.add(good, what, "on for everybody; such a sign-in knows no second factor, and the lockout is what holds guessers back",
			"the domain's activeSignInUri is "+trust+"2005/usernamemixed, its metadataExchangeUri "+trust+"mex")
	default:
		stops := []string{
			"MSAL and ADAL by user name and password (az login -u, PowerShell, scripts)", "Office without modern authentication",
			"the primary refresh token by password at Windows devices joined to Microsoft Entra ID",
		}
		r.add(good, what, "off; without it these do not work: "+strings.Join(stops, "; "),
			"if some of them are needed, write wstrust: inside or wstrust: everywhere; browsers and modern authentication need neither")
	}
	r.enhanced(cfg)
}

// enhanced says the same of SAML 2.0, where somebody uses it.
func (r *report) enhanced(cfg *config.Config) {
	if !cfg.UsesSAML() {
		return
	}
	const what = "active clients (SAML 2.0 ECP)"
	address := "the activeSignInUri of domains with protocol: saml is " + cfg.PublicURL + saml.ECPPath
	switch cfg.SAML.ECP {
	case "inside":
		r.add(good, what, "on for networks.inside only: elsewhere programs that sign in by name and password over SAML 2.0 cannot, nor can Exchange Online in people's names", address)
	case "everywhere":
		r.add(good, what, "on for everybody; such a sign-in knows no second factor, and the lockout is what holds guessers back", address)
	default:
		r.add(good, what, "off; without it these do not work: programs that sign in by name and password over SAML 2.0, and Exchange Online in people's names in domains with protocol: saml",
			"if some of them are needed, write saml.ecp: inside or everywhere; browsers need neither")
	}
}
