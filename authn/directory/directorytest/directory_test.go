package directorytest_test

import (
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn/directory/directorytest"
)

func password(sam string) string { return "Pw-" + sam + "-é1" }

func start(t testing.TB, change func(*directorytest.Config)) *directorytest.Directory {
	t.Helper()
	cfg := directorytest.Config{Users: directorytest.DemoUsers(password), Groups: directorytest.DemoGroups()}
	if change != nil {
		change(&cfg)
	}
	d, err := directorytest.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// dial connects the independent client, go-ldap, over verified TLS.
func dial(t testing.TB, d *directorytest.Directory, dc int) *ldap.Conn {
	t.Helper()
	c, err := tryDial(d, dc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func tryDial(d *directorytest.Directory, dc int) (*ldap.Conn, error) {
	raw, err := tls.Dial("tcp", d.DCs[dc].Addr, &tls.Config{RootCAs: d.CAPool(), ServerName: d.DCs[dc].Name})
	if err != nil {
		return nil, err
	}
	c := ldap.NewConn(raw, true)
	c.SetTimeout(5 * time.Second)
	c.Start()
	return c, nil
}

func service(t testing.TB, d *directorytest.Directory) *ldap.Conn {
	t.Helper()
	c := dial(t, d, 0)
	if err := c.Bind(d.ServiceName, d.ServicePassword); err != nil {
		t.Fatal(err)
	}
	return c
}

// code returns the result code and the sub-code of an error.
func code(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return "0"
	}
	var e *ldap.Error
	if !errors.As(err, &e) {
		t.Fatalf("not an LDAP error: %v", err)
	}
	out := fmt.Sprint(e.ResultCode)
	if _, data, ok := strings.Cut(e.Err.Error(), "data "); ok {
		data, _, _ = strings.Cut(data, ",")
		out += "/" + data
	}
	return out
}

func search(base string, scope int, filter string, attrs ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, 0, false, filter, attrs,
		[]ldap.Control{ldap.NewControlString("1.2.840.113556.1.4.1339", true, "")})
}

func TestUsersInEveryStateGetTheirSubCode(t *testing.T) {
	d := start(t, nil)
	c := dial(t, d, 0)
	for _, u := range directorytest.DemoUsers(password) {
		id, err := d.Identity(u.SAM)
		if err != nil {
			t.Fatal(err)
		}
		want := "0"
		if u.Data != 0 {
			want = fmt.Sprintf("49/%x", u.Data)
		}
		for _, name := range []string{id.DN, "<GUID=" + guidText(id.GUID) + ">", id.SID.String(), `contoso\` + strings.ToUpper(u.SAM)} {
			if got := code(t, c.Bind(name, u.Password)); got != want {
				t.Errorf("%s as %q: got %s, want %s", u.SAM, name, got, want)
			}
		}
		want = "49/52e"
		if u.Locked {
			want = "49/775"
		}
		if got := code(t, c.Bind(id.DN, u.Password+"x")); got != want {
			t.Errorf("%s with a wrong password: got %s, want %s", u.SAM, got, want)
		}
	}
}

func guidText(g [16]byte) string {
	h := hex.EncodeToString([]byte{g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]})
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func TestSearchFindsByTheFiltersOfSignIn(t *testing.T) {
	d := start(t, nil)
	c := service(t, d)
	for _, tc := range []struct{ filter, want string }{
		{`(&(sAMAccountType=805306368)(userPrincipalName=ALICE@contoso.test))`, "alice"},
		{`(|(userPrincipalName=bob@corp.contoso.test)(sAMAccountName=bob))`, "bob"},
		{`(&(sAMAccountType=805306368)(sAMAccountName=` + ldap.EscapeFilter("jmueller (ext)") + `))`, "jmueller (ext)"},
		{`(&(sAMAccountType=805306368)(userPrincipalName=` + ldap.EscapeFilter("j.o'mueller@contoso.test") + `))`, "jmueller (ext)"},
		{`(&(sAMAccountType=805306368)(userPrincipalName=` + ldap.EscapeFilter("jörg.müller@contoso.test") + `))`, "jmuller"},
		{`(userPrincipalName=jorg.muller@contoso.test)`, "jmuller"},
		{`(sAMAccountName=ali*e)`, "alice"},
		{`(sAMAccountName=\2a)`, ""},
		{`(sAMAccountName=nobody)`, ""},
	} {
		res, err := c.Search(search(d.BaseDN, ldap.ScopeWholeSubtree, tc.filter, "sAMAccountName", "objectGUID"))
		if err != nil {
			t.Fatalf("%s: %v", tc.filter, err)
		}
		got := ""
		for _, e := range res.Entries {
			got += e.GetAttributeValue("sAMAccountName")
		}
		if got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.filter, got, tc.want)
		}
	}
	if v := d.Violations(); len(v) > 0 {
		t.Errorf("violations: %q", v)
	}
	last := d.Searches()[len(d.Searches())-1]
	if last.Identity != d.ServiceDN || last.Filter != "(sAMAccountName=nobody)" || last.Code != 0 || last.Entries != 0 {
		t.Errorf("record %+v", last)
	}
}
