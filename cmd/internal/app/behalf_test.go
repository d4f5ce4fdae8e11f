package app_test

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/cmd/internal/demo"
	"sallyport/cmd/internal/trip"
)

// tokenByPassword is a sign-in as MSAL makes it, with a header of whoever passes it on.
func (h *house) tokenByPassword(t *testing.T, c *http.Client, user, password, forwarded string) (status int, body string) {
	t.Helper()
	const wst, wssx = "http://docs.oasis-open.org/ws-sx/ws-trust/200512", "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity"
	address := strings.TrimSuffix(h.SignInURL(), "/adfs/ls/") + "/adfs/services/trust/13/usernamemixed"
	escape := func(s string) string {
		var b strings.Builder
		if err := xml.EscapeText(&b, []byte(s)); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	message := fmt.Sprintf(`<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://www.w3.org/2005/08/addressing"><s:Header>`+
		`<a:Action s:mustUnderstand="1">%[1]s/RST/Issue</a:Action><a:MessageID>urn:uuid:%[2]d</a:MessageID><a:To s:mustUnderstand="1">%[3]s</a:To>`+
		`<o:Security s:mustUnderstand="1" xmlns:o="%[4]s-secext-1.0.xsd"><u:Timestamp xmlns:u="%[4]s-utility-1.0.xsd"><u:Created>%[7]s</u:Created><u:Expires>%[8]s</u:Expires></u:Timestamp><o:UsernameToken><o:Username>%[5]s</o:Username><o:Password>%[6]s</o:Password></o:UsernameToken></o:Security></s:Header>`+
		`<s:Body><t:RequestSecurityToken xmlns:t="%[1]s"><p:AppliesTo xmlns:p="http://schemas.xmlsoap.org/ws/2004/09/policy"><a:EndpointReference><a:Address>urn:federation:MicrosoftOnline</a:Address></a:EndpointReference></p:AppliesTo>`+
		`<t:KeyType>%[1]s/Bearer</t:KeyType><t:RequestType>%[1]s/Issue</t:RequestType></t:RequestSecurityToken></s:Body></s:Envelope>`,
		wst, time.Now().UnixNano(), address, wssx, escape(user), escape(password),
		time.Now().UTC().Format(time.RFC3339), time.Now().Add(5*time.Minute).UTC().Format(time.RFC3339))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/soap+xml; charset=utf-8")
	if forwarded != "" {
		r.Header.Set("X-MS-Forwarded-Client-IP", forwarded)
		r.Header.Set("X-MS-Proxy", "wap")
		r.Header.Set("X-MS-Client-Application", "Microsoft.Exchange.SMTP")
	}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

// The person's address that Exchange Online states is believed from the peers that the
// settings name: it is then the address of the audit record, the one that the lockout
// counts, and what says whether the person is inside. It never makes anybody inside.
func TestH01_ForwardedClientAddressCountsFromNamedPeersOnly(t *testing.T) {
	t.Parallel()
	const outside, elsewhere = "203.0.113.9", "203.0.113.10"
	type call struct {
		forwarded, client string
		inside            bool
	}
	for proxy, calls := range map[string][]call{
		"proxy: {on_behalf: [127.0.0.0/8]}\n":  {{outside, outside, false}, {elsewhere + ", 127.0.0.9", elsewhere, false}, {"", "127.0.0.1", true}, {"somewhere", "127.0.0.1", true}},
		"proxy: {on_behalf: [192.0.2.0/24]}\n": {{outside, "127.0.0.1", true}},
		"":                                     {{outside, "127.0.0.1", true}},
	} {
		h := open(t, demo.Options{Settings: func(s string) string { return s + proxy }})
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: trip.TLS(h.Roots())}}
		defer client.CloseIdleConnections()
		u := h.User("alice")
		for _, c := range calls {
			status, body := h.tokenByPassword(t, client, u.UPN, u.Password, c.forwarded)
			if status != http.StatusOK {
				t.Fatalf("%s%s: %d %s", proxy, c.forwarded, status, body)
			}
			_, after, _ := strings.Cut(body, `AttributeName="insidecorporatenetwork"`)
			value, _, _ := strings.Cut(after, "</saml:AttributeValue>")
			if strings.HasSuffix(value, ">true") != c.inside {
				t.Errorf("%s%s: insidecorporatenetwork in %.200q, want %v", proxy, c.forwarded, value, c.inside)
			}
			if strings.Contains(body, "Microsoft.Exchange.SMTP") || strings.Contains(body, "203.0.113.") {
				t.Errorf("%s%s: a header reached the token", proxy, c.forwarded)
			}
			if e := h.event(t, map[string]any{"code": "SP200", "client": c.client}); e != nil && (e["inside"] == true) != c.inside {
				t.Errorf("%s%s: the audit record says %v", proxy, c.forwarded, e)
			}
		}
	}
}
