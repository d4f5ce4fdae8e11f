package app_test

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/cmd/internal/demo"
)

// What the settings say of a party's encryption and of Entra's signatures is what the
// service does.
func TestSAMLSettingsReachTheService(t *testing.T) {
	_, wikiCert := partner(t)
	entra, entraCert := partner(t)
	h := open(t, demo.Options{Settings: func(text string) string {
		text = strings.Replace(text, "microsoft365:\n", "microsoft365:\n  saml: {request_certificates_file: "+entraCert+", signed_requests: true}\n", 1)
		return strings.Replace(withSAML(text), "idp_initiated: true", "idp_initiated: true, encryption_certificate_file: "+wikiCert+
			", encryption: {content: aes128-gcm, transport: rsa-oaep, digest: sha256, mask: sha1}", 1)
	}})
	b := h.Browser()
	defer b.Close()
	h.signIn(t, b, "alice")

	root, _ := answered(t, h.open(t, b, h.SignInURL()+redirectQuery(authnRequest(wikiEntity, "_encrypted", ""))))
	var algorithms []string
	for _, e := range root.FindElements("./EncryptedAssertion/EncryptedData//[@Algorithm]") {
		algorithms = append(algorithms, e.SelectAttrValue("Algorithm", ""))
	}
	if got, want := strings.Join(algorithms, " "), "http://www.w3.org/2009/xmlenc11#aes128-gcm http://www.w3.org/2009/xmlenc11#rsa-oaep "+
		"http://www.w3.org/2001/04/xmlenc#sha256 http://www.w3.org/2009/xmlenc11#mgf1sha1"; got != want || root.FindElement("//Assertion") != nil {
		t.Errorf("encrypted by %s", got)
	}

	request := func(id string) string {
		return authnRequest("urn:federation:MicrosoftOnline", id, fmt.Sprintf("Destination=%q", h.SignInURL()))
	}
	answered(t, h.open(t, b, signedURL(t, entra, h.SignInURL(), "SAMLRequest", request("_signed"))))
	if p := h.open(t, b, h.SignInURL()+redirectQuery(request("_unsigned"))); p.Status != 400 {
		t.Errorf("Entra's request without a signature: %d %q", p.Status, p.Heading())
	}
	stranger, _ := partner(t)
	if p := h.open(t, b, signedURL(t, stranger, h.SignInURL(), "SAMLRequest", request("_stranger"))); p.Status != 400 {
		t.Errorf("signed by a stranger: %d %q", p.Status, p.Heading())
	}
}
