package directorytest

import (
	"strconv"
	"strings"
)

const oidCapability = "1.2.840.113556.1.4."

// rootDSE returns one attribute of the rootDSE ([MS-ADTS] 3.1.1.3.2) for a
// connection. The caller holds the lock.
func (c *conn) rootDSE(name string) (string, [][]byte) {
	d, s := c.dc.d, c.dc.settings()
	base, forest := d.BaseDN, baseDN(d.cfg.Forest)
	if s.OtherDomain != "" {
		base = baseDN(s.OtherDomain)
		forest = base
	}
	yes := func(v bool) [][]byte { return text(strings.ToUpper(strconv.FormatBool(v))) }
	switch strings.ToLower(name) {
	case "defaultnamingcontext":
		return name, text(base)
	case "rootdomainnamingcontext":
		return name, text(forest)
	case "configurationnamingcontext":
		return name, text("CN=Configuration," + forest)
	case "schemanamingcontext":
		return name, text("CN=Schema,CN=Configuration," + forest)
	case "namingcontexts":
		return name, [][]byte{[]byte(base), []byte("CN=Configuration," + forest), []byte("CN=Schema,CN=Configuration," + forest)}
	case "dnshostname":
		return name, text(c.dc.Name)
	case "ldapservicename":
		return name, text(d.Domain + ":" + strings.ToLower(c.dc.hostName()) + "$@" + strings.ToUpper(d.Domain))
	case "servername":
		return name, text("CN=" + c.dc.hostName() + ",CN=Servers,CN=" + d.cfg.Site + ",CN=Sites,CN=Configuration," + forest)
	case "dsservicename":
		return name, text("CN=NTDS Settings,CN=" + c.dc.hostName() + ",CN=Servers,CN=" + d.cfg.Site + ",CN=Sites,CN=Configuration," + forest)
	case "domainfunctionality", "forestfunctionality", "domaincontrollerfunctionality":
		return name, number(int64(d.level(s)))
	case "issynchronized":
		return name, yes(!s.NotSynchronized)
	case "isglobalcatalogready":
		return name, yes(!s.NotSynchronized)
	case "currenttime":
		return name, text(c.dc.now().UTC().Format("20060102150405.0Z"))
	case "highestcommittedusn":
		return name, number(int64(d.rec.seq.Load()) + 12000)
	case "supportedcapabilities":
		return name, list(oidCapability, d.capabilities(s)...)
	case "supportedcontrol":
		return name, list("", oidPaging, oidDomainScope, oidSDFlags, oidPolicyHints, oidPolicyHint0)
	case "supportedextension":
		return name, list("", d.extensions(s)...)
	case "supportedldapversion":
		return name, list("", "3", "2")
	case "supportedsaslmechanisms":
		return name, list("", "GSSAPI", "GSS-SPNEGO", "EXTERNAL", "DIGEST-MD5")
	case "tokengroups":
		return name, c.identityGroups()
	case "objectclass":
		return name, text("top")
	default:
		return name, nil
	}
}

func list(prefix string, values ...string) [][]byte {
	out := make([][]byte, len(values))
	for i, v := range values {
		out[i] = []byte(prefix + v)
	}
	return out
}

func (d *Directory) level(s *Settings) int {
	switch {
	case s.FunctionalLevel != 0:
		return s.FunctionalLevel
	case d.cfg.Samba:
		return 4
	default:
		return 7
	}
}

// capabilities are the last parts of the capability OIDs.
func (d *Directory) capabilities(s *Settings) []string {
	caps := []string{"800", "1670", "1791", "1935", "2080"}
	if d.level(s) >= 5 {
		caps = append(caps, "2237")
	}
	if s.RODC {
		caps = append(caps, "1920")
	}
	return caps
}

func (d *Directory) extensions(s *Settings) []string {
	ext := []string{oidStartTLS}
	if !d.cfg.Samba {
		ext = append(ext, oidWhoAmI)
	}
	if s.FastBind {
		ext = append(ext, oidFastBind)
	}
	return ext
}

// identityGroups is rootDSE tokenGroups: the connection's own SID first.
func (c *conn) identityGroups() [][]byte {
	if c.identity == nil {
		return [][]byte{mustSID(sidAnonymous), mustSID(sidEveryone)}
	}
	out := [][]byte{c.identity.sid}
	out = append(out, c.dc.d.tokenGroups(c.identity, c.dc, "tokengroups")...)
	return append(out, mustSID(sidEveryone), mustSID(sidAuthenticated))
}
