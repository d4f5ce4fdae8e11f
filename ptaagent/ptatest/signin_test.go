package ptatest_test

import (
	"context"
	"testing"
	"time"

	"sallyport/ptaagent/ptatest"
)

func passwords(upn, password string) int {
	switch {
	case password == "right/\"\\ päss":
		return 0
	case password == "disabled":
		return 1331
	}
	return 1326
}

func TestSignInOverEveryModeAndSession(t *testing.T) {
	cloud := startCloud(t, ptatest.Config{})
	startAgent(t, cloud, passwords)
	for _, session := range []ptatest.Session{ptatest.Plain, ptatest.Reliable} {
		for _, mode := range []ptatest.Mode{"", ptatest.Connect, ptatest.Direct, ptatest.TrustedParty} {
			for _, fresh := range []bool{false, true} {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				v, err := cloud.SignIn(ctx, ptatest.SignIn{UPN: "alice@contoso.test", Password: "right/\"\\ päss", Mode: mode, Session: session, Fresh: fresh})
				cancel()
				if err != nil || !v.OK || v.UPN != "alice@contoso.test" {
					t.Errorf("%s %s %t: %+v %v", session, mode, fresh, v, err)
				}
			}
		}
	}
	v, err := cloud.Authenticate(t.Context(), "alice@contoso.test", "wrong")
	if err != nil || v.OK || v.Reason != 1326 || v.Code != "AADSTS50126" {
		t.Errorf("wrong password: %+v %v", v, err)
	}
	for _, r := range cloud.Refusals() {
		t.Error(r)
	}
}
