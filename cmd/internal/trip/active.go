package trip

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Active is a client without a browser, as a script or an Office program is: it
// asks the cloud where the user's domain is, reads the domain's MEX, gets an
// assertion by user name and password (WS-Trust), and gives it to the cloud for
// a token. It is written from the clients' side and shares nothing with the
// service.
type Active struct{ client *http.Client }

// NewActive returns a client that trusts these authorities only.
func NewActive(roots *x509.CertPool) *Active {
	return &Active{client: &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{TLSClientConfig: TLS(roots)},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("an active client follows no redirect") },
	}}
}

// TLS is the configuration of a client that trusts these authorities only.
func TLS(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// Close lets go of connections.
func (a *Active) Close() { a.client.CloseIdleConnections() }

// ErrRefused says that the domain's service answered with a fault.
var ErrRefused = errors.New("refused by the domain's service")

// SignIn makes the whole trip and returns the person whom the cloud's token
// names. edition is 13 or 2005, the edition of WS-Trust to speak.
func (a *Active) SignIn(ctx context.Context, cloud, edition, user, password string) (string, error) {
	realm, err := a.realm(ctx, cloud, user)
	if err != nil {
		return "", fmt.Errorf("user realm: %w", err)
	}
	endpoint, err := a.endpoint(ctx, realm.Metadata, edition)
	if err != nil {
		return "", fmt.Errorf("MEX: %w", err)
	}
	assertion, err := a.assertion(ctx, endpoint, edition, realm.Audience, user, password)
	if err != nil {
		return "", err
	}
	return a.redeem(ctx, cloud, assertion)
}

type realm struct {
	Type     string `json:"account_type"`
	Metadata string `json:"federation_metadata_url"`
	Audience string `json:"cloud_audience_urn"`
}

func (a *Active) realm(ctx context.Context, cloud, user string) (realm, error) {
	var r realm
	_, body, err := a.do(ctx, http.MethodGet, cloud+"/common/userrealm/"+url.PathEscape(user)+"?api-version=1.0", "", "", nil)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, err
	}
	if r.Type != "Federated" {
		return r, fmt.Errorf("the account is %q", r.Type)
	}
	return r, nil
}

func (a *Active) do(ctx context.Context, method, address, kind, action string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if action != "" {
		req.Header.Set("SOAPAction", action)
	}
	res, err := a.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, answer, err
}

// endpoint reads the document as the strictest readers do: policy, then the
// binding that refers to it, then the binding's port.
func (a *Active) endpoint(ctx context.Context, address, edition string) (string, error) {
	status, body, err := a.do(ctx, http.MethodGet, address, "", "", nil)
	if err != nil {
		return "", err
	}
	if status != http.StatusOK {
		return "", fmt.Errorf("status %d", status)
	}
	var doc struct {
		Bindings []struct {
			Name      string `xml:"name,attr"`
			Operation struct {
				SOAP struct {
					Action string `xml:"soapAction,attr"`
				} `xml:"http://schemas.xmlsoap.org/wsdl/soap12/ operation"`
			} `xml:"operation"`
		} `xml:"http://schemas.xmlsoap.org/wsdl/ binding"`
		Ports []struct {
			Binding string `xml:"binding,attr"`
			Address string `xml:"http://www.w3.org/2005/08/addressing EndpointReference>Address"`
		} `xml:"service>port"`
	}
	if err := xml.Unmarshal(body, &doc); err != nil {
		return "", err
	}
	for _, b := range doc.Bindings {
		if b.Operation.SOAP.Action != actions[edition] {
			continue
		}
		for _, p := range doc.Ports {
			if _, name, _ := strings.Cut(p.Binding, ":"); name == b.Name && strings.HasSuffix(p.Address, "/usernamemixed") {
				return p.Address, nil
			}
		}
	}
	return "", fmt.Errorf("no user name endpoint of edition %s", edition)
}

var actions = map[string]string{
	"13":   "http://docs.oasis-open.org/ws-sx/ws-trust/200512/RST/Issue",
	"2005": "http://schemas.xmlsoap.org/ws/2005/02/trust/RST/Issue",
}

// assertion asks for a bearer token by user name and password.
func (a *Active) assertion(ctx context.Context, endpoint, edition, audience, user, password string) (string, error) {
	trust := strings.TrimSuffix(actions[edition], "/RST/Issue")
	keyType := trust + "/Bearer"
	if edition == "2005" {
		keyType = "http://schemas.xmlsoap.org/ws/2005/05/identity/NoProofKey"
	}
	text := func(s string) string {
		var b strings.Builder
		_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder returns no error
		return b.String()
	}
	now := time.Now().UTC()
	message := `<?xml version="1.0" encoding="utf-8"?>
<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope" xmlns:adr="http://www.w3.org/2005/08/addressing">
 <env:Header>
  <adr:Action env:mustUnderstand="true">` + actions[edition] + `</adr:Action>
  <adr:MessageID>urn:uuid:` + rand.Text() + `</adr:MessageID>
  <adr:To env:mustUnderstand="true">` + text(endpoint) + `</adr:To>
  <sec:Security env:mustUnderstand="true" xmlns:sec="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd">
   <u:Timestamp xmlns:u="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd">
    <u:Created>` + now.Format(time.RFC3339) + `</u:Created><u:Expires>` + now.Add(5*time.Minute).Format(time.RFC3339) + `</u:Expires>
   </u:Timestamp>
   <sec:UsernameToken><sec:Username>` + text(user) + `</sec:Username><sec:Password>` + text(password) + `</sec:Password></sec:UsernameToken>
  </sec:Security>
 </env:Header>
 <env:Body>
  <RequestSecurityToken xmlns="` + trust + `">
   <RequestType>` + trust + `/Issue</RequestType>
   <AppliesTo xmlns="http://schemas.xmlsoap.org/ws/2004/09/policy"><adr:EndpointReference><adr:Address>` + text(audience) + `</adr:Address></adr:EndpointReference></AppliesTo>
   <KeyType>` + keyType + `</KeyType>
   <TokenType>urn:oasis:names:tc:SAML:1.0:assertion</TokenType>
  </RequestSecurityToken>
 </env:Body>
</env:Envelope>`
	status, body, err := a.do(ctx, http.MethodPost, endpoint, "application/soap+xml; charset=utf-8", actions[edition], []byte(message))
	if err != nil {
		return "", err
	}
	type response struct {
		TokenType string `xml:"TokenType"`
		Token     struct {
			Inner string `xml:",innerxml"`
		} `xml:"RequestedSecurityToken"`
	}
	var answer struct {
		Reason string     `xml:"Body>Fault>Reason>Text"`
		Many   []response `xml:"Body>RequestSecurityTokenResponseCollection>RequestSecurityTokenResponse"`
		One    []response `xml:"Body>RequestSecurityTokenResponse"`
	}
	if err := xml.Unmarshal(body, &answer); err != nil {
		return "", fmt.Errorf("status %d and no XML: %w", status, err)
	}
	if answer.Reason != "" {
		return "", fmt.Errorf("%w: %s", ErrRefused, answer.Reason)
	}
	all := append(answer.Many, answer.One...)
	if status != http.StatusOK || len(all) != 1 || all[0].TokenType != "urn:oasis:names:tc:SAML:1.0:assertion" {
		return "", fmt.Errorf("status %d with %d answers", status, len(all))
	}
	return all[0].Token.Inner, nil
}

// redeem gives the assertion to the cloud.
func (a *Active) redeem(ctx context.Context, cloud, assertion string) (string, error) {
	form := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:saml1_1-bearer"}, "client_id": {"00000000-1111-2222-3333-444444444444"},
		"scope": {"openid profile offline_access"}, "assertion": {base64.StdEncoding.EncodeToString([]byte(assertion))},
	}
	_, body, err := a.do(ctx, http.MethodPost, cloud+"/organizations/oauth2/v2.0/token", "application/x-www-form-urlencoded", "", []byte(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("token endpoint: %w", err)
	}
	var answer struct {
		Problem string `json:"error_description"`
		ID      string `json:"id_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", fmt.Errorf("token endpoint: %w", err)
	}
	if answer.Problem != "" {
		return "", errors.New("Microsoft 365 refused the assertion: " + answer.Problem)
	}
	parts := strings.Split(answer.ID, ".")
	if len(parts) != 3 {
		return "", errors.New("the token endpoint gave no id_token")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", fmt.Errorf("id_token: %w", err)
	}
	var id struct {
		Name string `json:"preferred_username"`
	}
	return id.Name, json.Unmarshal(raw, &id)
}
