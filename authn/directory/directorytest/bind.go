package directorytest

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// Sub-codes of a refused bind, as AD writes them in hex after "data".
const (
	dataWrongPassword = 0x52e
	dataUnknownUser   = 0x525
	dataAmbiguous     = 0x57
	dataLocked        = 0x775
)

// diagnostic is the text that a refused simple bind carries.
func (d *Directory) diagnostic(data uint32) string {
	return d.text(fmt.Sprintf("80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data %x, v4f7c", data))
}

// text ends a diagnostic as the server at hand does: Windows leaves its NUL.
func (d *Directory) text(s string) string {
	if d.cfg.Samba {
		return s
	}
	return s + "\x00"
}

// The forms of a name that a simple bind takes, in the order in which they are
// tried.
var (
	windowsForms = [...]func(*database, string) []*object{
		(*database).byDN, (*database).byExplicitUPN, (*database).byImplicitUPN, (*database).byNetBIOS, (*database).byCanonical,
		(*database).byGUID, (*database).byDisplayName, (*database).bySPN, (*database).bySID, (*database).bySIDHistory,
		(*database).byCanonicalFeed,
	}
	sambaForms = [...]func(*database, string) []*object{
		(*database).byDN, (*database).byExplicitUPN, (*database).byNetBIOS, (*database).byCanonical, (*database).bySID,
	}
)

// bindName finds the object that a simple bind's name means: the forms of
// [MS-ADTS] 5.1.1.1.1 in their order; the first form with a match decides, and
// two matches in it are an error.
func (db *database) bindName(name string) (*object, uint32) {
	forms := windowsForms[:]
	if db.cfg.Samba {
		forms = sambaForms[:]
		name = strings.TrimSpace(name)
	}
	for _, form := range forms {
		switch hits := form(db, name); {
		case len(hits) > 1:
			return nil, dataAmbiguous
		case len(hits) == 1 && hits[0].user == nil:
			return nil, dataUnknownUser
		case len(hits) == 1:
			return hits[0], 0
		}
	}
	return nil, dataUnknownUser
}

func one(o *object) []*object {
	if o == nil || o.hidden {
		return nil
	}
	return []*object{o}
}

// byDN takes a DN and AD's <GUID=…> and <SID=…>.
func (db *database) byDN(name string) []*object {
	if len(name) > 2 && name[0] == '<' && name[len(name)-1] == '>' {
		kind, value, _ := strings.Cut(name[1:len(name)-1], "=")
		switch strings.ToUpper(kind) {
		case "GUID":
			return db.byGUID(value)
		case "SID":
			return db.bySID(value)
		}
		return nil
	}
	if !strings.Contains(name, "=") {
		return nil
	}
	if o := db.byText[name]; o != nil { // spelled as this server spells it
		return one(o)
	}
	key, err := db.m.dnKey(name)
	if err != nil || key == "" {
		return nil
	}
	return one(db.byKey[key])
}

func (db *database) byGUID(name string) []*object {
	g, ok := parseGUID(name)
	if !ok {
		return nil
	}
	return db.index["objectguid"][string(g[:])]
}

func (db *database) bySID(name string) []*object {
	sid, err := ParseSID(name)
	if err != nil {
		return nil
	}
	return db.index["objectsid"][string(sid)]
}

func (db *database) byIndex(attr, name string) []*object {
	if name == "" {
		return nil
	}
	return db.index[attr][db.m.fold(name)]
}

func (db *database) byExplicitUPN(name string) []*object {
	return db.byIndex("userprincipalname", name)
}
func (db *database) byDisplayName(name string) []*object { return db.byIndex("displayname", name) }
func (db *database) bySPN(name string) []*object         { return db.byIndex("serviceprincipalname", name) }

func (db *database) bySIDHistory(name string) []*object {
	sid, err := ParseSID(name)
	if err != nil {
		return nil
	}
	return db.index["sidhistory"][string(sid)]
}

// byImplicitUPN takes sAMAccountName@ with the domain's DNS name or any value of
// uPNSuffixes.
func (db *database) byImplicitUPN(name string) []*object {
	at := strings.LastIndexByte(name, '@')
	if at < 1 {
		return nil
	}
	suffix := db.m.fold(name[at+1:])
	for _, s := range append([]string{db.cfg.Domain}, db.cfg.UPNSuffixes...) {
		if db.m.fold(s) == suffix {
			return db.index["samaccountname"][db.m.fold(name[:at])]
		}
	}
	return nil
}

func (db *database) byNetBIOS(name string) []*object {
	domain, sam, ok := strings.Cut(name, `\`)
	if !ok || !strings.EqualFold(domain, db.cfg.NetBIOS) {
		return nil
	}
	return db.index["samaccountname"][db.m.fold(sam)]
}

func (db *database) byCanonical(name string) []*object     { return db.canonical(name, "/") }
func (db *database) byCanonicalFeed(name string) []*object { return db.canonical(name, "\n") }

func (db *database) canonical(name, sep string) []*object {
	if !strings.Contains(name, sep) || !strings.Contains(name, ".") {
		return nil
	}
	want := db.m.fold(name)
	var hits []*object
	for _, o := range db.objects {
		if o.user != nil && db.m.fold(canonicalName(o.dn, sep)) == want {
			hits = append(hits, o)
		}
	}
	return hits
}

// verdict judges a name and a password at one DC: lockout before the password,
// the password before any state. The caller holds the lock.
func (d *Directory) verdict(dc *DC, name string, password []byte) (*object, uint32) {
	o, data := d.db.bindName(name)
	if data != 0 {
		if data == dataUnknownUser {
			data = d.cfg.UnknownData
		}
		return nil, data
	}
	if d.locked(o, dc) {
		return o, dataLocked
	}
	if d.cfg.Samba { // takes what stands before a NUL
		password, _, _ = bytes.Cut(password, []byte{0})
	}
	if o.user.SmartCard || !d.passwordRight(o, dc, password) {
		if o.user.SmartCard || !d.recentPassword(o, password) {
			d.countBad(o, dc)
		}
		return o, dataWrongPassword
	}
	if data := d.restriction(o, dc); data != 0 {
		return o, data
	}
	o.acct.bad[dc.index].count = 0
	o.acct.bad[0].count = 0
	return o, 0
}

// passwordRight asks the DC for the newest password it has heard of, then the PDC
// emulator (DC 0), which knows every change at once. A Samba DC asks nobody.
func (d *Directory) passwordRight(o *object, dc *DC, password []byte) bool {
	now, p := d.cfg.Now(), d.cfg.Policy
	newest := -1
	for i, past := range o.acct.passwords {
		if newest < 0 && (past.by < 0 || past.by == dc.index || !now.Before(past.at.Add(p.ReplicationDelay))) {
			newest = i
		}
		if past.value != string(password) {
			continue
		}
		inGrace := i == 1 && now.Before(o.acct.passwords[0].at.Add(p.OldPasswordGrace))
		if i == newest || i == 0 && !d.cfg.Samba || inGrace {
			return true
		}
	}
	return false
}

// recentPassword reports whether a wrong password is one of the two before: those
// are refused without being counted.
func (d *Directory) recentPassword(o *object, password []byte) bool {
	past := o.acct.passwords[1:]
	if len(past) > 2 {
		past = past[:2]
	}
	for _, p := range past {
		if p.value == string(password) {
			return true
		}
	}
	return false
}

// countBad counts at the DC that was asked and, on Windows, at the PDC emulator
// too, whose count is therefore the sum.
func (d *Directory) countBad(o *object, dc *DC) {
	d.countBadAt(o, dc.index)
	if dc.index != 0 && !d.cfg.Samba {
		d.countBadAt(o, 0)
	}
}

func (d *Directory) countBadAt(o *object, dc int) {
	now, p, c := d.cfg.Now(), d.cfg.Policy, &o.acct.bad[dc]
	if at := o.acct.lockedAt; !at.IsZero() && p.LockoutDuration >= 0 && !now.Before(at.Add(p.LockoutDuration)) {
		o.acct.lockedAt = time.Time{}
		clear(o.acct.bad)
	}
	if now.Sub(c.last) > p.LockoutWindow {
		c.count = 0
	}
	c.count++
	c.last = now
	if p.LockoutThreshold > 0 && c.count >= p.LockoutThreshold {
		o.acct.lockedAt, o.acct.lockedBy = now, dc
	}
}
