package directory

import (
	"container/list"
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Figures of the translation between names and SIDs of groups.
const (
	sidsPerSearch   = 50
	groupNamesKept  = 10000
	groupNameMaxAge = 10 * time.Minute
)

// builtin are the groups of S-1-5-32, which no search needs to find ([MS-DTYP]
// 2.4.2.4). Domains in other languages name them otherwise.
var builtin = map[string]string{
	"S-1-5-32-544": "Administrators", "S-1-5-32-545": "Users", "S-1-5-32-546": "Guests", "S-1-5-32-547": "Power Users",
	"S-1-5-32-548": "Account Operators", "S-1-5-32-549": "Server Operators", "S-1-5-32-550": "Print Operators",
	"S-1-5-32-551": "Backup Operators", "S-1-5-32-552": "Replicator", "S-1-5-32-554": "Pre-Windows 2000 Compatible Access",
	"S-1-5-32-555": "Remote Desktop Users", "S-1-5-32-556": "Network Configuration Operators",
	"S-1-5-32-557": "Incoming Forest Trust Builders", "S-1-5-32-558": "Performance Monitor Users",
	"S-1-5-32-559": "Performance Log Users", "S-1-5-32-560": "Windows Authorization Access Group",
	"S-1-5-32-561": "Terminal Server License Servers", "S-1-5-32-562": "Distributed COM Users", "S-1-5-32-568": "IIS_IUSRS",
	"S-1-5-32-569": "Cryptographic Operators", "S-1-5-32-573": "Event Log Readers", "S-1-5-32-574": "Certificate Service DCOM Access",
	"S-1-5-32-575": "RDS Remote Access Servers", "S-1-5-32-576": "RDS Endpoint Servers", "S-1-5-32-577": "RDS Management Servers",
	"S-1-5-32-578": "Hyper-V Administrators", "S-1-5-32-579": "Access Control Assistance Operators",
	"S-1-5-32-580": "Remote Management Users", "S-1-5-32-582": "Storage Replica Administrators",
}

const builtinDomain = "BUILTIN"

// securityGroups matches groups that tokenGroups can name: global and universal
// ones, and domain-local ones ([MS-SAMR] 2.2.1.9).
func securityGroups() filter {
	return anyOf(equal("sAMAccountType", "268435456"), equal("sAMAccountType", "536870912"))
}

// GroupSID returns the SID of the security group NETBIOS\name, empty when there
// is none in the configured domains. The error is an [authn.Error].
func (d *Directory) GroupSID(ctx context.Context, name string) (string, error) {
	netbios, sam, _ := strings.Cut(name, `\`)
	if strings.EqualFold(netbios, builtinDomain) {
		for sid, n := range builtin {
			if strings.EqualFold(n, sam) {
				return sid, nil
			}
		}
		return "", nil
	}
	dm := d.byNetBIOS(netbios)
	if dm == nil || sam == "" {
		return "", nil
	}
	entries, err := dm.findGroups(d.budget(ctx), all(securityGroups(), equal("sAMAccountName", sam)), 2)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		// A DC compares more loosely than we do; names are unique in a domain.
		if strings.EqualFold(e.GetEqualFoldAttributeValue("sAMAccountName"), sam) {
			sid, err := SIDString(e.GetEqualFoldRawAttributeValue("objectSid"))
			if err != nil {
				return "", undecided(err)
			}
			return sid, nil
		}
	}
	return "", nil
}

// GroupNames returns NETBIOS\name of those groups, by SID, that have one in the
// configured domains. The domain dnsName is asked first, the others for what it does not
// know. Names are at most ten minutes old. The error is an [authn.Error]; then no
// name is returned, because half of them would be a wrong answer.
func (d *Directory) GroupNames(ctx context.Context, dnsName string, sids []string) (map[string]string, error) {
	first, err := d.domain(dnsName)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(sids))
	missing := d.groupNames.lookup(sids, names)
	b := d.budget(ctx)
	for i, dm := range append([]*domain{first}, d.domains...) {
		if len(missing) == 0 {
			return names, nil
		}
		if i > 0 && dm == first {
			continue
		}
		if missing, err = dm.nameGroups(b, missing, names); err != nil {
			return nil, err
		}
	}
	d.groupNames.keep(missing, nil) // no name is an answer too
	return names, nil
}

// nameGroups adds the names that this domain knows and returns what is left.
func (dm *domain) nameGroups(b budget, sids []string, names map[string]string) ([]string, error) {
	var left []string
	for len(sids) > 0 {
		batch := sids[:min(len(sids), sidsPerSearch)]
		sids = sids[len(batch):]
		ways := make([]filter, 0, len(batch))
		for _, s := range batch {
			raw, err := ParseSID(s)
			if err != nil {
				return nil, undecided(err)
			}
			ways = append(ways, octets("objectSid", raw))
		}
		entries, err := dm.findGroups(b, all(securityGroups(), anyOf(ways...)), 2*sidsPerSearch)
		if err != nil {
			return nil, err
		}
		found := make(map[string]string, len(entries))
		for _, e := range entries {
			sid, err := SIDString(e.GetEqualFoldRawAttributeValue("objectSid"))
			sam := e.GetEqualFoldAttributeValue("sAMAccountName")
			if err != nil || sam == "" {
				return nil, undecided(dm.unreadable(e, "objectSid or sAMAccountName"))
			}
			found[sid] = dm.netbiosName() + `\` + sam
		}
		for _, s := range batch {
			if n := found[s]; n != "" {
				names[s] = n
			} else {
				left = append(left, s)
			}
		}
		dm.d.groupNames.keep(nil, found)
	}
	return left, nil
}

// findGroups looks for groups in the whole domain: they need not lie below the
// base of the accounts.
func (dm *domain) findGroups(b budget, f filter, limit int) ([]*ldap.Entry, error) {
	entries, err := dm.find(b, &ldap.SearchRequest{BaseDN: dm.nc, Scope: ldap.ScopeWholeSubtree, DerefAliases: ldap.NeverDerefAliases,
		SizeLimit: limit, TimeLimit: 3, Filter: string(f), Attributes: []string{"objectSid", "sAMAccountName"}, EnforceSizeLimit: true})
	if err != nil {
		return nil, undecided(err)
	}
	return entries, nil
}

// octets is attribute = value for a binary value.
func octets(attribute string, value []byte) filter {
	var b strings.Builder
	b.WriteString("(" + attribute + "=")
	for _, c := range value {
		b.WriteByte('\\')
		if c < 0x10 {
			b.WriteByte('0')
		}
		b.WriteString(strconv.FormatUint(uint64(c), 16))
	}
	b.WriteByte(')')
	return filter(b.String())
}

// groupNames keeps names of groups: bounded in number, least recently used first
// out, and in age.
type groupNames struct {
	mu      sync.Mutex
	entries map[string]*list.Element // of *groupName, by SID
	recent  *list.List
	now     func() time.Time // monotonic
}

type groupName struct {
	sid, name string // an empty name: no domain knows the SID
	at        time.Time
}

func newGroupNames() *groupNames {
	return &groupNames{entries: map[string]*list.Element{}, recent: list.New(), now: time.Now}
}

// lookup adds what is known to names and returns the SIDs that have to be asked
// for.
func (g *groupNames) lookup(sids []string, names map[string]string) (missing []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	for _, s := range sids {
		if n := builtin[s]; n != "" {
			names[s] = builtinDomain + `\` + n
			continue
		}
		el := g.entries[s]
		if el == nil || now.Sub(el.Value.(*groupName).at) >= groupNameMaxAge {
			missing = append(missing, s)
			continue
		}
		g.recent.MoveToFront(el)
		if n := el.Value.(*groupName).name; n != "" {
			names[s] = n
		}
	}
	return missing
}

// keep remembers names, and SIDs without one.
func (g *groupNames) keep(nameless []string, found map[string]string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range nameless {
		g.put(s, "")
	}
	for s, n := range found {
		g.put(s, n)
	}
}

func (g *groupNames) put(sid, name string) {
	if el := g.entries[sid]; el != nil {
		*el.Value.(*groupName) = groupName{sid, name, g.now()}
		g.recent.MoveToFront(el)
		return
	}
	g.entries[sid] = g.recent.PushFront(&groupName{sid, name, g.now()})
	if g.recent.Len() > groupNamesKept {
		oldest := g.recent.Back()
		g.recent.Remove(oldest)
		delete(g.entries, oldest.Value.(*groupName).sid)
	}
}
