package directory

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn"
)

// Bits of userAccountControl and msDS-User-Account-Control-Computed
// ([MS-ADTS] 2.2.16).
const (
	uacDisabled        = 0x2
	uacLockout         = 0x10
	uacNeverExpires    = 0x10000
	uacSmartCard       = 0x40000
	uacPasswordExpired = 0x800000
)

// coreAttributes are read with every account. Binary and constructed attributes
// come only by name.
func coreAttributes() []string {
	return []string{"objectGUID", "objectSid", "userPrincipalName", "sAMAccountName", "userAccountControl",
		"msDS-User-Account-Control-Computed", "accountExpires", "pwdLastSet", "mS-DS-ConsistencyGuid", "primaryGroupID",
		"msDS-UserPasswordExpiryTimeComputed", "displayName", "preferredLanguage"}
}

// accountOf turns a search entry into an Account. An attribute that is not there
// is not zero: what cannot be told is an error, because a session check that
// takes "not readable" for "not disabled" would let a leaver stay.
func (dm *domain) accountOf(e *ldap.Entry, now time.Time) (*authn.Account, error) {
	id, ok := guidOf(e.GetEqualFoldRawAttributeValue("objectGUID"))
	if !ok || e.DN == "" {
		return nil, dm.unreadable(e, "objectGUID")
	}
	acc := &authn.Account{
		Domain: dm.name, NetBIOS: dm.netbiosName(), ID: id, DN: e.DN,
		UPN:            e.GetEqualFoldAttributeValue("userPrincipalName"),
		SAMAccountName: e.GetEqualFoldAttributeValue("sAMAccountName"),
		DisplayName:    e.GetEqualFoldAttributeValue("displayName"),
		Language:       e.GetEqualFoldAttributeValue("preferredLanguage"),
		ReadAt:         now,
	}
	if acc.SAMAccountName == "" {
		return nil, dm.unreadable(e, "sAMAccountName")
	}
	if anchor := e.GetEqualFoldRawAttributeValue("mS-DS-ConsistencyGuid"); len(anchor) > 0 {
		acc.ConsistencyGUID = append([]byte(nil), anchor...)
	}
	sid, err := SIDString(e.GetEqualFoldRawAttributeValue("objectSid"))
	if err != nil {
		return nil, dm.unreadable(e, "objectSid")
	}
	acc.SID = sid
	if err := dm.stateOf(e, acc, now); err != nil {
		return nil, err
	}
	for _, name := range dm.d.cfg.Attributes {
		if v := e.GetEqualFoldAttributeValues(name); len(v) > 0 {
			if acc.Attributes == nil {
				acc.Attributes = map[string][]string{}
			}
			acc.Attributes[strings.ToLower(name)] = v
		}
	}
	return acc, nil
}

// stateOf reads the account's state. Windows and Samba give each of these
// attributes for every user, so one that is missing is hidden from the service
// account.
func (dm *domain) stateOf(e *ldap.Entry, acc *authn.Account, now time.Time) error {
	var uac, computed, expires int64
	for _, a := range []struct {
		name string
		to   *int64
	}{
		{"userAccountControl", &uac}, {"msDS-User-Account-Control-Computed", &computed},
		{"accountExpires", &expires}, {"pwdLastSet", &acc.PwdLastSet},
	} {
		v, ok := integer(e, a.name)
		if !ok {
			return dm.unreadable(e, a.name)
		}
		*a.to = v
	}
	set := func(s authn.State, on bool) {
		if on {
			acc.State |= s
		}
	}
	set(authn.StateDisabled, uac&uacDisabled != 0)
	set(authn.StateSmartCard, uac&uacSmartCard != 0)
	set(authn.StateLocked, computed&uacLockout != 0)
	set(authn.StatePasswordExpired, computed&uacPasswordExpired != 0)
	end, real := fileTime(expires)
	set(authn.StateAccountExpired, real && expires != math.MaxInt64 && !end.After(now))
	set(authn.StateMustChange, acc.PwdLastSet == 0 && uac&uacNeverExpires == 0)
	if v, ok := integer(e, "msDS-UserPasswordExpiryTimeComputed"); ok {
		acc.PasswordExpires, _ = fileTime(v)
	}
	return nil
}

// unreadable says which right the service account lacks.
func (dm *domain) unreadable(e *ldap.Entry, attribute string) error {
	return &authn.Error{Reason: authn.Misconfigured,
		Cause: fmt.Errorf("directory: %s of %q is not readable; grant the service account Read on it", attribute, e.DN)}
}

// integer reads an Integer8 or Integer4 attribute.
func integer(e *ldap.Entry, name string) (int64, bool) {
	s := e.GetEqualFoldAttributeValue(name)
	if s == "" {
		return 0, false
	}
	v, err := strconv.ParseInt(s, 10, 64)
	return v, err == nil
}

var errNoGroups = errors.New("directory: tokenGroups is absent")

// groupsOf reads the SIDs in a tokenGroups answer. Every account is in its
// primary group, so none at all means "not known", not "no groups".
func groupsOf(e *ldap.Entry) ([]string, error) {
	values := e.GetEqualFoldRawAttributeValues("tokenGroups")
	if len(values) == 0 {
		return nil, errNoGroups
	}
	groups := make([]string, 0, len(values))
	for _, v := range values {
		sid, err := SIDString(v)
		if err != nil {
			return nil, fmt.Errorf("tokenGroups: %w", err)
		}
		groups = append(groups, sid)
	}
	return groups, nil
}
