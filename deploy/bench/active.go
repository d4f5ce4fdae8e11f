//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"
)

const activePath = "/adfs/services/trust/13/usernamemixed"

// active signs in as a program does, by WS-Trust 1.3.
func (c *client) active(user, password string) error {
	now := time.Now().UTC()
	message := fmt.Appendf(nil, `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://www.w3.org/2005/08/addressing" xmlns:u="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"><s:Header>`+
		`<a:Action s:mustUnderstand="1">http://docs.oasis-open.org/ws-sx/ws-trust/200512/RST/Issue</a:Action><a:MessageID>urn:uuid:%s</a:MessageID><a:To s:mustUnderstand="1">https://%s%s</a:To>`+
		`<o:Security s:mustUnderstand="1" xmlns:o="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd">`+
		`<u:Timestamp><u:Created>%s</u:Created><u:Expires>%s</u:Expires></u:Timestamp>`+
		`<o:UsernameToken><o:Username>%s</o:Username><o:Password>%s</o:Password></o:UsernameToken></o:Security></s:Header><s:Body>`+
		`<t:RequestSecurityToken xmlns:t="http://docs.oasis-open.org/ws-sx/ws-trust/200512"><t:RequestType>http://docs.oasis-open.org/ws-sx/ws-trust/200512/Issue</t:RequestType>`+
		`<p:AppliesTo xmlns:p="http://schemas.xmlsoap.org/ws/2004/09/policy"><a:EndpointReference><a:Address>urn:federation:MicrosoftOnline</a:Address></a:EndpointReference></p:AppliesTo>`+
		`<t:KeyType>http://docs.oasis-open.org/ws-sx/ws-trust/200512/Bearer</t:KeyType></t:RequestSecurityToken></s:Body></s:Envelope>`,
		rand.Text(), host, activePath, now.Format(time.RFC3339), now.Add(5*time.Minute).Format(time.RFC3339), user, password)
	status, body, err := c.send(http.MethodPost, activePath, "application/soap+xml; charset=utf-8", message)
	if err == nil && (status != http.StatusOK || !bytes.Contains(body, []byte("</saml:Assertion>"))) {
		err = fmt.Errorf("%w: status %d: %.300s", errNoToken, status, body)
	}
	return err
}

// activeStep is a token for user name and password in one exchange.
func (b *driver) activeStep(ctx context.Context, r *round) error {
	if err := b.people.warm(ctx, signinPath); err != nil {
		return err
	}
	n := b.passwords
	u, err := b.proc.weigh(func() error {
		return b.people.each(n, func(c *client, i int) error { return c.active(b.g.user(i), b.g.password) })
	})
	r.active = per(u, n)
	return err
}
