package directorytest

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
)

// object is one entry of the directory. It is never changed after its database
// was built; an update builds a new database.
type object struct {
	dn     string
	key    string
	guid   [16]byte
	sid    SID
	attrs  map[string]attribute // by lower-case name
	user   *User                // nil for everything that cannot sign in
	acct   *account
	group  *Group
	hidden bool // exists, but no account may read it
	// parents are the groups that have this object as a direct member.
	parents []*object
}

type attribute struct {
	name   string
	values [][]byte
}

func (o *object) set(name string, values ...string) {
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return
	}
	a := attribute{name: name}
	for _, v := range values {
		a.values = append(a.values, []byte(v))
	}
	o.attrs[strings.ToLower(name)] = a
}

func (o *object) first(name string) string {
	if a := o.attrs[name]; len(a.values) > 0 {
		return string(a.values[0])
	}
	return ""
}

// database is the content of the domain at one moment.
type database struct {
	m       matcher
	cfg     *Config
	base    string // domain NC
	baseKey string
	sid     SID // of the domain
	objects []*object
	byKey   map[string]*object
	byText  map[string]*object // by the DN as it is written here
	index   map[string]map[string][]*object
	nextRID uint32
}

// indexed are the attributes with an index; all of them are looked up folded,
// objectSid and objectGUID by their octets.
var indexedAttributes = []string{
	"userprincipalname", "samaccountname", "displayname", "mail", "proxyaddresses",
	"serviceprincipalname", "objectguid", "objectsid", "netbiosname", "sidhistory",
}

// build makes a database out of the configuration. accounts holds the state that
// outlives a rebuild, by folded sAMAccountName.
func build(cfg *Config, accounts map[string]*account) (*database, error) {
	db := &database{
		m: matcher{cfg.Samba}, cfg: cfg, base: baseDN(cfg.Domain), sid: mustSID(cfg.DomainSID),
		byKey: map[string]*object{}, byText: map[string]*object{}, index: map[string]map[string][]*object{}, nextRID: 1104,
	}
	for _, a := range indexedAttributes {
		db.index[a] = map[string][]*object{}
	}
	db.baseKey, _ = db.m.dnKey(db.base)
	if err := db.addInfrastructure(); err != nil {
		return nil, err
	}
	groups, err := db.addGroups()
	if err != nil {
		return nil, err
	}
	for i := range cfg.Users {
		if err := db.addUser(&cfg.Users[i], groups, accounts); err != nil {
			return nil, err
		}
	}
	for _, o := range db.objects {
		for _, g := range o.parents {
			m := g.attrs["member"]
			m.name = "member"
			m.values = append(m.values, []byte(o.dn))
			g.attrs["member"] = m
		}
	}
	db.buildIndex()
	return db, nil
}

func (db *database) add(o *object, classes ...string) error {
	key, err := db.m.dnKey(o.dn)
	if err != nil {
		return fmt.Errorf("%w: %q", err, o.dn)
	}
	if db.byKey[key] != nil {
		return fmt.Errorf("directorytest: two objects are called %q", o.dn)
	}
	o.key = key
	if o.attrs == nil {
		o.attrs = map[string]attribute{}
	}
	if o.guid == ([16]byte{}) {
		sum := sha256.Sum256([]byte(db.cfg.Domain + "\x00" + o.dn))
		o.guid = [16]byte(sum[:16])
	}
	o.set("distinguishedName", o.dn)
	o.set("objectClass", append([]string{"top"}, classes...)...)
	o.set("objectGUID", string(o.guid[:]))
	if len(o.sid) > 0 {
		o.set("objectSid", string(o.sid))
	}
	rdns, _ := parseDN(o.dn)
	o.set("name", rdns[0].value)
	o.set(strings.ToLower(rdns[0].attr), rdns[0].value)
	db.byKey[key], db.byText[o.dn] = o, o
	db.objects = append(db.objects, o)
	return nil
}

func (db *database) buildIndex() {
	for _, o := range db.objects {
		if o.hidden {
			continue
		}
		for _, name := range indexedAttributes {
			for _, v := range o.attrs[name].values {
				k := db.indexKey(name, v)
				db.index[name][k] = append(db.index[name][k], o)
			}
		}
	}
}

// indexKey is the form in which an attribute's values are equal.
func (db *database) indexKey(attr string, value []byte) string {
	switch syntaxOf(attr) {
	case syntaxOctets:
		return string(value)
	case syntaxSID:
		if sid, err := ParseSID(string(value)); err == nil {
			return string(sid)
		}
		return string(value)
	case syntaxDN:
		if k, err := db.m.dnKey(string(value)); err == nil {
			return k
		}
	case syntaxInteger, syntaxString:
	}
	return db.m.fold(string(value))
}

func (db *database) rid(want uint32) SID {
	if want == 0 {
		want = db.nextRID
		db.nextRID++
	}
	return db.sid.with(want)
}

func (db *database) container(ou string) (string, error) {
	if ou == "" {
		return "CN=Users," + db.base, nil
	}
	dn := "OU=" + escapeRDN(ou) + "," + db.base
	key, err := db.m.dnKey(dn)
	if err != nil {
		return "", err
	}
	if db.byKey[key] == nil {
		return dn, db.add(&object{dn: dn}, "organizationalUnit")
	}
	return dn, nil
}

// addGroups adds declared groups, then those that only a member names.
func (db *database) addGroups() (map[string]*object, error) {
	groups := map[string]*object{}
	list := append([]Group{{Name: "Domain Users", RID: 513}, {Name: "Domain Admins", RID: 512}, {Name: "Protected Users", RID: 525}},
		db.cfg.Groups...)
	known := map[string]bool{}
	for _, g := range list {
		known[db.m.fold(g.Name)] = true
	}
	implied := func(names []string) {
		for _, n := range names {
			if k := db.m.fold(n); !known[k] {
				known[k] = true
				list = append(list, Group{Name: n})
			}
		}
	}
	for _, g := range db.cfg.Groups {
		implied(g.MemberOf)
	}
	for i := range db.cfg.Users {
		implied(db.cfg.Users[i].Groups)
	}
	for i := range list {
		o, err := db.addGroup(&list[i])
		if err != nil {
			return nil, err
		}
		groups[db.m.fold(list[i].Name)] = o
	}
	for _, o := range groups {
		db.join(o, o.group.MemberOf, groups)
	}
	return groups, nil
}

func (db *database) addGroup(g *Group) (*object, error) {
	parent, err := db.container(g.OU)
	if err != nil {
		return nil, err
	}
	cn := g.CN
	if cn == "" {
		cn = g.Name
	}
	o := &object{dn: "CN=" + escapeRDN(cn) + "," + parent, sid: db.rid(g.RID), group: g}
	if err := db.add(o, "group"); err != nil {
		return nil, err
	}
	kind, account := int32(2), "268435456"
	if g.DomainLocal {
		kind, account = 4, "536870912"
	}
	if g.Distribution {
		account = strconv.Itoa(268435457)
	} else {
		kind |= -1 << 31
	}
	o.set("sAMAccountName", g.Name)
	o.set("sAMAccountType", account)
	o.set("groupType", strconv.Itoa(int(kind)))
	return o, nil
}

// join makes o a direct member of the named groups.
func (db *database) join(o *object, names []string, groups map[string]*object) {
	var dns []string
	for _, n := range names {
		g := groups[db.m.fold(n)]
		o.parents = append(o.parents, g)
		dns = append(dns, g.dn)
	}
	if len(dns) > 0 {
		o.set("memberOf", dns...)
	}
}
