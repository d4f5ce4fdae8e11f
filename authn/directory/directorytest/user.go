package directorytest

import "time"

// User describes one account. The zero value of every field besides SAM and
// Password is an ordinary enabled account.
type User struct {
	// SAM is sAMAccountName. Required, unique in the domain.
	SAM string
	// UPN is userPrincipalName; empty means that the object has none.
	UPN string
	// Password is the current one, any bytes.
	Password string
	// OldPasswords are the ones before, newest first. The first two are refused
	// without being counted.
	OldPasswords []string
	// CN is the common name (default DisplayName, then SAM), any characters.
	CN string
	// OU is the organisational unit below the domain's root; empty means CN=Users.
	OU string
	// DisplayName is displayName, absent when empty.
	DisplayName string
	// Language is preferredLanguage, absent when empty.
	Language string
	// GUID is objectGUID as LDAP returns it; zero means derived from domain and SAM,
	// the same in every run.
	GUID [16]byte
	// ConsistencyGUID is mS-DS-ConsistencyGuid, absent when nil. Any length.
	ConsistencyGUID []byte
	// RID is the last part of objectSid; zero means the next free one.
	RID uint32
	// Groups are sAMAccountNames of the groups that have the user as a direct
	// member. A group that nobody declared is made.
	Groups []string
	// Attributes are further attributes (mail, title …).
	Attributes map[string][]string

	// Disabled sets userAccountControl 0x2.
	Disabled bool
	// Locked keeps the account locked until [Directory.Update] clears it.
	Locked bool
	// AccountExpired puts accountExpires a day into the past.
	AccountExpired bool
	// PasswordExpired makes the password a day too old.
	PasswordExpired bool
	// PasswordExpiresIn makes the password expire so long after the start.
	PasswordExpiresIn time.Duration
	// PasswordNeverExpires sets userAccountControl 0x10000.
	PasswordNeverExpires bool
	// MustChange sets pwdLastSet to 0.
	MustChange bool
	// PwdLastSet is pwdLastSet itself (100 ns since 1601) and beats the fields above
	// when it is not zero.
	PwdLastSet int64
	// LogonHoursDenied denies every hour; LogonHours gives the 21 bytes themselves.
	LogonHoursDenied bool
	LogonHours       []byte
	// Workstations is userWorkstations: names of computers. A simple bind is judged
	// against the name of the DC itself.
	Workstations []string
	// Restricted stands for Protected Users and authentication policies: 52f.
	Restricted bool
	// SmartCard sets userAccountControl 0x40000; the password is random.
	SmartCard bool
	// Machine makes it a computer account, which a Windows DC refuses with 710.
	Machine bool
	// ResultantPSO is the DN of the password settings object that governs the
	// account; the object itself is invisible, as it is to ordinary accounts.
	ResultantPSO string

	// Hidden are attributes that no search returns, as when the account that searches
	// lacks the right to read them.
	Hidden []string

	// State says in a few words what the account is for, for tables of users.
	State string
	// Data is the sub-code of a bind with the right password, 0 when it succeeds.
	// [DemoUsers] fills it; the server does not read it.
	Data uint32
}

// Group is a security group, or a distribution group, which tokenGroups leaves out.
type Group struct {
	// Name is sAMAccountName; CN is the same unless set.
	Name, CN string
	// OU is the organisational unit below the root; empty means CN=Users.
	OU string
	// RID is the last part of objectSid; zero means the next free one.
	RID uint32
	// MemberOf are the groups this one is a direct member of; cycles are fine.
	MemberOf []string
	// DomainLocal leaves the group out of tokenGroupsGlobalAndUniversal.
	DomainLocal bool
	// Distribution makes it a distribution group.
	Distribution bool
}

// Policy is what the domain head says of passwords and lockout.
type Policy struct {
	// LockoutThreshold is the number of wrong passwords that lock; 0 means 10,
	// negative means never.
	LockoutThreshold int
	// LockoutWindow and LockoutDuration default to 30 minutes; a negative duration
	// means until an admin unlocks.
	LockoutWindow, LockoutDuration time.Duration
	// MaxPasswordAge defaults to 42 days; negative means never.
	MaxPasswordAge time.Duration
	// MinPasswordLength defaults to 7, PasswordHistory to 24.
	MinPasswordLength, PasswordHistory int
	// OldPasswordGrace lets the password before bind so long after a change made
	// here; 0 means not at all.
	OldPasswordGrace time.Duration
	// ReplicationDelay is how long another DC does not know a new password or a
	// lock. 0 means at once.
	ReplicationDelay time.Duration
}

func (p Policy) withDefaults() Policy {
	switch {
	case p.LockoutThreshold == 0:
		p.LockoutThreshold = 10
	case p.LockoutThreshold < 0:
		p.LockoutThreshold = 0
	}
	if p.LockoutWindow == 0 {
		p.LockoutWindow = 30 * time.Minute
	}
	if p.LockoutDuration == 0 {
		p.LockoutDuration = 30 * time.Minute
	}
	if p.MaxPasswordAge == 0 {
		p.MaxPasswordAge = 42 * 24 * time.Hour
	}
	if p.MinPasswordLength == 0 {
		p.MinPasswordLength = 7
	}
	if p.PasswordHistory == 0 {
		p.PasswordHistory = 24
	}
	return p
}

// FILETIME arithmetic: 100 ns since 1601 (never by way of time.Duration from
// 1601, which ends after 292 years).
const (
	filetimeUnixEpoch = 116444736000000000
	filetimeNever     = 1<<63 - 1
)

func toFiletime(t time.Time) int64 {
	return t.Unix()*10_000_000 + int64(t.Nanosecond()/100) + filetimeUnixEpoch
}

// toInterval gives the negative count of 100 ns that AD keeps durations as; a
// negative duration means for ever.
func toInterval(d time.Duration) int64 {
	if d < 0 {
		return -1 << 63
	}
	return -int64(d / 100)
}
