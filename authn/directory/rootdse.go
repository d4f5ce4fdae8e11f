package directory

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Object identifiers of [MS-ADTS] 3.1.1.3.2 that decide something here.
const (
	oidActiveDirectory = "1.2.840.113556.1.4.800"
	oidADLDS           = "1.2.840.113556.1.4.1851"
	oidReadOnlyDC      = "1.2.840.113556.1.4.1920"
	oidDomainScope     = "1.2.840.113556.1.4.1339"
	sidAnonymous       = "S-1-5-7"
)

// rootDSE is what a DC says about itself to anybody.
type rootDSE struct {
	host        string // dnsHostName
	site        string // from dsServiceName
	defaultNC   string
	configNC    string
	level       int // domainControllerFunctionality, -1 when absent
	domainLevel int
	directory   bool // AD DS, not AD LDS and not another LDAP server
	readOnly    bool
	domainScope bool
	unsynced    bool
	clock       time.Time // currentTime, zero when absent
	readAt      time.Time // monotonic
}

func rootAttributes() []string {
	return []string{"supportedCapabilities", "supportedControl", "defaultNamingContext", "configurationNamingContext", "dnsHostName",
		"dsServiceName", "domainFunctionality", "domainControllerFunctionality", "isSynchronized", "currentTime"}
}

func baseSearch(dn string, f filter, attributes ...string) *ldap.SearchRequest {
	return &ldap.SearchRequest{BaseDN: dn, Scope: ldap.ScopeBaseObject, DerefAliases: ldap.NeverDerefAliases, SizeLimit: 1,
		TimeLimit: 3, Filter: string(f), Attributes: attributes, EnforceSizeLimit: true}
}

func (c *conn) readRoot(ctx context.Context, limit time.Duration) (*rootDSE, error) {
	res, a := c.search(ctx, limit, baseSearch("", present, rootAttributes()...))
	if a.err != nil {
		return nil, &failure{class: classDial, err: fmt.Errorf("rootDSE: %w", a.err)}
	}
	if res == nil || len(res.Entries) != 1 {
		return nil, &failure{class: classWrong, err: fmt.Errorf("rootDSE: code %d and no entry", a.code)}
	}
	return parseRoot(res.Entries[0]), nil
}

func parseRoot(e *ldap.Entry) *rootDSE {
	r := &rootDSE{
		host:        strings.ToLower(e.GetEqualFoldAttributeValue("dnsHostName")),
		site:        siteOf(e.GetEqualFoldAttributeValue("dsServiceName")),
		defaultNC:   e.GetEqualFoldAttributeValue("defaultNamingContext"),
		configNC:    e.GetEqualFoldAttributeValue("configurationNamingContext"),
		level:       number(e.GetEqualFoldAttributeValue("domainControllerFunctionality")),
		domainLevel: number(e.GetEqualFoldAttributeValue("domainFunctionality")),
		unsynced:    strings.EqualFold(e.GetEqualFoldAttributeValue("isSynchronized"), "FALSE"),
		readAt:      time.Now(),
	}
	lds := false
	for _, v := range e.GetEqualFoldAttributeValues("supportedCapabilities") {
		switch v {
		case oidActiveDirectory:
			r.directory = true
		case oidADLDS:
			lds = true
		case oidReadOnlyDC:
			r.readOnly = true
		}
	}
	r.directory = r.directory && !lds
	for _, v := range e.GetEqualFoldAttributeValues("supportedControl") {
		r.domainScope = r.domainScope || v == oidDomainScope
	}
	r.clock, _ = generalizedTime(e.GetEqualFoldAttributeValue("currentTime"))
	return r
}

func number(s string) int {
	v, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return v
}

// generalizedTime reads 20261124103000.0Z.
func generalizedTime(s string) (time.Time, error) { return time.Parse("20060102150405.999Z", s) }

// siteOf takes the site from a dsServiceName such as
// CN=NTDS Settings,CN=DC1,CN=Servers,CN=Berlin,CN=Sites,….
func siteOf(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) < 5 {
		return ""
	}
	at := func(i int) string { return parsed.RDNs[i].Attributes[0].Value }
	if !strings.EqualFold(at(2), "Servers") || !strings.EqualFold(at(4), "Sites") {
		return ""
	}
	return at(3)
}

// judge says whether this server may be used for the domain.
func (r *rootDSE) judge(domainNC string, allowReadOnly bool) error {
	switch {
	case !r.directory:
		return fmt.Errorf("not an AD domain controller (no AD DS capability in its rootDSE)")
	case !strings.EqualFold(r.defaultNC, domainNC):
		return fmt.Errorf("serves %q, not %q", r.defaultNC, domainNC)
	case r.readOnly && !allowReadOnly:
		return fmt.Errorf("read-only DC, and allow_rodc is not set")
	case r.unsynced:
		return fmt.Errorf("has not finished its initial synchronisation (isSynchronized is FALSE)")
	default:
		return nil
	}
}
