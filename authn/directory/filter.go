package directory

import (
	"strings"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn"
)

// filter is a search filter in the string form of RFC 4515. It is made only by
// the functions below: attribute names are constants of this package or checked
// settings, and every value passes [ldap.EscapeFilter], so that a value is one
// assertion value on the wire whatever it contains.
type filter string

// present matches every object; for base searches.
const present filter = "(objectClass=*)"

// equal is attribute = value.
func equal(attribute, value string) filter {
	return filter("(" + attribute + "=" + ldap.EscapeFilter(value) + ")")
}

func all(parts ...filter) filter { return join("&", parts) }

func anyOf(parts ...filter) filter { return join("|", parts) }

func join(op string, parts []filter) filter {
	var b strings.Builder
	b.WriteByte('(')
	b.WriteString(op)
	for _, p := range parts {
		b.WriteString(string(p))
	}
	b.WriteByte(')')
	return filter(b.String())
}

// userObjects matches user accounts, not computers or trusts
// ([MS-SAMR] 2.2.1.9 SAM_USER_OBJECT).
func userObjects() filter { return equal("sAMAccountType", "805306368") }

// guidBase is the extended DN form that names an object by its GUID.
func guidBase(id authn.GUID) string { return "<GUID=" + id.String() + ">" }

// domainDN turns corp.contoso.test into DC=corp,DC=contoso,DC=test.
func domainDN(dnsName string) string {
	labels := strings.Split(dnsName, ".")
	for i, l := range labels {
		labels[i] = "DC=" + ldap.EscapeDN(l)
	}
	return strings.Join(labels, ",")
}
