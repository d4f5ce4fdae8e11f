package config_test

import (
	"strings"
	"testing"

	"sallyport/cmd/internal/config"
)

func TestWSTrustIsOffUnlessSaid(t *testing.T) {
	parse := func(text string) *config.Config {
		t.Helper()
		c, err := config.Parse("sallyport.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := parse(with(t))
	if c.WSTrust != "off" || c.WSTrustTellExpired {
		t.Errorf("%q %v", c.WSTrust, c.WSTrustTellExpired)
	}
	for _, value := range []string{"off", "everywhere"} {
		if got := parse(with(t, url, url+"wstrust: "+value+"\n")).WSTrust; got != value {
			t.Errorf("%s: %q", value, got)
		}
	}
	for text, want := range map[string]string{
		"wstrust: on\n":                                         "is not known",
		"wstrust: everywere\n":                                  "did you mean everywhere?",
		"wstrust: {usernamemixed: all}\n":                       "wstrust",
		"wstrust: inside\n":                                     "networks.inside names no network",
		"wstrust_tell_expired: true\n":                          "only while wstrust is on",
		"proxy: {on_behalf: [40.92.0.0/15]}\n":                  "only while wstrust or saml.ecp is on",
		"saml: {ecp: everywhere}\n":                             "only with a party or a domain of protocol saml",
		"saml: {ecp: inside}\n":                                 "networks.inside names no network",
		"wstrust: everywhere\nproxy: {on_behalf: [\"::/0\"]}\n": "is the whole internet",
	} {
		if got := strings.Join(problemsOf(t, with(t, url, url+text)), "\n"); !strings.Contains(got, want) {
			t.Errorf("%q: %s", text, got)
		}
	}
}
