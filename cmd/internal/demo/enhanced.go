package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"sallyport/cmd/internal/trip"
	"sallyport/federation/saml"
)

// checkEnhanced lets the stand-in of Exchange Online sign in for people, over SAML
// 2.0 ECP, and be refused like everybody.
func (d *Demo) checkEnhanced(ctx context.Context) (string, error) {
	transport := &http.Transport{TLSClientConfig: trip.TLS(d.authority.pool())}
	defer transport.CloseIdleConnections()
	c := &http.Client{Timeout: 30 * time.Second, Transport: transport}
	address := fmt.Sprintf("https://%s:%d%s", host, d.Gateway.Addr().(*net.TCPAddr).Port, saml.ECPPath)
	u := d.Users[0]
	status, verdict, err := d.Cloud.Exchange(ctx, c, address, u.UPN, u.Password)
	switch {
	case err != nil:
		return "", err
	case verdict == nil:
		return "", fmt.Errorf("status %d", status)
	case !verdict.OK() || verdict.UPN != u.UPN:
		return "", fmt.Errorf("%s %s (signed in as %q)", verdict.Code, verdict.Why, verdict.UPN)
	}
	refused, err := d.refusals("erin", func(upn, password string) error {
		status, _, err := d.Cloud.Exchange(ctx, c, address, upn, password)
		if err != nil || status != http.StatusUnauthorized {
			return errors.Join(fmt.Errorf("status %d, not refused as everybody is", status), err)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("signed in as %s; %d kinds of refusal, one answer: 401", u.UPN, refused), nil
}
