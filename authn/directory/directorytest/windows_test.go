package directorytest_test

import (
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn/directory/directorytest"
)

// whoami asks the portable way: the first value of the rootDSE's tokenGroups.
func whoami(t testing.TB, c *ldap.Conn) string {
	t.Helper()
	res, err := c.Search(search("", ldap.ScopeBaseObject, "(objectClass=*)", "tokenGroups"))
	if err != nil {
		t.Fatal(err)
	}
	return directorytest.SID(res.Entries[0].GetRawAttributeValues("tokenGroups")[0]).String()
}

func identity(t testing.TB, d *directorytest.Directory, sam string) directorytest.Identity {
	t.Helper()
	id, err := d.Identity(sam)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestBindAnswersAsWindowsDoes(t *testing.T) {
	d := start(t, func(c *directorytest.Config) {
		c.Users = append(c.Users,
			directorytest.User{SAM: "twin1", DisplayName: "Twin", CN: "Twin 1", Password: "x"},
			directorytest.User{SAM: "twin2", DisplayName: "Twin", CN: "Twin 2", Password: "x"},
			directorytest.User{SAM: "pc1$", Machine: true, Password: "x"})
	})
	alice := identity(t, d, "alice")
	for _, tc := range []struct{ what, name, password, want string }{
		{"explicit UPN", "Alice@Contoso.test", password("alice"), "0"},
		{"implicit UPN with the domain", "alice@corp.contoso.test", password("alice"), "0"},
		{"implicit UPN with a forest suffix", "jmuller@contoso.test", password("jmuller"), "0"},
		{"explicit before implicit", "dave@corp.contoso.test", password("carol"), "0"},
		{"explicit before implicit", "dave@corp.contoso.test", password("dave"), "49/52e"},
		{"canonical name", "corp.contoso.test/Users/Alice Archer", password("alice"), "0"},
		{"canonical name, line feed", "corp.contoso.test/Users\nAlice Archer", password("alice"), "0"},
		{"display name", "Alice Archer", password("alice"), "0"},
		{"without accents", "jorg.muller@contoso.test", password("jmuller"), "0"},
		{"full width", "ａｌｉｃｅ@contoso.test", password("alice"), "0"},
		{"two objects in one form", "Twin", "x", "49/57"},
		{"unknown", "nobody@contoso.test", "x", "49/525"},
		{"unknown DN", "CN=nobody," + d.BaseDN, "x", "49/525"},
		{"a group", "CN=Domain Users,CN=Users," + d.BaseDN, "x", "49/525"},
		{"machine account", `CONTOSO\pc1$`, "x", "49/710"},
		{"NUL behind the password", alice.DN, password("alice") + "\x00more", "49/52e"},
		{"another NetBIOS name", `OTHER\alice`, password("alice"), "49/525"},
		{"escaped DN in other spelling", `cn=M\c3\bcller\2c J\c3\b6rg (Ext) \2b *, ou=benutzer (de),` + d.BaseDN, password("jmueller (ext)"), "0"},
	} {
		c := dial(t, d, 0)
		if got := code(t, c.Bind(tc.name, tc.password)); got != tc.want {
			t.Errorf("%s (%q): got %s, want %s", tc.what, tc.name, got, tc.want)
		}
	}
}

func TestEmptyPasswordSucceedsAndIsAnonymous(t *testing.T) {
	d := start(t, nil)
	c := dial(t, d, 0)
	if err := c.Bind(d.ServiceName, d.ServicePassword); err != nil {
		t.Fatal(err)
	}
	if err := c.UnauthenticatedBind(identity(t, d, "alice").DN); err != nil {
		t.Errorf("unauthenticated bind: %v", err)
	}
	if got := whoami(t, c); got != "S-1-5-7" {
		t.Errorf("identity %s, want anonymous", got)
	}
}

func TestIdentityAfterAFailedBind(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint("kept=", keep), func(t *testing.T) {
			d := start(t, func(c *directorytest.Config) { c.Settings.KeepIdentity = keep })
			alice := identity(t, d, "alice")
			c := dial(t, d, 0)
			if err := c.Bind(alice.DN, password("alice")); err != nil {
				t.Fatal(err)
			}
			if got := whoami(t, c); got != alice.SID.String() {
				t.Errorf("identity %s, want alice", got)
			}
			if got := code(t, c.Bind(alice.DN, "wrong")); got != "49/52e" {
				t.Fatal(got)
			}
			want := "S-1-5-7"
			if keep {
				want = alice.SID.String()
			}
			if got := whoami(t, c); got != want {
				t.Errorf("identity %s, want %s", got, want)
			}
			_, err := c.Search(search(d.BaseDN, ldap.ScopeWholeSubtree, "(sAMAccountName=alice)", "cn"))
			if got := code(t, err); !keep && got != "1/0" || keep && got != "0" {
				t.Errorf("search after a failed bind: %s", got)
			}
		})
	}
}

func TestDiagnosticEndsWithNUL(t *testing.T) {
	for _, samba := range []bool{false, true} {
		d := start(t, func(c *directorytest.Config) { c.Samba = samba })
		err := dial(t, d, 0).Bind(identity(t, d, "alice").DN, "wrong")
		text := err.(*ldap.Error).Err.Error()
		if strings.HasSuffix(text, "\x00") == samba || !strings.HasPrefix(text, "80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data 52e, v4f7c") {
			t.Errorf("samba=%v: %q", samba, text)
		}
	}
}

func TestSambaDiffersWhereItIsKnownTo(t *testing.T) {
	d := start(t, func(c *directorytest.Config) { c.Samba = true })
	alice := identity(t, d, "alice")
	c := dial(t, d, 0)
	for _, tc := range []struct{ what, name, password, want string }{
		{"unknown user", "nobody@contoso.test", "x", "49/52e"},
		{"NUL behind the right password", alice.DN, password("alice") + "\x00more", "0"},
		{"blanks around the name", " alice@contoso.test ", password("alice"), "0"},
		{"accents matter", "jorg.muller@contoso.test", password("jmuller"), "49/52e"},
		{"display name", "Alice Archer", password("alice"), "49/52e"},
	} {
		if got := code(t, c.Bind(tc.name, tc.password)); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.what, got, tc.want)
		}
	}
	if got := code(t, c.UnauthenticatedBind(alice.DN)); got != "49/52e" {
		t.Errorf("empty password: %s", got)
	}
}

func TestReferencesUnlessDomainScope(t *testing.T) {
	d := start(t, nil)
	c := service(t, d)
	req := search(d.BaseDN, ldap.ScopeWholeSubtree, "(sAMAccountName=alice)", "cn")
	res, err := c.Search(req)
	if err != nil || len(res.Entries) != 1 || len(res.Referrals) != 0 {
		t.Fatalf("with domain scope: %v, %d entries, %v", err, len(res.Entries), res.Referrals)
	}
	req.Controls = nil
	res, err = c.Search(req)
	if err != nil || len(res.Entries) != 1 || len(res.Referrals) != 3 {
		t.Fatalf("without domain scope: %v, %d entries, %v", err, len(res.Entries), res.Referrals)
	}
	_, err = c.Search(search("DC=other,DC=test", ldap.ScopeWholeSubtree, "(sAMAccountName=alice)", "cn"))
	if got := code(t, err); !strings.HasPrefix(got, "10") {
		t.Errorf("base in another domain: %s", got)
	}
}

func TestTokenGroupsByBaseSearchOnly(t *testing.T) {
	d := start(t, nil)
	c := service(t, d)
	olivia := identity(t, d, "olivia")
	res, err := c.Search(search(olivia.DN, ldap.ScopeBaseObject, "(objectClass=*)", "tokenGroups", "memberOf"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(res.Entries[0].GetRawAttributeValues("tokenGroups")); n != 302 { // 300, Domain Users, BUILTIN\Users
		t.Errorf("%d tokenGroups", n)
	}
	if n := len(res.Entries[0].GetAttributeValues("memberOf")); n != 100 {
		t.Errorf("%d memberOf", n)
	}
	_, err = c.Search(search(d.BaseDN, ldap.ScopeWholeSubtree, "(sAMAccountName=olivia)", "tokenGroups"))
	if got := code(t, err); !strings.HasPrefix(got, "1/") {
		t.Errorf("tokenGroups in a subtree search: %s", got)
	}
	chain := fmt.Sprintf("(member:1.2.840.113556.1.4.1941:=%s)", ldap.EscapeFilter(identity(t, d, "jmueller (ext)").DN))
	res, err = c.Search(search(d.BaseDN, ldap.ScopeWholeSubtree, chain, "cn"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range res.Entries {
		names = append(names, e.GetAttributeValue("cn"))
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"Alle Zugriffe", "Zugriff (a) + b, c"}) {
		t.Errorf("chain match: %q", names)
	}
}

func TestConstructedAttributesComeByNameAndCannotBeFilteredOn(t *testing.T) {
	d := start(t, nil)
	c := service(t, d)
	want := map[string]string{"ludwig": "16", "petra": "8388608", "max": "8388608", "alice": "0", "bob": "0"}
	for sam, uac := range want {
		res, err := c.Search(search(d.BaseDN, ldap.ScopeWholeSubtree, "(sAMAccountName="+sam+")",
			"msDS-User-Account-Control-Computed", "msDS-UserPasswordExpiryTimeComputed", "pwdLastSet"))
		if err != nil {
			t.Fatal(err)
		}
		if got := res.Entries[0].GetAttributeValue("msDS-User-Account-Control-Computed"); got != uac {
			t.Errorf("%s: computed %s, want %s", sam, got, uac)
		}
		expiry := res.Entries[0].GetAttributeValue("msDS-UserPasswordExpiryTimeComputed")
		if sam == "max" && expiry != "0" || sam == "bob" && expiry != "9223372036854775807" {
			t.Errorf("%s: expiry %s", sam, expiry)
		}
	}
	_, err := c.Search(search(d.BaseDN, ldap.ScopeWholeSubtree, "(msDS-User-Account-Control-Computed=16)", "cn"))
	if got := code(t, err); !strings.HasPrefix(got, "18") {
		t.Errorf("filter on a constructed attribute: %s", got)
	}
}

func TestMaxPageSizePagingAndSizeLimit(t *testing.T) {
	d := start(t, func(c *directorytest.Config) {
		for i := range 1700 {
			c.Users = append(c.Users, directorytest.User{SAM: fmt.Sprintf("u%04d", i), Password: "x", Groups: []string{"Everybody"}})
		}
	})
	c := service(t, d)
	req := search(d.BaseDN, ldap.ScopeWholeSubtree, "(sAMAccountName=u*)", "cn")
	res, err := c.Search(req)
	if got := code(t, err); got != "4/0" && !strings.HasPrefix(got, "4") || len(res.Entries) != 1000 {
		t.Errorf("unpaged: %s, %d entries", got, len(res.Entries))
	}
	res, err = c.SearchWithPaging(req, 500)
	if err != nil || len(res.Entries) != 1700 {
		t.Errorf("paged: %v, %d entries", err, len(res.Entries))
	}
	req.SizeLimit = 2
	res, err = c.Search(req)
	if got := code(t, err); !strings.HasPrefix(got, "4") || len(res.Entries) != 2 {
		t.Errorf("size limit: %s, %d entries", got, len(res.Entries))
	}
	var members []string
	for _, asked := range []string{"member", "member;range=1500-*"} {
		res, err = c.Search(search("CN=Everybody,CN=Users,"+d.BaseDN, ldap.ScopeBaseObject, "(objectClass=*)", asked))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range res.Entries[0].Attributes {
			members = append(members, a.Name, fmt.Sprint(len(a.Values)))
		}
	}
	if want := []string{"member", "0", "member;range=0-1499", "1500", "member;range=1500-*", "200"}; !slices.Equal(members, want) {
		t.Errorf("ranges %q, want %q", members, want)
	}
}

func TestRootDSENeedsNoBind(t *testing.T) {
	d := start(t, func(c *directorytest.Config) {
		c.Settings = directorytest.Settings{NotSynchronized: true, RODC: true, Clock: 10 * time.Minute, FastBind: true}
	})
	c := dial(t, d, 0)
	res, err := c.Search(search("", ldap.ScopeBaseObject, "(objectClass=*)", "defaultNamingContext", "isSynchronized", "supportedCapabilities",
		"supportedExtension", "currentTime", "domainControllerFunctionality", "dnsHostName", "nothing"))
	if err != nil {
		t.Fatal(err)
	}
	e := res.Entries[0]
	at, err := time.Parse("20060102150405.0Z", e.GetAttributeValue("currentTime"))
	if err != nil {
		t.Fatal(err)
	}
	if off := time.Until(at); off < 9*time.Minute || off > 11*time.Minute {
		t.Errorf("clock off by %v", off)
	}
	if e.GetAttributeValue("defaultNamingContext") != d.BaseDN || e.GetAttributeValue("isSynchronized") != "FALSE" ||
		e.GetAttributeValue("domainControllerFunctionality") != "7" || e.GetAttributeValue("dnsHostName") != "dc1.corp.contoso.test" ||
		!slices.Contains(e.GetAttributeValues("supportedCapabilities"), "1.2.840.113556.1.4.1920") ||
		!slices.Contains(e.GetAttributeValues("supportedExtension"), "1.2.840.113556.1.4.1781") {
		e.Print()
		t.Error("rootDSE differs")
	}
}

func TestPingAnswersOverTheConnection(t *testing.T) {
	d := start(t, nil)
	c := dial(t, d, 0)
	res, err := c.Search(search("", ldap.ScopeBaseObject, `(&(DnsDomain=corp.contoso.test)(Host=GW1)(NtVer=\16\00\00\00))`, "netlogon"))
	if err != nil {
		t.Fatal(err)
	}
	v := res.Entries[0].GetRawAttributeValue("netlogon")
	want := "04636f727007636f6e746f736f047465737400" + "c018" + "03646331c018" + "07434f4e544f534f00" + "0344433100" + "00" +
		"1744656661756c742d46697273742d536974652d4e616d6500" + "c042" + "05000000ffffffff"
	if got := hex.EncodeToString(v); len(v) < 24 || got[:8] != "17000000" || got[48:] != want {
		t.Errorf("ping answer %s", got)
	}
}

func TestStartTLSOnThePlainPort(t *testing.T) {
	d := start(t, nil)
	connect := func() *ldap.Conn {
		nc, err := net.Dial("tcp", d.DCs[0].PlainAddr)
		if err != nil {
			t.Fatal(err)
		}
		c := ldap.NewConn(nc, false)
		c.SetTimeout(5 * time.Second)
		c.Start()
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	c := connect()
	alice := identity(t, d, "alice")
	if got := code(t, c.Bind(alice.DN, password("alice"))); got != "8/0" {
		t.Errorf("bind in the clear: %s", got)
	}
	roots := &tls.Config{RootCAs: d.CAPool(), ServerName: d.DCs[0].Name}
	if err := c.StartTLS(roots); err != nil {
		t.Fatal(err)
	}
	if err := c.Bind(alice.DN, password("alice")); err != nil {
		t.Error(err)
	}
	d.DCs[0].Set(func(s *directorytest.Settings) { s.RefuseStartTLS = true })
	if got := code(t, connect().StartTLS(roots)); !strings.HasPrefix(got, "52") {
		t.Errorf("refused StartTLS: %s", got)
	}
}

func TestWhoAmI(t *testing.T) {
	d := start(t, nil)
	c := dial(t, d, 0)
	res, err := c.WhoAmI(nil)
	if err != nil || res.AuthzID != "" {
		t.Errorf("anonymous: %v %q", err, res.AuthzID)
	}
	if err := c.Bind(identity(t, d, "bob").DN, password("bob")); err != nil {
		t.Fatal(err)
	}
	res, err = c.WhoAmI(nil)
	if err != nil || res.AuthzID != `u:CONTOSO\bob` {
		t.Errorf("bob: %v %q", err, res.AuthzID)
	}
}
