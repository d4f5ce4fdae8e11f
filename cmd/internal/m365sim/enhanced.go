package m365sim

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/beevik/etree"
)

const (
	nsEnvelope = "http://schemas.xmlsoap.org/soap/envelope/"
	nsEnhanced = "urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp"
)

// Exchange plays Exchange Online, which signs a person in with the name and the
// password that a mail program gave it: it posts an AuthnRequest to the domain's
// active address (SAML 2.0 ECP, without the headers of the profile) and judges the
// Response as the sign-in page would. The status is that of the answer; only with
// 200 there is something to judge.
func (s *Sim) Exchange(ctx context.Context, c *http.Client, address, user, password string) (status int, v *Verdict, err error) {
	d, ok := s.domainFor(user)
	if !ok {
		return 0, nil, fmt.Errorf("m365sim: nobody knows the domain of %q", user)
	}
	id, now := "_"+newGUID(), s.now()
	body := fmt.Sprintf(`<S:Envelope xmlns:S="%s"><S:Body><samlp:AuthnRequest xmlns:samlp="%s" xmlns:saml="%s" ID="%s" IssueInstant="%s" Version="2.0" AssertionConsumerServiceIndex="2">`+
		`<saml:Issuer>%s</saml:Issuer></samlp:AuthnRequest></S:Body></S:Envelope>`,
		nsEnvelope, nsProtocol2, nsSAML2, id, now.UTC().Format("2006-01-02T15:04:05.0000000Z"), microsoftOnline)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.SetBasicAuth(user, password)
	res, err := c.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxForm))
	if err != nil || res.StatusCode != http.StatusOK {
		return res.StatusCode, nil, err
	}
	v = &Verdict{At: s.now(), Active: true}
	s.mu.Lock()
	j := &judge{v: v, now: v.At, domains: s.domains, users: s.users, want: pending{domain: d.Name, wctx: id, at: now}}
	s.mu.Unlock()
	var response string
	j.steps([]step{
		{"a SOAP envelope whose ecp:Response names this address", func() (err error) {
			response, err = enhancedResponse(string(answer), s.LoginSRF())
			return err
		}},
		{"the answer is one Response with Status Success and one assertion", func() error { return j.response2(response, s.LoginSRF()) }},
		{"the assertion itself is signed by a certificate that the domain has registered", j.signature2},
		{"the issuer of both is the domain's issuerUri, character for character", j.issuer2},
		{"one bearer confirmation for this address and this request", func() error { return j.subject2(s.LoginSRF()) }},
		{"the audience is " + microsoftOnline + "; the token is valid now and lives at most an hour", j.conditions2},
		{"IDPEmail is the UPN, NameID a persistent ImmutableID of that user", j.identity2},
		{"one AuthnStatement of a real authentication", j.statement2},
	})
	s.keep(v)
	return res.StatusCode, v, nil
}

// enhancedResponse takes the Response out of the envelope, byte for byte.
func enhancedResponse(answer, address string) (string, error) {
	doc := etree.NewDocument()
	if err := doc.ReadFromString(answer); err != nil || doc.Root() == nil || !is(doc.Root(), nsEnvelope, "Envelope") {
		return "", refuse("AADSTS20012", "the answer is no SOAP 1.1 envelope: %v", err)
	}
	block := child(child(doc.Root(), nsEnvelope, "Header"), nsEnhanced, "Response")
	switch {
	case block == nil:
		return "", refuse("AADSTS20012", "there is no ecp:Response in the header")
	case block.SelectAttrValue("AssertionConsumerServiceURL", "") != address:
		return "", refuse("AADSTS50008", "ecp:Response is for %q", block.SelectAttrValue("AssertionConsumerServiceURL", ""))
	case block.SelectAttrValue("S:mustUnderstand", "") != "1" || block.SelectAttrValue("S:actor", "") != "http://schemas.xmlsoap.org/soap/actor/next":
		return "", refuse("AADSTS20012", "ecp:Response does not have the attributes that SOAP asks for")
	}
	_, rest, there := strings.Cut(answer, "<S:Body>")
	response, _, end := strings.Cut(rest, "</S:Body>")
	if !there || !end {
		return "", refuse("AADSTS20012", "there is no Body")
	}
	return response, nil
}
