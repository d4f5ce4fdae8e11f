package directory_test

import (
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn"
	"sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
)

// twoDomains starts a second stand-in beside the lab's own and makes both known to
// one Directory. Addresses
// may be typed, too.
func twoDomains(t *testing.T, suffixes []string, first, second directorytest.Config) (*lab, *directorytest.Directory) {
	t.Helper()
	second.Domain, second.NetBIOS = "old.test", "OLD"
	other, err := directorytest.Start(second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	l := newLab(t, first, limits(directory.Limits{Attempt: 2 * time.Second}), func(ad *directorytest.Directory, c *directory.Config) {
		more := configFor(other)
		pool := ad.CAPool()
		pool.AppendCertsFromPEM(other.CAPEM())
		c.Roots = pool
		secret := []byte(other.ServicePassword)
		more.Domains[0].Service = directory.Service{Name: other.ServiceName, Passwords: func() [][]byte { return [][]byte{secret} }}
		c.Domains = append(c.Domains, more.Domains[0])
		for i := range c.Domains {
			c.Domains[i].UPNSuffixes = suffixes
		}
		c.LoginAttribute = "mail"
	})
	return l, other
}

// A suffix that several domains may use names a person only when each of them was
// heard: with one of them away, its alice is neither refused for the password of
// another alice nor signed in as her, and an outage is not an unknown user.
func TestD08_SuffixOfADomainThatIsAwayIsAnOutage(t *testing.T) {
	const theirs = "Battery-Staple-8"
	ours := []directorytest.User{{SAM: "alice", UPN: "alice@contoso.test", Password: password}}
	for name, suffixes := range map[string][]string{"listed for both": {"contoso.test"}, "listed for none": nil} {
		t.Run(name, func(t *testing.T) {
			l, other := twoDomains(t, suffixes, directorytest.Config{Users: ours}, directorytest.Config{Users: []directorytest.User{
				{SAM: "alice2", UPN: "alice@contoso.test", Password: theirs}, {SAM: "bob", UPN: "bob@contoso.test", Password: theirs}}})
			l.want(l.signIn("alice@contoso.test", password), authn.Ambiguous, "both domains have one")
			l.want(l.signIn("bob@contoso.test", theirs), authn.Accepted, "the other domain's")
			other.DCs[0].Down()
			for _, who := range []string{"alice@contoso.test", "bob@contoso.test", "nobody@contoso.test"} {
				l.want(l.signIn(who, theirs), authn.Unavailable, who+" while the other domain is away")
			}
			_, err := l.dir.Resolve(t.Context(), "alice@contoso.test")
			if err == nil || !strings.Contains(err.Error(), "old.test") {
				t.Errorf("the cause does not name the domain: %v", err)
			}
			if n := len(l.ad.Binds()) - serviceBinds(l); n != 0 {
				t.Errorf("%d binds of users where nobody knew whom the name meant", n)
			}
			l.want(l.signIn(`CONTOSO\alice`, password), authn.Accepted, "a name that says its domain")
			l.want(l.signIn("alice@corp.contoso.test", password), authn.Accepted, "the domain's own suffix")
		})
	}
}

// Within one forest AD keeps userPrincipalName unique: who was found by it is
// meant, whatever happens to another domain of the forest. That says nothing of a
// further login attribute, and nothing before the other domain was ever reached.
func TestOneDomainOfAForestAwayStopsNobodyElse(t *testing.T) {
	forest := func(users ...directorytest.User) directorytest.Config {
		return directorytest.Config{Forest: "corp.contoso.test", Users: users}
	}
	alice := directorytest.User{SAM: "alice", UPN: "alice@contoso.test", Password: password,
		Attributes: map[string][]string{"mail": {"info@contoso.test"}}}
	l, other := twoDomains(t, []string{"contoso.test"}, forest(alice), forest(directorytest.User{SAM: "bob", UPN: "bob@contoso.test", Password: password}))
	other.DCs[0].Down()
	l.want(l.signIn("alice@contoso.test", password), authn.Unavailable, "the other domain's forest is not known yet")
	if err := other.DCs[0].Up(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both domains answer", func() bool { return l.signIn("bob@contoso.test", password) == authn.Accepted })
	other.DCs[0].Down()
	l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "found by the name that is unique in the forest")
	l.want(l.signIn("info@contoso.test", password), authn.Unavailable, "found by an address that another domain may have too")
	l.want(l.signIn("bob@contoso.test", password), authn.Unavailable, "of the domain that is away")
}

// Before the first contact nobody knows whether the domain typed is the one that is
// away; from then on a name of another domain is an unknown one.
func TestD08_DomainThatWasNeverReachedIsAnOutage(t *testing.T) {
	l := newLab(t, directorytest.Config{}, func(_ *directorytest.Directory, c *directory.Config) { c.Domains[0].NetBIOS = "" })
	l.ad.DCs[0].Down()
	if err := l.dir.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.want(l.signIn(`CONTOSO\alice`, password), authn.Unavailable, "the domain is away since the start")
	if err := l.ad.DCs[0].Up(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "CONTOSO is known", func() bool { return l.signIn(`CONTOSO\alice`, password) == authn.Accepted })
	l.want(l.signIn(`FABRIKAM\alice`, password), authn.UnknownUser, "another domain")
}

// A search for the NetBIOS name that fails says nothing of the name: nobody is told
// that the account does not exist, and the next try comes soon. A domain controller
// that shows no name does say it.
func TestD08_NetBIOSNameThatCouldNotBeReadIsAnOutage(t *testing.T) {
	for _, c := range []struct {
		name string
		code int64
		want authn.Reason
	}{
		{"busy", ldap.LDAPResultBusy, authn.Unavailable},
		{"hidden", ldap.LDAPResultNoSuchObject, authn.UnknownUser},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, directorytest.Config{}, func(_ *directorytest.Directory, c *directory.Config) { c.Domains[0].NetBIOS = "" })
			asked := make(chan struct{}, 100)
			l.ad.DCs[0].Inject(directorytest.Fault{On: directorytest.OnSearch, Name: "CN=Partitions,", Effect: directorytest.Result, Code: c.code,
				Do: func() { asked <- struct{}{} }})
			if err := l.dir.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			<-asked
			eventually(t, "the answer has arrived", func() bool { return l.signIn(`FABRIKAM\alice`, password) == c.want })
			l.want(l.signIn(`CONTOSO\alice`, password), c.want, "the domain's own name, not known yet")
			if c.want == authn.UnknownUser {
				return
			}
			<-asked
			l.want(l.signIn(`FABRIKAM\alice`, password), c.want, "any name, after a second try")
			l.ad.DCs[0].Clear()
			eventually(t, "CONTOSO is known", func() bool { return l.signIn(`CONTOSO\alice`, password) == authn.Accepted })
		})
	}
}
