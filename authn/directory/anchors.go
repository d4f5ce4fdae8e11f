package directory

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/go-ldap/ldap/v3"
)

// Figures of the scan for shared anchors: pages of 500, at most a million users.
const (
	scanPage  = 500
	scanPages = 2000
)

// SharedAnchors returns the source anchors (the bytes of the ImmutableID) that
// several enabled accounts of a domain have, with the DNs of those accounts:
// nobody of them can be told apart by Microsoft Entra ID. It reads every user,
// because mS-DS-ConsistencyGuid is not indexed; it is for `check --deep` and for
// a job in the background, never for a sign-in.
func (d *Directory) SharedAnchors(ctx context.Context, domain string) (map[string][]string, error) {
	dm, err := d.domain(domain)
	if err != nil {
		return nil, err
	}
	owners := map[string][]string{}
	err = dm.scan(ctx, all(userObjects()), []string{"objectGUID", "mS-DS-ConsistencyGuid", "userAccountControl"}, func(e *ldap.Entry) {
		uac, ok := integer(e, "userAccountControl")
		if ok && uac&uacDisabled != 0 {
			return
		}
		anchor := e.GetEqualFoldRawAttributeValue("mS-DS-ConsistencyGuid")
		if len(anchor) == 0 {
			anchor = e.GetEqualFoldRawAttributeValue("objectGUID")
		}
		owners[string(anchor)] = append(owners[string(anchor)], e.DN)
	})
	if err != nil {
		return nil, undecided(fmt.Errorf("scan of %s: %w", dm.name, err))
	}
	for anchor, dns := range owners {
		if len(dns) < 2 {
			delete(owners, anchor)
			continue
		}
		sort.Strings(dns)
	}
	return owners, nil
}

// scan reads all objects that match, page by page on one connection: the cookie
// belongs to it. Giving up closes the connection.
func (dm *domain) scan(ctx context.Context, f filter, attributes []string, take func(*ldap.Entry)) error {
	s := dm.choose(nil)
	if s == nil {
		return &failure{class: classNoDC, err: errors.New("no DC to ask")}
	}
	lim := dm.d.cfg.Limits
	c, err := s.take(dm.d.budget(ctx), forSearches, lim.Dial)
	if err != nil {
		return err
	}
	paging := ldap.NewControlPaging(scanPage)
	req := &ldap.SearchRequest{BaseDN: dm.baseDN, Scope: ldap.ScopeWholeSubtree, DerefAliases: ldap.NeverDerefAliases, SizeLimit: 0,
		TimeLimit: 30, Filter: string(f), Attributes: attributes, Controls: []ldap.Control{paging}}
	if c.root.domainScope {
		req.Controls = append(req.Controls, ldap.NewControlString(oidDomainScope, true, ""))
	}
	for range scanPages {
		res, a := c.page(ctx, 10*lim.Search, req, scanPage)
		if a.err != nil || a.code != ldap.LDAPResultSuccess {
			err := a.err
			if err == nil {
				err = fmt.Errorf("code %d: %s", a.code, a.text)
			}
			f := &failure{class: classFault, dc: s.name, err: err}
			s.searches.discard(c, f)
			return f
		}
		for _, e := range res.Entries {
			take(e)
		}
		next, ok := ldap.FindControl(res.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok || len(next.Cookie) == 0 {
			s.searches.put(c)
			return nil
		}
		paging.SetCookie(next.Cookie)
	}
	s.searches.discard(c, errTooMany)
	return errTooMany
}
