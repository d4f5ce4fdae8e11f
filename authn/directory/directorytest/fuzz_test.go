package directorytest_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"sallyport/authn/directory/directorytest"
)

// searchBytes encodes a search request with a filter by go-ldap's encoder.
func searchBytes(t testing.TB, filter string) []byte {
	t.Helper()
	f, err := ldap.CompileFilter(filter)
	if err != nil {
		t.Fatal(err)
	}
	return message(1, tlv(0x63, tlv(4, []byte("DC=test")), []byte{0x0a, 1, 2, 0x0a, 1, 0, 2, 1, 2, 2, 1, 3, 1, 1, 0}, f.Bytes(),
		tlv(0x30, tlv(4, []byte("cn")))))
}

var filterSeeds = []string{
	"(objectClass=*)", "(&(sAMAccountType=805306368)(userPrincipalName=a@b))", `(|(cn=\2a\28x\29\5c)(!(cn=j\c3\b6rg)))`,
	"(cn=a*b*c)", "(cn=*b*)", "(cn=a*)", "(cn=*z)", "(pwdLastSet>=1)", "(pwdLastSet<=1)", "(cn~=x)", "(member:1.2.840.113556.1.4.1941:=CN=a)",
}

func TestFiltersAreReadAsAnotherLibraryWroteThem(t *testing.T) {
	for _, f := range filterSeeds {
		if got, err := directorytest.ParseAll(searchBytes(t, f)); err != nil || got != f {
			t.Errorf("%s: %q, %v", f, got, err)
		}
	}
}

// FuzzRequest: no panic on any bytes, and a filter that is accepted means the same
// to go-ldap: its text form compiles and decompiles to what was read.
func FuzzRequest(f *testing.F) {
	for _, s := range filterSeeds {
		f.Add(searchBytes(f, s))
	}
	f.Add(bindMessage(1, "cn=x", "y"))
	f.Add(unhex(f, "301e02010177198017312e322e3834302e3131333535362e312e342e31373831"))
	f.Add(unhex(f, "3080020101420000"))
	f.Add(bytes.Repeat([]byte{0x30, 0x84, 0, 0, 0, 0}, 20))
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := directorytest.ParseAll(b)
		if err != nil || text == "" || !plainAttributes(text) {
			return
		}
		p, err := ldap.CompileFilter(text)
		if err != nil {
			t.Skip() // attribute names that RFC 4512 does not allow
		}
		again, err := directorytest.ParseAll(message(1, tlvLong(0x63, tlv(4), []byte{0x0a, 1, 0, 0x0a, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0}, p.Bytes(), tlv(0x30))))
		if err == nil && again != text {
			t.Errorf("%q becomes %q", text, again)
		}
	})
}

func tlvLong(tag byte, parts ...[]byte) []byte {
	p := ber.Encode(ber.Class(tag&0xc0), ber.TypeConstructed, ber.Tag(tag&0x1f), nil, "")
	p.Data.Write(bytes.Join(parts, nil))
	return p.Bytes()
}

// plainAttributes leaves out names whose text reads as something else: with a
// colon, a wildcard, or an operator in front.
func plainAttributes(s string) bool {
	for i := range len(s) - 2 {
		if s[i] == '(' && strings.IndexByte("!&|", s[i+1]) >= 0 && s[i+2] != '(' {
			return false
		}
	}
	return utf8.ValidString(s) && !strings.ContainsAny(s, ":") && !strings.Contains(s, "**")
}

// FuzzDN: a value escaped for a DN comes back as one RDN.
func FuzzDN(f *testing.F) {
	for _, s := range []string{"Alice", " a,b+c\"\\<>;=#", "# x ", "Müller, Jörg (Ext) + *", "\\", "a\\ "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, v string) {
		if v == "" || strings.ContainsRune(v, 0) {
			t.Skip()
		}
		plain, err := directorytest.KeyOf("CN=x,DC=test")
		if err != nil {
			t.Fatal(err)
		}
		key, err := directorytest.KeyOf("CN=" + directorytest.EscapeRDN(v) + ",DC=test")
		if err != nil {
			t.Fatalf("%q: %v", v, err)
		}
		if !strings.HasSuffix(key, strings.TrimPrefix(plain, "cn=x")) || strings.Count(key, "\x00") != 2 {
			t.Errorf("%q: key %q", v, key)
		}
	})
}
