package directorytest

import (
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

// change is one item of a ModifyRequest (RFC 4511 4.6).
type change struct {
	op     int64 // 0 add, 1 delete, 2 replace
	attr   string
	values [][]byte
}

func parseModify(body []byte) (dn string, changes []change, err error) {
	c := cursor{body}
	name, err := c.expect(tagOctets)
	if err != nil {
		return "", nil, err
	}
	list, err := c.expect(tagSequence)
	if err != nil {
		return "", nil, err
	}
	for items := (cursor{list}); !items.empty(); {
		item, err := items.expect(tagSequence)
		if err != nil {
			return "", nil, err
		}
		in := cursor{item}
		var ch change
		if ch.op, err = in.integer(tagEnumerated); err != nil {
			return "", nil, err
		}
		pair, err := in.expect(tagSequence)
		if err != nil {
			return "", nil, err
		}
		attr := cursor{pair}
		typ, err := attr.expect(tagOctets)
		if err != nil {
			return "", nil, err
		}
		ch.attr = string(typ)
		set, err := attr.expect(tagSet)
		if err != nil {
			return "", nil, err
		}
		for values := (cursor{set}); !values.empty(); {
			v, err := values.expect(tagOctets)
			if err != nil {
				return "", nil, err
			}
			ch.values = append(ch.values, v)
		}
		changes = append(changes, ch)
	}
	return string(name), changes, nil
}

// serveModify knows one modification: an account's change of its own password
// ([MS-ADTS] 3.1.1.3.1.5.1).
func (c *conn) serveModify(req request) bool {
	dn, changes, err := parseModify(req.body)
	if err != nil {
		return c.malformed(err)
	}
	f := c.dc.strike(OnModify, dn)
	if done, goOn := c.instead(f, req, opModifyResponse); done {
		return goOn
	}
	code, diagnostic := c.changePassword(dn, changes)
	if diagnostic != "" {
		diagnostic = c.dc.d.text(diagnostic)
	}
	c.enc.message(c.replyID(f, req.id), opModifyResponse, code, diagnostic)
	return c.deliver(f, req.id)
}

func (c *conn) changePassword(dn string, changes []change) (int64, string) {
	d := c.dc.d
	d.mu.Lock()
	defer d.mu.Unlock()
	hits := d.db.byDN(dn)
	switch {
	case c.identity == nil:
		return codeOperationsError, "000004DC: LdapErr: DSID-0C090A71, comment: In order to perform this operation a successful bind must be completed on the connection., data 0, v4f7c"
	case len(hits) != 1:
		return codeNoSuchObject, "0000208D: NameErr: DSID-03100245, problem 2001 (NO_OBJECT), data 0, best match of:\n\t''\n"
	case len(changes) != 2 || changes[0].op != 1 || changes[1].op != 0 ||
		!strings.EqualFold(changes[0].attr, "unicodePwd") || !strings.EqualFold(changes[1].attr, "unicodePwd") ||
		len(changes[0].values) != 1 || len(changes[1].values) != 1 || hits[0].user == nil:
		return codeInsufficientAccess, "00000005: SecErr: DSID-031A1190, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0\n"
	case c.dc.settings().RODC:
		return codeReferral, "0000202B: RefErr: DSID-0310082F, data 0, 1 access points"
	}
	o := hits[0]
	oldPassword, ok := unicodePwd(changes[0].values[0])
	newPassword, ok2 := unicodePwd(changes[1].values[0])
	switch {
	case !ok || !ok2:
		return codeConstraint, "00000057: AtrErr: DSID-03190FD6, #1:\n\t0: 00000057: DSID-03190FD6, problem 1005 (CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)\n"
	case d.locked(o, c.dc):
		return codeConstraint, "00000775: AtrErr: DSID-03191083, #1:\n\t0: 00000775: DSID-03191083, problem 1005 (CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)\n"
	case !d.passwordRight(o, c.dc, []byte(oldPassword)):
		d.countBad(o, c.dc)
		return codeConstraint, "00000056: AtrErr: DSID-03191083, #1:\n\t0: 00000056: DSID-03191083, problem 1005 (CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)\n"
	case !d.acceptable(o, newPassword):
		return codeConstraint, "0000052D: AtrErr: DSID-03191083, #1:\n\t0: 0000052D: DSID-03191083, problem 1005 (CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)\n"
	}
	return d.setPassword(o, c.dc, newPassword)
}

// setPassword stores a change that dc took. The caller holds the lock.
func (d *Directory) setPassword(o *object, dc *DC, password string) (int64, string) {
	o.acct.passwords = append([]pastPassword{{value: password, at: d.cfg.Now(), by: dc.index}}, o.acct.passwords...)
	users := append([]User(nil), d.cfg.Users...)
	for i := range users {
		if users[i].SAM == o.user.SAM {
			users[i].Password, users[i].MustChange, users[i].PasswordExpired, users[i].PasswordExpiresIn = password, false, false, 0
			users[i].PwdLastSet = toFiletime(d.cfg.Now())
		}
	}
	d.cfg.Users = users
	if err := d.rebuild(); err != nil {
		return 80, err.Error()
	}
	return codeSuccess, ""
}

// acceptable judges length, history and three of four classes of characters.
func (d *Directory) acceptable(o *object, password string) bool {
	if len(utf16.Encode([]rune(password))) < d.cfg.Policy.MinPasswordLength {
		return false
	}
	for i, p := range o.acct.passwords {
		if i < d.cfg.Policy.PasswordHistory && p.value == password {
			return false
		}
	}
	var classes [4]bool
	for _, r := range password {
		switch {
		case 'a' <= r && r <= 'z':
			classes[0] = true
		case 'A' <= r && r <= 'Z':
			classes[1] = true
		case '0' <= r && r <= '9':
			classes[2] = true
		default:
			classes[3] = true
		}
	}
	n := 0
	for _, c := range classes {
		if c {
			n++
		}
	}
	return n >= 3
}

// unicodePwd reads UTF-16LE text in double quotes.
func unicodePwd(v []byte) (string, bool) {
	if len(v)%2 != 0 || len(v) < 4 {
		return "", false
	}
	units := make([]uint16, len(v)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(v[2*i:])
	}
	if units[0] != '"' || units[len(units)-1] != '"' {
		return "", false
	}
	return string(utf16.Decode(units[1 : len(units)-1])), true
}
