package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"sallyport/federation/web"
)

// behalf sends one request to a route that takes sign-ins on behalf of people, or
// to one that does not.
func behalf(t *testing.T, tr web.Trust, path, peer string, headers ...string) (*web.Info, http.Header) {
	t.Helper()
	var info *web.Info
	var head http.Header
	note := func(_ http.ResponseWriter, r *http.Request) error {
		info, head = web.From(r.Context()), r.Header.Clone()
		return nil
	}
	e, err := web.New(web.Config{Trust: tr}, mounts{
		{Name: "active", Path: "/active", Methods: []string{"POST"}, OnBehalf: true, Handler: note},
		{Name: "passive", Path: "/passive", Methods: []string{"POST"}, Handler: note},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.ServeHTTP(httptest.NewRecorder(), request("POST", path, peer, headers...))
	if info == nil {
		t.Fatal("the handler was not called")
	}
	return info, head
}

// TestH01_OnBehalf: X-MS-Forwarded-Client-IP counts only from a configured service,
// only on the routes for it, and makes nobody inside.
func TestH01_OnBehalf(t *testing.T) {
	const exchange, stranger, proxy, ms = "40.92.0.1", "203.0.113.9", "10.9.0.1", "X-MS-Forwarded-Client-IP: "
	tr := web.Trust{
		Hosts: []string{"sts.contoso.test"}, Proxies: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24")},
		Inside:   []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("40.93.0.0/16")},
		OnBehalf: []netip.Prefix{netip.MustParsePrefix("40.92.0.0/15")},
	}
	for _, c := range []struct {
		name, path, peer string
		headers          []string
		client           string
		inside, via      bool
	}{
		{"from the service", "/active", exchange, []string{ms + "198.51.100.7"}, "198.51.100.7", false, true},
		{"a list: each service appends", "/active", exchange, []string{ms + "10.1.1.1, 198.51.100.7, 40.92.0.9"}, "198.51.100.7", false, true},
		{"with a port", "/active", exchange, []string{ms + "198.51.100.7:4711"}, "198.51.100.7", false, true},
		{"an inside address makes nobody inside", "/active", exchange, []string{ms + "10.1.1.1"}, "10.1.1.1", false, true},
		{"a service inside, a person outside", "/active", "40.93.0.1", []string{ms + "198.51.100.7"}, "198.51.100.7", false, true},
		{"a service inside, a person inside", "/active", "40.93.0.1", []string{ms + "10.1.1.1"}, "10.1.1.1", true, true},
		{"through the proxy", "/active", proxy, []string{"X-Forwarded-For: " + exchange, ms + "198.51.100.7"}, "198.51.100.7", false, true},
		{"from a stranger", "/active", stranger, []string{ms + "198.51.100.7"}, stranger, false, false},
		{"from a stranger through the proxy", "/active", proxy, []string{"X-Forwarded-For: " + stranger, ms + "198.51.100.7"}, stranger, false, false},
		{"from the proxy itself", "/active", proxy, []string{ms + "198.51.100.7"}, proxy, false, false},
		{"on another route", "/passive", exchange, []string{ms + "198.51.100.7"}, exchange, false, false},
		{"unreadable", "/active", exchange, []string{ms + "198.51.100.7, unknown"}, exchange, false, false},
		{"empty", "/active", exchange, []string{ms}, exchange, false, false},
		{"only services", "/active", exchange, []string{ms + "40.92.0.2"}, exchange, false, false},
		{"the siblings say nothing", "/active", exchange, []string{"X-MS-Proxy: p", "X-MS-Client-Application: a", "X-MS-ADFS-Proxy-Client-IP: 198.51.100.7"}, exchange, false, false},
	} {
		info, head := behalf(t, tr, c.path, c.peer, c.headers...)
		if info.Client.String() != c.client || info.Inside != c.inside || info.Via.IsValid() != c.via {
			t.Errorf("%s: client %v, inside %v, via %v", c.name, info.Client, info.Inside, info.Via)
		}
		if len(head) != 0 {
			t.Errorf("%s: headers reach the handler: %v", c.name, head)
		}
	}
	const app = "X-MS-Client-Application: "
	for _, c := range []struct {
		peer    string
		headers []string
		want    string
	}{
		{exchange, []string{ms + "198.51.100.7", app + "Microsoft.Exchange.ActiveSync"}, "signed in by 40.92.0.1 in their name, from Microsoft.Exchange.ActiveSync"},
		{exchange, []string{ms + "198.51.100.7"}, "signed in by 40.92.0.1 in their name"},
		{exchange, []string{ms + "198.51.100.7", app + "x y"}, "signed in by 40.92.0.1 in their name"},
		{exchange, []string{ms + "198.51.100.7", app + "a", app + "b"}, "signed in by 40.92.0.1 in their name"},
		{exchange, []string{app + "Microsoft.Exchange.ActiveSync"}, ""},
		{stranger, []string{ms + "198.51.100.7", app + "Microsoft.Exchange.ActiveSync"}, ""},
	} {
		if info, _ := behalf(t, tr, "/active", c.peer, c.headers...); info.Behalf() != c.want {
			t.Errorf("%s %q: %q", c.peer, c.headers, info.Behalf())
		}
	}
	tr.OnBehalf = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	if _, err := web.New(web.Config{Trust: tr}); err == nil {
		t.Error("everybody may sign in on behalf of others")
	}
}
