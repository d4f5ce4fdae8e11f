package directorytest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// answer is what a search found, before it is written.
type answer struct {
	entries    []found
	references []string
	code       int64
	matched    string
	diagnostic string
	referral   string
	cookie     []byte // non-nil when the client pages
}

type found struct {
	dn    string
	attrs []attribute
}

func (c *conn) serveSearch(req request) bool {
	s, err := parseSearch(req.body)
	if err != nil {
		return c.malformed(err)
	}
	d := c.dc.d
	text := s.filter.String()
	f := c.dc.strike(OnSearch, text, s.base)
	record := Search{
		DC: c.dc.Name, Conn: c.number, Base: s.base, Scope: s.scope, Filter: text, Attributes: s.attributes,
		SizeLimit: s.sizeLimit, TimeLimit: s.timeLimit, Code: -1, At: d.cfg.Now(),
	}
	if c.identity != nil {
		record.Identity = c.identity.dn
	}
	for _, ctl := range req.controls {
		record.Controls = append(record.Controls, ctl.oid)
	}
	if slices.Contains(s.attributes, "*") || slices.Contains(s.attributes, "+") || len(s.attributes) == 0 {
		d.rec.search(record)
		c.violate("search for all attributes: %q", s.attributes)
		return false
	}
	if f.unjudged() {
		d.rec.search(record)
	}
	if done, goOn := c.instead(f, req, opSearchDone); done {
		return goOn
	}
	if f != nil && (f.Effect == HugeAttribute || f.Effect == Endless) {
		return c.flood(f, req.id)
	}
	if oid := c.unknownCritical(req.controls); oid != "" {
		record.Code = codeUnavailableCritical
		d.rec.search(record)
		c.enc.searchDone(req.id, codeUnavailableCritical, "", d.text("00002040: SvcErr: DSID-031401E7, problem 5010 (UNAVAIL_EXTENSION), data 0"), nil)
		c.deliver(f, req.id)
		c.violate("unknown critical control %s", oid)
		return false
	}
	d.mu.RLock()
	a := c.search(s, req.controls)
	d.mu.RUnlock()
	record.Code, record.Entries = a.code, len(a.entries)
	if a.referral != "" {
		record.Code = codeReferral
	}
	d.rec.search(record)
	c.writeAnswer(f, c.replyID(f, req.id), s, a)
	return c.deliver(f, req.id)
}

func (c *conn) unknownCritical(controls []control) string {
	if c.dc.settings().IgnoreCriticalControls || c.dc.d.cfg.Samba {
		return ""
	}
	for _, ctl := range controls {
		switch ctl.oid {
		case oidPaging, oidDomainScope, oidSDFlags, oidPolicyHints, oidPolicyHint0:
		default:
			if ctl.critical {
				return ctl.oid
			}
		}
	}
	return ""
}

func (c *conn) writeAnswer(f *Fault, id int64, s searchRequest, a answer) {
	for i, e := range a.entries {
		c.enc.entry(id, e.dn, e.attrs, s.typesOnly)
		if f != nil && f.Effect == Doubled && i == 0 {
			c.enc.entry(id, "CN=Double,"+c.dc.d.BaseDN, e.attrs, s.typesOnly)
		}
	}
	for _, r := range a.references {
		c.enc.reference(id, r)
	}
	if f != nil && f.Effect == References {
		for _, zone := range []string{"CN=Configuration", "DC=DomainDnsZones", "DC=ForestDnsZones"} {
			c.enc.reference(id, "ldap://"+f.Diagnostic+"/"+zone+","+c.dc.d.BaseDN)
		}
	}
	if a.referral != "" {
		c.enc.referral(id, opSearchDone, a.diagnostic, a.referral)
		return
	}
	c.enc.searchDone(id, a.code, a.matched, a.diagnostic, a.cookie)
}

// search evaluates a request. The caller holds the lock for reading.
func (c *conn) search(s searchRequest, controls []control) answer {
	d := c.dc.d
	if s.base == "" && s.scope == scopeBase {
		return c.searchRoot(s)
	}
	if c.identity == nil {
		if d.cfg.Samba {
			return answer{code: codeOperationsError, diagnostic: "00002020: Operation unavailable without authentication"}
		}
		return answer{code: codeOperationsError, diagnostic: d.text("000004DC: LdapErr: DSID-0C090A71, comment: In order to perform this " +
			"operation a successful bind must be completed on the connection., data 0, v4f7c")}
	}
	if name := s.filter.usesConstructed(); name != "" {
		return answer{code: codeInappropriateMatch, diagnostic: d.text("00002014: LdapErr: DSID-0C0906D6, comment: Inappropriate matching, data 0, v4f7c")}
	}
	base, failed := d.db.resolveBase(s.base)
	if failed != nil {
		failed.diagnostic = d.text(failed.diagnostic)
		return *failed
	}
	hits := d.db.find(base, s)
	a := c.page(s, controls, hits)
	if s.scope == scopeSubtree && base == d.db.baseKey && !hasControl(controls, oidDomainScope) {
		for _, zone := range []string{"DC=ForestDnsZones.", "DC=DomainDnsZones.", ""} {
			host, prefix := d.Domain, "CN=Configuration,"
			if zone != "" {
				name := strings.TrimSuffix(strings.TrimPrefix(zone, "DC="), ".")
				host, prefix = name+"."+d.Domain, "DC="+name+","
			}
			a.references = append(a.references, "ldaps://"+host+"/"+prefix+d.BaseDN)
		}
	}
	return a
}

func hasControl(controls []control, oid string) bool {
	return slices.ContainsFunc(controls, func(c control) bool { return c.oid == oid })
}

func (c *conn) searchRoot(s searchRequest) answer {
	var e found
	for _, name := range s.attributes {
		if n, values := c.rootDSE(name); len(values) > 0 {
			e.attrs = append(e.attrs, attribute{n, values})
		}
		if strings.EqualFold(name, "netlogon") {
			if v := c.dc.netlogon(s.filter); v != nil {
				e.attrs = append(e.attrs, attribute{"netlogon", [][]byte{v}})
			}
		}
	}
	return answer{entries: []found{e}}
}

// resolveBase resolves a search base to its key, or to the answer that refuses it.
func (db *database) resolveBase(dn string) (string, *answer) {
	if strings.HasPrefix(dn, "<") {
		hits := db.byDN(dn)
		if len(hits) != 1 {
			return "", &answer{code: codeNoSuchObject, diagnostic: "0000208D: NameErr: DSID-03100245, problem 2001 (NO_OBJECT), data 0, best match of:\n\t''\n"}
		}
		return hits[0].key, nil
	}
	if o := db.byText[dn]; o != nil && !o.hidden {
		return o.key, nil
	}
	key, err := db.m.dnKey(dn)
	if err != nil {
		return "", &answer{code: codeInvalidDN, diagnostic: "0000208F: NameErr: DSID-03100233, problem 2006 (BAD_NAME), data 8350, best match of:\n\t'" + dn + "'\n"}
	}
	if dn != "" && !below(key, db.baseKey) {
		domain, _, _ := strings.Cut(canonicalName(dn, "/"), "/")
		return "", &answer{code: codeReferral, diagnostic: "0000202B: RefErr: DSID-0310082F, data 0, 1 access points\n\tref 1: '" + domain + "'\n",
			referral: "ldap://" + domain + "/" + dn}
	}
	if o := db.byKey[key]; dn != "" && (o == nil || o.hidden) {
		return "", &answer{code: codeNoSuchObject, matched: db.base, diagnostic: "0000208D: NameErr: DSID-03100245, problem 2001 (NO_OBJECT), data 0, best match of:\n\t'" + db.base + "'\n"}
	}
	return key, nil
}

// find returns the objects in scope that match, in a stable order.
func (db *database) find(base string, s searchRequest) []*object {
	all, ok := db.candidates(s.filter)
	switch {
	case s.scope == scopeBase:
		all = one(db.byKey[base])
	case !ok:
		all = db.objects
	}
	var hits []*object
	for _, o := range all {
		inScope := s.scope == scopeBase || s.scope == scopeSubtree && below(o.key, base) || s.scope == scopeOne && parentKey(o.key) == base
		if inScope && !o.hidden && db.matches(s.filter, o) {
			hits = append(hits, o)
		}
	}
	return hits
}

// page applies size limit, MaxPageSize and the paging control, and reads the
// attributes of what is left.
func (c *conn) page(s searchRequest, controls []control, hits []*object) answer {
	var a answer
	limit, truncated := maxPageSize, int64(codeSizeLimit)
	if c.dc.d.cfg.Samba {
		limit = len(hits)
	}
	if s.sizeLimit > 0 && int(s.sizeLimit) < limit && !c.dc.settings().IgnoreSizeLimit && !c.dc.d.cfg.Samba {
		limit = int(s.sizeLimit)
	}
	for _, ctl := range controls {
		if ctl.oid != oidPaging {
			continue
		}
		size, offset, err := parsePaging(ctl.value)
		if err != nil || offset > len(hits) {
			return answer{code: codeProtocolError, diagnostic: "paging control with a wrong value"}
		}
		hits = hits[offset:]
		a.cookie = []byte{}
		if size < len(hits) {
			limit, truncated = min(size, limit), codeSuccess
			a.cookie = strconv.AppendInt(nil, int64(offset+limit), 10)
		}
	}
	if len(hits) > limit {
		hits = hits[:limit]
		a.code = truncated
		if truncated != 0 {
			a.diagnostic = c.dc.d.text("000020EF: SvcErr: DSID-0314041D, problem 5003 (SIZE_LIMIT), data 0")
		}
	}
	for _, o := range hits {
		attrs, err := c.read(o, s)
		if errors.Is(err, errBaseOnly) {
			return answer{code: codeOperationsError, diagnostic: c.dc.d.text("00002020: SvcErr: DSID-020D1234, problem 5012 (DIR_ERROR), data 0")}
		}
		a.entries = append(a.entries, found{o.dn, attrs})
	}
	return a
}

func (c *conn) read(o *object, s searchRequest) ([]attribute, error) {
	d := c.dc.d
	var out []attribute
	for _, asked := range s.attributes {
		name, option, _ := strings.Cut(asked, ";")
		values, err := d.value(o, c.dc, strings.ToLower(name), s.scope)
		if err != nil {
			return nil, err
		}
		if len(values) == 0 || o.hides(name) {
			continue
		}
		shown := name
		if a, ok := o.attrs[strings.ToLower(name)]; ok {
			shown = a.name
		}
		rangedName, part := d.ranged(asked, shown, values)
		if option == "" && rangedName != shown {
			out = append(out, attribute{name: shown})
		}
		out = append(out, attribute{rangedName, part})
	}
	return out, nil
}

// hides reports whether an attribute of the object is not for the one who asks.
func (o *object) hides(name string) bool {
	return o.user != nil && slices.ContainsFunc(o.user.Hidden, func(h string) bool { return strings.EqualFold(h, name) })
}

// parsePaging reads the value of the paging control (RFC 2696); the cookie is the
// offset in decimal.
func parsePaging(value []byte) (size, offset int, err error) {
	c := cursor{value}
	seq, err := c.expect(tagSequence)
	if err != nil {
		return 0, 0, err
	}
	in := cursor{seq}
	n, err := in.integer(tagInteger)
	if err != nil {
		return 0, 0, err
	}
	cookie, err := in.expect(tagOctets)
	if err != nil {
		return 0, 0, err
	}
	if len(cookie) > 0 {
		if offset, err = strconv.Atoi(string(cookie)); err != nil || offset < 0 {
			return 0, 0, fmt.Errorf("%w: paging cookie", errBER)
		}
	}
	if n < 1 || n > 1<<31-1 {
		return 0, 0, fmt.Errorf("%w: page size %d", errBER, n)
	}
	return int(n), offset, nil
}
