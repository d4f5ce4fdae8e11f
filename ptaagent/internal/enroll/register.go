package enroll

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"net/http"
)

// Registration asks for a new agent.
type Registration struct {
	// URL is the service's address without a path, https://TENANT.registration.….
	URL string
	// Tenant is the tenant's GUID in lower case.
	Tenant string
	// Token is the administrator's access token. It goes into the body.
	Token   string
	Machine Machine
}

// Register sends the certificate request and returns the certificate, which is to be
// judged by [CheckCertificate].
func Register(ctx context.Context, c *http.Client, r Registration, key crypto.Signer) (*x509.Certificate, error) {
	csr, err := NewRequest(key)
	if err != nil {
		return nil, err
	}
	var b body
	b.WriteString(`<RegistrationRequest xmlns="` + nsRegister + `" xmlns:i="` + nsInstance + `">`)
	b.text("Base64Csr", base64.StdEncoding.EncodeToString(csr)+"\n")
	b.text("AuthenticationToken", r.Token)
	b.null("Base64Pkcs10Csr")
	b.text("Feature", "ApplicationProxy")
	b.text("FeatureString", "PassthroughAuthentication")
	b.WriteString("<RegistrationRequestSettings>")
	b.WriteString("<SystemSettingsInformation" + settingsType + ` xmlns="` + nsCommons + `"` + declareSystem + ">")
	b.system(r.Machine)
	b.WriteString("</SystemSettingsInformation>")
	b.text("PSModuleVersion", r.Machine.Version)
	b.WriteString("<SystemSettings" + settingsType + declareSystem + ">")
	b.system(r.Machine)
	b.WriteString("</SystemSettings></RegistrationRequestSettings>")
	b.text("TenantId", r.Tenant)
	b.text("UserAgent", "PassthroughAuthenticationConnector/"+r.Machine.Version)
	b.WriteString("</RegistrationRequest>")
	doc, err := post(ctx, c, r.URL+"/register/RegisterConnector", []byte(b.String()))
	if err != nil {
		return nil, err
	}
	return issued(doc, "RegistrationResult")
}

// Renew asks for a certificate for a new key of the same agent; the client must
// present the current certificate. endpoint is what bootstrap told.
func Renew(ctx context.Context, c *http.Client, endpoint string, m Machine, key crypto.Signer) (*x509.Certificate, error) {
	csr, err := NewRequest(key)
	if err != nil {
		return nil, err
	}
	var b body
	b.WriteString(`<TrustRenewalRequest xmlns="` + nsRenewal + `" xmlns:i="` + nsInstance + `">`)
	b.text(`Base64Csr xmlns="`+nsRegister+`"`, base64.StdEncoding.EncodeToString(csr)+"\n")
	b.WriteString("<TrustRenewalRequestSettings>")
	b.WriteString("<SystemSettingsInformation" + settingsType + ` xmlns="` + nsCommons + `"` + declareSystem + ">")
	b.system(m)
	b.WriteString("</SystemSettingsInformation>")
	b.text("ConnectorVersion", m.Version)
	b.WriteString("</TrustRenewalRequestSettings></TrustRenewalRequest>")
	doc, err := post(ctx, c, endpoint+"/RenewTrustCertificate", []byte(b.String()))
	if err != nil {
		return nil, err
	}
	return issued(doc, "TrustRenewalResult")
}
