package main

import (
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"sallyport/certs"
	"sallyport/cmd/internal/config"
	"sallyport/federation/metadata"
)

// noticeText goes to people who run a relying party and know their own product only.
var noticeText = template.Must(template.New("notice").Parse(`Subject: New signing certificate of {{.Service}}{{if .From}}, in use from {{.From}}{{end}}

Hello,

{{.Service}} signs the tokens with which people of {{.Organisation}} sign in to your
service. {{if .From}}From {{.From}} on it signs with a new certificate. Please make it known to your
service before that day, and keep the present one until {{.Until}}.{{else}}It signs with the certificate attached.{{end}}

  Identity provider      {{.Issuer}}
  Certificate            {{.File}} (attached; PEM, base64)
  Subject                {{.Subject}}
  Valid until            {{.NotAfter}}
  Thumbprint, SHA-1      {{.SHA1}}
  Fingerprint, SHA-256   {{.SHA256}}

If your service reads our metadata, it has the certificate already:

  {{.Metadata}}

If it holds several certificates, add the new one beside the present one. If it holds
only one, please answer this mail: we agree on a moment and both change at it.

Compare the fingerprint with us by telephone before you install the certificate; this
mail alone proves nothing.
`))

// writeNotice writes the certificate and the notice, and returns their paths.
func writeNotice(dir string, cfg *config.Config, v certs.View, e *certs.Entry) (certFile, noticeFile string, err error) {
	c, err := e.X509()
	if err != nil {
		return "", "", err
	}
	base := "signing-" + strings.ToLower(brief(e.ID))
	certFile, noticeFile = filepath.Join(dir, base+".pem"), filepath.Join(dir, base+".txt")
	organisation := cfg.SigninPage.Organisation
	if organisation == "" {
		organisation = cfg.Host()
	}
	sum := sha256.Sum256(c.Raw)
	data := map[string]string{
		"Service": cfg.Host(), "Organisation": organisation, "Issuer": cfg.Issuer, "File": filepath.Base(certFile), "Subject": c.Subject.String(),
		"NotAfter": dateOf(c.NotAfter), "SHA1": e.ID, "SHA256": fmt.Sprintf("%X", sum), "Metadata": cfg.PublicURL + metadata.Path,
	}
	for _, s := range v.Plan() {
		if s.ID == e.ID && (s.Action == certs.NextPromote || s.Action == certs.NextPublish) {
			from := s.Due
			if s.Action == certs.NextPublish {
				from = from.Add(v.Policy.WithDefaults().PromoteAfter)
			}
			data["From"], data["Until"] = dateOf(from), dateOf(from.Add(v.Policy.WithDefaults().RetireFor+24*time.Hour))
		}
	}
	var text strings.Builder
	if err := noticeText.Execute(&text, data); err != nil {
		return "", "", err
	}
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o644); err != nil {
		return "", "", err
	}
	return certFile, noticeFile, os.WriteFile(noticeFile, []byte(text.String()), 0o644)
}
