package directorytest

import (
	"crypto/sha256"
	"strconv"
	"strings"
	"time"
)

// userAccountControl bits ([MS-ADTS] 2.2.16) and the bits that only the computed
// attribute has.
const (
	uacDisabled     = 0x2
	uacLockout      = 0x10
	uacNormal       = 0x200
	uacWorkstation  = 0x1000
	uacNeverExpires = 0x10000
	uacSmartCard    = 0x40000
	uacPwdExpired   = 0x800000
)

// account is the state of an account that outlives a rebuild of the database.
// The Directory's lock guards it.
type account struct {
	passwords []pastPassword // newest first
	bad       []badCounter   // by DC
	lockedAt  time.Time
	lockedBy  int
}

type pastPassword struct {
	value string
	at    time.Time
	by    int // the DC that took it, -1 when every DC knows it
}

type badCounter struct {
	count int
	last  time.Time
}

func (db *database) addUser(u *User, groups map[string]*object, accounts map[string]*account) error {
	parent, err := db.container(u.OU)
	if err != nil {
		return err
	}
	cn := u.CN
	if cn == "" {
		cn = u.DisplayName
	}
	if cn == "" {
		cn = u.SAM
	}
	guid := u.GUID
	if guid == ([16]byte{}) {
		sum := sha256.Sum256([]byte(db.cfg.Domain + "\x00" + strings.ToLower(u.SAM)))
		guid = [16]byte(sum[:16])
	}
	o := &object{dn: "CN=" + escapeRDN(cn) + "," + parent, guid: guid, sid: db.rid(u.RID), user: u}
	classes := []string{"person", "organizationalPerson", "user"}
	kind, primary := "805306368", "513"
	if u.Machine {
		classes = append(classes, "computer")
		kind, primary = "805306369", "515"
	}
	if err := db.add(o, classes...); err != nil {
		return err
	}
	o.acct = accounts[db.m.fold(u.SAM)]
	o.set("sAMAccountName", u.SAM)
	o.set("sAMAccountType", kind)
	o.set("userPrincipalName", u.UPN)
	o.set("displayName", u.DisplayName)
	o.set("preferredLanguage", u.Language)
	o.set("primaryGroupID", primary)
	o.set("userAccountControl", strconv.Itoa(u.control()))
	o.set("pwdLastSet", strconv.FormatInt(u.pwdLastSet(db.cfg), 10))
	o.set("accountExpires", strconv.FormatInt(u.accountExpires(db.cfg), 10))
	o.set("mS-DS-ConsistencyGuid", string(u.ConsistencyGUID))
	o.set("userWorkstations", strings.Join(u.Workstations, ","))
	if h := u.logonHours(); h != nil {
		o.set("logonHours", string(h))
	}
	for name, values := range u.Attributes {
		o.set(name, values...)
	}
	db.join(o, u.Groups, groups)
	return nil
}

func (u *User) control() int {
	uac := uacNormal
	if u.Machine {
		uac = uacWorkstation
	}
	for bit, on := range map[int]bool{uacDisabled: u.Disabled, uacNeverExpires: u.PasswordNeverExpires, uacSmartCard: u.SmartCard} {
		if on {
			uac |= bit
		}
	}
	return uac
}

// pwdLastSet counts from the start of the server, so that it does not move while
// the clock runs.
func (u *User) pwdLastSet(cfg *Config) int64 {
	age := cfg.Policy.MaxPasswordAge
	switch {
	case u.PwdLastSet != 0:
		return u.PwdLastSet
	case u.MustChange:
		return 0
	case u.PasswordExpired && age > 0:
		return toFiletime(cfg.started.Add(-age - 24*time.Hour))
	case u.PasswordExpiresIn != 0 && age > 0:
		return toFiletime(cfg.started.Add(u.PasswordExpiresIn - age))
	default:
		return toFiletime(cfg.started.Add(-10 * 24 * time.Hour))
	}
}

func (u *User) accountExpires(cfg *Config) int64 {
	if u.AccountExpired {
		return toFiletime(cfg.started.Add(-24 * time.Hour))
	}
	return filetimeNever
}

func (u *User) logonHours() []byte {
	if u.LogonHoursDenied {
		return make([]byte, 21)
	}
	return u.LogonHours
}

// passwordExpiry returns msDS-UserPasswordExpiryTimeComputed ([MS-ADTS] 3.1.1.4.5.42).
func (u *User) passwordExpiry(cfg *Config) int64 {
	set := u.pwdLastSet(cfg)
	switch {
	case u.PasswordNeverExpires || u.SmartCard || cfg.Policy.MaxPasswordAge < 0:
		return filetimeNever
	case set == 0:
		return 0
	default:
		return set + int64(cfg.Policy.MaxPasswordAge/100)
	}
}

// computed returns msDS-User-Account-Control-Computed as DC number dc sees it.
func (d *Directory) computed(o *object, dc *DC) int {
	bits := 0
	if d.locked(o, dc) {
		bits |= uacLockout
	}
	if o.user.passwordExpiry(&d.cfg) <= toFiletime(dc.now()) {
		bits |= uacPwdExpired
	}
	return bits
}

// locked reports whether dc knows the account as locked.
func (d *Directory) locked(o *object, dc *DC) bool {
	if o.user.Locked {
		return true
	}
	at := o.acct.lockedAt
	if at.IsZero() {
		return false
	}
	now, p := d.cfg.Now(), d.cfg.Policy
	if o.acct.lockedBy != dc.index && now.Before(at.Add(p.ReplicationDelay)) {
		return false
	}
	return p.LockoutDuration < 0 || now.Before(at.Add(p.LockoutDuration))
}

// restriction returns the sub-code that the state of an account gives after the
// right password, 0 for none.
func (d *Directory) restriction(o *object, dc *DC) uint32 {
	u, now := o.user, dc.now()
	switch {
	case u.Machine && !d.cfg.Samba:
		return 0x710
	case u.Disabled:
		return 0x533
	case u.accountExpires(&d.cfg) <= toFiletime(now):
		return 0x701
	case u.Restricted:
		return 0x52f
	case !hourAllowed(u.logonHours(), now):
		return 0x530
	case !workstationAllowed(u.Workstations, dc.hostName()):
		return 0x531
	case u.pwdLastSet(&d.cfg) == 0 && !u.PasswordNeverExpires:
		return 0x773
	case u.passwordExpiry(&d.cfg) <= toFiletime(now):
		return 0x532
	default:
		return 0
	}
}

// hourAllowed reads logonHours: GMT, bit 0 is Sunday 00-01, the least significant
// bit of a byte first; absent means always.
func hourAllowed(hours []byte, now time.Time) bool {
	if len(hours) != 21 {
		return true
	}
	now = now.UTC()
	i := int(now.Weekday())*24 + now.Hour()
	return hours[i/8]>>(i%8)&1 == 1
}

func workstationAllowed(list []string, host string) bool {
	for _, w := range list {
		if strings.EqualFold(strings.TrimSpace(w), host) {
			return true
		}
	}
	return len(list) == 0
}
