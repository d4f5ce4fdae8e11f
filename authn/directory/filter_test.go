package directory_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
)

// hostile are names made to break out of a filter or a DN.
func hostile(t *testing.T) []string {
	t.Helper()
	list := []string{"*", "a*", "alice)(cn=*", "*)(uid=*))(|(uid=*", `alice\`, `\2a`, `al\69ce`, "alice\x00", "(alice)", "jörg*(x)\\y",
		"alice)(|(objectClass=*", "*@contoso.test", "alice@contoso.test)(cn=*", "al*@contoso.test", `CONTOSO\*`, `CONTOSO\al*ce`,
		`CONTOSO\alice)(cn=*`, "CN=alice,CN=Users,DC=corp,DC=contoso,DC=test", "<GUID=00112233-4455-6677-8899-aabbccddeeff>", "S-1-5-21-1-2-3-500"}
	dir := vectors(t)
	if dir == "" {
		return list
	}
	raw, err := os.ReadFile(filepath.Join(dir, "blns", "blns.json"))
	if err != nil {
		t.Fatal(err)
	}
	var naughty []string
	if err := json.Unmarshal(raw, &naughty); err != nil {
		t.Fatal(err)
	}
	list = append(list, naughty...)
	for _, name := range []string{"LDAP_Injection__Intruder__LDAP_FUZZ.txt", "LDAP_Injection__Intruder__LDAP_FUZZ_SMALL.txt", "LDAP_Injection__Intruder__LDAP_attributes.txt"} {
		f, err := os.Open(filepath.Join(dir, "payloads-all-the-things", name))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			list = append(list, lines.Text())
		}
		_ = f.Close()
	}
	return list
}

// vectors is the folder of foreign test vectors, empty when there is none.
func vectors(t *testing.T) string {
	dir := os.Getenv("SALLYPORT_VECTORS")
	if dir == "" {
		if os.Getenv("CI") == "true" || os.Getenv("SALLYPORT_LAB") == "1" {
			t.Fatal("SALLYPORT_VECTORS is not set")
		}
		t.Log("SALLYPORT_VECTORS is not set: the foreign lists are left out")
	}
	return dir
}

func TestD01_ANameIsOneAssertionValue(t *testing.T) {
	l := newLab(t, directorytest.Config{}, func(_ *directorytest.Directory, c *directory.Config) { c.AllowBareNames = true })
	names := hostile(t)
	for _, base := range names {
		for _, name := range []string{base, `CONTOSO\` + base, base + "@contoso.test", base + "@corp.contoso.test"} {
			l.ad.ResetRecords()
			acc, err := l.dir.Resolve(t.Context(), name)
			if err == nil && !strings.EqualFold(acc.SAMAccountName, "alice") && !strings.EqualFold(acc.SAMAccountName, "bob") {
				t.Errorf("%q found %s", name, acc.DN)
			}
			if err == nil && !strings.Contains(strings.ToLower(name), strings.ToLower(acc.SAMAccountName)) {
				t.Errorf("%q found %s", name, acc.DN)
			}
			for _, s := range l.ad.Searches() {
				if s.Base == "" {
					continue
				}
				if s.Entries > 1 {
					t.Errorf("%q: %d objects", name, s.Entries)
				}
				checkShape(t, name, s.Filter)
			}
			if v := l.ad.Violations(); len(v) > 0 {
				t.Fatalf("%q: %q", name, v)
			}
		}
	}
	t.Logf("%d names in four forms", len(names))
}

// checkShape demands that a filter on the wire is one of ours around plain
// assertion values: no wildcard and no further node came out of the name.
func checkShape(t *testing.T, name, filter string) {
	t.Helper()
	if strings.Contains(filter, "*") {
		t.Errorf("%q: wildcard in %s", name, filter)
	}
	shape := filter
	for _, attribute := range []string{"sAMAccountType", "userPrincipalName", "sAMAccountName"} {
		for {
			at := strings.Index(strings.ToLower(shape), "("+strings.ToLower(attribute)+"=")
			if at < 0 {
				break
			}
			end := strings.IndexByte(shape[at:], ')')
			shape = shape[:at] + "." + shape[at+end+1:]
		}
	}
	switch shape {
	case "(&..)", "(&.(|..))":
	default:
		t.Errorf("%q: filter %s has the shape %s", name, filter, shape)
	}
}

func TestD01_FilterBuilderEscapesEverything(t *testing.T) {
	for value, want := range map[string]string{`ali*(x)\y`: `(a=ali\2a\28x\29\5cy)`, "jörg": `(a=j\c3\b6rg)`, "\x00": `(a=\00)`} {
		if got := directory.EqualFilter("a", value); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

// FuzzFilter: a value is one assertion value, whatever it is.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"alice", "*", ")(cn=*", `\2a`, "\x00", "ö\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		p, err := ldap.CompileFilter(directory.EqualFilter("cn", value))
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		if p.Tag != ldap.FilterEqualityMatch || len(p.Children) != 2 || p.Children[1].Data.String() != value {
			t.Fatalf("%q became %v", value, p)
		}
	})
}

// A filter means on the wire what go-ldap makes of its text.
func TestFiltersAreEncodedAsGoLDAPDoes(t *testing.T) {
	filters := []string{"(objectClass=*)", "(&(objectClass=crossRef)(nCName=DC=corp,DC=contoso,DC=test))", "(&)", "(|(a=b)(&(c=d)(e=\\2a\\00\\ff)))",
		"(&(sAMAccountType=805306368)(|(userPrincipalName=jörg@contoso.test)(sAMAccountName=jörg)))"}
	for _, name := range hostile(t) {
		one := directory.EqualFilter("userPrincipalName", name)
		filters = append(filters, one, "(&"+directory.EqualFilter("sAMAccountType", "805306368")+"(|"+one+directory.EqualFilter("mail", name+strings.Repeat("x", 300))+"))")
	}
	mine := 0
	for _, f := range filters {
		got, ours, err := directory.CompileFilter(f)
		want, wanted := ldap.CompileFilter(f)
		if (err == nil) != (wanted == nil) || err == nil && !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%q: %x %v, go-ldap has %v %v", f, got, err, want, wanted)
		}
		if ours {
			mine++
		}
	}
	if mine < len(filters)*9/10 {
		t.Errorf("only %d of %d filters were encoded here", mine, len(filters))
	}
}

func FuzzFilterEncoding(f *testing.F) {
	for _, s := range []string{"(a=b)", "(a=*)", "(!(a=b))", "(a:=b)", "(&(a=\\2a)(b>=c))", "(a=b", "(a=b*)", "((a=b))", "(a=b)(c=d)", "(a=\\zz)", "(a=é)", "(&(|(a=b)))", "(a=)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ours, _ := directory.CompileFilter(s)
		if !ours {
			return
		}
		want, err := ldap.CompileFilter(s)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%q: %x, go-ldap has %v %v", s, got, want, err)
		}
	})
}
