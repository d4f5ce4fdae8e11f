package partner_test

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sallyport/federation/partner"
	"sallyport/federation/saml"
)

func acs(index, location, more string) string {
	return `<md:AssertionConsumerService ` + post + ` index="` + index + `" Location="` + location + `" ` + more + `></md:AssertionConsumerService>`
}

func TestSettingsChooseAmongTheAddressesOfTheMetadata(t *testing.T) {
	e := read(t, describe(wiki, "", "", acs("1", "https://wiki.fabrikam.test/one", `isDefault="true"`)+acs("2", "https://wiki.fabrikam.test/two", "")+
		`<md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:PAOS" index="3" Location="https://wiki.fabrikam.test/two"/>`))
	choose := func(list ...saml.Endpoint) (string, error) {
		h := hand(wiki)
		h.Consumers = list
		p, err := e.Party(h, partner.Options{})
		if err != nil {
			return "", err
		}
		if len(h.Consumers) != len(list) {
			t.Error("the settings were changed")
		}
		var names []string
		for _, c := range p.Consumers {
			name := strings.TrimPrefix(c.URL, "https://wiki.fabrikam.test/")
			if c.Binding != saml.BindingPost {
				name += "(paos)"
			}
			if c.Default {
				name += "*"
			}
			names = append(names, name)
		}
		return strings.Join(names, " "), nil
	}
	for name, c := range map[string]struct {
		list []saml.Endpoint
		want string
	}{
		"none":            {nil, "one* two two(paos) acs"},
		"one of them":     {[]saml.Endpoint{{URL: "https://wiki.fabrikam.test/two"}}, "two two(paos)"},
		"by binding":      {[]saml.Endpoint{{URL: "https://wiki.fabrikam.test/two", Binding: saml.BindingPost}}, "two"},
		"another default": {[]saml.Endpoint{{URL: "https://wiki.fabrikam.test/one"}, {URL: "https://wiki.fabrikam.test/two", Default: true}}, "one two* two(paos)"},
		"twice":           {[]saml.Endpoint{{URL: "https://wiki.fabrikam.test/one"}, {URL: "https://wiki.fabrikam.test/one"}}, "one*"},
	} {
		if got, err := choose(c.list...); err != nil || got != c.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, url := range []string{"https://evil.test/acs", "https://wiki.fabrikam.test/ONE", "https://wiki.fabrikam.test/one/", "https://wiki.fabrikam.test:443/one"} {
		if got, err := choose(saml.Endpoint{URL: url}); err == nil {
			t.Errorf("%s is taken: %s", url, got)
		}
	}
	if _, err := choose(saml.Endpoint{URL: "https://wiki.fabrikam.test/one", Binding: saml.BindingPAOS}); err == nil {
		t.Error("an address with another binding is taken")
	}
}

func TestS12_SettingsMakeAPartyNoWeaker(t *testing.T) {
	e := read(t, describe(wiki, "", `AuthnRequestsSigned="true" WantAssertionsSigned="true"`, keyDescriptor("", publisher())))
	p, err := e.Party(hand(wiki), partner.Options{})
	if err != nil || !p.WantSigned {
		t.Errorf("the metadata's AuthnRequestsSigned is lost: %v", err)
	}
	h := hand(wiki)
	h.Sign = saml.SignResponse
	if _, err := e.Party(h, partner.Options{}); err == nil {
		t.Error("the party wants signed assertions, and only the response is signed")
	}
	if _, err := e.Party(hand("https://other.test/"), partner.Options{}); err == nil {
		t.Error("metadata of another entity is taken")
	}
	h = hand(wiki)
	h.Certificates, h.NameIDFormat, h.Encrypt = e.Signing[:0:0], saml.FormatTransient, stranger().cert
	h.Logout = &saml.Logout{URL: "https://wiki.fabrikam.test/hand"}
	if p, err = e.Party(h, partner.Options{}); err != nil || p.NameIDFormat != saml.FormatTransient || p.Encrypt != stranger().cert || p.Logout != h.Logout || len(p.Certificates) != 1 {
		t.Errorf("settings do not win: %+v, %v", p, err)
	}
}

func TestFirstFormatThatCanBeGiven(t *testing.T) {
	format := func(uri string) string { return "<md:NameIDFormat> " + uri + "\n</md:NameIDFormat>" }
	for name, c := range map[string]struct {
		content    string
		persistent bool
		want       string
	}{
		"none":                      {"", true, saml.FormatUnspecified},
		"email first":               {format(saml.FormatEmail) + format(saml.FormatPersistent), true, saml.FormatEmail},
		"persistent with a secret":  {format(saml.FormatPersistent) + format(saml.FormatEmail), true, saml.FormatPersistent},
		"persistent without one":    {format(saml.FormatPersistent) + format(saml.FormatEmail), false, saml.FormatEmail},
		"one that nobody has first": {format("urn:mace:shibboleth:1.0:nameIdentifier") + format(saml.FormatTransient), true, saml.FormatTransient},
		"only such":                 {format("urn:mace:shibboleth:1.0:nameIdentifier"), true, saml.FormatUnspecified},
	} {
		if got := read(t, describe(wiki, "", "", c.content)).Format(c.persistent); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestDurations(t *testing.T) {
	const day = 24 * time.Hour
	for s, want := range map[string]time.Duration{
		"PT1H": time.Hour, "P1D": day, "P1DT12H": 36 * time.Hour, "PT604800S": 7 * day, "P1M": 30 * day, "P1Y2M3DT4H5M6.789S": (365+60+3)*day + 4*time.Hour + 5*time.Minute + 6*time.Second,
		"PT0S": 0, "P999999999999999Y": 3650 * day, "PT99999999999999999999S": 3650 * day, "P9999999999DT9999999999H": 3650 * day,
	} {
		if got, err := partner.Duration(s); err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "P", "PT", "1D", "-P1D", "P-1D", "P1", "P1H", "PT1D", "P1D1Y", "PT1S1M", "P1DT", "P1W", "PT1.5H", "PT.5S", "PT1.S", "P 1D", "P1D ", "PT1H1H", "p1d", "P१D"} {
		if got, err := partner.Duration(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"P1Y2M3DT4H5M6.789S", "PT0S", "P99999999999999999999D", "-P1D", "P1DT", "P1YT0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := partner.Duration(s)
		if d < 0 || d > 3650*24*time.Hour || err != nil && d != 0 {
			t.Errorf("%q is %v, %v", s, d, err)
		}
	})
}

func TestS12_NoRequestReachesInside(t *testing.T) {
	for address, refused := range map[string]bool{
		"93.184.216.34:443": false, "[2606:2800:220:1::1]:443": false,
		"127.0.0.1:443": true, "10.1.2.3:443": true, "172.16.0.1:443": true, "192.168.1.1:443": true, "169.254.169.254:443": true, "100.64.0.1:443": true,
		"0.0.0.0:443": true, "224.0.0.1:443": true, "255.255.255.255:443": true, "[::1]:443": true, "[::]:443": true, "[fe80::1]:443": true, "[fd00::1]:443": true,
		"[64:ff9b::a9fe:a9fe]:443": true, "[64:ff9b:1::a00:1]:443": true, "[2002:7f00:1::]:443": true, "[2001::1]:443": true, "[::7f00:1]:443": true,
		"[fec0::1]:443": true, "0.1.2.3:443": true, "192.0.0.8:443": true, "198.18.0.1:443": true, "240.0.0.1:443": true, "[64:ff9b::5db8:d822]:443": false,
		"[::ffff:10.0.0.1]:443": true, "[::ffff:127.0.0.1]:443": true, "[::ffff:100.64.0.1]:443": true, "[ff02::1]:443": true,
	} {
		if err := partner.Public(address); (err != nil) != refused {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestS12_NoSignOutIsLedElsewhere: a party that may be asked does not choose by a
// redirect who is asked next.
func TestS12_NoSignOutIsLedElsewhere(t *testing.T) {
	led := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/inside" {
			led = true
			return
		}
		http.Redirect(w, r, "/inside", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	c := &partner.Client{Roots: roots, AllowPrivate: true}
	res, err := c.Messenger().Post(server.URL+"/slo", "text/xml", strings.NewReader("<x/>"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusTemporaryRedirect || led {
		t.Errorf("status %d, led elsewhere %v", res.StatusCode, led)
	}
}

// TestS12_NoSignOutReachesInside: where a party hears of sign-outs is its own word, and
// must not make this service knock at doors inside.
func TestS12_NoSignOutReachesInside(t *testing.T) {
	asked := false
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer inside.Close()
	roots := x509.NewCertPool()
	roots.AddCert(inside.Certificate())
	send := func(c *partner.Client) error {
		res, err := c.Messenger().Post(inside.URL, "text/xml", strings.NewReader("<x/>"))
		if err == nil {
			res.Body.Close()
		}
		return err
	}
	if err := send(&partner.Client{Roots: roots}); err == nil || asked {
		t.Errorf("a message went inside: %v", err)
	}
	if err := send(&partner.Client{Roots: roots, AllowPrivate: true}); err != nil || !asked {
		t.Errorf("where that is meant: %v", err)
	}
	slo := `<md:SingleLogoutService Binding="` + saml.BindingSOAP + `" Location="https://10.0.0.1/slo"/>`
	e := read(t, describe(wiki, "", "", keyDescriptor("", publisher())+slo))
	for private, untrusted := range map[bool]bool{false: true, true: false} {
		p, err := e.Party(hand(wiki), partner.Options{Private: private})
		if err != nil || p.Logout == nil || p.Logout.Public != untrusted {
			t.Errorf("private %v: %+v, %v", private, p, err)
		}
	}
}
