package directory

import (
	"context"
	"net"
	"sort"
	"strings"
	"time"
)

// Discovery figures. The system's resolver does not tell a record's TTL, so the
// interval is fixed, between the bounds that a TTL would be clamped to.
const (
	discoverEvery   = time.Minute
	discoverSoonest = 5 * time.Second
	discoverTimeout = 5 * time.Second
	siteTier        = 0
	domainTier      = 1 << 20
)

// discoverLoop keeps the set of DCs in step with DNS. A failed lookup changes
// nothing: the last set stays for ever.
func (dm *domain) discoverLoop() {
	ctx := dm.d.base
	for {
		dm.discover(ctx)
		started := time.Now()
		timer := time.NewTimer(discoverEvery)
		select {
		case <-timer.C:
		case <-dm.early:
			timer.Stop()
			if rest := discoverSoonest - time.Since(started); rest > 0 {
				select {
				case <-time.After(rest):
				case <-ctx.Done():
					return
				}
			}
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// hurry asks for a discovery before its time, because no DC is left.
func (dm *domain) hurry() {
	select {
	case dm.early <- struct{}{}:
	default:
	}
}

// found is one DC that DNS names.
type found struct {
	endpoint
	tier, weight int
}

func (dm *domain) discover(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, discoverTimeout)
	defer cancel()
	var all []found
	var errs []error
	if dm.cfg.Site != "" {
		list, err := dm.lookupSRV(ctx, dm.cfg.Site+"._sites.dc._msdcs."+dm.name, siteTier)
		all, errs = append(all, list...), append(errs, err)
	}
	list, err := dm.lookupSRV(ctx, "dc._msdcs."+dm.name, domainTier)
	all, errs = append(all, list...), append(errs, err)
	if len(all) == 0 {
		dm.d.cfg.Logger.Warn("no domain controllers found in DNS; the last known ones stay", "domain", dm.name, "errors", errs)
		return
	}
	dm.discovered.Store(time.Now().UnixNano())
	dm.adopt(all)
}

// lookupSRV asks for _ldap._tcp.NAME. There is no record for LDAPS: the target
// counts, the port is replaced.
func (dm *domain) lookupSRV(ctx context.Context, name string, tier int) ([]found, error) {
	_, records, err := dm.d.cfg.Resolver.LookupSRV(ctx, "ldap", "tcp", name)
	if err != nil {
		return nil, err
	}
	var out []found
	for _, r := range records {
		host := canonicalDNS(r.Target)
		if host == "" || !validDNS(host) || !dm.d.ours(host) {
			continue
		}
		out = append(out, found{endpoint: endpoint{name: host, address: net.JoinHostPort(host, "636")},
			tier: tier + int(r.Priority), weight: int(r.Weight)})
	}
	return out, nil
}

// ours reports that a host lies in a configured domain. DNS is not proof of
// anything: a target elsewhere is ignored, and the rest must show a certificate.
func (d *Directory) ours(host string) bool {
	for _, dm := range d.domains {
		if strings.HasSuffix(host, "."+dm.name) {
			return true
		}
	}
	return false
}

// adopt makes the found DCs the domain's set. DCs that stay keep their pools and
// breakers; ones that left are drained.
func (dm *domain) adopt(list []found) {
	old := map[string]*server{}
	for _, s := range *dm.servers.Load() {
		old[s.name] = s
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].tier < list[j].tier })
	set := make([]*server, 0, len(list))
	seen := map[string]bool{}
	var fresh []*server
	for _, f := range list {
		if seen[f.name] {
			continue
		}
		seen[f.name] = true
		s := old[f.name]
		if s == nil {
			s = newServer(dm, f.endpoint, f.tier, f.weight)
			fresh = append(fresh, s)
		}
		s.place(f.tier, f.weight)
		delete(old, f.name)
		set = append(set, s)
	}
	dm.servers.Store(&set)
	for _, s := range fresh {
		dm.d.spawn(func() { s.probeLoop(s.ctx) })
	}
	for _, s := range old {
		s.leave()
	}
}

// leave drains a DC that is no longer in the set.
func (s *server) leave() {
	s.cancel()
	s.binds.close()
	s.searches.close()
	s.dm.d.metrics.forget(s.dm.name, s.name)
	s.log().Info("domain controller left the set")
}
