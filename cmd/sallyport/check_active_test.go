package main

import (
	"strings"
	"testing"
)

func TestCheckSaysWhatStopsWithoutWSTrust(t *testing.T) {
	for setting, want := range map[string][]string{
		"":             {"off; without it these do not work: MSAL", "write wstrust: inside or wstrust: everywhere"},
		"off":          {"off; without it these do not work: MSAL"},
		"everywhere":   {"on for everybody", "/adfs/services/trust/mex"},
		"\"everyone\"": {"FAIL", "wstrust"},
		"inside":       {"FAIL", "networks.inside names no network"},
	} {
		p := newPlace(t)
		if setting != "" {
			p.change(t, "directory:", "wstrust: "+setting+"\ndirectory:")
		}
		_, out, _ := call(t, "", "check", "--config", p.conf, "--offline")
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("wstrust: %s: no %q in\n%s", setting, w, out)
			}
		}
	}
}

func TestCheckSaysWhatStopsWithoutECP(t *testing.T) {
	for ecp, want := range map[string]string{"": "SAML 2.0 ECP)     off; without it", "off": "SAML 2.0 ECP)     off; without it", "everywhere": "/adfs/services/saml/ecp"} {
		p := newPlace(t)
		p.change(t, "{name: contoso.test}", "{name: contoso.test, protocol: saml}")
		if ecp != "" {
			p.change(t, "directory:", "saml: {ecp: "+ecp+"}\ndirectory:")
		}
		_, out, _ := call(t, "", "check", "--config", p.conf, "--offline")
		if !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("ecp: %s: no %q in\n%s", ecp, want, out)
		}
	}
	p := newPlace(t)
	if _, out, _ := call(t, "", "check", "--config", p.conf, "--offline"); strings.Contains(out, "SAML 2.0 ECP") {
		t.Errorf("nobody uses SAML here:\n%s", out)
	}
}
