package saml

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"

	"sallyport/federation/internal/xmlsec"
)

// maxListed bounds lists of a request: contexts, identity providers, requesters.
const maxListed = 20

// errRequest is why a request's content is refused; the sender is known then.
var errRequest = errors.New("saml: invalid request")

// head is what all requests have (SAML Core 2.0 §3.2.1).
type head struct {
	id, version, destination, issuer string
	instant                          time.Time
}

// readHead reads the attributes and the issuer of a request.
func readHead(e *etree.Element) (*head, error) {
	h := &head{}
	var ok bool
	if h.id, ok = xmlsec.Attr(e, "ID"); !ok || !xmlsec.IsNCName(h.id) {
		return nil, fmt.Errorf("%w: ID is missing or no NCName of at most 256 bytes", errMessage)
	}
	h.version, _ = xmlsec.Attr(e, "Version")
	h.destination, _ = xmlsec.Attr(e, "Destination")
	value, _ := xmlsec.Attr(e, "IssueInstant")
	var err error
	if h.instant, err = xmlsec.Instant(value); err != nil {
		return nil, fmt.Errorf("%w: IssueInstant: %w", errMessage, err)
	}
	issuer, err := xmlsec.One(e, nsAssertion, "Issuer")
	if err != nil {
		return nil, fmt.Errorf("%w: Issuer: %w", errMessage, err)
	}
	text, err := xmlsec.Text(issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: Issuer: %w", errMessage, err)
	}
	// Pretty-printers put line feeds around it (CASES C01); inside it is text.
	if h.issuer = strings.Trim(text, " \t\r\n"); h.issuer == "" || len(h.issuer) > maxEntity {
		return nil, fmt.Errorf("%w: Issuer is empty or too long", errMessage)
	}
	if format, ok := xmlsec.Attr(issuer, "Format"); ok && format != formatEntity {
		return nil, fmt.Errorf("%w: Issuer is not an entity", errMessage)
	}
	return h, nil
}

// versionOf reports whether a request is of SAML 2.0, or what its sender is told (SAML
// Core 2.0 §3.2.2.2).
func versionOf(h *head) (second status, ok bool) {
	switch {
	case h.version == "2.0":
		return "", true
	case h.version < "2.0":
		return versionTooLow, false
	}
	return versionTooHigh, false
}

// authnRequest is an AuthnRequest (SAML Core 2.0 §3.4.1). Nothing in it is trusted
// but as a wish.
type authnRequest struct {
	head
	acsURL, acsBinding    string
	acsIndex              int
	hasIndex              bool
	forceAuthn, isPassive bool

	hasPolicy                bool
	format, spNameQualifier  string
	subject, subjectFormat   string
	comparison               string
	contexts                 []string // class references
	declarations             bool     // AuthnContextDeclRef
	notBefore, notOnOrAfter  time.Time
	audiences                []string
	providers, requesterIDs  []string
	hasProviders, hasContext bool
}

// readAuthnRequest reads what a head left. Its errors are told to the party.
func readAuthnRequest(h *head, e *etree.Element) (*authnRequest, *refusal) {
	q := &authnRequest{head: *h}
	wrong := func(err error) *refusal { return refuse(requester, "", "%w", err) }
	if err := q.attributes(e); err != nil {
		return nil, wrong(err)
	}
	seen := make(map[string]bool, 8)
	for _, c := range e.ChildElements() {
		name := c.Tag
		if seen[name] {
			return nil, wrong(fmt.Errorf("%w: %s stands twice", errRequest, name))
		}
		seen[name] = true
		switch ns := c.NamespaceURI(); {
		case ns == nsAssertion && name == "Issuer", ns == nsProtocol && name == "Extensions":
		case ns == nsAssertion && name == "Subject":
			if err := q.readSubject(c); err != nil {
				return nil, wrong(err)
			}
		case ns == nsProtocol && name == "NameIDPolicy":
			if r := q.readPolicy(c); r != nil {
				return nil, r
			}
		case ns == nsAssertion && name == "Conditions":
			if err := q.readConditions(c); err != nil {
				return nil, wrong(err)
			}
		case ns == nsProtocol && name == "RequestedAuthnContext":
			if err := q.readContext(c); err != nil {
				return nil, wrong(err)
			}
		case ns == nsProtocol && name == "Scoping":
			if err := q.readScoping(c); err != nil {
				return nil, wrong(err)
			}
		default:
			return nil, wrong(fmt.Errorf("%w: unknown element %.60q", errRequest, name))
		}
	}
	return q, nil
}

func (q *authnRequest) attributes(e *etree.Element) error {
	q.acsURL, _ = xmlsec.Attr(e, "AssertionConsumerServiceURL")
	q.acsBinding, _ = xmlsec.Attr(e, "ProtocolBinding")
	var index string
	if index, q.hasIndex = xmlsec.Attr(e, "AssertionConsumerServiceIndex"); q.hasIndex {
		n, err := strconv.ParseUint(strings.TrimSpace(index), 10, 16) // xs:unsignedShort
		if err != nil {
			return fmt.Errorf("%w: AssertionConsumerServiceIndex is no unsigned short", errRequest)
		}
		q.acsIndex = int(n)
	}
	for name, to := range map[string]*bool{"ForceAuthn": &q.forceAuthn, "IsPassive": &q.isPassive} {
		value, ok := xmlsec.Attr(e, name)
		if !ok {
			continue
		}
		var err error
		if *to, err = boolean(value); err != nil {
			return fmt.Errorf("%w: %s is no boolean", errRequest, name)
		}
	}
	return nil
}

// boolean reads an xs:boolean.
func boolean(s string) (bool, error) {
	switch strings.Trim(s, " \t\r\n") {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, errRequest
}

// readPolicy reads NameIDPolicy. The format as text, which an old library wrote, is
// not guessed at (CASES C02).
func (q *authnRequest) readPolicy(e *etree.Element) *refusal {
	text, err := xmlsec.Text(e)
	if err != nil || strings.Trim(text, " \t\r\n") != "" {
		return refuse(requester, invalidNameIDPolicy, "NameIDPolicy is not empty")
	}
	q.hasPolicy = true
	q.format, _ = xmlsec.Attr(e, "Format")
	q.spNameQualifier, _ = xmlsec.Attr(e, "SPNameQualifier")
	if create, ok := xmlsec.Attr(e, "AllowCreate"); ok {
		// All identifiers are computed, so that none has to be created.
		if _, err := boolean(create); err != nil {
			return refuse(requester, "", "%w: AllowCreate is no boolean", errRequest)
		}
	}
	return nil
}

// readSubject reads whom the party wants to see signed in. A confirmation is
// refused (SAML Profiles 2.0 §4.1.4.1), as are identifiers that are not plain.
func (q *authnRequest) readSubject(e *etree.Element) error {
	id, err := xmlsec.One(e, nsAssertion, "NameID")
	if err != nil || len(e.ChildElements()) != 1 {
		return fmt.Errorf("%w: Subject is not one NameID alone", errRequest)
	}
	text, err := xmlsec.Text(id)
	if err != nil {
		return fmt.Errorf("%w: Subject: %w", errRequest, err)
	}
	q.subject = strings.Trim(text, " \t\r\n")
	q.subjectFormat, _ = xmlsec.Attr(id, "Format")
	if q.subject == "" || len(q.subject) > 256 || len(q.subjectFormat) > 256 {
		return fmt.Errorf("%w: Subject's NameID is empty or too long", errRequest)
	}
	return nil
}

func (q *authnRequest) readConditions(e *etree.Element) error {
	for name, to := range map[string]*time.Time{"NotBefore": &q.notBefore, "NotOnOrAfter": &q.notOnOrAfter} {
		value, ok := xmlsec.Attr(e, name)
		if !ok {
			continue
		}
		var err error
		if *to, err = xmlsec.Instant(value); err != nil {
			return fmt.Errorf("%w: Conditions %s: %w", errRequest, name, err)
		}
	}
	for _, c := range e.ChildElements() {
		if !xmlsec.Is(c, nsAssertion, "AudienceRestriction") {
			return fmt.Errorf("%w: condition %.60q is not known", errRequest, c.Tag)
		}
		list, err := texts(c, nsAssertion, "Audience")
		if err != nil {
			return err
		}
		q.audiences = append(q.audiences, list...)
	}
	return nil
}

func (q *authnRequest) readContext(e *etree.Element) error {
	q.hasContext = true
	if q.comparison, _ = xmlsec.Attr(e, "Comparison"); q.comparison == "" {
		q.comparison = "exact"
	}
	switch q.comparison {
	case "exact", "minimum", "maximum", "better":
	default:
		return fmt.Errorf("%w: Comparison %.20q", errRequest, q.comparison)
	}
	children := e.ChildElements()
	q.declarations = len(children) > 0 && xmlsec.Is(children[0], nsAssertion, "AuthnContextDeclRef")
	name := "AuthnContextClassRef"
	if q.declarations {
		name = "AuthnContextDeclRef"
	}
	var err error
	q.contexts, err = texts(e, nsAssertion, name)
	return err
}

func (q *authnRequest) readScoping(e *etree.Element) error {
	list, err := xmlsec.Optional(e, nsProtocol, "IDPList")
	if err != nil {
		return fmt.Errorf("%w: Scoping: %w", errRequest, err)
	}
	if list != nil {
		q.hasProviders = true
		for _, entry := range xmlsec.All(list, nsProtocol, "IDPEntry") {
			id, _ := xmlsec.Attr(entry, "ProviderID")
			if q.providers = append(q.providers, id); len(q.providers) > maxListed {
				return fmt.Errorf("%w: IDPList is too long", errRequest)
			}
		}
	}
	ids := xmlsec.All(e, nsProtocol, "RequesterID")
	if len(ids) > maxListed {
		return fmt.Errorf("%w: too many requesters", errRequest)
	}
	for _, id := range ids {
		text, err := xmlsec.Text(id)
		if err != nil {
			return fmt.Errorf("%w: RequesterID: %w", errRequest, err)
		}
		q.requesterIDs = append(q.requesterIDs, strings.Trim(text, " \t\r\n"))
	}
	return nil
}

// texts returns the texts of an element whose children are all of one name.
func texts(e *etree.Element, namespace, local string) ([]string, error) {
	children := e.ChildElements()
	if len(children) == 0 || len(children) > maxListed {
		return nil, fmt.Errorf("%w: %s has %d children", errRequest, e.Tag, len(children))
	}
	out := make([]string, 0, len(children))
	for _, c := range children {
		if !xmlsec.Is(c, namespace, local) {
			return nil, fmt.Errorf("%w: %.60q in %s", errRequest, c.Tag, e.Tag)
		}
		text, err := xmlsec.Text(c)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errRequest, local, err)
		}
		if text = strings.Trim(text, " \t\r\n"); text == "" || len(text) > maxEntity {
			return nil, fmt.Errorf("%w: %s is empty or too long", errRequest, local)
		}
		out = append(out, text)
	}
	return out, nil
}

// maxDetail bounds what a request may add to the audit record.
const maxDetail = 512

// detail is what the audit record says of a request besides who and where: for whom
// else the party asks (CASES C02), and the note of its verification.
func (q *authnRequest) detail(note string) string {
	if len(q.requesterIDs) == 0 {
		return note
	}
	text := fmt.Sprintf("requesters %q", q.requesterIDs) // quoted: they are the sender's words
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + "…"
	}
	if note != "" {
		text = note + "; " + text
	}
	return text
}
