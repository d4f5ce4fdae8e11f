package directory

import (
	"regexp"
	"strconv"
	"strings"

	"sallyport/authn"
)

// maxDiagnostic bounds the part of a DC's text that is parsed and logged.
const maxDiagnostic = 512

// diagnostics parses AD's text after a refused bind. AD has no field for the
// reason: it is the hex number after "data" in an English sentence.
type diagnostics struct{ strict, loose *regexp.Regexp }

func newDiagnostics() *diagnostics {
	return &diagnostics{
		strict: regexp.MustCompile(`^[0-9A-Fa-f]{8}: LdapErr: DSID-[0-9A-Fa-f]{8}, comment: [^,\x00-\x1f]{1,200}, data ([0-9A-Fa-f]{1,8}), v[0-9A-Fa-f]{1,8}$`),
		loose:  regexp.MustCompile(`(?:^|[ ,])data ([0-9A-Fa-f]{1,8})(?:,|$)`),
	}
}

// trimDiagnostic cuts a DC's text to what may be parsed and logged: Windows
// ends it with a NUL.
func trimDiagnostic(text string) string {
	if len(text) > maxDiagnostic {
		text = text[:maxDiagnostic]
	}
	return strings.Trim(text, "\x00 \t\r\n")
}

// subCode returns the number after "data"; ok is false when there is none. It
// picks a text and a counter, never success.
func (d *diagnostics) subCode(text string) (code uint32, ok bool) {
	text = trimDiagnostic(text)
	digits := ""
	if m := d.strict.FindStringSubmatch(text); m != nil {
		digits = m[1]
	} else if all := d.loose.FindAllStringSubmatch(text, -1); len(all) > 0 {
		digits = all[len(all)-1][1]
	} else {
		return 0, false
	}
	v, err := strconv.ParseUint(digits, 16, 32)
	if err != nil {
		return 0, false
	}
	return uint32(v), true
}

// reasonOf maps AD's sub-code of a bind answered with 49 to the reason. The
// numbers are Win32 error codes; an unknown one is a refusal that counts.
func reasonOf(code uint32, ok bool) authn.Reason {
	if !ok {
		return authn.Rejected
	}
	switch code {
	case 0x52e, 0x56:
		return authn.WrongPassword
	case 0x525, 0x57:
		return authn.UnknownUser
	case 0x775:
		return authn.LockedOut
	case 0x52f, 0x569, 0x70f, 0x710, 0x711, 0x78f:
		return authn.Restricted
	case 0x530:
		return authn.LogonHours
	case 0x531:
		return authn.Workstation
	case 0x532:
		return authn.PasswordExpired
	case 0x533:
		return authn.Disabled
	case 0x568:
		return authn.TooManyGroups
	case 0x701:
		return authn.AccountExpired
	case 0x773:
		return authn.MustChange
	case 0x51f, 0x54b, 0x6fa, 0x6fb, 0x6fc, 0x6fd, 0x6fe, 0x774, 0x576:
		return authn.Unavailable
	case 0x80090346:
		return authn.Misconfigured
	default:
		return authn.Rejected
	}
}
