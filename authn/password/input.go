package password

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"sallyport/authn"
)

const (
	maxPasswordUnits = 256  // UTF-16 units, AD's own limit ([MS-SAMR] 3.1.1.7.2)
	maxPasswordBytes = 1024 // no password of 256 units is longer in UTF-8
	maxNameBytes     = 1024
)

var (
	errEmpty = errors.New("empty")
	errNUL   = errors.New("contains a NUL")
	errUTF8  = errors.New("not UTF-8")
	errSpace = errors.New("begins or ends with white space")
)

// checkPassword refuses what must never reach a bind (adds-ldap.md 5.2): above all
// the empty password, which makes a simple bind succeed without proving anything
// (RFC 4513 §5.1.2). Whatever passes is sent byte for byte.
func checkPassword(pw *authn.Password) error {
	b := pw.Bytes()
	switch {
	case len(b) == 0:
		return fmt.Errorf("password: %w", errEmpty)
	case len(b) > maxPasswordBytes:
		return fmt.Errorf("password: longer than %d bytes", maxPasswordBytes)
	case !utf8.Valid(b):
		return fmt.Errorf("password: %w", errUTF8)
	}
	units := 0
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == 0 {
			return fmt.Errorf("password: %w", errNUL)
		}
		if units++; r > 0xffff {
			units++
		}
		i += n
	}
	if units > maxPasswordUnits {
		return fmt.Errorf("password: longer than %d characters", maxPasswordUnits)
	}
	return nil
}

// checkName refuses names that no directory object has (adds-ldap.md 5.1).
func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("name: %w", errEmpty)
	case len(name) > maxNameBytes:
		return fmt.Errorf("name: longer than %d bytes", maxNameBytes)
	case !utf8.ValidString(name):
		return fmt.Errorf("name: %w", errUTF8)
	case strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("name: contains a control character")
	case strings.TrimFunc(name, unicode.IsSpace) != name:
		return fmt.Errorf("name: %w", errSpace)
	}
	return nil
}
