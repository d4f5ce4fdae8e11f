package m365sim

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"
)

// SAML 2.0, as for a domain whose preferredAuthenticationProtocol is saml: the
// request is posted to passiveSignInUri without an address, an index, a binding or
// a destination, and the answer's assertion must be signed itself.

const (
	nsProtocol2   = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsSAML2       = "urn:oasis:names:tc:SAML:2.0:assertion"
	persistent    = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	bearer2       = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	statusSuccess = "urn:oasis:names:tc:SAML:2.0:status:Success"
)

// postSAML answers realm discovery with the form of an AuthnRequest.
func (s *Sim) postSAML(w http.ResponseWriter, d Domain, fresh bool) {
	id, relay, now := "_"+newGUID(), randomText(900), s.now()
	force := ""
	if fresh {
		force = ` ForceAuthn="true"`
	}
	request := fmt.Sprintf(`<samlp:AuthnRequest xmlns:samlp="%s" ID="%s" Version="2.0" IssueInstant="%s"%s><Issuer xmlns="%s">%s</Issuer>`+
		`<samlp:NameIDPolicy Format="%s"/></samlp:AuthnRequest>`, nsProtocol2, id, now.UTC().Format("2006-01-02T15:04:05.000Z"), force, nsSAML2, microsoftOnline, persistent)
	s.mu.Lock()
	if len(s.pending) >= maxKept {
		clear(s.pending)
	}
	s.pending[relay] = pending{domain: d.Name, wctx: id, fresh: fresh, at: now}
	s.mu.Unlock()
	s.render(w, http.StatusOK, "samlrequest", map[string]any{
		"Action": d.PassiveSignInURI, "Request": base64.StdEncoding.EncodeToString([]byte(request)), "RelayState": relay,
	})
}

// judgeSAML judges the form of a Response.
func (s *Sim) judgeSAML(v *Verdict, form url.Values) {
	relay := form.Get("RelayState")
	s.mu.Lock()
	want, known := s.pending[relay]
	delete(s.pending, relay)
	j := &judge{v: v, now: v.At, domains: s.domains, users: s.users, want: want}
	s.mu.Unlock()
	if !known {
		v.Code, v.Why = "AADSTS50089", "RelayState is not the one that was sent, byte for byte, or was used before"
		return
	}
	raw, err := base64.StdEncoding.DecodeString(form.Get("SAMLResponse"))
	if err != nil {
		v.Code, v.Why = "AADSTS20012", "SAMLResponse is not base64"
		return
	}
	j.steps([]step{
		{"the answer is one Response with Status Success and one assertion", func() error { return j.response2(string(raw), s.LoginSRF()) }},
		{"the assertion itself is signed by a certificate that the domain has registered", j.signature2},
		{"the issuer of both is the domain's issuerUri, character for character", j.issuer2},
		{"one bearer confirmation for this address and this request", func() error { return j.subject2(s.LoginSRF()) }},
		{"the audience is " + microsoftOnline + "; the token is valid now and lives at most an hour", j.conditions2},
		{"IDPEmail is the UPN, NameID a persistent ImmutableID of that user", j.identity2},
		{"one AuthnStatement, of a real authentication, fresh where asked", j.statement2},
	})
}

func (j *judge) response2(raw, address string) error {
	if strings.Contains(raw, "<!") || strings.Contains(raw, "<?") {
		return refuse("AADSTS20012", "the response holds a declaration, comment or processing instruction")
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromString(raw); err != nil || doc.Root() == nil {
		return refuse("AADSTS20012", "the response is not XML: %v", err)
	}
	r := doc.Root()
	status := child(child(r, nsProtocol2, "Status"), nsProtocol2, "StatusCode")
	switch {
	case !is(r, nsProtocol2, "Response"):
		return refuse("AADSTS20012", "the root is {%s}%s", r.NamespaceURI(), r.Tag)
	case status == nil || status.SelectAttrValue("Value", "") != statusSuccess:
		return refuse("AADSTS50008", "the status is not Success")
	case r.SelectAttrValue("Version", "") != "2.0" || r.SelectAttrValue("Destination", "") != address || r.SelectAttrValue("InResponseTo", "") != j.want.wctx:
		return refuse("AADSTS50008", "Version, Destination or InResponseTo is wrong")
	}
	assertions := children(r, nsSAML2, "Assertion")
	if len(assertions) != 1 || len(r.FindElements(".//Assertion")) != 1 {
		return refuse("AADSTS50008", "there are %d assertions", len(assertions))
	}
	if e := child(r, nsSAML2, "Issuer"); e != nil {
		j.outer = e.Text()
	}
	j.assertion = assertions[0]
	if start, end := strings.Index(raw, "<saml:Assertion"), strings.LastIndex(raw, "</saml:Assertion>"); start >= 0 && end > start {
		j.v.Token = raw[start : end+len("</saml:Assertion>")]
	}
	return nil
}

func (j *judge) signature2() error {
	sigs := children(j.assertion, nsDS, "Signature")
	if len(sigs) != 1 || len(j.assertion.FindElements(".//Signature")) != 1 {
		return refuse("AADSTS50006", "the assertion has %d signatures of its own", len(sigs))
	}
	kids := j.assertion.ChildElements()
	if len(kids) < 2 || !is(kids[0], nsSAML2, "Issuer") || kids[1] != sigs[0] {
		return refuse("AADSTS50006", "the signature does not follow Issuer")
	}
	return j.verify(sigs[0], "ID")
}

func (j *judge) issuer2() error {
	e := child(j.assertion, nsSAML2, "Issuer")
	if e == nil || e.Text() != j.outer {
		return refuse("AADSTS50008", "the two issuers differ")
	}
	for _, d := range j.domains {
		if d.Federated && d.IssuerURI == e.Text() {
			j.domain, j.v.Issuer, j.v.Domain = d, e.Text(), d.Name
			return nil
		}
	}
	return refuse("AADSTS50107", "the issuer %q belongs to no federated domain", e.Text())
}

func (j *judge) subject2(address string) error {
	sub := child(j.assertion, nsSAML2, "Subject")
	id := child(sub, nsSAML2, "NameID")
	confirmations := children(sub, nsSAML2, "SubjectConfirmation")
	if id == nil || len(confirmations) != 1 || confirmations[0].SelectAttrValue("Method", "") != bearer2 {
		return refuse("AADSTS50008", "Subject is not one NameID and one bearer confirmation")
	}
	if id.SelectAttrValue("Format", "") != persistent || id.SelectAttr("NameQualifier") != nil || id.SelectAttr("SPNameQualifier") != nil {
		return refuse("AADSTS50008", "NameID is not persistent, or has a qualifier")
	}
	j.v.ImmutableID = id.Text()
	data := child(confirmations[0], nsSAML2, "SubjectConfirmationData")
	ends, err := instant(data, "NotOnOrAfter")
	switch {
	case err != nil:
		return err
	case data.SelectAttrValue("Recipient", "") != address || data.SelectAttrValue("InResponseTo", "") != j.want.wctx || data.SelectAttr("NotBefore") != nil || data.SelectAttr("Address") != nil:
		return refuse("AADSTS50008", "Recipient, InResponseTo, NotBefore or Address of the confirmation is wrong")
	case !ends.After(j.now) || ends.After(j.now.Add(skew+time.Second)):
		return refuse("AADSTS50008", "the confirmation holds until %s, now is %s", ends, j.now.UTC())
	}
	return nil
}

func (j *judge) conditions2() error {
	cond := child(j.assertion, nsSAML2, "Conditions")
	var err error
	if j.v.NotBefore, err = instant(cond, "NotBefore"); err != nil {
		return err
	}
	if j.v.NotOn, err = instant(cond, "NotOnOrAfter"); err != nil {
		return err
	}
	if j.now.Add(skew).Before(j.v.NotBefore) || !j.now.Before(j.v.NotOn) || j.v.NotOn.Sub(j.v.NotBefore) > time.Hour+skew {
		return refuse("AADSTS50008", "the token is valid from %s to %s, now is %s", j.v.NotBefore, j.v.NotOn, j.now.UTC())
	}
	audiences := children(child(cond, nsSAML2, "AudienceRestriction"), nsSAML2, "Audience")
	if len(cond.ChildElements()) != 1 || len(audiences) != 1 || audiences[0].Text() != microsoftOnline {
		return refuse("AADSTS50008", "Conditions do not hold exactly the audience %s", microsoftOnline)
	}
	return nil
}

func (j *judge) identity2() error {
	var mail []string
	for _, a := range children(child(j.assertion, nsSAML2, "AttributeStatement"), nsSAML2, "Attribute") {
		for _, v := range children(a, nsSAML2, "AttributeValue") {
			name := a.SelectAttrValue("Name", "")
			j.v.Claims = append(j.v.Claims, Claim{Name: name, Namespace: a.SelectAttrValue("NameFormat", ""), Value: v.Text()})
			if name == "IDPEmail" && a.SelectAttr("NameFormat") == nil {
				mail = append(mail, v.Text())
			}
		}
	}
	if len(mail) != 1 {
		return refuse("AADSTS50008", "IDPEmail is there %d times", len(mail))
	}
	j.v.UPN = mail[0]
	for _, u := range j.users {
		if u.ImmutableID != j.v.ImmutableID {
			continue
		}
		if u.UPN != j.v.UPN {
			return refuse("AADSTS51004", "%q is the onPremisesImmutableId of %s, not of %s", u.ImmutableID, u.UPN, j.v.UPN)
		}
		_, suffix, _ := strings.Cut(strings.ToLower(u.UPN), "@")
		if d, ok := nearestDomain(j.domains, suffix); !ok || d.Name != j.domain.Name || d.Name != j.want.domain {
			return refuse("AADSTS50008", "%s is not in %s, the domain of the issuer and of the request", u.UPN, j.domain.Name)
		}
		j.v.DisplayName = u.DisplayName
		return nil
	}
	return refuse("AADSTS51004", "no user of the tenant has the onPremisesImmutableId %q", j.v.ImmutableID)
}

func (j *judge) statement2() error {
	statements := children(j.assertion, nsSAML2, "AuthnStatement")
	if len(statements) != 1 {
		return refuse("AADSTS50008", "there are %d AuthnStatements", len(statements))
	}
	class := child(child(statements[0], nsSAML2, "AuthnContext"), nsSAML2, "AuthnContextClassRef")
	if class == nil || class.Text() == "" || statements[0].SelectAttrValue("SessionIndex", "") == "" {
		return refuse("AADSTS50008", "class or SessionIndex is missing")
	}
	j.v.AuthnMethod = class.Text()
	j.v.MFA = j.v.AuthnMethod == multipleAuthn
	var err error
	if j.v.AuthnInstant, err = instant(statements[0], "AuthnInstant"); err != nil {
		return err
	}
	if j.v.AuthnInstant.After(j.now.Add(skew)) || j.want.fresh && j.v.AuthnInstant.Before(j.want.at.Add(-time.Second)) {
		return refuse("AADSTS50196", "the authentication is of %s, asked for at %s", j.v.AuthnInstant, j.want.at.UTC())
	}
	return nil
}
