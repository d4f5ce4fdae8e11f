package m365sim

import (
	"strings"
	"time"

	"github.com/beevik/etree"
)

// shape applies [MS-MWBF] 2.2.4.2 to the verified tree.
func (j *judge) shape() error {
	a := j.assertion
	if a.SelectAttrValue("MajorVersion", "") != "1" || a.SelectAttrValue("MinorVersion", "") != "1" {
		return refuse("AADSTS50008", "the assertion is not SAML 1.1")
	}
	id := a.SelectAttrValue("AssertionID", "")
	if id == "" || !strings.ContainsRune("_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", rune(id[0])) || len(id) < 20 {
		return refuse("AADSTS50008", "AssertionID %q is no NCName of enough length", id)
	}
	var order []string
	for _, c := range a.ChildElements() {
		if !is(c, nsSAML, c.Tag) {
			return refuse("AADSTS50008", "%s is in another namespace", c.Tag)
		}
		order = append(order, c.Tag)
	}
	// goxmldsig takes the signature out of the tree that it returns.
	if got := strings.Join(order, " "); got != "Conditions AttributeStatement AuthenticationStatement" {
		return refuse("AADSTS50008", "the statements are %q", got)
	}
	for _, tag := range []string{"SubjectLocality", "AuthorityBinding"} {
		if len(a.FindElements(".//"+tag)) > 0 {
			return refuse("AADSTS50008", "%s is not allowed", tag)
		}
	}
	return nil
}

func (j *judge) issuer() error {
	j.v.Issuer = j.assertion.SelectAttrValue("Issuer", "")
	for _, d := range j.domains {
		if d.Federated && d.IssuerURI == j.v.Issuer {
			j.domain, j.v.Domain = d, d.Name
			return nil
		}
	}
	return refuse("AADSTS50107", "no domain has the issuerUri %q", j.v.Issuer)
}

func (j *judge) audience() error {
	cond := child(j.assertion, nsSAML, "Conditions")
	rests := children(cond, nsSAML, "AudienceRestrictionCondition")
	if len(cond.ChildElements()) != 1 || len(rests) != 1 || len(rests[0].ChildElements()) != 1 {
		return refuse("AADSTS50008", "Conditions do not hold exactly one audience")
	}
	got := rests[0].ChildElements()[0].Text()
	if j.active && contains([]string{"https://login.microsoftonline.com/extSTS.srf", "https://login.windows.net/"}, got) {
		return nil
	}
	if got != microsoftOnline {
		return refuse("AADSTS50008", "the audience is %q", got)
	}
	if j.rstr == nil {
		return nil
	}
	addr := ""
	if at := child(j.rstr, nsPol, "AppliesTo"); at != nil {
		if epr := child(at, nsAddr, "EndpointReference"); epr != nil {
			if e := child(epr, nsAddr, "Address"); e != nil {
				addr = e.Text()
			}
		}
	}
	if addr != microsoftOnline {
		return refuse("AADSTS20012", "AppliesTo is %q", addr)
	}
	return nil
}

func (j *judge) times() error {
	cond := child(j.assertion, nsSAML, "Conditions")
	var err error
	if j.v.NotBefore, err = instant(cond, "NotBefore"); err != nil {
		return err
	}
	if j.v.NotOn, err = instant(cond, "NotOnOrAfter"); err != nil {
		return err
	}
	issued, err := instant(j.assertion, "IssueInstant")
	if err != nil {
		return err
	}
	switch {
	case j.now.Add(skew).Before(j.v.NotBefore) || !j.now.Add(-skew).Before(j.v.NotOn):
		return refuse("AADSTS50008", "the token is valid from %s to %s, now is %s", j.v.NotBefore, j.v.NotOn, j.now.UTC())
	case j.v.NotOn.Sub(j.v.NotBefore) > time.Hour+skew:
		return refuse("AADSTS50008", "the token lives %s", j.v.NotOn.Sub(j.v.NotBefore))
	case issued.Sub(j.now).Abs() > skew:
		return refuse("AADSTS50008", "IssueInstant %s is not now (%s)", issued, j.now.UTC())
	}
	if j.rstr == nil {
		return nil
	}
	life := child(j.rstr, nsTrust, "Lifetime")
	for _, tag := range []string{"Created", "Expires"} {
		e := child(life, nsUtil, tag)
		if e == nil {
			return refuse("AADSTS20012", "Lifetime has no %s", tag)
		}
		if _, err := parseInstant(e.Text()); err != nil {
			return err
		}
	}
	return nil
}

func (j *judge) subjects() error {
	attrs := child(j.assertion, nsSAML, "AttributeStatement")
	auth := child(j.assertion, nsSAML, "AuthenticationStatement")
	var texts []string
	for _, st := range []*etree.Element{attrs, auth} {
		sub := child(st, nsSAML, "Subject")
		if sub == nil {
			return refuse("AADSTS50008", "%s has no Subject", st.Tag)
		}
		doc := etree.NewDocumentWithRoot(sub.Copy())
		text, err := doc.WriteToString()
		if err != nil {
			return err
		}
		texts = append(texts, text)
		name, conf := child(sub, nsSAML, "NameIdentifier"), child(sub, nsSAML, "SubjectConfirmation")
		if name == nil || conf == nil || len(sub.ChildElements()) != 2 {
			return refuse("AADSTS50008", "a Subject is not NameIdentifier and SubjectConfirmation")
		}
		if name.SelectAttr("NameQualifier") != nil || name.SelectAttrValue("Format", "") != formatNone {
			return refuse("AADSTS50008", "NameIdentifier has a qualifier or another format than unspecified")
		}
		if m := child(conf, nsSAML, "ConfirmationMethod"); m == nil || m.Text() != bearer {
			return refuse("AADSTS50008", "the confirmation method is not bearer")
		}
		j.v.ImmutableID = name.Text()
	}
	if texts[0] != texts[1] {
		return refuse("AADSTS50008", "the two subjects differ")
	}
	for _, a := range children(attrs, nsSAML, "Attribute") {
		values := children(a, nsSAML, "AttributeValue")
		if len(values) == 0 {
			return refuse("AADSTS50008", "attribute %s has no value", a.SelectAttrValue("AttributeName", ""))
		}
		for _, v := range values {
			j.v.Claims = append(j.v.Claims, Claim{
				Name: a.SelectAttrValue("AttributeName", ""), Namespace: a.SelectAttrValue("AttributeNamespace", ""), Value: v.Text(),
			})
		}
	}
	return nil
}

func (j *judge) identity() error {
	upns := j.claim("http://schemas.xmlsoap.org/claims", "UPN")
	ids := j.claim("http://schemas.microsoft.com/LiveID/Federation/2008/05", "ImmutableID")
	if len(upns) != 1 || len(ids) != 1 {
		return refuse("AADSTS50008", "UPN and ImmutableID are not there exactly once each")
	}
	j.v.UPN = upns[0]
	if ids[0] == "" || ids[0] != j.v.ImmutableID {
		return refuse("AADSTS50008", "ImmutableID %q and NameIdentifier %q differ", ids[0], j.v.ImmutableID)
	}
	var user *User
	for i := range j.users {
		if j.users[i].ImmutableID == ids[0] {
			user = &j.users[i]
		}
	}
	if user == nil {
		return refuse("AADSTS51004", "no user of the tenant has the onPremisesImmutableId %q", ids[0])
	}
	j.v.DisplayName = user.DisplayName
	for _, upn := range []string{user.UPN, j.v.UPN} {
		_, suffix, _ := strings.Cut(strings.ToLower(upn), "@")
		if d, ok := nearestDomain(j.domains, suffix); !ok || d.Name != j.domain.Name {
			return refuse("AADSTS50008", "%s is not in %s, the domain of the issuer (federatedTokenValidationPolicy)", upn, j.domain.Name)
		}
	}
	if j.want.domain != "" && j.want.domain != j.domain.Name {
		return refuse("AADSTS50008", "the sign-in began for %s and came back for %s", j.want.domain, j.domain.Name)
	}
	return nil
}

func (j *judge) method() error {
	auth := child(j.assertion, nsSAML, "AuthenticationStatement")
	j.v.AuthnMethod = auth.SelectAttrValue("AuthenticationMethod", "")
	var err error
	if j.v.AuthnInstant, err = instant(auth, "AuthenticationInstant"); err != nil {
		return err
	}
	known := []string{
		"urn:oasis:names:tc:SAML:1.0:am:password", "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
		"urn:federation:authentication:windows", "urn:ietf:rfc:2246", multipleAuthn,
	}
	if j.active {
		known = []string{methodText} // what AD FS writes for usernamemixed
	}
	if !contains(known, j.v.AuthnMethod) {
		return refuse("AADSTS50008", "AuthenticationMethod %q is not known", j.v.AuthnMethod)
	}
	if j.v.AuthnInstant.After(j.now.Add(skew)) {
		return refuse("AADSTS50008", "AuthenticationInstant %s lies in the future", j.v.AuthnInstant)
	}
	if j.want.fresh && j.v.AuthnInstant.Before(j.want.at.Add(-time.Second)) {
		return refuse("AADSTS50196", "a fresh sign-in was asked for at %s, the authentication is of %s", j.want.at.UTC(), j.v.AuthnInstant)
	}
	j.v.MFA = j.v.AuthnMethod == multipleAuthn ||
		contains(j.claim("http://schemas.microsoft.com/claims", "authnmethodsreferences"), multipleAuthn)
	if j.domain.RequireMultipleAuthnFrom && !j.v.MFA {
		return refuse("AADSTS50079", "the domain asks the identity provider for a second factor and the token has none")
	}
	return nil
}

func (j *judge) claims() error {
	seen := map[Claim]bool{}
	names := map[[2]string]int{}
	for _, a := range j.assertion.FindElements("./AttributeStatement/Attribute") {
		names[[2]string{a.SelectAttrValue("AttributeNamespace", ""), a.SelectAttrValue("AttributeName", "")}]++
	}
	for n, count := range names {
		if count > 1 {
			return refuse("AADSTS50008", "attribute %s stands %d times", n[1], count)
		}
	}
	for _, c := range j.v.Claims {
		if seen[c] {
			return refuse("AADSTS50008", "claim %s has the same value twice", c.Name)
		}
		seen[c] = true
		if c.Name == "issuerid" {
			return refuse("AADSTS50008", "issuerid is an instruction, not a claim")
		}
		if c.Name == "" || c.Namespace == "" || strings.HasSuffix(c.Namespace, "/") {
			return refuse("AADSTS50008", "claim %q in %q is not split at the last slash", c.Name, c.Namespace)
		}
	}
	if v := j.claim("http://schemas.microsoft.com/ws/2012/01", "insidecorporatenetwork"); len(v) > 0 && v[0] != "true" && v[0] != "false" {
		return refuse("AADSTS50008", "insidecorporatenetwork is %q", v[0])
	}
	return nil
}

func (j *judge) claim(ns, name string) []string {
	var values []string
	for _, c := range j.v.Claims {
		if c.Namespace == ns && c.Name == name {
			values = append(values, c.Value)
		}
	}
	return values
}

func instant(e *etree.Element, attr string) (time.Time, error) {
	if e == nil {
		return time.Time{}, refuse("AADSTS50008", "the element with %s is missing", attr)
	}
	return parseInstant(e.SelectAttrValue(attr, ""))
}

// parseInstant takes xs:dateTime in UTC with Z and nothing else.
func parseInstant(v string) (time.Time, error) {
	t, err := time.Parse("2006-01-02T15:04:05.999Z", v)
	if err != nil {
		return time.Time{}, refuse("AADSTS50008", "%q is no UTC instant", v)
	}
	return t, nil
}

func contains(list []string, v string) bool {
	for _, s := range list {
		if s == v {
			return true
		}
	}
	return false
}
