package directory

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName bounds a typed name in bytes (userPrincipalName's own limit).
const maxName = 1024

// nameForm is what a typed name looks like.
type nameForm uint8

const (
	formBad  nameForm = iota // cannot be a name; no DC is asked
	formSAM                  // DOMAIN\name, or a bare name: sAMAccountName
	formUPN                  // name@suffix
	formBare                 // name
)

// typedName is a name as typed, cut into its parts and otherwise unchanged.
type typedName struct {
	form   nameForm
	whole  string
	domain string // before the backslash
	local  string // sAMAccountName, or the part before the last @
	suffix string // after the last @
}

// parseName cuts a typed name. Blanks at the ends, control characters, invalid
// UTF-8 and over-long names cannot be names: DCs differ in which of these they
// ignore, and a spelling that a DC forgives would be a second name for one
// account.
func parseName(s string) typedName {
	bad := typedName{whole: s}
	if s == "" || len(s) > maxName || !utf8.ValidString(s) || strings.TrimSpace(s) != s {
		return bad
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError {
			return bad
		}
	}
	if domain, local, ok := strings.Cut(s, `\`); ok {
		if domain == "" || !plausibleSAM(local) {
			return bad
		}
		return typedName{form: formSAM, whole: s, domain: domain, local: local}
	}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		if i == 0 || i == len(s)-1 {
			return bad
		}
		return typedName{form: formUPN, whole: s, local: s[:i], suffix: strings.ToLower(s[i+1:])}
	}
	return typedName{form: formBare, whole: s, local: s}
}

// plausibleSAM refuses what sAMAccountName can never hold ([MS-SAMR] 3.1.1.6);
// the backslash is the one that would let a name be cut in two ways.
func plausibleSAM(s string) bool { return s != "" && !strings.ContainsAny(s, `\@`) }
