package directory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
)

// manyGroups is a person in 300 groups and the groups themselves.
func manyGroups() directorytest.Config {
	cfg := directorytest.Config{Groups: []directorytest.Group{
		{Name: "Zugriff (a)", CN: "Zugriff (a) + b, c", OU: "Gruppen", MemberOf: []string{"Alle Zugriffe"}},
		{Name: "Alle Zugriffe", DomainLocal: true}, {Name: "Post", Distribution: true},
	}}
	olivia := directorytest.User{SAM: "olivia", UPN: "olivia@contoso.test", Password: password, Groups: []string{"Zugriff (a)", "Post"}}
	for i := range 300 {
		olivia.Groups = append(olivia.Groups, fmt.Sprintf("Team %03d", i))
	}
	cfg.Users = []directorytest.User{olivia}
	return cfg
}

func withGroups(_ *directorytest.Directory, c *directory.Config) { c.ReadGroups = true }

func TestC13_GroupsAreFoundByNamesThatNeedEscaping(t *testing.T) {
	l := newLab(t, manyGroups(), withGroups)
	acc, err := l.dir.Resolve(t.Context(), "olivia@contoso.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{`CONTOSO\Zugriff (a)`, `contoso\ZUGRIFF (A)`, `CONTOSO\Alle Zugriffe`} {
		sid, err := l.dir.GroupSID(t.Context(), name)
		if err != nil || sid == "" || !slices.Contains(acc.Groups, sid) {
			t.Errorf("%s: %q %v, want one of the person's groups", name, sid, err)
		}
	}
	searches := l.ad.Searches()
	if f := searches[len(searches)-3].Filter; !strings.Contains(f, `(sAMAccountName=Zugriff \28a\29)`) {
		t.Errorf("filter %s does not carry the name as one value", f)
	}
	for _, name := range []string{`CONTOSO\nobody`, `CONTOSO\*`, `CONTOSO\Zugriff*`, `ELSEWHERE\Zugriff (a)`, `CONTOSO\`, `Zugriff (a)`, `CONTOSO\olivia`, `CONTOSO\Post`, `CONTOSO\x)(objectClass=*`} {
		if sid, err := l.dir.GroupSID(t.Context(), name); err != nil || sid != "" {
			t.Errorf("%s: %q %v, want nothing", name, sid, err)
		}
	}
	if sid, err := l.dir.GroupSID(t.Context(), `builtin\users`); err != nil || sid != "S-1-5-32-545" {
		t.Errorf("BUILTIN: %q %v", sid, err)
	}
}

func TestGroupNamesOfHundredsComeInFewSearchesAndThenFromMemory(t *testing.T) {
	l := newLab(t, manyGroups(), withGroups)
	acc, err := l.dir.Resolve(t.Context(), "olivia@contoso.test")
	if err != nil {
		t.Fatal(err)
	}
	if len(acc.Groups) != 304 { // 300, two of Zugriff, Domain Users, BUILTIN\Users
		t.Fatalf("%d groups", len(acc.Groups))
	}
	const foreign = "S-1-5-21-9-9-9-1104"
	sids := append([]string{foreign}, acc.Groups...)
	ask := func() map[string]string {
		t.Helper()
		names, err := l.dir.GroupNames(t.Context(), acc.Domain, sids)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	before := len(l.ad.Searches())
	names := ask()
	if n := len(l.ad.Searches()) - before; n != 7 { // 304 SIDs, 50 in each
		t.Errorf("%d searches for 304 names, want 7", n)
	}
	if len(names) != 304 || names[foreign] != "" || names["S-1-5-32-545"] != `BUILTIN\Users` {
		t.Errorf("%d names, foreign %q", len(names), names[foreign])
	}
	for _, sid := range acc.Groups {
		back, err := l.dir.GroupSID(t.Context(), names[sid])
		if err != nil || back != sid {
			t.Fatalf("%s is %q, which is %q: %v", sid, names[sid], back, err)
		}
	}
	before = len(l.ad.Searches())
	if diff := cmp.Diff(names, ask()); diff != "" {
		t.Error(diff)
	}
	if n := len(l.ad.Searches()) - before; n != 0 {
		t.Errorf("%d searches for names that are known", n)
	}
}

func TestGroupNamesAreAllOrNothing(t *testing.T) {
	l := newLab(t, manyGroups(), withGroups)
	acc, err := l.dir.Resolve(t.Context(), "olivia@contoso.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, dc := range l.ad.DCs {
		dc.Down()
	}
	if names, err := l.dir.GroupNames(t.Context(), acc.Domain, acc.Groups); err == nil || names != nil {
		t.Errorf("%d names %v, want an error", len(names), err)
	}
	if sid, err := l.dir.GroupSID(t.Context(), `CONTOSO\Team 001`); err == nil {
		t.Errorf("%q without a directory", sid)
	}
}

func TestNothingSecretIsReadForClaims(t *testing.T) {
	for _, name := range []string{"unicodePwd", "userPassword", "unixUserPassword", "ms-Mcs-AdmPwd", "msLAPS-Password", "msLAPS-EncryptedPassword",
		"msDS-ManagedPassword", "dBCSPwd", "supplementalCredentials", "lmPwdHistory", "msFVE-KeyPackage", "nTSecurityDescriptor", "tokenGroups", "*", "+", "a;range=0-*"} {
		cfg := directory.Config{Domains: []directory.DomainConfig{{DNSName: "corp.contoso.test"}}, Service: directory.Service{Name: "s"}, Attributes: []string{name}}
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
