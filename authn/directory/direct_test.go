package directory_test

import (
	"bytes"
	"strings"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
)

func TestSearchesGiveWhatGoLDAPReads(t *testing.T) {
	l := newLab(t, directorytest.Config{Users: directorytest.DemoUsers(func(string) string { return password }), Groups: directorytest.DemoGroups()})
	l.resolve("alice@contoso.test") // the pool knows the DC
	entries := 0
	for _, attributes := range [][]string{{"cn", "objectGUID", "memberOf", "displayName", "userPrincipalName"}, {"noSuchAttribute"}, {"1.1"}} {
		for _, filter := range []string{"(sAMAccountType=805306368)", "(&(objectClass=user)(!(cn=x\\2a*\\28y)))", "(cn=nobody at all)", "(objectClass=*)"} {
			ours, theirs, err := l.dir.SearchBothWays(t.Context(), l.ad.Domain, filter, attributes)
			if err != nil {
				t.Fatalf("%s %v: %v", filter, attributes, err)
			}
			entries += len(ours.Entries)
			if len(ours.Entries) != len(theirs.Entries) {
				t.Fatalf("%s: %d and %d entries", filter, len(ours.Entries), len(theirs.Entries))
			}
			for i, e := range theirs.Entries {
				if diff := cmp.Diff(flat(e), flat(ours.Entries[i])); diff != "" {
					t.Errorf("%s %v: %s", filter, attributes, diff)
				}
			}
		}
	}
	if entries < 50 {
		t.Errorf("only %d entries compared", entries)
	}
}

// flat is an entry as lines.
func flat(e *ldap.Entry) []string {
	out := []string{e.DN}
	for _, a := range e.Attributes {
		for i := range a.Values {
			out = append(out, a.Name+"="+a.Values[i]+"="+string(a.ByteValues[i]))
		}
	}
	return out
}

func TestBindRequestIsReadAsItWasMeant(t *testing.T) {
	for _, size := range []int{1, 100, 117, 118, 119, 120, 126, 127, 128, 129, 240, 255, 256, 257, 1024, 70000} {
		name, secret := strings.Repeat("n", size), []byte(strings.Repeat("p", size))
		raw := directory.BindRequest(1<<24+5, name, secret)
		if cap(raw) != len(raw) {
			t.Errorf("size %d: %d bytes were set aside for %d: a grown buffer leaves the password behind", size, cap(raw), len(raw))
		}
		id, op, _, err := directory.ParseMessage(raw)
		if err != nil || id != 1<<24+5 || op != 0x60 {
			t.Fatalf("size %d: %d %x %v", size, id, op, err)
		}
		p, err := ber.DecodePacketErr(raw)
		if err != nil || len(p.Children) != 2 || len(p.Children[1].Children) != 3 {
			t.Fatalf("size %d: %v", size, err)
		}
		bind := p.Children[1].Children
		if bind[0].Value.(int64) != 3 || bind[1].Value.(string) != name || bind[2].Tag != 0 || !bytes.Equal(bind[2].Data.Bytes(), secret) {
			t.Errorf("size %d: read as something else", size)
		}
	}
}

func TestSearchRequestIsTheOneOfGoLDAP(t *testing.T) {
	req := &ldap.SearchRequest{BaseDN: "DC=corp,DC=contoso,DC=test", Scope: ldap.ScopeWholeSubtree, SizeLimit: 500, TimeLimit: 3, TypesOnly: true,
		Filter: directory.EqualFilter("cn", `a*(b)\c`), Attributes: []string{"cn", "objectGUID"},
		Controls: []ldap.Control{ldap.NewControlString("1.2.840.113556.1.4.1339", true, "")}}
	raw, err := directory.SearchRequest(1<<24, req)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ber.DecodePacketErr(raw)
	if err != nil {
		t.Fatal(err)
	}
	s := p.Children[1].Children
	if len(s) != 8 || s[0].Value != req.BaseDN || s[1].Value != int64(2) || s[2].Value != int64(0) || s[3].Value != int64(500) || s[4].Value != int64(3) || s[5].Value != true {
		t.Errorf("request %v", s)
	}
	if got, err := ldap.DecompileFilter(s[6]); err != nil || got != req.Filter {
		t.Errorf("filter %s, %v", got, err)
	}
	if len(s[7].Children) != 2 || s[7].Children[1].Value != "objectGUID" || len(p.Children) != 3 {
		t.Errorf("attributes %v, %d parts", s[7].Children, len(p.Children))
	}
	if _, err := directory.SearchRequest(1, &ldap.SearchRequest{Filter: "(cn=x"}); err == nil {
		t.Error("a broken filter went through")
	}
}

// FuzzEntry: what is taken as an entry is read by another BER reader to the same
// names and values.
func FuzzEntry(f *testing.F) {
	f.Add([]byte("\x04\x04CN=a\x30\x14\x30\x12\x04\x02cn\x31\x0c\x04\x01a\x04\x02bc\x04\x03def"))
	f.Add([]byte("\x04\x00\x30\x00"))
	f.Add([]byte("\x04\x84\x00\x00\x00\x01x\x30\x84\x00\x00\x00\x00"))
	f.Add([]byte("\x04\x01x\x30\x06\x30\x04\x04\x00\x31\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := directory.ParseEntry(body)
		if err != nil || len(body) > 1<<16 {
			return
		}
		wrapped := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 4, nil, "")
		raw := append(wrapped.Bytes()[:1], 0x83, byte(len(body)>>16), byte(len(body)>>8), byte(len(body)))
		p, err := ber.DecodePacketErr(append(raw, body...))
		if err != nil {
			t.Fatalf("another reader refuses it: %v", err)
		}
		if len(p.Children) != 2 || string(p.Children[0].ByteValue) != e.DN || len(p.Children[1].Children) != len(e.Attributes) {
			t.Fatalf("another reader sees %d parts", len(p.Children))
		}
		for i, a := range p.Children[1].Children {
			ours := e.Attributes[i]
			if len(a.Children) != 2 || string(a.Children[0].ByteValue) != ours.Name || len(a.Children[1].Children) != len(ours.Values) {
				t.Fatalf("attribute %d differs", i)
			}
			for j, v := range a.Children[1].Children {
				if ours.Values[j] != string(v.ByteValue) || !bytes.Equal(ours.ByteValues[j], v.ByteValue) {
					t.Fatalf("value %d of %s differs", j, ours.Name)
				}
			}
		}
	})
}
