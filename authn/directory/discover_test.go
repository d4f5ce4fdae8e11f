package directory_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"sallyport/authn"
	"sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
)

// zone is a DNS zone of SRV records.
type zone struct {
	mu      sync.Mutex
	records map[string][]*net.SRV
	asked   []string
}

func (z *zone) set(name string, targets ...*net.SRV) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.records == nil {
		z.records = map[string][]*net.SRV{}
	}
	z.records[name] = targets
}

func (z *zone) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	full := "_" + service + "._" + proto + "." + name
	z.asked = append(z.asked, full)
	if r := z.records[full]; len(r) > 0 {
		return full, r, nil
	}
	return "", nil, errors.New("no such host")
}

func srv(target string, priority uint16) *net.SRV {
	return &net.SRV{Target: target + ".", Port: 389, Priority: priority, Weight: 100}
}

// discovered makes the lab find its DCs by DNS; names that nobody serves go
// nowhere.
func discovered(z *zone, site string) func(*directorytest.Directory, *directory.Config) {
	return func(ad *directorytest.Directory, c *directory.Config) {
		where := map[string]string{}
		for _, dc := range ad.DCs {
			where[dc.Name+":636"] = dc.Addr
		}
		c.Domains[0].Servers = nil
		c.Domains[0].Site = site
		c.Resolver = z
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			addr, ok := where[address]
			if !ok {
				return nil, &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
	}
}

func names(st directory.DomainStatus) (out []string) {
	for _, s := range st.Servers {
		out = append(out, s.Name)
	}
	return out
}

func TestDCsAreFoundByDNS(t *testing.T) {
	var z zone
	z.set("_ldap._tcp.dc._msdcs.corp.contoso.test", srv("DC1.corp.contoso.test", 0), srv("dc2.corp.contoso.test", 0),
		srv("dc9.evil.test", 0), &net.SRV{Target: "."})
	l := newLab(t, directorytest.Config{DCs: 2}, discovered(&z, ""))
	l.want(l.signIn("alice@contoso.test", password), authn.Unavailable, "before discovery")
	if err := l.dir.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both DCs usable", func() bool { return len(l.dir.Status()[0].Servers) == 2 && usable(l, 2) })
	l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "sign-in")
	if l.dir.Status()[0].Discovered.IsZero() {
		t.Error("no time of discovery")
	}
}

func TestSiteFirstThenTheRest(t *testing.T) {
	var z zone
	z.set("_ldap._tcp.Berlin._sites.dc._msdcs.corp.contoso.test", srv("dc2.corp.contoso.test", 0))
	z.set("_ldap._tcp.dc._msdcs.corp.contoso.test", srv("dc1.corp.contoso.test", 0), srv("dc2.corp.contoso.test", 0))
	l := newLab(t, directorytest.Config{DCs: 2}, discovered(&z, "Berlin"))
	if err := l.dir.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both DCs usable", func() bool { return len(l.dir.Status()[0].Servers) == 2 && usable(l, 2) })
	acc := l.resolve("alice@contoso.test")
	for range 20 {
		l.want(l.bindAs(acc, password), authn.Accepted, "bind")
	}
	for _, b := range l.ad.UserBinds() {
		if b.DC != "dc2.corp.contoso.test" {
			t.Errorf("a bind went to %s although the site's DC works", b.DC)
		}
	}
	l.ad.DCs[1].Down()
	eventually(t, "the other site takes over", func() bool { return l.bindAs(acc, password) == authn.Accepted })
}

func TestPrioritiesAreHeeded(t *testing.T) {
	var z zone
	z.set("_ldap._tcp.dc._msdcs.corp.contoso.test", srv("dc1.corp.contoso.test", 10), srv("dc2.corp.contoso.test", 0))
	l := newLab(t, directorytest.Config{DCs: 2}, discovered(&z, ""))
	if err := l.dir.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both DCs usable", func() bool { return len(l.dir.Status()[0].Servers) == 2 && usable(l, 2) })
	for range 10 {
		l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "sign-in")
	}
	for _, b := range l.ad.UserBinds() {
		if b.DC != "dc2.corp.contoso.test" {
			t.Errorf("a bind went to %s", b.DC)
		}
	}
}

func TestSetFollowsDNSAndOutlivesIt(t *testing.T) {
	var z zone
	const rr = "_ldap._tcp.dc._msdcs.corp.contoso.test"
	z.set(rr, srv("dc1.corp.contoso.test", 0))
	l := newLab(t, directorytest.Config{DCs: 2}, discovered(&z, ""))
	l.dir.Discover(t.Context())
	l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "with dc1")
	z.set(rr, srv("dc2.corp.contoso.test", 0))
	l.dir.Discover(t.Context())
	if got := names(l.dir.Status()[0]); len(got) != 1 || got[0] != "dc2.corp.contoso.test" {
		t.Errorf("the set is %v", got)
	}
	eventually(t, "dc1 is drained", func() bool { return l.ad.DCs[0].Open() == 0 })
	l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "with dc2")
	z.set(rr)
	l.dir.Discover(t.Context())
	if got := names(l.dir.Status()[0]); len(got) != 1 {
		t.Errorf("a lookup that found nothing emptied the set: %v", got)
	}
	l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "while DNS is away")
	gather(t, l)
}
