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

// BenchmarkServer drives the server by a client that only copies bytes, so that
// the figure is nearly the server's own cost.
func BenchmarkServer(b *testing.B) {
	d := start(b, nil)
	msg := bindMessage(1, identity(b, d, "alice").DN, password("alice"))
	b.ReportAllocs()
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		c := dialRaw(b, d, 0)
		answer := make([]byte, 64)
		for pb.Next() {
			c.send(msg)
			if n, err := c.c.Read(answer); err != nil || n < 18 || answer[17] != 0 {
				b.Errorf("%v %x", err, answer[:n])
				return
			}
		}
	})
}
