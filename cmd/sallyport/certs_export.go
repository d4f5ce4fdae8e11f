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
var noticeText = template.Must(template.New("notice").Parse(`Subject: {{if .Since}}URGENT: {{end}}New signing certificate of {{.Service}}{{if .From}}, in use from {{.From}}{{else if .Since}}, in use now{{end}}

Hello,

{{.Service}} signs the tokens with which people of {{.Organisation}} sign in to your
service. {{if .From}}From {{.From}} on it signs with a new certificate. Please make it known to your
service before that day, and keep the present one until {{.Until}}.{{else if .Since}}Since {{.Since}} it signs with a new certificate. Until your service knows
it, nobody of {{.Organisation}} can sign in there: please install it now.{{if .Stolen}}

The key before it may be in the wrong hands. Please take its certificate out of your
service at once; who has that key could sign in to you as anybody of {{.Organisation}}:
{{.Stolen}}{{end}}{{else}}It signs with the certificate attached.{{end}}

  Identity provider      {{.Issuer}}
  Certificate            {{.File}} (attached; PEM, base64)
  Subject                {{.Subject}}
  Valid until            {{.NotAfter}}
  Thumbprint, SHA-1      {{.SHA1}}
  Fingerprint, SHA-256   {{.SHA256}}

If your service reads our metadata, it has the certificate {{if .Since}}when it has read this again{{else}}already{{end}}:

  {{.Metadata}}

{{if .Since}}Please answer this mail when it is done.{{else}}If it holds several certificates, add the new one beside the present one. If it holds
only one, please answer this mail: we agree on a moment and both change at it.{{end}}

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
	if e.State == certs.Signing && len(v.Uninformed()) > 0 {
		data["Since"], data["Stolen"] = dateOf(e.SignsFrom), stolen(v.Ledger, e)
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

// stolen lists the keys that were given up when e began to sign, a line for each.
func stolen(l *certs.Ledger, e *certs.Entry) string {
	var text strings.Builder
	for i := range l.Entries {
		if o := &l.Entries[i]; o.Stolen && o.Since.Equal(e.Since) {
			fmt.Fprintf(&text, "\n  Give up                %s", o.ID)
		}
	}
	return text.String()
}
