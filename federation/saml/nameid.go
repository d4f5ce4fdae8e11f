package saml

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"

	"sallyport/authn/seal"
	"sallyport/federation"
	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/token"
)

// supported reports whether a format can be given to a party. Microsoft 365 finds
// its users by the ImmutableID and nothing else.
func supported(p *Party, format string) bool {
	if p.Microsoft365 {
		return format == FormatPersistent
	}
	switch format {
	case FormatUnspecified, FormatEmail, FormatWindows, FormatPersistent, FormatTransient:
		return true
	}
	return false
}

// errIdentifier says that a person has no identifier of the format.
var errIdentifier = errors.New("saml: the account has no name identifier of this format")

// purposePersistent names the key of persistent identifiers; another text would
// make other identifiers.
const purposePersistent = "sallyport saml persistent identifier"

// Identifiers computes opaque name identifiers. The zero value has no persistent
// ones but those of Microsoft 365.
type Identifiers struct{ key []byte }

// NewIdentifiers derives the key of persistent identifiers from a secret of 32
// bytes, none from an empty one. With another secret all parties would take
// everybody for a stranger.
func NewIdentifiers(secret []byte) (Identifiers, error) {
	if len(secret) == 0 {
		return Identifiers{}, nil
	}
	key, err := seal.Key(purposePersistent, secret)
	return Identifiers{key}, err
}

// Name writes the identifier that a request without a wish of its own gets into an
// assertion of the claims engine. The error says that the person has none.
func (i *Identifiers) Name(a *token.Assertion, p *Party, sub *federation.Subject) error {
	return i.name(a, p, p.NameIDFormat, sub)
}

// name writes the identifier of the format into an assertion whose NameID is the
// claims engine's choice.
func (i *Identifiers) name(a *token.Assertion, p *Party, format string, sub *federation.Subject) error {
	a.NameIDFormat = format
	switch {
	case p.Microsoft365 || format == FormatUnspecified: // as the claims say
	case p.OwnNames && (format == FormatEmail || format == FormatPersistent):
		if format == FormatEmail && !addrSpec(a.NameID) || len(a.NameID) > 256 { // SAML Core 2.0 §8.3.7
			return errIdentifier
		}
	case format == FormatEmail:
		mail := sub.Account.UPN
		if values := sub.Account.Attributes["mail"]; len(values) > 0 && values[0] != "" {
			mail = values[0]
		}
		if !addrSpec(mail) {
			return errIdentifier
		}
		a.NameID = mail
	case format == FormatWindows:
		if sub.Account.NetBIOS == "" || sub.Account.SAMAccountName == "" {
			return errIdentifier
		}
		a.NameID = sub.Account.Name()
	case format == FormatTransient && sub.SessionIndex == "":
		a.NameID = token.NewID() // a session that nobody keeps
	case format == FormatTransient:
		a.NameID = "_" + digest([]byte(sub.SessionIndex), "transient", a.Audience)
	case format == FormatPersistent && len(i.key) > 0:
		a.NameID = digest(i.key, "persistent", a.Issuer, a.Audience, string(sub.Account.ID[:]))
	default:
		return errIdentifier
	}
	return nil
}

// NameOf implements [federation.Namer]: the format of the identifier, where the request
// asked for another than requests without a wish get.
func (r *Responder) NameOf(req *federation.SignInRequest) string {
	x, err := parseExtra(req.Extra)
	p := r.Parties().ByKey(req.Party.Key)
	if err != nil || p == nil || x.format == p.NameIDFormat || x.format == formatEncrypted {
		return ""
	}
	return x.format
}

// appendNameID writes an identifier as an element of its own.
func appendNameID(w *xmlsec.Writer, format, value string) {
	w.Raw(`<saml:NameID xmlns:saml="` + nsAssertion + `" Format="`)
	w.Attr("Format", format)
	w.Raw(`">`)
	w.Text("NameID", value)
	w.Raw(`</saml:NameID>`)
}

// digest is an HMAC over the values, each behind its length, in letters that have
// no case to lose and need no escape.
func digest(key []byte, values ...string) string {
	m := hmac.New(sha256.New, key)
	for _, v := range values {
		m.Write([]byte{byte(len(v) >> 8), byte(len(v))})
		m.Write([]byte(v))
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(m.Sum(nil)))
}

// addrSpec reports whether s looks like the addr-spec of RFC 2822: no display
// name, no comment, no blank.
func addrSpec(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.ContainsAny(s, " \t\r\n<>()\",;:\\") && !strings.Contains(domain, "@")
}

// sameSubject reports whether the person is the one that the request named: the
// identifier that the party would get, or the name by which people know it (SAML
// Core 2.0 §3.3.4).
func sameSubject(x *extra, a *token.Assertion, sub *federation.Subject) bool {
	if x.subject == a.NameID && (x.subjectFormat == "" || x.subjectFormat == FormatUnspecified || x.subjectFormat == a.NameIDFormat) {
		return true
	}
	switch x.subjectFormat {
	case "", FormatUnspecified, FormatEmail:
		return strings.EqualFold(x.subject, sub.Account.UPN)
	case FormatWindows:
		return strings.EqualFold(x.subject, sub.Account.Name())
	}
	return false
}
