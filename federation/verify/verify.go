package verify

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/beevik/etree"
)

// Audience is the relying party Microsoft 365, in the global cloud and the others.
const Audience = "urn:federation:MicrosoftOnline"

// skew is what clocks may run apart.
const skew = 5 * time.Minute

// maxToken bounds what is judged; a token has some kilobytes.
const maxToken = 1 << 20

// MultipleAuthn is the method that says that a second factor was used.
const MultipleAuthn = "http://schemas.microsoft.com/claims/multipleauthn"

// Domain is what Microsoft holds for a federated domain with settings of its own.
type Domain struct {
	Name   string
	Issuer string // issuerUri, compared byte for byte
	// Current and Next are the two slots; nil for an empty one.
	Current, Next *x509.Certificate
	// MFA is federatedIdpMfaBehavior; empty when it is not known.
	MFA string
}

// Want is what a token is judged against.
type Want struct {
	// Domains are all federated domains of the tenant that are known.
	Domains []Domain
	// UPN is the person's user principal name in the tenant; empty takes the token's.
	UPN string
	// ImmutableID is onPremisesImmutableId of the person; empty takes the token's.
	ImmutableID string
	// Audiences are the identifiers that count. Empty: [Audience].
	Audiences []string
	// Now is the instant of the judgement. Required.
	Now time.Time
}

// Finding is the outcome of one rule.
type Finding struct {
	Rule string `json:"rule"`
	OK   bool   `json:"ok"`
	// Found is what was found, Remedy what to do when it is not as it should be.
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
}

// Verdict is the judgement of one token.
type Verdict struct {
	Findings []Finding `json:"findings"`
	// Domain is the domain whose issuer the token has, Slot the place of the
	// certificate (signingCertificate or nextSigningCertificate).
	Domain     string `json:"domain,omitempty"`
	Slot       string `json:"slot,omitempty"`
	Thumbprint string `json:"thumbprint,omitempty"`
}

// OK reports whether every rule is kept.
func (v *Verdict) OK() bool {
	for _, f := range v.Findings {
		if !f.OK {
			return false
		}
	}
	return len(v.Findings) > 0
}

// Err returns nil when every rule is kept, else the first that is not.
func (v *Verdict) Err() error {
	for _, f := range v.Findings {
		if !f.OK {
			return fmt.Errorf("%s: %s", f.Rule, f.Found)
		}
	}
	if len(v.Findings) == 0 {
		return fmt.Errorf("nothing was judged")
	}
	return nil
}

// facts are what a verified assertion says, whichever version it has.
type facts struct {
	id, issuer, nameID, method string
	audiences                  []string
	notBefore, notOnOrAfter    time.Time
	authnAt                    time.Time
	claims                     map[string][]string
}

// judge holds one judgement in progress.
type judge struct {
	want   Want
	v      Verdict
	root   *etree.Element
	facts  facts
	domain *Domain
	upn    string
}

// Token judges one signed assertion, SAML 1.1 or 2.0, without the message around it.
// It stops at the first rule without which the later ones mean nothing.
func Token(assertion []byte, want Want) *Verdict {
	if len(want.Audiences) == 0 {
		want.Audiences = []string{Audience}
	}
	j := &judge{want: want}
	for _, r := range []struct {
		rule  string
		f     func() (found, remedy string, ok bool)
		fatal bool
	}{
		{"the token is one assertion of well-formed XML", func() (string, string, bool) { return j.parse(assertion) }, true},
		{"it is signed by a certificate in one of the domain's slots", j.signature, true},
		{"that certificate is in date", j.dates, false},
		{"what is signed can be read", j.read, true},
		{"the issuer is the domain's, character for character", j.issuer, false},
		{"the user principal name lies in the issuer's root domain", j.root365, false},
		{"the name identifier is the ImmutableID", j.anchor, false},
		{"the audience is Microsoft 365", j.audience, false},
		{"it is valid now, and for an hour at most", j.times, false},
		{"the method of sign-in is known, and not in the future", j.method, false},
		{"a second factor is there where the domain asks this service for it", j.mfa, false},
	} {
		found, remedy, ok := r.f()
		f := Finding{Rule: r.rule, OK: ok, Found: found}
		if !ok {
			f.Remedy = remedy
		}
		j.v.Findings = append(j.v.Findings, f)
		if !ok && r.fatal {
			break
		}
	}
	return &j.v
}

func (j *judge) issuer() (string, string, bool) {
	for i := range j.want.Domains {
		if d := &j.want.Domains[i]; d.Issuer == j.facts.issuer {
			j.domain, j.v.Domain = d, d.Name
			return fmt.Sprintf("%s, of %s", d.Issuer, d.Name), "", true
		}
	}
	return fmt.Sprintf("%q belongs to no domain", j.facts.issuer), "microsoft365.domains[].issuer must be the issuerUri that Microsoft holds (sallyport domain show)", false
}

// root365 is what federatedTokenValidationPolicy asks by default: the root domain of
// the person is that of the issuer.
func (j *judge) root365() (string, string, bool) {
	upns := j.facts.claims["http://schemas.xmlsoap.org/claims/UPN"]
	if len(upns) == 0 {
		upns = j.facts.claims["IDPEmail"] // SAML 2.0 domains
	}
	if len(upns) != 1 {
		return fmt.Sprintf("%d user principal names", len(upns)), "the token must name one", false
	}
	j.upn = upns[0]
	if want := j.want.UPN; want != "" && !strings.EqualFold(want, j.upn) {
		return fmt.Sprintf("the token says %s, the tenant %s", j.upn, want), "the UPN in Active Directory must be the one in the tenant", false
	}
	root := longest(j.want.Domains, j.upn)
	switch {
	case root == nil:
		return j.upn + " is in none of the federated domains", "people of other domains are refused; give the account a UPN of a federated one", false
	case j.domain == nil || root.Name != j.domain.Name:
		return fmt.Sprintf("%s belongs to %s", j.upn, root.Name), "the issuer must be that of the person's own domain (federatedTokenValidationPolicy)", false
	}
	return j.upn, "", true
}

// longest returns the domain with settings of its own that a UPN falls under.
func longest(domains []Domain, upn string) *Domain {
	_, suffix, ok := strings.Cut(strings.ToLower(upn), "@")
	if !ok {
		return nil
	}
	var best *Domain
	for i := range domains {
		name := strings.ToLower(domains[i].Name)
		if (suffix == name || strings.HasSuffix(suffix, "."+name)) && (best == nil || len(name) > len(best.Name)) {
			best = &domains[i]
		}
	}
	return best
}

func (j *judge) anchor() (string, string, bool) {
	id := j.facts.nameID
	claims := j.facts.claims["http://schemas.microsoft.com/LiveID/Federation/2008/05/ImmutableID"]
	switch {
	case id == "" || strings.TrimSpace(id) != id:
		return fmt.Sprintf("the name identifier is %q", id), "the account needs a source anchor", false
	case len(claims) > 1 || len(claims) == 1 && claims[0] != id:
		return fmt.Sprintf("the claim is %q and the name identifier %q", claims, id), "both must be the same", false
	case j.want.ImmutableID != "" && j.want.ImmutableID != id:
		return fmt.Sprintf("the token says %s, the tenant %s", id, j.want.ImmutableID), "the anchor of the settings (microsoft365.domains[].anchor) must be the one that Entra Connect uses; letters of either case differ", false
	}
	return id, "", true
}

func (j *judge) audience() (string, string, bool) {
	if len(j.facts.audiences) == 1 {
		for _, a := range j.want.Audiences {
			if a == j.facts.audiences[0] {
				return a, "", true
			}
		}
	}
	return fmt.Sprintf("%q", j.facts.audiences), "it must be " + strings.Join(j.want.Audiences, " or "), false
}

func (j *judge) times() (string, string, bool) {
	f, now := j.facts, j.want.Now
	found := fmt.Sprintf("from %s to %s", f.notBefore.UTC().Format(time.RFC3339), f.notOnOrAfter.UTC().Format(time.RFC3339))
	switch {
	case now.Add(skew).Before(f.notBefore) || !now.Add(-skew).Before(f.notOnOrAfter):
		return found + fmt.Sprintf(", now is %s", now.UTC().Format(time.RFC3339)), "check this machine's clock", false
	case f.notOnOrAfter.Sub(f.notBefore) > time.Hour+skew:
		return found, "microsoft365.token_lifetime is too long", false
	}
	return found, "", true
}

func (j *judge) method() (string, string, bool) {
	known := map[string]bool{
		"urn:oasis:names:tc:SAML:1.0:am:password": true, "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport": true,
		"http://schemas.microsoft.com/ws/2008/06/identity/authenticationmethod/password": true, "urn:federation:authentication:windows": true,
		"urn:oasis:names:tc:SAML:2.0:ac:classes:Kerberos": true, "urn:ietf:rfc:2246": true, MultipleAuthn: true,
	}
	if !known[j.facts.method] {
		return j.facts.method, "Microsoft may not know this method", false
	}
	if j.facts.authnAt.After(j.want.Now.Add(skew)) {
		return fmt.Sprintf("%s at %s, in the future", j.facts.method, j.facts.authnAt.UTC().Format(time.RFC3339)), "check this machine's clock", false
	}
	return j.facts.method, "", true
}

// mfa judges by the domain's federatedIdpMfaBehavior: where it hands the second
// factor to this service and the token claims none, sign-in goes round in a loop.
func (j *judge) mfa() (string, string, bool) {
	has := j.facts.method == MultipleAuthn
	for _, m := range j.facts.claims["http://schemas.microsoft.com/claims/authnmethodsreferences"] {
		has = has || m == MultipleAuthn
	}
	behaviour := ""
	if j.domain != nil {
		behaviour = j.domain.MFA
	}
	switch {
	case has:
		return "the token claims one", "", true
	case behaviour == "enforceMfaByFederatedIdp":
		return "the token claims none, and federatedIdpMfaBehavior is " + behaviour, "sign-in will loop: set rejectMfaByFederatedIdp (sallyport domain update --all)", false
	case behaviour == "":
		return "the token claims none; federatedIdpMfaBehavior is not known", "", true
	default:
		return "the token claims none; federatedIdpMfaBehavior is " + behaviour, "", true
	}
}
