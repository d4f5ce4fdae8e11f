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
