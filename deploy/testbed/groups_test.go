package testbed_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/authn/directory"
	"sallyport/deploy/testbed/lab"
)

// Names and SIDs of groups, both ways, at a real directory: a name that needs
// escaping, the group around it, and three hundred at once.
func TestC13_SambaGroupsByNameAndSID(t *testing.T) {
	l := lab.Require(t)
	d := openDirectory(t, l, func(c *directory.Config) { c.ReadGroups = true })
	signsInWithin(t, 10*time.Second, d, l.User(t, "normal"))
	acc, err := d.Resolve(t.Context(), "j.o'mueller@contoso.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{`CONTOSO\Zugriff (a)`, `contoso\ALLE ZUGRIFFE`, `CONTOSO\Domain Users`} {
		sid, err := d.GroupSID(t.Context(), name)
		if err != nil || !slices.Contains(acc.Groups, sid) {
			t.Errorf("%s is %q: %v; the person is in %v", name, sid, err, acc.Groups)
		}
	}
	for _, name := range []string{`CONTOSO\Zugriff*`, `CONTOSO\nobody here`, `CONTOSO\` + acc.SAMAccountName, `CONTOSO\x)(objectClass=*`} {
		if sid, err := d.GroupSID(t.Context(), name); err != nil || sid != "" {
			t.Errorf("%s is %q: %v, want nothing", name, sid, err)
		}
	}
	many, err := d.Resolve(t.Context(), l.User(t, "groups").UPN)
	if err != nil {
		t.Fatal(err)
	}
	names, err := d.GroupNames(t.Context(), many.Domain, many.Groups)
	if err != nil || len(names) != len(many.Groups) {
		t.Fatalf("%d names for %d groups: %v", len(names), len(many.Groups), err)
	}
	for sid, name := range names {
		if strings.HasPrefix(name, `BUILTIN\`) {
			continue
		}
		if back, err := d.GroupSID(t.Context(), name); err != nil || back != sid {
			t.Fatalf("%s is called %s, which is %s: %v", sid, name, back, err)
		}
	}
}
