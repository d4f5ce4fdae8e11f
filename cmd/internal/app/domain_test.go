package app_test

import (
	"testing"

	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
)

// Exchange Online posts to the domain's active address: SOAP of WS-Trust, or of SAML
// 2.0 where that is the domain's protocol.
func TestActiveAddressFollowsTheDomainsProtocol(t *testing.T) {
	cfg, err := config.Parse("f", []byte(`public_url: https://sts.contoso.test
listen: 127.0.0.1:0
tls: {generate: true}
networks: {inside: [10.0.0.0/8]}
microsoft365: {domains: [{name: contoso.test, issuer: "urn:a"}, {name: fabrikam.test, issuer: "urn:b", protocol: saml}]}
directory:
  domains: [{name: corp.contoso.test, netbios: CONTOSO, servers: ["ldaps://dc1.corp.contoso.test"], upn_suffixes: [contoso.test, fabrikam.test]}]
  service_account: {name: svc@corp.contoso.test, password_file: pw}
sessions: {store: memory, secret_file: s}
signing: {key_dir: keys, generate: true, share: directory}
wstrust: "off"
saml: {ecp: inside}
audit: {file: audit.jsonl}
`))
	if err != nil {
		t.Fatal(err)
	}
	list := app.DomainsWanted(cfg, app.Own{})
	if got := list[0].ActiveSignInURI; got != "https://sts.contoso.test/adfs/services/trust/2005/usernamemixed" || !list[0].ActiveOff || list[0].SAML {
		t.Errorf("WS-Federation: %s, off %v", got, list[0].ActiveOff)
	}
	if got := list[1].ActiveSignInURI; got != "https://sts.contoso.test/adfs/services/saml/ecp" || list[1].ActiveOff || !list[1].SAML {
		t.Errorf("SAML 2.0: %s, off %v", got, list[1].ActiveOff)
	}
}
