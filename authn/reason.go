package authn

import (
	"errors"
	"fmt"
)

// Reason is why an attempt ended as it did: a closed list, the true reason for
// audit records and metrics. What a person may be told is less; see
// [Reason.ProvesPassword].
type Reason uint8

// The reasons. The zero value is no verdict and must be treated as a refusal.
const (
	NoVerdict       Reason = iota
	Accepted               // a DC accepted the password
	WrongPassword          // 52e, 56
	UnknownUser            // no object, 525, 57
	Ambiguous              // the name means several objects
	LockedOut              // 775: locked in the directory
	Throttled              // our own lockout, below the directory's
	Restricted             // 52f, 569, 70f-711, 78f
	LogonHours             // 530
	Workstation            // 531
	PasswordExpired        // 532
	Disabled               // 533
	TooManyGroups          // 568
	AccountExpired         // 701
	MustChange             // 773
	BadInput               // refused before any directory was asked
	Rejected               // refused with a code that is not known
	Unavailable            // no DC gave a clear answer
	Busy                   // no free connection within the deadline
	Misconfigured          // a DC refuses our way of asking
	NotReady               // no UPN, no ImmutableID, or one that is not unique
	NotAllowed             // the relying party's rules do not let this person in
)

var reasonNames = [...]string{
	NoVerdict: "no_verdict", Accepted: "accepted", WrongPassword: "wrong_password", UnknownUser: "unknown_user",
	Ambiguous: "ambiguous", LockedOut: "locked_out", Throttled: "throttled", Restricted: "restricted",
	LogonHours: "logon_hours", Workstation: "workstation", PasswordExpired: "password_expired", Disabled: "disabled",
	TooManyGroups: "too_many_groups", AccountExpired: "account_expired", MustChange: "password_must_change",
	BadInput: "bad_input", Rejected: "rejected", Unavailable: "unavailable", Busy: "busy", Misconfigured: "misconfigured",
	NotReady: "not_ready", NotAllowed: "not_allowed",
}

// Reasons returns all reasons in order, for tables and metrics.
func Reasons() []Reason {
	all := make([]Reason, len(reasonNames))
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// String returns the stable lower-case code used in audit records and metrics.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason_%d", uint8(r))
}

// ProvesPassword reports whether AD gives this answer only after it has found
// the password right, so that the person may be told the reason. Restricted is
// not among them: Samba gives its code, 52f, to wrong passwords too.
func (r Reason) ProvesPassword() bool {
	switch r {
	case Accepted, LogonHours, Workstation, PasswordExpired, Disabled, TooManyGroups, AccountExpired, MustChange,
		NotReady, NotAllowed:
		return true
	default:
		return false
	}
}

// Counts reports whether the attempt counts as a wrong password of the account.
func (r Reason) Counts() bool { return r == WrongPassword || r == Rejected }

// Undecided reports that nobody judged the password: the person should try
// again, and no counter may move.
func (r Reason) Undecided() bool {
	switch r {
	case NoVerdict, Unavailable, Busy, Misconfigured:
		return true
	default:
		return false
	}
}

// Error carries a reason together with the cause for log and audit.
type Error struct {
	Reason Reason
	Cause  error
}

// Error implements error; the text is for logs, never for a person.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Reason.String()
	}
	return e.Reason.String() + ": " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// ReasonOf returns the reason that err carries: Accepted for nil, and
// Unavailable for an error that is not an [Error], so that an unexpected error
// never counts against an account and never lets anybody in.
func ReasonOf(err error) Reason {
	if err == nil {
		return Accepted
	}
	var e *Error
	if errors.As(err, &e) && e.Reason != Accepted {
		return e.Reason
	}
	return Unavailable
}
