//go:build linux

package main

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// The SAML 2.0 party: its requests are not signed, its assertions are.
const (
	samlEntity = "https://wiki.contoso.test/sp"
	samlACS    = "https://wiki.contoso.test/acs"
)

// samlPath is a request of the party by the Redirect binding, a new one each time.
func samlPath() (string, error) {
	message := fmt.Sprintf(`<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_%s" Version="2.0" IssueInstant="%s" Destination="https://%s/adfs/ls/" AssertionConsumerServiceURL="%s"><saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">%s</saml:Issuer></samlp:AuthnRequest>`,
		rand.Text(), time.Now().UTC().Format(time.RFC3339), host, samlACS, samlEntity)
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, flate.BestSpeed)
	if err != nil {
		return "", err
	}
	if _, err := w.Write([]byte(message)); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return "/adfs/ls/?SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString(deflated.Bytes())), nil
}

// assertion asks for a SAML 2.0 response with the session that the client has.
func (c *client) assertion(path string) error {
	status, body, err := c.do(http.MethodGet, path, nil)
	if err == nil && (status != http.StatusOK || !bytes.Contains(body, []byte(`name="SAMLResponse"`))) {
		err = fmt.Errorf("%w: status %d, %d bytes: %.300s", errNoToken, status, len(body), visible(body))
	}
	return err
}

// samlStep is a Response for a Redirect request of a browser with a session.
func (b *driver) samlStep(ctx context.Context, r *round) error {
	n := b.plan.sessions
	paths := make([]string, n)
	for i := range paths {
		var err error
		if paths[i], err = samlPath(); err != nil {
			return err
		}
	}
	if err := b.sessions.warm(ctx, signinPath); err != nil {
		return err
	}
	u, err := b.proc.weigh(func() error {
		return b.sessions.each(n, func(c *client, i int) error { return c.assertion(paths[i]) })
	})
	if err == nil && u.Signs != int64(n) {
		err = fmt.Errorf("%d signatures for %d responses", u.Signs, n)
	}
	r.saml = per(u, n)
	return err
}
