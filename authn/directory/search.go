package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn"
)

// errTooMany says that a search matched more objects than its limit.
var errTooMany = errors.New("directory: more objects match than may")

// errNoObject says that the base of a search does not exist (code 32).
var errNoObject = errors.New("directory: no such object")

// find runs one search on a service connection, once more at the next DC when
// the first gave no clear answer: a search may be repeated, unlike a bind.
func (dm *domain) find(b budget, req *ldap.SearchRequest) ([]*ldap.Entry, error) {
	var tried []*server
	var last error
	repeats := 0
	for {
		s := dm.choose(tried)
		if s == nil {
			dm.hurry()
			if last == nil {
				last = errors.New("every DC's breaker is open, or none is known")
			}
			return nil, &failure{class: classNoDC, err: last}
		}
		entries, err := dm.findAt(b, s, req, tried)
		var f *failure
		if err == nil || !errors.As(err, &f) {
			return entries, err
		}
		last = err
		if b.over() || f.class == classPoolWait || f.class == classReferral || f.class == classService {
			return nil, err
		}
		switch f.class {
		case classStale, classUnbound:
			// The connection was the trouble: once more with a fresh one.
			if contains(tried, s) || repeats > 1 {
				return nil, err
			}
			repeats++
		case classDial, classTLSName, classWrong:
			tried = append(tried, s)
		default:
			if repeats++; repeats > 1 {
				return nil, err
			}
			tried = append(tried, s)
		}
	}
}

// findAt runs one search at one DC.
func (dm *domain) findAt(b budget, s *server, req *ldap.SearchRequest, tried []*server) ([]*ldap.Entry, error) {
	lim := dm.d.cfg.Limits
	patience, limit := lim.Dial, lim.Search
	if dm.spare(tried, s) {
		patience, limit = min(patience, lim.Dial/3), limit/2
	}
	c, err := s.take(b, forSearches, patience)
	if err != nil {
		return nil, err
	}
	full := *req
	if c.root.domainScope {
		full.Controls = append(full.Controls, ldap.NewControlString(oidDomainScope, true, ""))
	}
	start, idleSince := time.Now(), c.used
	s.meter.begin(start)
	res, a := c.search(b.ctx, min(limit, b.left()), &full)
	took := time.Since(start)
	s.meter.end(time.Now(), took, a.err == nil)
	if a.err == nil {
		s.m.seconds[opSearch].Observe(took.Seconds())
	}
	return dm.searchVerdict(s, c, res, a, idleSince, req)
}

func (dm *domain) searchVerdict(s *server, c *conn, res *ldap.SearchResult, a answer, idleSince time.Time, req *ldap.SearchRequest) ([]*ldap.Entry, error) {
	pool := s.searches
	fault := func(cl class, err error) error {
		f := &failure{class: cl, dc: s.name, err: err}
		pool.discard(c, f)
		s.failed(f)
		return f
	}
	switch {
	case errors.Is(a.err, errTooMany):
		pool.discard(c, a.err)
		return nil, errTooMany
	case a.err != nil:
		pool.flush(idleSince)
		return nil, fault(localClass(a), a.err)
	}
	err := fmt.Errorf("search of %q answered with code %d: %s", req.BaseDN, a.code, a.text)
	switch a.code {
	case ldap.LDAPResultSuccess:
		pool.put(c)
		return res.Entries, nil
	case ldap.LDAPResultSizeLimitExceeded:
		pool.put(c)
		return nil, errTooMany
	case ldap.LDAPResultNoSuchObject:
		pool.put(c)
		return nil, fmt.Errorf("%w: %q", errNoObject, req.BaseDN)
	case ldap.LDAPResultReferral:
		pool.put(c)
		f := &failure{class: classReferral, dc: s.name, err: fmt.Errorf("%w; another domain holds it: configure that domain", err)}
		s.m.errors[classReferral].Inc()
		s.log().Error("search was answered with a referral, which is never followed; configure the other domain", "base", req.BaseDN)
		return nil, f
	case ldap.LDAPResultOperationsError:
		if strings.HasPrefix(a.text, "000004DC") || strings.HasPrefix(a.text, "00002020") {
			return nil, fault(classUnbound, err)
		}
		return nil, fault(classFault, err)
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultTimeLimitExceeded:
		return nil, fault(classBusy, err)
	default:
		return nil, fault(classFault, err)
	}
}

// take lends a connection of this DC and accounts for the wait.
func (s *server) take(b budget, kind purpose, patience time.Duration) (*conn, error) {
	start := time.Now()
	c, err := s.pool(kind).take(b.ctx, patience, b.left())
	if took := time.Since(start); took > time.Millisecond {
		s.m.wait[kind].Observe(took.Seconds())
	}
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, errPoolWait):
		s.m.errors[classPoolWait].Inc()
		return nil, &failure{class: classPoolWait, dc: s.name, err: err}
	case errors.Is(err, errSlowDial), errors.Is(err, errDead):
		return nil, &failure{class: classDial, dc: s.name, err: err}
	default:
		var f *failure
		if errors.As(err, &f) {
			return nil, err
		}
		return nil, &failure{class: classDial, dc: s.name, err: err}
	}
}

// budget is the time that one call may take with all its fail-overs: the
// caller's context, and an end of our own. It is not a context of its own because
// that would cost more than the rest of a bind's bookkeeping.
type budget struct {
	ctx context.Context
	end time.Time
}

func (d *Directory) budget(ctx context.Context) budget {
	return budget{ctx: ctx, end: time.Now().Add(d.cfg.Limits.Attempt)}
}

func (b budget) left() time.Duration { return time.Until(b.end) }

// over reports that nothing more may be tried.
func (b budget) over() bool { return b.ctx.Err() != nil || b.left() <= 0 }

// ByID reads an account anew by its objectGUID, for sessions and Kerberos.
func (d *Directory) ByID(ctx context.Context, domain string, id authn.GUID) (*authn.Account, error) {
	dm, err := d.domain(domain)
	if err != nil {
		return nil, err
	}
	return dm.byID(d.budget(ctx), id)
}

func (dm *domain) byID(b budget, id authn.GUID) (*authn.Account, error) {
	if id.IsZero() {
		return nil, &authn.Error{Reason: authn.UnknownUser, Cause: errNoObject}
	}
	entries, err := dm.find(b, baseSearch(guidBase(id), present, dm.attributes()...))
	switch {
	case errors.Is(err, errNoObject) || (err == nil && len(entries) == 0):
		return nil, &authn.Error{Reason: authn.UnknownUser, Cause: fmt.Errorf("directory: no object %s in %s", id, dm.name)}
	case err != nil:
		return nil, undecided(err)
	}
	acc, err := dm.accountOf(entries[0], dm.d.cfg.Now())
	if err != nil {
		return nil, undecided(err)
	}
	if acc.ID != id {
		return nil, undecided(fmt.Errorf("directory: asked for object %s, got %s", id, acc.ID))
	}
	if err := dm.addRanges(b, entries[0], acc); err != nil {
		return nil, err
	}
	return dm.withGroups(b, acc)
}

// attributes are what is read of an account in one search.
func (dm *domain) attributes() []string {
	list := coreAttributes()
	if a := dm.d.cfg.LoginAttribute; a != "" {
		list = append(list, a)
	}
	return append(list, dm.d.cfg.Attributes...)
}

// withGroups adds the account's groups when the settings ask for them. They are
// constructed, so they need a base search of their own.
func (dm *domain) withGroups(b budget, acc *authn.Account) (*authn.Account, error) {
	if !dm.d.cfg.ReadGroups {
		return acc, nil
	}
	entries, err := dm.find(b, baseSearch(guidBase(acc.ID), present, "tokenGroups"))
	if err != nil {
		return nil, undecided(err)
	}
	if len(entries) != 1 {
		return acc, nil
	}
	groups, err := groupsOf(entries[0])
	switch {
	case errors.Is(err, errNoGroups):
		return acc, nil
	case err != nil:
		return nil, undecided(err)
	}
	acc.Groups, acc.GroupsRead = groups, true
	return acc, nil
}
