package web_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"sallyport/federation/web"
)

func TestClientAddress(t *testing.T) {
	const proxy = "10.9.0.1"
	for _, c := range []struct {
		name, peer string
		header     []string
		forwarded  bool // the Forwarded header is the one that is read
		want       string
		certain    bool
	}{
		{"no proxy", "203.0.113.7", []string{"X-Forwarded-For: 10.1.1.1"}, false, "203.0.113.7", true},
		{"one hop", proxy, []string{"X-Forwarded-For: 203.0.113.7"}, false, "203.0.113.7", true},
		{"client's own entry is left of the proxy's", proxy, []string{"X-Forwarded-For: 10.1.1.1, 203.0.113.7"}, false, "203.0.113.7", true},
		{"two field lines", proxy, []string{"X-Forwarded-For: 10.1.1.1", "X-Forwarded-For: 203.0.113.7"}, false, "203.0.113.7", true},
		{"two proxies", proxy, []string{"X-Forwarded-For: 203.0.113.7, 10.9.0.2"}, false, "203.0.113.7", true},
		{"with a port", proxy, []string{"X-Forwarded-For: 203.0.113.7:5123"}, false, "203.0.113.7", true},
		{"IPv6 in brackets with a port", proxy, []string{"X-Forwarded-For: [2001:db8::7]:5123"}, false, "2001:db8::7", true},
		{"IPv6 in brackets", proxy, []string{"X-Forwarded-For: [2001:db8::7]"}, false, "2001:db8::7", true},
		{"mapped IPv4", proxy, []string{"X-Forwarded-For: ::ffff:203.0.113.7"}, false, "203.0.113.7", true},
		{"mapped peer", "::ffff:10.9.0.1", []string{"X-Forwarded-For: 203.0.113.7"}, false, "203.0.113.7", true},
		{"no header", proxy, nil, false, proxy, false},
		{"empty header", proxy, []string{"X-Forwarded-For: "}, false, proxy, false},
		{"unreadable right-most entry", proxy, []string{"X-Forwarded-For: 10.1.1.1, unknown"}, false, proxy, false},
		{"unreadable entry behind a proxy", proxy, []string{"X-Forwarded-For: 10.1.1.1, x, 10.9.0.2"}, false, "10.9.0.2", false},
		{"zone", proxy, []string{"X-Forwarded-For: fe80::1%eth0"}, false, proxy, false},
		{"only proxies", proxy, []string{"X-Forwarded-For: 10.9.0.3, 10.9.0.2"}, false, "10.9.0.3", false},
		{"the other header is not read", proxy, []string{"Forwarded: for=10.1.1.1"}, false, proxy, false},
		{"Forwarded", proxy, []string{`Forwarded: for=10.1.1.1, for="[2001:db8::7]:99";proto=https`}, true, "2001:db8::7", true},
		{"Forwarded with a comma inside quotes", proxy, []string{`Forwarded: for=203.0.113.7;x="a,for=10.1.1.1"`}, true, "203.0.113.7", true},
		{"Forwarded doubled for", proxy, []string{"Forwarded: for=10.1.1.1;for=203.0.113.7"}, true, proxy, false},
		{"Forwarded obfuscated", proxy, []string{"Forwarded: for=_secret"}, true, proxy, false},
		{"Forwarded reads no X-Forwarded-For", proxy, []string{"X-Forwarded-For: 10.1.1.1"}, true, proxy, false},
		{"long list", proxy, []string{"X-Forwarded-For: " + strings.Repeat("10.9.0.2,", 500) + "203.0.113.7"}, false, "203.0.113.7", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := http.Header{}
			for _, line := range c.header {
				name, value, _ := strings.Cut(line, ": ")
				h.Add(name, value)
			}
			tr := trust
			if c.forwarded {
				tr.Header = web.Forwarded
			}
			peer := netip.MustParseAddr(c.peer).Unmap()
			got, certain, err := web.Client(tr, peer, h)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != c.want || certain != c.certain {
				t.Errorf("client = %v, certain %v; want %s, %v", got, certain, c.want, c.certain)
			}
		})
	}
}

// spoofs are the headers with which a client could try to be somebody else.
var spoofs = []string{
	"X-Forwarded-For: 10.1.1.1", "X-Forwarded-Host: login.contoso.test", "X-Forwarded-Proto: http", "X-Forwarded-Server: a",
	"Forwarded: for=10.1.1.1;host=login.contoso.test", "X-Real-IP: 10.1.1.1", "X-Original-URL: /adfs/form", "X-Rewrite-URL: /adfs/form",
	"X-MS-Forwarded-Client-IP: 10.1.1.1", "X-MS-Proxy: proxy1", "X-MS-ADFS-Proxy-Client-IP: 10.1.1.1", "True-Client-IP: 10.1.1.1",
	"X-HTTP-Method-Override: DELETE", "User-Agent: kube-probe/1.30", "User-Agent: GoogleHC/1.0", "X-Remote-User: admin",
}

func TestH01_ClientHeadersDecideNothing(t *testing.T) {
	for _, peer := range []struct{ name, addr, chain string }{
		{"direct", "203.0.113.7", ""}, {"through the proxy", "10.9.0.1", "203.0.113.7"},
	} {
		for _, spoof := range spoofs {
			t.Run(peer.name+"/"+spoof, func(t *testing.T) {
				headers := []string{spoof}
				if peer.chain != "" { // the proxy appends to what the client sent, as nginx does
					if name, value, _ := strings.Cut(spoof, ": "); name == "X-Forwarded-For" {
						headers = []string{name + ": " + value + ", " + peer.chain}
					} else {
						headers = append(headers, "X-Forwarded-For: "+peer.chain)
					}
				}
				g := newRig(t, nil)
				if w := g.do(request("GET", "/adfs/ls/", peer.addr, headers...)); w.Code != 200 {
					t.Fatalf("status %d", w.Code)
				}
				s := g.last(t)
				if got := s.info.Client.String(); got != "203.0.113.7" || s.info.Inside || s.info.Route != "ls" || s.path != "/adfs/ls" {
					t.Errorf("decided %+v, path %s", s.info, s.path)
				}
				for name := range s.head {
					if name != "User-Agent" {
						t.Errorf("header %s reached the handler", name)
					}
				}
				if s.host != "sts.contoso.test:8443" {
					t.Errorf("handler sees host %q", s.host)
				}
			})
		}
	}
}

func TestH01_UncertainClientIsNeverInside(t *testing.T) {
	// The proxy itself lies in a corporate network; who comes through it does not.
	for _, header := range []string{"X-Forwarded-For: unknown", "X-Forwarded-For: 10.9.0.2", "Forwarded: for=10.1.1.1"} {
		g := newRig(t, nil)
		g.do(request("GET", "/adfs/ls/", "10.9.0.1", header))
		if s := g.last(t); s.info.Inside {
			t.Errorf("%s: inside as %v", header, s.info.Client)
		}
	}
	g := newRig(t, nil)
	g.do(request("GET", "/adfs/ls/", "10.9.0.1", "X-Forwarded-For: 10.1.1.1"))
	if s := g.last(t); !s.info.Inside {
		t.Error("a person in a corporate network who comes through the proxy is not inside")
	}
	g.do(request("GET", "/adfs/ls/", "10.20.30.40"))
	if s := g.last(t); !s.info.Inside {
		t.Error("a direct client in a corporate network is not inside")
	}
}

func TestC19_StrayForwardingHeadersAreSaidOnce(t *testing.T) {
	g := newRig(t, nil)
	for range 5 {
		g.do(request("GET", "/adfs/ls/", "203.0.113.7", "X-Forwarded-Proto: https"))
	}
	g.do(request("GET", "/adfs/ls/", "10.9.0.1", "X-Forwarded-For: 203.0.113.7"))
	n := 0
	for _, rec := range g.log.records(t) {
		if strings.Contains(fmt.Sprint(rec["msg"]), "no configured proxy") {
			n++
			if rec["peer"] != "203.0.113.7" {
				t.Errorf("peer %v", rec["peer"])
			}
		}
	}
	if n != 1 {
		t.Errorf("said %d times, want once", n)
	}
}

func TestC19_SchemeAndPortLost(t *testing.T) {
	var bodies []string
	for _, c := range []struct {
		name, peer string
		headers    []string
		want       int
	}{
		{"a: no scheme", "10.9.0.1", []string{"Host: sts.contoso.test"}, 200},
		{"b: scheme, other port", "10.9.0.1", []string{"Host: sts.contoso.test:8443", "X-Forwarded-Proto: https"}, 200},
		{"c: inside name, proxy", "10.9.0.1", []string{"Host: sallyport-7c9f.svc:8080", "X-Forwarded-Host: sts.contoso.test", "X-Forwarded-Proto: https,http"}, 200},
		{"c from a stranger", "203.0.113.7", []string{"Host: sallyport-7c9f.svc:8080", "X-Forwarded-Host: sts.contoso.test", "X-Forwarded-Proto: https,http"}, 421},
		{"foreign outer host through the proxy", "10.9.0.1", []string{"Host: sts.contoso.test", "X-Forwarded-Host: evil.test"}, 421},
		{"list: the proxy's own entry is the last", "10.9.0.1", []string{"X-Forwarded-Host: evil.test, sts.contoso.test"}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, nil)
			w := g.do(request("POST", "/adfs/ls/", c.peer, c.headers...))
			if w.Code != c.want {
				t.Fatalf("status %d, want %d", w.Code, c.want)
			}
			if w.Code == 200 {
				s := g.last(t)
				bodies = append(bodies, s.host+" "+s.url)
			}
		})
	}
	for _, b := range bodies {
		if b != bodies[0] {
			t.Errorf("handlers see %q and %q", bodies[0], b)
		}
	}
}

func TestTrustIsChecked(t *testing.T) {
	everybody := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	for name, tr := range map[string]web.Trust{
		"no host":           {},
		"bad host":          {Hosts: []string{"https://sts.contoso.test"}},
		"everybody a proxy": {Hosts: trust.Hosts, Proxies: everybody},
		"everybody inside":  {Hosts: trust.Hosts, Inside: everybody},
		"zero prefix":       {Hosts: trust.Hosts, Inside: []netip.Prefix{{}}},
		"unknown header":    {Hosts: trust.Hosts, Header: 9},
	} {
		g := newRig(t, nil)
		if err := g.SetTrust(tr); err == nil {
			t.Errorf("%s: taken", name)
		}
		if w := g.do(request("GET", "/adfs/ls/", "203.0.113.7")); w.Code != 200 {
			t.Errorf("%s: the old settings are gone: %d", name, w.Code)
		}
	}
	g := newRig(t, nil)
	if err := g.SetTrust(web.Trust{Hosts: []string{"new.contoso.test"}}); err != nil {
		t.Fatal(err)
	}
	if w := g.do(request("GET", "/adfs/ls/", "203.0.113.7")); w.Code != 421 {
		t.Errorf("old host: %d", w.Code)
	}
}

func FuzzClientAddress(f *testing.F) {
	for _, s := range []string{"203.0.113.7", "10.1.1.1, 203.0.113.7", `for="[2001:db8::7]:99";proto=https, for=_x`, `"a\"b,c`, `for="`, `"`, ",,,", "10.9.0.2,10.9.0.2"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	peer, stranger := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("203.0.113.9")
	f.Fuzz(func(t *testing.T, value string, forwarded bool) {
		tr, name := trust, "X-Forwarded-For"
		if forwarded {
			tr.Header, name = web.Forwarded, "Forwarded"
		}
		h := http.Header{name: {value}}
		if a, certain, _ := web.Client(tr, stranger, h); a != stranger || !certain {
			t.Fatalf("a stranger's header counts: %v", a)
		}
		a, certain, err := web.Client(tr, peer, h)
		if err != nil || !a.IsValid() || a.Zone() != "" || a.Is4In6() {
			t.Fatalf("client %v, %v", a, err)
		}
		if certain && tr.Proxies[0].Contains(a) {
			t.Fatalf("proxy %v is the certain client", a)
		}
		// What a client writes comes left of what the proxy appends, and never counts.
		appended := http.Header{name: {value + ", " + map[bool]string{false: "198.51.100.4", true: `for="198.51.100.4"`}[forwarded]}}
		if a, certain, _ := web.Client(tr, peer, appended); a.String() != "198.51.100.4" || !certain {
			t.Fatalf("client %v, certain %v behind %q", a, certain, value)
		}
	})
}
