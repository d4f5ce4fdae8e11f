package claims

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"sallyport/authn"
)

const (
	identity2005 = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
	identity2008 = "http://schemas.microsoft.com/ws/2008/06/identity/claims/"
)

// shortTypes are the short names of usual claim types, AD FS's own ones.
var shortTypes = map[string]string{
	"upn": TypeUPN, "name": TypeName, "emailaddress": identity2005 + "emailaddress", "givenname": identity2005 + "givenname",
	"surname": identity2005 + "surname", "streetaddress": identity2005 + "streetaddress", "locality": identity2005 + "locality",
	"postalcode": identity2005 + "postalcode", "country": identity2005 + "country", "mobilephone": identity2005 + "mobilephone",
	"role": identity2008 + "role", "groupsid": identity2008 + "groupsid", "primarysid": TypePrimarySID,
	"windowsaccountname": identity2008 + "windowsaccountname",
	"group":              "http://schemas.xmlsoap.org/claims/Group", "commonname": "http://schemas.xmlsoap.org/claims/CommonName",
}

// TypeNames returns the short names of claim types, in order.
func TypeNames() []string {
	names := make([]string, 0, len(shortTypes))
	for n := range shortTypes {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// name returns the full name of a rule's claim, or what is wrong with it.
func (r *Rules) name(rule *Rule) (name, problem string) {
	switch {
	case rule.NameFormat == "":
		return typeURI(rule.Type, r.SAML20)
	case badText(rule.Type) != "" || strings.ContainsFunc(rule.Type, unicode.IsSpace):
		return "", fmt.Sprintf("%.80q is not a name: write it as the party does, without blanks", rule.Type)
	default:
		return rule.Type, ""
	}
}

// TypeURI returns the URI of a claim type, or what is wrong with it. SAML 1.1
// splits it at its last slash, so that there must be one with something on both
// sides.
func TypeURI(s string) (uri, problem string) { return typeURI(s, false) }

func typeURI(s string, saml20 bool) (uri, problem string) {
	if full, ok := shortTypes[s]; ok {
		return full, ""
	}
	u, err := url.Parse(s)
	slash := strings.LastIndexByte(s, '/')
	switch {
	case err != nil || u.Scheme == "" || len(s) > maxPattern || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == unicode.ReplacementChar }):
		return "", fmt.Sprintf("%.80q is not a claim type: write its URI, or one of %s", s, strings.Join(TypeNames(), ", "))
	case saml20 && slash < 0:
		return s, ""
	case slash < 1 || slash == len(s)-1 || strings.HasSuffix(s[:slash], "/"):
		return "", fmt.Sprintf("%.80q has no name behind a last slash, where SAML 1.1 splits it: write such a URI, for example urn:contoso/tenant", s)
	}
	return s, ""
}

// reserved says why rules may not give a claim type, empty when they may. Those
// that say how and where somebody signed in are facts of the sign-in: a party, and
// Microsoft 365 above all, would take them for a second factor.
func reserved(uri string) string {
	l := strings.ToLower(uri)
	last := l[strings.LastIndexAny(l, "/:#.")+1:]
	switch {
	case last == "nameidentifier" || last == "nameid":
		return "is the subject of the token, which is always the person's own name: take the rule out"
	case l == strings.ToLower(TypeImmutableID):
		return "belongs to Microsoft 365, which gets it without rules: take the rule out"
	case l == strings.ToLower(TypeMethods), l == strings.ToLower(TypeInside), l == strings.ToLower(TypePersistent),
		strings.HasPrefix(l, "http://schemas.microsoft.com/ws/2012/01/password"),
		last == "multipleauthn", last == "authenticationmethod", last == "authenticationinstant",
		last == "authnmethodsreferences", last == "insidecorporatenetwork":
		return "says how or where the person signed in, which only the sign-in itself can tell: take the rule out"
	default:
		return ""
	}
}

// naming reports whether parties know people by a claim type.
func naming(uri string) bool {
	switch l := strings.ToLower(uri); l {
	// Plain names and object identifiers (uid, mail, eduPersonPrincipalName).
	case "uid", "mail", "email", "user.email", "username", "user", "login", "upn", "userprincipalname", "samaccountname", "eppn", "edupersonprincipalname",
		"urn:oid:0.9.2342.19200300.100.1.1", "urn:oid:0.9.2342.19200300.100.1.3", "urn:oid:1.3.6.1.4.1.5923.1.1.1.6":
		return true
	case strings.ToLower(TypeUPN), strings.ToLower(TypeName), strings.ToLower(TypeUPN365), strings.ToLower(TypePrimarySID),
		shortTypes["emailaddress"], shortTypes["windowsaccountname"], strings.ToLower("http://schemas.xmlsoap.org/claims/EmailAddress"):
		return true
	default:
		return false
	}
}

// Decides reports whether parties find people or their rights by a claim type.
func Decides(uri string) bool {
	return naming(uri) || uri == shortTypes["role"] || uri == shortTypes["group"] || uri == shortTypes["groupsid"]
}

// attributeOf is an attribute that rules may name.
type attributeOf struct {
	name string // as Active Directory spells it
	// of reads it from what every account has anyway; nil means that the directory
	// must be asked for it.
	of func(*authn.Account) string
}

// attributes are the attributes that claims may carry, by lower-case name: plain
// text, nothing secret, nothing binary. A closed list, because a mistyped name
// would be a claim that is silently absent.
var attributes = func() map[string]attributeOf {
	m := map[string]attributeOf{}
	for _, n := range strings.Fields(`c cn co comment company countryCode department departmentNumber description division
		employeeID employeeNumber employeeType extensionName facsimileTelephoneNumber generationQualifier gidNumber givenName
		homePhone info initials ipPhone l mail mailNickname manager middleName mobile name o otherMailbox otherTelephone ou
		personalTitle physicalDeliveryOfficeName postalCode postOfficeBox proxyAddresses roomNumber sn st street streetAddress
		targetAddress telephoneNumber title uid uidNumber url wWWHomePage businessCategory carLicense`) {
		m[strings.ToLower(n)] = attributeOf{name: n}
	}
	for i := 1; i <= 15; i++ {
		n := "extensionAttribute" + strconv.Itoa(i)
		m[strings.ToLower(n)] = attributeOf{name: n}
	}
	for i := 1; i <= 20; i++ {
		n := "msDS-cloudExtensionAttribute" + strconv.Itoa(i)
		m[strings.ToLower(n)] = attributeOf{name: n}
	}
	for n, of := range map[string]func(*authn.Account) string{
		"userPrincipalName":     func(a *authn.Account) string { return a.UPN },
		"sAMAccountName":        func(a *authn.Account) string { return a.SAMAccountName },
		"windowsAccountName":    func(a *authn.Account) string { return a.Name() },
		"displayName":           func(a *authn.Account) string { return a.DisplayName },
		"preferredLanguage":     func(a *authn.Account) string { return a.Language },
		"distinguishedName":     func(a *authn.Account) string { return a.DN },
		"objectSid":             func(a *authn.Account) string { return a.SID },
		"objectGUID":            func(a *authn.Account) string { return base64.StdEncoding.EncodeToString(a.ID[:]) },
		"mS-DS-ConsistencyGuid": func(a *authn.Account) string { return base64.StdEncoding.EncodeToString(a.ConsistencyGUID) },
	} {
		m[strings.ToLower(n)] = attributeOf{name: n, of: of}
	}
	return m
}()

// attribute finds an attribute that the rules may name.
func (r *Rules) attribute(name string) (attributeOf, bool) {
	if at, ok := attributes[strings.ToLower(name)]; ok {
		return at, true
	}
	for _, extra := range r.Attributes {
		if strings.EqualFold(extra, name) && ExtraAttribute(extra) == "" {
			return attributeOf{name: extra}, true
		}
	}
	return attributeOf{}, false
}

// ExtraAttribute says why an attribute of a schema extension may not be read for
// claims, empty when it may.
func ExtraAttribute(name string) string {
	lower := strings.ToLower(name)
	for i, c := range []byte(lower) {
		if (c < 'a' || c > 'z') && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return fmt.Sprintf("%.80q is not the name of one attribute: write its lDAPDisplayName", name)
		}
	}
	_, listed := attributes[lower]
	switch {
	case name == "" || len(name) > 128:
		return fmt.Sprintf("%.80q is not the name of one attribute: write its lDAPDisplayName", name)
	case listed:
		return "may be named without this: take it out"
	case secret(lower):
		return "may hold a secret, and no secret is ever read for a claim: take it out"
	case lower == "memberof" || strings.Contains(lower, "tokengroup") || lower == "primarygroupid" || lower == "ntsecuritydescriptor" || lower == "objectclass":
		return "is no plain fact of a person: take it out"
	default:
		return ""
	}
}

// AttributeNames returns the attributes that rules may name, in order.
// windowsAccountName is none of the directory's: it is NETBIOS\sAMAccountName.
func AttributeNames() []string {
	names := make([]string, 0, len(attributes))
	for _, a := range attributes {
		names = append(names, a.name)
	}
	sort.Strings(names)
	return names
}

// SelfWritten reports whether people may write an attribute of their own account
// in a domain whose permissions are AD's defaults (property sets Personal
// Information and Web Information, granted to SELF): nothing that decides about
// rights should follow from it.
func SelfWritten(name string) bool {
	return slices.Contains(strings.Fields(`c co facsimiletelephonenumber homephone info initials ipphone l mobile othertelephone
		personaltitle physicaldeliveryofficename postalcode postofficebox preferredlanguage st street streetaddress telephonenumber
		url wwwhomepage`), strings.ToLower(name))
}

// secret reports whether a lower-case attribute name is one that holds passwords,
// keys or what leads to them.
func secret(lower string) bool {
	for _, part := range []string{"pwd", "passw", "secret", "credential", "keymaterial", "privatekey", "keypackage", "laps", "recovery"} {
		if strings.Contains(lower, part) {
			return true
		}
	}
	return false
}

// group is a group as rules name it: one of the two is set.
type group struct {
	sid  string
	name string // NETBIOS\name
}

func (g group) String() string {
	if g.sid != "" {
		return g.sid
	}
	return g.name
}

// short is the name without its domain.
func (g group) short() string {
	_, s, _ := strings.Cut(g.name, `\`)
	return s
}

// parseGroup reads S-1-… or NETBIOS\name.
func parseGroup(s string) (g group, problem string) {
	const help = ` is not a group: write DOMAIN\name in single quotes, such as 'CONTOSO\Site Owners', or its SID (S-1-5-21-...)`
	if strings.HasPrefix(strings.ToUpper(s), "S-1-") {
		if !validSID(s) {
			return group{}, fmt.Sprintf("%.80q is not a SID: write it as whoami /groups shows it, S-1-5-21-...", s)
		}
		return group{sid: s}, ""
	}
	domain, name, ok := strings.Cut(s, `\`)
	if !ok || domain == "" || len(domain) > 15 || badText(name) != "" || badText(domain) != "" || len(name) > 256 ||
		strings.ContainsAny(domain, `/@="*`) || strings.ContainsAny(name, `\*`) || strings.TrimSpace(name) != name {
		return group{}, fmt.Sprintf("%.80q", s) + help
	}
	return group{name: s}, ""
}

// validSID accepts the one spelling that tokenGroups gives, since SIDs are
// compared as text.
func validSID(s string) bool {
	parts := strings.Split(s, "-")
	if len(parts) < 4 || len(parts) > 18 || parts[0] != "S" || parts[1] != "1" {
		return false
	}
	for i, p := range parts[2:] {
		bits := 32
		if i == 0 {
			bits = 48
		}
		if n, err := strconv.ParseUint(p, 10, bits); err != nil || strconv.FormatUint(n, 10) != p {
			return false
		}
	}
	return true
}
