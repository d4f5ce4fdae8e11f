package authn

import (
	"encoding/hex"
	"errors"
	"time"
)

// GUID is an objectGUID as LDAP returns it: 16 bytes, the first three fields
// little-endian ([MS-ADTS] 3.1.1.1.4). It is the one key by which an account
// is counted, cached and remembered; names are not.
type GUID [16]byte

// IsZero reports whether g is the zero GUID, which no object has.
func (g GUID) IsZero() bool { return g == GUID{} }

// String returns the registry form, for example
// f81d4fae-7dec-11d0-a765-00a0c91e6bf6.
func (g GUID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], []byte{g[3], g[2], g[1], g[0]})
	b[8] = '-'
	hex.Encode(b[9:13], []byte{g[5], g[4]})
	b[13] = '-'
	hex.Encode(b[14:18], []byte{g[7], g[6]})
	b[18] = '-'
	hex.Encode(b[19:23], g[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], g[10:16])
	return string(b[:])
}

// ErrGUID says that a text is not a GUID in registry form.
var ErrGUID = errors.New("authn: not a GUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")

// ParseGUID reads the registry form, with or without braces.
func ParseGUID(s string) (GUID, error) {
	if len(s) == 38 && s[0] == '{' && s[37] == '}' {
		s = s[1:37]
	}
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return GUID{}, ErrGUID
	}
	raw, err := hex.DecodeString(s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36])
	if err != nil {
		return GUID{}, ErrGUID
	}
	return GUID{
		raw[3], raw[2], raw[1], raw[0], raw[5], raw[4], raw[7], raw[6],
		raw[8], raw[9], raw[10], raw[11], raw[12], raw[13], raw[14], raw[15],
	}, nil
}

// State is what the directory says of an account besides its password.
type State uint16

// The bits of [State].
const (
	StateDisabled        State = 1 << iota // userAccountControl 0x2
	StateLocked                            // msDS-User-Account-Control-Computed 0x10
	StateAccountExpired                    // accountExpires has passed
	StatePasswordExpired                   // msDS-User-Account-Control-Computed 0x800000
	StateMustChange                        // pwdLastSet is 0
	StateSmartCard                         // userAccountControl 0x40000
)

// Account is one user object of AD DS, read in one search. All fields are what
// the directory holds, never what was typed. It is read-only after creation and
// may be shared between goroutines.
type Account struct {
	// Domain is the configured domain (DNS name, lower case) the object was
	// read from; together with ID it finds the object again.
	Domain string
	// NetBIOS is that domain's NetBIOS name, for example CONTOSO.
	NetBIOS string
	// ID is objectGUID. Never zero.
	ID GUID
	// SID is objectSid in string form (S-1-5-21-…).
	SID string
	// DN is the distinguished name; binds use it.
	DN string
	// UPN is userPrincipalName, empty when the object has none.
	UPN string
	// SAMAccountName is the pre-Windows 2000 name, without the domain.
	SAMAccountName string
	DisplayName    string
	// Language is preferredLanguage, for example nl-NL; may be empty.
	Language string
	// ConsistencyGUID is mS-DS-ConsistencyGuid, nil when absent. Any length.
	ConsistencyGUID []byte
	// State is the account's state at ReadAt.
	State State
	// PwdLastSet is pwdLastSet as stored: 100 ns since 1601, 0 = must change.
	PwdLastSet int64
	// PasswordExpires is zero when the password never expires or it is not known.
	PasswordExpires time.Time
	// Groups are the SIDs of all groups, nested ones and the primary one
	// included (tokenGroups). Nil when GroupsRead is false.
	Groups     []string
	GroupsRead bool
	// Attributes are further attributes that the settings asked for, by their
	// lower-case LDAP name.
	Attributes map[string][]string
	// ReadAt is when the directory answered.
	ReadAt time.Time
	// CrossedWith is the DN of another object whose implicit UPN
	// (sAMAccountName@domain) equals the explicit UPN that found this one.
	CrossedWith string
}

// Name returns the account's unambiguous readable name: NETBIOS\sAMAccountName.
func (a *Account) Name() string { return a.NetBIOS + `\` + a.SAMAccountName }

// SourceAnchor returns the bytes that Entra Connect takes for the ImmutableID:
// mS-DS-ConsistencyGuid when the object has a value, else objectGUID.
func (a *Account) SourceAnchor() []byte {
	if len(a.ConsistencyGUID) > 0 {
		return a.ConsistencyGUID
	}
	return a.ID[:]
}
