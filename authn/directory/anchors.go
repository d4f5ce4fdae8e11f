package directory

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn"
)

// Figures of the scan for source anchors: pages of 500, at most a million users.
const (
	scanPage  = 500
	scanPages = 2000
)

// EachAnchor reads every enabled account of a domain and hands over its source
// anchor (the bytes of the ImmutableID: mS-DS-ConsistencyGuid, else objectGUID), its
// objectGUID and its DN, so that whoever compares them finds accounts that Microsoft Entra ID
// cannot tell apart. It reads every user, because mS-DS-ConsistencyGuid is not
// indexed; it is for a job in the background, never for a sign-in. After an error
// some accounts have been handed over, others not.
func (d *Directory) EachAnchor(ctx context.Context, domain string, take func(anchor []byte, id authn.GUID, dn string)) error {
	dm, err := d.domain(domain)
	if err != nil {
		return err
	}
	err = dm.scan(ctx, all(userObjects()), []string{"objectGUID", "mS-DS-ConsistencyGuid", "userAccountControl"}, func(e *ldap.Entry) {
		uac, ok := integer(e, "userAccountControl")
		if ok && uac&uacDisabled != 0 {
			return
		}
		id, ok := guidOf(e.GetEqualFoldRawAttributeValue("objectGUID"))
		if !ok {
			return // no object is without one; what cannot be read cannot sign in
		}
		anchor := e.GetEqualFoldRawAttributeValue("mS-DS-ConsistencyGuid")
		if len(anchor) == 0 {
			anchor = id[:]
		}
		take(anchor, id, e.DN)
	})
	if err != nil {
		return undecided(fmt.Errorf("scan of %s: %w", dm.name, err))
	}
	return nil
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
