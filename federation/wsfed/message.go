package wsfed

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"sallyport/federation/web"
)

// maxContext is the longest wctx, decoded.
const maxContext = 8 << 10

// value is one parameter: absent, or present and perhaps empty.
type value struct {
	s   string
	set bool
}

// message is a request's parameters, each taken at most once.
type message struct {
	wa, wtrealm, wreply, wctx, wct, wfresh, wauth, whr value
	username, loginHint, prompt, domainHint            value
	mfaMaxAge, correlation                             value
}

// field returns where a parameter is kept and how long it may be, nil for one
// that is not known. Unknown ones are as if absent ([MS-MWBF] note 50).
func (m *message) field(name string) (*value, int) {
	switch name {
	case "wa":
		return &m.wa, 64
	case "wtrealm":
		return &m.wtrealm, maxIdentifier
	case "wreply":
		return &m.wreply, maxURL
	case "wctx":
		return &m.wctx, maxContext
	case "wct":
		return &m.wct, 64
	case "wfresh":
		return &m.wfresh, 10
	case "wauth":
		return &m.wauth, 512
	case "whr":
		return &m.whr, maxIdentifier
	case "username":
		return &m.username, 1024
	case "login_hint":
		return &m.loginHint, 1024
	case "prompt":
		return &m.prompt, 64
	case "domain_hint":
		return &m.domainHint, maxIdentifier
	case "mfa_max_age":
		return &m.mfaMaxAge, 10
	case "client-request-id":
		return &m.correlation, 256
	default:
		return nil, 0
	}
}

// protocolParameters name a message; beside the service's own form, or in the
// query of a posted message, they are refused.
var protocolParameters = []string{"wa", "wtrealm", "wreply", "wctx", "wct", "wfresh", "wauth", "whr", "username", "login_hint",
	"SAMLRequest", "SAMLResponse", "SAMLart", "RelayState"}

// errMessage is why a message cannot be read.
var errMessage = errors.New("wsfed: malformed message")

// read takes the known parameters. Names are compared without case, as AD FS
// reads them, so that wa and WA are a doubled parameter.
func read(params web.Params) (*message, error) {
	m := &message{}
	for i := range params {
		name := params[i].Name
		if !lower(name) {
			name = strings.ToLower(name)
		}
		v, limit := m.field(name)
		switch {
		case v == nil:
			continue
		case v.set:
			return nil, fmt.Errorf("%w: %s is given more than once", errMessage, name)
		case len(params[i].Value) > limit:
			return nil, fmt.Errorf("%w: %s has %d bytes, at most %d are allowed", errMessage, name, len(params[i].Value), limit)
		}
		*v = value{params[i].Value, true}
	}
	return m, nil
}

func lower(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// returnable reports whether a browser posts s back as it was: it turns lone line
// breaks into CRLF and what is not UTF-8 into replacement characters.
func returnable(s string) bool {
	for i := range len(s) {
		switch s[i] {
		case 0:
			return false
		case '\r':
			if i+1 == len(s) || s[i+1] != '\n' {
				return false
			}
		case '\n':
			if i == 0 || s[i-1] != '\r' {
				return false
			}
		}
	}
	return utf8.ValidString(s)
}

// hint returns the name to fill in: username, else login_hint. One that is no
// readable name is as if absent; it is never an identity.
func (m *message) hint() string {
	s := m.username.s
	if s == "" {
		s = m.loginHint.s
	}
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > 256 {
		return ""
	}
	for _, r := range s {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f {
			return "" // control characters and marks that reorder what a person reads
		}
	}
	return s
}
