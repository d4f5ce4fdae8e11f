package saml_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"sallyport/federation"
	"sallyport/federation/saml"
)

// vector is one file of the collection.
type vector struct {
	File       string
	Encoding   string
	Violations []string `json:"strict_profile_violations"`
}

// known registers whoever the message names as its sender, with every certificate
// that it brings along: the most generous registration that there can be.
func known(doc []byte) *saml.Party {
	d := etree.NewDocument()
	if d.ReadFromBytes(doc) != nil || d.Root() == nil {
		return nil
	}
	e := d.Root().FindElement("./Issuer")
	if e == nil || strings.TrimSpace(e.Text()) == "" {
		return nil
	}
	p := &saml.Party{RelyingParty: federation.RelyingParty{Key: "k", Name: "K", Identifiers: []string{strings.TrimSpace(e.Text())}},
		Consumers: []saml.Endpoint{{URL: "https://k.test/acs"}}}
	for _, e := range d.Root().FindElements("//X509Certificate") {
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(e.Text()), ""))
		if err != nil {
			continue
		}
		if c, err := x509.ParseCertificate(der); err == nil {
			p.Certificates = append(p.Certificates, c)
		}
	}
	return p
}

// instantOf returns the message's own time.
func instantOf(doc []byte) time.Time {
	d := etree.NewDocument()
	if d.ReadFromBytes(doc) != nil || d.Root() == nil {
		return time.Time{}
	}
	at, _ := time.Parse(time.RFC3339Nano, d.Root().SelectAttrValue("IssueInstant", ""))
	return at
}

// Every published message to every entry, as it is and as if its sender were a
// party of ours at that moment: no panic, no token, no session that ends.
func TestX11_PublishedMessages(t *testing.T) {
	dir := vectors(t)
	raw, err := os.ReadFile(filepath.Join(dir, "manifest-saml.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) < 160 {
		t.Fatalf("only %d files in the manifest", len(list))
	}
	sent := 0
	for _, v := range list {
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(v.File)))
		if err != nil {
			t.Fatal(err)
		}
		text := string(bytes.TrimSpace(data))
		forms := []url.Values{
			posted(string(data)), {"SAMLRequest": {text}}, {"SAMLResponse": {base64.StdEncoding.EncodeToString(data)}},
		}
		queries := []string{redirect(string(data)), "SAMLRequest=" + url.QueryEscape(text), "SAMLResponse=" + url.QueryEscape(deflated(string(data))), text}
		for _, party := range []*saml.Party{nil, known(data)} {
			e := newEnhanced(t) // with the right password
			g := e.rig
			if party != nil {
				if registry, err := saml.NewRegistry(party); err == nil {
					g.registry = registry
				}
				if at := instantOf(data); !at.IsZero() {
					g.now = at
				}
			}
			for _, f := range forms {
				_ = g.post(f)
			}
			for _, q := range queries {
				g.raw(q)
			}
			for _, body := range []string{text, envelope(text)} {
				if w := e.send(body, secret); w.Code < 400 {
					t.Errorf("%s: an enhanced client gets %d", v.File, w.Code)
				}
			}
			sent += len(forms) + len(queries) + 2
			if g.tokens() != 0 || g.account == nil {
				t.Errorf("%s led to a token, or ended a session", v.File)
			}
		}
	}
	t.Logf("%d files, %d messages: 0 accepted, 0 panics", len(list), sent)
}
