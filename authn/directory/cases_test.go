package directory_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"sallyport/authn"
	"sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
)

func TestC13_NamesThatNeedEscaping(t *testing.T) {
	const display = `Müller, Jörg (Extern) + Lager\2 <j@x> & "Söhne"`
	const secret = `Grün(2026)*\,é`
	l := newLab(t, directorytest.Config{
		Users: []directorytest.User{{SAM: "jmueller (ext)", UPN: "j.o'mueller@contoso.test", CN: `Müller, Jörg (Extern) + Lager\2`,
			OU: "Benutzer (DE)", DisplayName: display, Password: secret, Groups: []string{"Zugriff (a)"}}},
		Groups: []directorytest.Group{{Name: "Zugriff (a)", CN: "Zugriff (a) + b, c", OU: "Gruppen", RID: 5001, MemberOf: []string{"Alle"}},
			{Name: "Alle", RID: 5002}},
	}, func(_ *directorytest.Directory, c *directory.Config) { c.ReadGroups = true })
	var first *authn.Account
	for _, name := range []string{"j.o'mueller@contoso.test", `CONTOSO\jmueller (ext)`} {
		l.ad.ResetRecords()
		l.want(l.signIn(name, secret), authn.Accepted, name)
		if n := len(l.ad.UserBinds()); n != 1 {
			t.Errorf("%s: %d binds", name, n)
		}
		for _, s := range l.ad.Searches() {
			if strings.Contains(s.Filter, "jmueller") && !strings.Contains(s.Filter, `jmueller \28ext\29`) {
				t.Errorf("filter %s", s.Filter)
			}
		}
		acc := l.resolve(name)
		if first == nil {
			first = acc
		}
		if acc.ID != first.ID || acc.DisplayName != display {
			t.Errorf("%s: %+v", name, acc)
		}
	}
	const domain = "S-1-5-21-1004336348-1177238915-682003330-"
	for _, rid := range []string{"5001", "5002", "513"} {
		if !slices.Contains(first.Groups, domain+rid) {
			t.Errorf("group %s is missing in %q", rid, first.Groups)
		}
	}
}

func TestC14_ExpiredIsNotWrong(t *testing.T) {
	l := newLab(t, directorytest.Config{Users: directorytest.DemoUsers(func(string) string { return password }), Groups: directorytest.DemoGroups()})
	for sam, want := range map[string]struct {
		reason authn.Reason
		state  authn.State
	}{
		"alice": {authn.Accepted, 0}, "petra": {authn.PasswordExpired, authn.StatePasswordExpired},
		"max":  {authn.MustChange, authn.StateMustChange | authn.StatePasswordExpired},
		"dora": {authn.Disabled, authn.StateDisabled}, "alan": {authn.AccountExpired, authn.StateAccountExpired},
		"ludwig": {authn.LockedOut, authn.StateLocked}, "nora": {authn.LogonHours, 0}, "walter": {authn.Workstation, 0},
		"rita": {authn.Restricted, 0}, "sam.smartcard": {authn.WrongPassword, authn.StateSmartCard}, "noupn": {authn.Accepted, 0},
	} {
		l.want(l.signIn(`CONTOSO\`+sam, password), want.reason, sam)
		if acc := l.resolve(`CONTOSO\` + sam); acc.State != want.state {
			t.Errorf("%s: state %b, want %b", sam, acc.State, want.state)
		}
		if !want.reason.ProvesPassword() {
			continue
		}
		l.want(l.signIn(`CONTOSO\`+sam, "wrong"), authn.WrongPassword, sam+" with a wrong password")
	}
	soon := l.resolve(`CONTOSO\soon`)
	if in := time.Until(soon.PasswordExpires); in < 4*24*time.Hour || in > 6*24*time.Hour {
		t.Errorf("soon's password expires in %s", in)
	}
	if bob := l.resolve(`CONTOSO\bob`); !bob.PasswordExpires.IsZero() {
		t.Errorf("bob's password expires at %s", bob.PasswordExpires)
	}
}

func TestC15_OddSourceAnchors(t *testing.T) {
	raw := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	anchors := map[string]string{
		"anchor-guid16": "MyIRAFVEd2aImaq7zN3u/w==", "anchor-ascii36": "MDAxMTIyMzMtNDQ1NS02Njc3LTg4OTktYWFiYmNjZGRlZWZm",
		"anchor-short8": "MyIRAFVEd2Y=", "anchor-long20": "MyIRAFVEd2aImaq7zN3u/wAAAAE=", "anchor-high": "++++Pvff////v++++++++w==",
	}
	list := []directorytest.User{{SAM: "anchor-none", Password: password}, {SAM: "twin", Password: password, ConsistencyGUID: raw("MyIRAFVEd2Y=")},
		{SAM: "gone", Password: password, ConsistencyGUID: raw(anchors["anchor-high"]), Disabled: true}}
	for sam, a := range anchors {
		list = append(list, directorytest.User{SAM: sam, Password: password, ConsistencyGUID: raw(a)})
	}
	l := newLab(t, directorytest.Config{Users: list})
	for sam, want := range anchors {
		acc := l.resolve(`CONTOSO\` + sam)
		if got := base64.StdEncoding.EncodeToString(acc.SourceAnchor()); got != want {
			t.Errorf("%s: %s, want %s", sam, got, want)
		}
	}
	none := l.resolve(`CONTOSO\anchor-none`)
	if none.ConsistencyGUID != nil || string(none.SourceAnchor()) != string(none.ID[:]) {
		t.Errorf("anchor-none: %x", none.SourceAnchor())
	}
	owners := map[string][]string{}
	if err := l.dir.EachAnchor(t.Context(), "corp.contoso.test", func(anchor []byte, _ authn.GUID, dn string) {
		owners[string(anchor)] = append(owners[string(anchor)], dn)
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{l.resolve(`CONTOSO\anchor-short8`).DN, l.resolve(`CONTOSO\twin`).DN}
	got := owners[string(raw("MyIRAFVEd2Y="))]
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for anchor, dns := range owners {
		if len(dns) > 1 && anchor != string(raw("MyIRAFVEd2Y=")) || slices.ContainsFunc(dns, func(dn string) bool { return strings.HasPrefix(dn, "CN=gone,") }) {
			t.Errorf("%x: %q", anchor, dns)
		}
	}
}

func TestThreeHundredGroupsNestedWithACycle(t *testing.T) {
	l := newLab(t, directorytest.Config{Users: directorytest.DemoUsers(func(string) string { return password }), Groups: directorytest.DemoGroups()},
		func(_ *directorytest.Directory, c *directory.Config) { c.ReadGroups = true })
	acc := l.resolve(`CONTOSO\olivia`)
	if !acc.GroupsRead || len(acc.Groups) < 301 {
		t.Errorf("%d groups, read %v", len(acc.Groups), acc.GroupsRead)
	}
}

// TestAttributeInPieces: a DC sends at most 1,500 values of an attribute at once.
func TestAttributeInPieces(t *testing.T) {
	var many []string
	for i := range 3700 {
		many = append(many, fmt.Sprintf("+31 20 %07d", i))
	}
	l := newLab(t, directorytest.Config{Users: []directorytest.User{{SAM: "phone", UPN: "phone@contoso.test", Password: password,
		Attributes: map[string][]string{"otherTelephone": many}}}},
		func(_ *directorytest.Directory, c *directory.Config) {
			c.Attributes = []string{"otherTelephone", "title"}
		})
	acc := l.resolve("phone@contoso.test")
	again, err := l.dir.ByID(t.Context(), acc.Domain, acc.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []*authn.Account{acc, again} {
		got := slices.Clone(a.Attributes["othertelephone"])
		slices.Sort(got)
		if d := cmp.Diff(many, got); d != "" {
			t.Errorf("%d values: %s", len(got), d)
		}
	}
	if v := l.ad.Violations(); len(v) > 0 {
		t.Errorf("%q", v)
	}
}

func TestAbsentGroupsAreNotNoGroups(t *testing.T) {
	if groups, err := directory.GroupsOf(ldap.NewEntry("CN=x", nil)); err == nil {
		t.Errorf("groups %q", groups)
	}
	if groups, err := directory.GroupsOf(ldap.NewEntry("CN=x", map[string][]string{"tokenGroups": {"rubbish"}})); err == nil {
		t.Errorf("groups %q", groups)
	}
}

func TestNameForms(t *testing.T) {
	l := newLab(t, directorytest.Config{})
	for name, want := range map[string]authn.Reason{
		"alice@contoso.test": authn.Accepted, `CONTOSO\alice`: authn.Accepted, "alice@corp.contoso.test": authn.Accepted,
		"alice":                      authn.UnknownUser, // bare names are off
		`OTHER\alice`:                authn.UnknownUser,
		`corp.contoso.test\alice`:    authn.UnknownUser,
		"alice@other.test":           authn.UnknownUser,
		"alice@CONTOSO":              authn.UnknownUser,
		`CONTOSO\alice@contoso.test`: authn.UnknownUser,
		`CONTOSO\CONTOSO\alice`:      authn.UnknownUser,
		"":                           authn.UnknownUser, "@": authn.UnknownUser, "@contoso.test": authn.UnknownUser, "alice@": authn.UnknownUser,
		`\alice`: authn.UnknownUser, `CONTOSO\`: authn.UnknownUser,
		" alice@contoso.test": authn.UnknownUser, "alice@contoso.test ": authn.UnknownUser, "alice@contoso.test\u00a0": authn.UnknownUser,
		"alice\x00@contoso.test": authn.UnknownUser, "al\u200bice@contoso.test": authn.UnknownUser, "alice\n@contoso.test": authn.UnknownUser,
		"\xffalice@contoso.test": authn.UnknownUser, strings.Repeat("a", 1025): authn.UnknownUser,
		// A DC that ignores width or accents finds alice; she does not bear the name.
		"ａｌｉｃｅ@contoso.test": authn.UnknownUser, "alíce@contoso.test": authn.UnknownUser,
		`CONTOSO\ａｌｉｃｅ`: authn.UnknownUser,
	} {
		l.want(l.signIn(name, password), want, name)
	}
	if v := l.ad.Violations(); len(v) > 0 {
		t.Errorf("%q", v)
	}
	bare := newLab(t, directorytest.Config{}, func(_ *directorytest.Directory, c *directory.Config) { c.AllowBareNames = true })
	bare.want(bare.signIn("alice", password), authn.Accepted, "bare name")
}

func TestUnknownSuffixIsLookedForEverywhere(t *testing.T) {
	l := newLab(t, directorytest.Config{Users: []directorytest.User{{SAM: "eve", UPN: "eve@brand.test", Password: password}}})
	l.want(l.signIn("eve@brand.test", password), authn.Accepted, "a suffix that nobody listed")
}

func TestLoginAttribute(t *testing.T) {
	mail := func(s string) map[string][]string { return map[string][]string{"mail": {s}} }
	l := newLab(t, directorytest.Config{Users: []directorytest.User{
		{SAM: "new", Password: password, Attributes: mail("sales@contoso.test")},
		{SAM: "left", Password: password, Attributes: mail("sales@contoso.test"), Disabled: true},
		{SAM: "one", Password: password, Attributes: mail("info@contoso.test")},
		{SAM: "two", Password: password, Attributes: mail("info@contoso.test")},
	}}, func(_ *directorytest.Directory, c *directory.Config) { c.LoginAttribute = "mail" })
	if acc := l.resolve("Sales@contoso.test"); acc.SAMAccountName != "new" {
		t.Errorf("found %s", acc.DN)
	}
	_, err := l.dir.Resolve(t.Context(), "info@contoso.test")
	l.want(authn.ReasonOf(err), authn.Ambiguous, "shared by two enabled accounts")
	for _, sam := range []string{"one", "two"} {
		if err == nil || !strings.Contains(err.Error(), "CN="+sam) {
			t.Errorf("the error does not name %s: %v", sam, err)
		}
	}
}

func TestSettingsThatCannotBeMeant(t *testing.T) {
	good := directory.Config{Domains: []directory.DomainConfig{{DNSName: "corp.contoso.test"}}, Service: directory.Service{Name: `CONTOSO\svc`}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*directory.Config){
		"no domain": func(c *directory.Config) { c.Domains = nil },
		"two of one domain": func(c *directory.Config) {
			c.Domains = append(c.Domains, directory.DomainConfig{DNSName: "CORP.contoso.test."})
		},
		"no service account": func(c *directory.Config) { c.Service.Name = "" },
		"cleartext": func(c *directory.Config) {
			c.Domains[0].Servers = []directory.ServerConfig{{URL: "ldap://dc1.corp.contoso.test"}}
		},
		"IP address":          func(c *directory.Config) { c.Domains[0].Servers = []directory.ServerConfig{{URL: "ldaps://10.0.0.1"}} },
		"bad base":            func(c *directory.Config) { c.Domains[0].BaseDN = "corp.contoso.test" },
		"bad name":            func(c *directory.Config) { c.Domains[0].DNSName = "corp contoso" },
		"foreign default":     func(c *directory.Config) { c.DefaultDomain = "other.test" },
		"all attributes":      func(c *directory.Config) { c.Attributes = []string{"*"} },
		"operational":         func(c *directory.Config) { c.Attributes = []string{"+"} },
		"filter in attribute": func(c *directory.Config) { c.LoginAttribute = "mail=*)(cn" },
		"password attribute":  func(c *directory.Config) { c.Attributes = []string{"unicodePwd"} },
		"descriptor":          func(c *directory.Config) { c.Attributes = []string{"nTSecurityDescriptor"} },
	} {
		bad := good
		bad.Domains = slices.Clone(good.Domains)
		change(&bad)
		if err := bad.Validate(); err == nil {
			t.Errorf("%s is taken", name)
		}
		if _, err := directory.New(bad); err == nil {
			t.Errorf("%s: New takes it", name)
		}
	}
}

// FuzzName: a name that is taken is cut so that its parts make it up again, and
// holds nothing that a DC might ignore.
func FuzzName(f *testing.F) {
	for _, s := range []string{"alice", `CONTOSO\alice`, "a@b@c", " x", "x\x00", `a\b\c`, "\u200bx"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !directory.ValidName(s) {
			return
		}
		domain, local, suffix := directory.SplitName(s)
		whole := local
		switch {
		case domain != "":
			whole = domain + `\` + local
		case suffix != "":
			whole = local + "@" + suffix
		}
		//lint:ignore SA6005 the second look is for letters whose fold and lower case differ
		if !strings.EqualFold(whole, s) && strings.ToLower(whole) != strings.ToLower(s) {
			t.Errorf("%q became %q, %q, %q", s, domain, local, suffix)
		}
		if strings.TrimSpace(s) != s || strings.ContainsAny(s, "\x00\r\n\t") {
			t.Errorf("%q is taken", s)
		}
	})
}

// TestStateThatCannotBeReadIsNoGoodState: an account whose state the service
// account may not read gets no session and no token, and the admin hears which
// attribute it is.
func TestStateThatCannotBeReadIsNoGoodState(t *testing.T) {
	for _, name := range []string{"userAccountControl", "msDS-User-Account-Control-Computed", "accountExpires", "pwdLastSet"} {
		l := newLab(t, directorytest.Config{Users: []directorytest.User{
			{SAM: "alice", UPN: "alice@contoso.test", Password: password, Hidden: []string{name}},
		}})
		_, err := l.dir.Resolve(t.Context(), `CONTOSO\alice`)
		if authn.ReasonOf(err) != authn.Misconfigured || !strings.Contains(err.Error(), name) {
			t.Errorf("%s hidden: %v", name, err)
		}
	}
}
