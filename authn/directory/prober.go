package directory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Probe figures.
const (
	probeEvery   = 15 * time.Second
	probeTick    = 500 * time.Millisecond
	rootEvery    = 5 * time.Minute
	probeTimeout = 5 * time.Second
	nameEvery    = time.Second // while a domain's NetBIOS name could not be asked for
)

// probeLoop watches one DC: a rootDSE read on a service connection every 15 s
// ± 20 %, the half-open trial when it is due, idle and age limits, and the
// minimum of warm connections. It never binds as a user.
func (s *server) probeLoop(ctx context.Context) {
	next := time.Now()
	tick := time.NewTicker(probeTick)
	defer tick.Stop()
	for {
		now := time.Now()
		open := !s.br.closed()
		switch {
		case open && s.br.trial(now, !s.dm.working()), !open && !now.Before(next):
			s.probe(ctx)
			every := probeEvery
			if s.br.closed() && s.dm.nameless() {
				every = nameEvery
			}
			next = time.Now().Add(time.Duration((0.8 + 0.4*rand.Float64()) * float64(every)))
		}
		s.binds.reap(now)
		s.searches.reap(now)
		if s.br.closed() && s.root.Load() != nil {
			s.binds.fill()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// working reports that some DC of the domain may be asked.
func (dm *domain) working() bool {
	for _, s := range *dm.servers.Load() {
		if s.br.closed() {
			return true
		}
	}
	return false
}

// probe asks the DC for its clock, or for everything it says about itself when
// that is old. Failures to connect are counted where connections are made.
func (s *server) probe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	c, err := s.take(budget{ctx: ctx, end: time.Now().Add(probeTimeout)}, forSearches, probeTimeout)
	if err != nil {
		return
	}
	attributes := []string{"currentTime"}
	full := time.Since(c.root.readAt) > rootEvery
	if full {
		attributes = rootAttributes()
	}
	start := time.Now()
	s.meter.begin(start)
	res, a := c.search(ctx, s.dm.d.cfg.Limits.Search, baseSearch("", present, attributes...))
	took := time.Since(start)
	s.meter.end(time.Now(), took, a.err == nil)
	if a.err != nil || a.code != ldap.LDAPResultSuccess || len(res.Entries) != 1 {
		f := &failure{class: localClass(a), dc: s.name, err: a.err}
		if a.err == nil {
			f.class, f.err = classFault, fmt.Errorf("rootDSE answered with code %d: %s", a.code, a.text)
		}
		s.searches.discard(c, f)
		s.failed(f)
		return
	}
	if !full {
		clock, err := generalizedTime(res.Entries[0].GetEqualFoldAttributeValue("currentTime"))
		s.searches.put(c)
		if err == nil {
			s.learnClock(clock)
		}
		s.recovered()
		s.dm.learnNetBIOS(ctx, c.root.configNC)
		return
	}
	root := parseRoot(res.Entries[0])
	if err := root.judge(s.dm.nc, s.allowRODC); err != nil {
		f := &failure{class: classWrong, dc: s.name, err: err}
		s.searches.discard(c, f)
		s.failed(f)
		return
	}
	c.root = root
	s.searches.put(c)
	s.learn(root)
	s.recovered()
	s.dm.learnNetBIOS(ctx, root.configNC)
}

// learnNetBIOS reads the domain's NetBIOS name from its crossRef object when the
// settings do not give it. Nobody knows the name before a DC answered.
func (dm *domain) learnNetBIOS(ctx context.Context, configNC string) {
	if dm.netbiosName() != "" || configNC == "" {
		return
	}
	req := &ldap.SearchRequest{BaseDN: "CN=Partitions," + configNC, Scope: ldap.ScopeSingleLevel, DerefAliases: ldap.NeverDerefAliases,
		SizeLimit: 1, TimeLimit: 3, EnforceSizeLimit: true, Attributes: []string{"nETBIOSName"},
		Filter: string(all(equal("objectClass", "crossRef"), equal("nCName", dm.nc)))}
	entries, err := dm.find(dm.d.budget(ctx), req)
	if err != nil && !errors.Is(err, errNoObject) {
		dm.d.cfg.Logger.Warn("NetBIOS name could not be asked for; it is tried again", "domain", dm.name, "error", err)
		return
	}
	if len(entries) == 1 {
		if name := entries[0].GetEqualFoldAttributeValue("nETBIOSName"); name != "" {
			dm.netbios.Store(&name)
			return
		}
	}
	if !dm.hidden.Swap(true) {
		dm.d.cfg.Logger.Warn("NetBIOS name cannot be read; DOMAIN\\name will not work until it is set", "domain", dm.name, "error", "no crossRef object with a name")
	}
}

// nameless reports that the domain's NetBIOS name is neither known nor known to be
// hidden from the service account.
func (dm *domain) nameless() bool { return dm.netbiosName() == "" && !dm.hidden.Load() }
