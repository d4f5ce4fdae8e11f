package domain

import (
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Severity is how bad a difference is, from good to bad.
type Severity uint8

// The severities.
const (
	// Same is no difference.
	Same Severity = iota
	// Note needs nobody.
	Note
	// Behind is a change of ours that Microsoft does not have yet; sign-in works.
	Behind
	// Broken keeps people from signing in, now or at the next change of keys.
	Broken
	// Foreign is a key, an issuer or an address that is not ours: whoever put it
	// there may sign in as anybody of the domain, or reads passwords.
	Foreign
)

// String returns same, note, behind, broken or foreign.
func (s Severity) String() string {
	return [...]string{"same", "note", "behind", "broken", "foreign"}[min(s, Foreign)]
}

// MarshalText implements [encoding.TextMarshaler].
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Row is one property side by side.
type Row struct {
	// Property is Graph's name.
	Property string `json:"property"`
	// Microsoft and Sallyport are the two views, in words.
	Microsoft string `json:"microsoft"`
	Sallyport string `json:"sallyport"`
	// Severity is [Same] when they agree.
	Severity Severity `json:"severity"`
	// Reason says what a difference means and what to do.
	Reason string `json:"reason,omitempty"`
}

// View is a domain side by side.
type View struct {
	Domain string `json:"domain"`
	Rows   []Row  `json:"rows"`
}

// Worst returns the highest severity of the rows.
func (v View) Worst() Severity {
	worst := Same
	for _, r := range v.Rows {
		worst = max(worst, r.Severity)
	}
	return worst
}

// Reasons returns the reasons of rows that are at least so bad, the worst first.
func (v View) Reasons(least Severity) []string {
	var out []string
	for s := Foreign; s >= least && s > Same; s-- {
		for _, r := range v.Rows {
			if r.Severity == s {
				out = append(out, v.Domain+": "+r.Property+": "+r.Reason)
			}
		}
	}
	return out
}

// Thumbprint names a certificate as Windows and Microsoft Entra ID do: SHA-1 in
// upper-case hex. It is a name, not a proof.
func Thumbprint(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// Compare puts what Microsoft holds beside what this service wants. d is the
// domain, f its settings, nil when it has none that can be read.
func Compare(w *Wanted, d Domain, f *Federation) View {
	v := View{Domain: w.Domain}
	v.add(w.authentication(d, f))
	if f == nil {
		return v
	}
	v.add(w.issuer(f))
	v.add(w.address("passiveSignInUri", f.PassiveSignInURI, w.PassiveSignInURI, true))
	v.add(w.address("activeSignInUri", f.ActiveSignInURI, w.ActiveSignInURI, !w.ActiveOff))
	v.add(w.address("metadataExchangeUri", f.MetadataExchangeURI, w.MetadataExchangeURI, !w.ActiveOff))
	v.add(w.address("signOutUri", f.SignOutURI, w.SignOutURI, false))
	v.add(w.signing(f))
	v.add(w.next(f))
	v.add(w.protocolRow(f))
	v.add(w.mfaRow(f))
	v.add(w.promptRow(f))
	if f.DisplayName != w.DisplayName {
		v.add(Row{"displayName", printable(f.DisplayName, 200), w.DisplayName, Note, "only a name"})
	}
	if f.PasswordResetURI != "" {
		v.add(Row{"passwordResetUri", printable(f.PasswordResetURI, 200), "", Note, "not set by this service: see that it is yours"})
	}
	if f.Update.Result != "" {
		v.add(Row{"signingCertificateUpdateStatus", printable(f.Update.Result, 80) + " " + f.Update.LastRun.UTC().Format(time.DateOnly), "", Same, ""})
	}
	return v
}

func (v *View) add(r Row) { v.Rows = append(v.Rows, r) }

func (w *Wanted) authentication(d Domain, f *Federation) Row {
	r := Row{Property: "authenticationType", Microsoft: "Managed", Sallyport: "Federated"}
	if d.Federated {
		r.Microsoft = "Federated"
	}
	switch {
	case d.Federated && f == nil:
		r.Severity, r.Reason = Broken, "federated without settings that can be read: nobody can sign in; sallyport domain unfederate makes it managed"
	case !d.Federated:
		r.Severity, r.Reason = Broken, "the domain is not federated: sallyport domain federate does it"
	}
	return r
}

func (w *Wanted) issuer(f *Federation) Row {
	r := Row{Property: "issuerUri", Microsoft: printable(f.IssuerURI, 200), Sallyport: w.Issuer}
	switch {
	case f.IssuerURI == w.Issuer:
	case strings.TrimSuffix(f.IssuerURI, "/") == strings.TrimSuffix(w.Issuer, "/"):
		r.Severity, r.Reason = Broken, "a slash differs, and they are compared byte for byte: tokens are refused"
	default:
		r.Severity, r.Reason = Foreign, "Microsoft takes tokens of another issuer for this domain, and none of ours"
	}
	return r
}

// address compares an address. needed says that people or clients cannot do
// without it.
func (w *Wanted) address(property, theirs, ours string, needed bool) Row {
	r := Row{Property: property, Microsoft: printable(theirs, 200), Sallyport: ours}
	t, err := url.Parse(theirs)
	o, err2 := url.Parse(ours)
	switch {
	case theirs == ours:
	case theirs == "" && needed:
		r.Severity, r.Reason = Broken, "Microsoft has no address to send people or clients to"
	case theirs == "":
		r.Severity, r.Reason = Note, "Microsoft holds no address"
	case err != nil || err2 != nil || t.Scheme != "https" || !strings.EqualFold(t.Host, o.Host):
		r.Severity, r.Reason = Foreign, "people or clients are sent to another host, which may ask for their passwords"
	case t.RawQuery == "" && t.User == nil && strings.EqualFold(strings.TrimSuffix(t.Path, "/"), strings.TrimSuffix(o.Path, "/")):
		r.Severity, r.Reason = Note, "written differently, leads to the same"
	default:
		r.Severity, r.Reason = Broken, "another path of this host"
	}
	return r
}

func (w *Wanted) protocolRow(f *Federation) Row {
	r := Row{Property: "preferredAuthenticationProtocol", Microsoft: printable(f.Protocol, 40), Sallyport: w.protocol()}
	if f.Protocol != r.Sallyport && !(f.Protocol == "" && !w.SAML) {
		r.Severity, r.Reason = Broken, "write the domain's protocol as Microsoft has it, or change it there"
	}
	return r
}

func (w *Wanted) mfaRow(f *Federation) Row {
	r := Row{Property: "federatedIdpMfaBehavior", Microsoft: printable(f.MFA, 60), Sallyport: w.mfa()}
	p := mfaProblem(f.MFA, w.SecondFactor)
	switch {
	case p != "":
		r.Severity, r.Reason = Broken, p
	case f.MFA == "" && !w.SecondFactor:
		r.Severity, r.Reason = Note, "without a value the old SupportsMfa counts, which can send people here for a second factor: set "+w.mfa()
	case f.MFA != r.Sallyport:
		r.Severity, r.Reason = Note, "chosen at Microsoft; it works"
	}
	return r
}

func (w *Wanted) promptRow(f *Federation) Row {
	r := Row{Property: "promptLoginBehavior", Microsoft: printable(f.PromptLogin, 60), Sallyport: w.prompt()}
	p := promptProblem(f.PromptLogin)
	switch {
	case p != "":
		r.Severity, r.Reason = Broken, p
	case f.PromptLogin == "" && r.Sallyport == PromptTranslate:
		r.Microsoft = "(" + PromptTranslate + ")"
	case f.PromptLogin != r.Sallyport:
		r.Severity, r.Reason = Note, "chosen at Microsoft; it works"
	}
	return r
}

// known reports whether a slot holds a certificate that may be there.
func (w *Wanted) known(s Slot) bool {
	return s.Holds(w.Signing) || s.Holds(w.Next) || slices.ContainsFunc(w.Retiring, s.Holds)
}

const (
	foreignKey = "a key that is not this service's: who has it signs in as anybody of this domain; if it is that of the identity provider before this one, finish the change, else treat it as a break-in"
	goneKey    = "a key that this service has retired is still taken: sallyport domain update pushes it out"
)

// stranger judges a slot whose content is not what may be there.
func (w *Wanted) stranger(s Slot) (Severity, string) {
	if slices.ContainsFunc(w.Gone, s.Holds) {
		return Broken, goneKey
	}
	return Foreign, foreignKey
}

func (w *Wanted) signing(f *Federation) Row {
	r := Row{Property: "signingCertificate", Microsoft: describe(f.Signing), Sallyport: describe(Slot{Certificate: w.Signing})}
	switch {
	case f.Signing.Holds(w.Signing):
	case f.Signing.Empty():
		r.Severity, r.Reason = Broken, "Microsoft has no certificate in this place"
	case !w.known(f.Signing):
		r.Severity, r.Reason = w.stranger(f.Signing)
	case f.Next.Holds(w.Signing):
		r.Severity, r.Reason = Behind, "the key that signs stands in the other place, which Microsoft takes as well"
	default:
		r.Severity, r.Reason = Broken, "the key that signs is in neither place: tokens are refused; sallyport domain update puts it there"
	}
	return r
}

func (w *Wanted) next(f *Federation) Row {
	r := Row{Property: "nextSigningCertificate", Microsoft: describe(f.Next), Sallyport: describe(Slot{Certificate: w.Next})}
	switch {
	case f.Next.Empty() && w.Next == nil, w.Next != nil && f.Next.Holds(w.Next):
	case !f.Next.Empty() && !w.known(f.Next):
		r.Severity, r.Reason = w.stranger(f.Next)
	case w.Next != nil && !f.Signing.Holds(w.Next):
		r.Severity, r.Reason = Behind, "Microsoft does not have the next certificate yet: sallyport domain update puts it there"
	default:
		r.Severity, r.Reason = Note, "one of this service's own, in use or on its way out"
	}
	return r
}

// describe names a slot's content.
func describe(s Slot) string {
	switch {
	case s.Problem != nil:
		return "unreadable: " + s.Problem.Error()
	case s.Certificate == nil:
		return ""
	default:
		return fmt.Sprintf("%s until %s", Thumbprint(s.Certificate), s.Certificate.NotAfter.UTC().Format(time.DateOnly))
	}
}
