package directorytest_test

import (
	"testing"

	"github.com/go-ldap/ldap/v3"
)

func BenchmarkBind(b *testing.B) {
	d := start(b, nil)
	id, err := d.Identity("alice")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		c := dial(b, d, 0)
		for pb.Next() {
			if err := c.Bind(id.DN, password("alice")); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkSearch(b *testing.B) {
	d := start(b, nil)
	b.ReportAllocs()
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		c := service(b, d)
		for pb.Next() {
			if _, err := c.Search(search(d.BaseDN, ldap.ScopeWholeSubtree, "(&(sAMAccountType=805306368)(userPrincipalName=alice@contoso.test))",
				"objectGUID", "objectSid", "userPrincipalName", "msDS-User-Account-Control-Computed")); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
