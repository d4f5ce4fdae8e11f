package directory_test

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/authn"
	"sallyport/authn/directory"
)

// verdicts is what each sub-code of AD means: the reason, and whether the
// attempt counts as a wrong password.
var verdicts = map[uint32]struct {
	reason authn.Reason
	counts bool
}{
	0x52e: {authn.WrongPassword, true}, 0x56: {authn.WrongPassword, true},
	0x525: {authn.UnknownUser, false}, 0x57: {authn.UnknownUser, false},
	0x775: {authn.LockedOut, false}, 0x52f: {authn.Restricted, false}, 0x569: {authn.Restricted, false},
	0x70f: {authn.Restricted, false}, 0x710: {authn.Restricted, false}, 0x711: {authn.Restricted, false}, 0x78f: {authn.Restricted, false},
	0x530: {authn.LogonHours, false}, 0x531: {authn.Workstation, false}, 0x532: {authn.PasswordExpired, false},
	0x533: {authn.Disabled, false}, 0x568: {authn.TooManyGroups, false}, 0x701: {authn.AccountExpired, false},
	0x773: {authn.MustChange, false}, 0x51f: {authn.Unavailable, false}, 0x54b: {authn.Unavailable, false},
	0x6fa: {authn.Unavailable, false}, 0x6fb: {authn.Unavailable, false}, 0x6fc: {authn.Unavailable, false},
	0x6fd: {authn.Unavailable, false}, 0x6fe: {authn.Unavailable, false}, 0x774: {authn.Unavailable, false},
	0x576: {authn.Unavailable, false}, 0x80090346: {authn.Misconfigured, false},
	0: {authn.Rejected, true}, 0x999: {authn.Rejected, true}, 0x52d: {authn.Rejected, true},
}

func windowsText(code uint32) string {
	return fmt.Sprintf("80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data %x, v4f7c\x00", code)
}

func TestSubCodeOfDiagnostics(t *testing.T) {
	line := func(data string) string {
		return "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data " + data + ", v1db1"
	}
	for name, c := range map[string]struct {
		text string
		code uint32
		ok   bool
	}{
		"plain":              {line("52e"), 0x52e, true},
		"upper case":         {line("52E"), 0x52e, true},
		"final NUL":          {line("775") + "\x00", 0x775, true},
		"other status":       {"8009030C: LdapErr: DSID-0C090569, comment: AcceptSecurityContext error, data 532, v2580", 0x532, true},
		"channel binding":    {line("80090346"), 0x80090346, true},
		"integrity checking": {"00002028: LdapErr: DSID-0C090256, comment: The server requires binds to turn on integrity checking if SSL\\TLS are not already active on the connection, data 0, v3839", 0, true},
		"two data fields":    {"80090308: LdapErr: DSID-0C0903A9, comment: x, data 525, data 52e, v4f7c", 0x52e, true},
		"samba":              {"Simple Bind Failed: NT_STATUS_LOGON_FAILURE", 0, false},
		"samba code 8":       {"BindSimple: Transport encryption required.", 0, false},
		"empty":              {"", 0, false},
		"only NUL":           {"\x00", 0, false},
		"nine digits":        {line("123456789"), 0, false},
		"word in a comment":  {"user data 52e", 0x52e, true},
		"data glued":         {"metadata 52e", 0, false},
		"beyond the limit":   {strings.Repeat("x", 600) + ", data 52e, v1", 0, false},
	} {
		code, ok := directory.SubCode(c.text)
		if code != c.code || ok != c.ok {
			t.Errorf("%s: %x %v, want %x %v", name, code, ok, c.code, c.ok)
		}
	}
}

func TestD07_ReasonOfEachSubCode(t *testing.T) {
	for code, want := range verdicts {
		parsed, ok := directory.SubCode(windowsText(code))
		if !ok || parsed != code {
			t.Errorf("%x is read as %x, %v", code, parsed, ok)
		}
		got := directory.ReasonOf(parsed, ok)
		if got != want.reason || got.Counts() != want.counts {
			t.Errorf("%x: %s counts %v, want %s %v", code, got, got.Counts(), want.reason, want.counts)
		}
	}
	if got := directory.ReasonOf(0, false); got != authn.Rejected {
		t.Errorf("no sub-code: %s", got)
	}
	// What proves the password may be told; 775 may not, and 52f is given to any password.
	for _, code := range []uint32{0x530, 0x531, 0x532, 0x533, 0x701, 0x773} {
		if !verdicts[code].reason.ProvesPassword() {
			t.Errorf("%x does not prove the password", code)
		}
	}
	for _, code := range []uint32{0x52e, 0x525, 0x57, 0x775, 0x52f} {
		if verdicts[code].reason.ProvesPassword() {
			t.Errorf("%x proves the password", code)
		}
	}
}

// FuzzDiagnostic: no text of a DC makes a success, whatever it says.
func FuzzDiagnostic(f *testing.F) {
	for code := range verdicts {
		f.Add(windowsText(code))
	}
	f.Add("80090308: LdapErr: DSID-0C0903A9, comment: x, data 525, data 52e, v4f7c")
	f.Add("\x00")
	f.Fuzz(func(t *testing.T, text string) {
		code, ok := directory.SubCode(text)
		if r := directory.ReasonOf(code, ok); r == authn.Accepted || r == authn.NoVerdict {
			t.Errorf("%q gives %s", text, r)
		}
		if !ok && code != 0 {
			t.Errorf("%q: code %x without one", text, code)
		}
	})
}
