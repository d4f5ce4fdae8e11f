package ptaagent_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

func TestASignInOverEachModeAndSession(t *testing.T) {
	h := open(t, ptatest.Config{})
	for _, mode := range []ptatest.Mode{ptatest.Connect, ptatest.Direct, ptatest.TrustedParty} {
		for _, session := range []ptatest.Session{ptatest.Plain, ptatest.Reliable} {
			for range 2 { // the second one on the same relayed connection
				v, err := h.signIn(t, ptatest.SignIn{Mode: mode, Session: session})
				if err != nil || !v.OK || v.UPN != "alice@contoso.test" {
					t.Fatalf("%s over %s: %+v, %v\n%s\n%v", mode, session, v, err, h.log, h.cloud.Refusals())
				}
			}
		}
	}
	h.well(t)
	if s := h.agent.Status(); len(s.Links) != 4 || len(s.Recent) < 11 || s.CloudState != "Ok" || h.agent.Trouble() != nil {
		t.Errorf("%d links, %d requests, %s, %v", len(s.Links), len(s.Recent), s.CloudState, h.agent.Trouble())
	}
	if strings.Contains(h.log.String(), "ssw0rd") {
		t.Error("the password is in the log")
	}
}

func TestP11_EveryReasonHasItsNumber(t *testing.T) {
	h := open(t, ptatest.Config{})
	for reason, number := range map[authn.Reason]int{
		authn.WrongPassword: 1326, authn.UnknownUser: 1326, authn.Ambiguous: 1326, authn.LockedOut: 1909, authn.Throttled: 1909,
		authn.Restricted: 1327, authn.LogonHours: 1328, authn.Workstation: 1329, authn.PasswordExpired: 1330, authn.Disabled: 1331,
		authn.TooManyGroups: 1384, authn.AccountExpired: 1793, authn.MustChange: 1907, authn.BadInput: 1326, authn.Rejected: 1326,
		authn.Unavailable: 1311, authn.Busy: 1311, authn.Misconfigured: 1311, authn.NoVerdict: 1311,
	} {
		v, err := h.signIn(t, ptatest.SignIn{Password: reason.String()})
		if err != nil || v.OK || v.Reason != number {
			t.Errorf("%s: %+v, %v", reason, v, err)
		}
	}
	h.well(t)
}

// TestP01_FilesThatOthersReachAreRefused: who has the agent's key is the agent.
func TestP01_FilesThatOthersReachAreRefused(t *testing.T) {
	h := open(t, ptatest.Config{})
	h.stop()
	keys, err := filepath.Glob(h.dir + "/agent-*.pem")
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	for _, file := range append(keys, h.dir+"/agent.json") {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o622} {
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
			if _, err := ptaagent.LoadIdentity(h.dir, nil, time.Now()); err == nil || !strings.Contains(err.Error(), "run chmod 0600") {
				t.Errorf("%s with mode %o: %v", filepath.Base(file), mode, err)
			}
		}
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ptaagent.LoadIdentity(h.dir, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = ptaagent.Register(t.Context(), ptaagent.Registration{Tenant: h.cloud.Tenant, Token: h.cloud.AdminToken(), Dir: open,
		Network: ptaagent.Network{Dial: h.cloud.DialContext, Roots: h.cloud.Roots()}})
	if left, _ := os.ReadDir(open); err == nil || len(left) > 0 {
		t.Errorf("a directory that others enter: %v, %d files", err, len(left))
	}
}

func TestP02_ARepeatedRequestIsJudgedOnce(t *testing.T) {
	h := open(t, ptatest.Config{})
	for _, mode := range []ptatest.Mode{ptatest.Direct, ptatest.Connect} {
		before := h.people.count()
		v, err := h.signIn(t, ptatest.SignIn{Mode: mode, Faults: &ptatest.Faults{Repeats: 100}})
		if err != nil || !v.OK {
			t.Fatalf("%+v, %v", v, err)
		}
		if v, err = h.signIn(t, ptatest.SignIn{Mode: mode}); err != nil || !v.OK {
			t.Fatalf("the next one: %+v, %v", v, err)
		}
		if n := h.people.count() - before; n != 2 {
			t.Errorf("%s: %d passwords were judged, not 2", mode, n)
		}
	}
}

// TestP02_ARespelledCiphertextIsARepetition: who plays back what was on the wire can
// write the same number in many ways, and put any request id before it.
func TestP02_ARespelledCiphertextIsARepetition(t *testing.T) {
	h := open(t, ptatest.Config{})
	v, err := h.signIn(t, ptatest.SignIn{Mode: ptatest.Direct, Faults: &ptatest.Faults{Repeats: 10, Respelled: true}})
	if err != nil || !v.OK {
		t.Fatalf("%+v, %v", v, err)
	}
	if v, err = h.signIn(t, ptatest.SignIn{Mode: ptatest.Direct}); err != nil || !v.OK {
		t.Fatalf("the next one: %+v, %v", v, err)
	}
	if n := h.people.count(); n != 2 {
		t.Errorf("%d passwords were judged, not 2", n)
	}
}

func TestP03_NoHostOutsideTheCloudIsSpokenTo(t *testing.T) {
	t.Parallel()
	h := open(t, ptatest.Config{})
	var all sync.WaitGroup
	for _, host := range []string{
		"evil.test", "x.connector.his.msappproxy.net.evil.test", "127.0.0.1", "user@x.connector.his.msappproxy.net", "x.connector.his.msappproxy.net:8443",
		"evil.test/x.connector.his.msappproxy.net", "xconnector.his.msappproxy.net",
	} {
		for _, s := range []ptatest.SignIn{
			{Mode: ptatest.Direct, Faults: &ptatest.Faults{ReturnHost: host}}, {Mode: ptatest.Connect, Faults: &ptatest.Faults{ReturnHost: host}},
			{Faults: &ptatest.Faults{InstanceHost: host}},
		} {
			s.Budget = 4 * time.Second
			all.Go(func() {
				if v, err := h.signIn(t, s); err == nil {
					t.Errorf("%s: %+v", host, v)
				}
			})
		}
	}
	all.Wait()
	if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || !v.OK {
		t.Errorf("afterwards: %+v, %v", v, err)
	}
	until(t, "a record of each", func() bool { return h.trail.count("pta_foreign_host") == 14 })
	if h.people.count() != 1 || len(h.cloud.Strays()) > 0 {
		t.Errorf("%d judged, strays %v", h.people.count(), h.cloud.Strays())
	}
}

func TestP04_NoAnswerTellsWhyAPasswordWasNotRead(t *testing.T) {
	h := open(t, ptatest.Config{}, func(c *ptaagent.Config) { c.Floor = 20 * time.Millisecond })
	for name, f := range map[string]ptatest.Faults{
		"no entry": {OmitKey: true}, "another key": {ForeignKey: true}, "bad cipher": {BadCipher: true}, "bad JSON": {Plaintext: []byte("x")},
		"another type": {Plaintext: []byte(`{"Password":1}`)}, "half a pair": {Plaintext: []byte(`{"Password":"\ud800"}`)},
	} {
		v, err := h.signIn(t, ptatest.SignIn{Faults: &f})
		if err != nil || v.OK || v.Reason != 1326 || v.Text != "" {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
		if v.Took < 20*time.Millisecond {
			t.Errorf("%s took %s", name, v.Took)
		}
	}
	if h.people.count() != 0 || !h.trail.has("pta_undecryptable") {
		t.Errorf("%d judged", h.people.count())
	}
	h.well(t)
}

func TestP05_RequestsOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	h := open(t, ptatest.Config{}, func(c *ptaagent.Config) { c.Floor = time.Millisecond })
	for _, mode := range []ptatest.Mode{ptatest.Direct, ptatest.Connect, ptatest.TrustedParty} {
		// Of another tenant: no answer at all, and a record.
		if v, err := h.signIn(t, ptatest.SignIn{Mode: mode, Budget: 200 * time.Millisecond, Faults: &ptatest.Faults{Tenant: "99999999-9999-4999-8999-999999999999"}}); err == nil {
			t.Errorf("another tenant: %+v", v)
		}
		until(t, "its record", func() bool { return h.trail.count("pta_foreign_tenant") == 1 })
		// For another agent or key, or a user whose suffix is not ours: told as a wrong
		// password, with a record of the truth.
		for what, s := range map[string]ptatest.SignIn{
			"pta_undecryptable": {Faults: &ptatest.Faults{ForeignKey: true}}, "pta_foreign_user": {UPN: "alice@fabrikam.test"},
		} {
			s.Mode = mode
			v, err := h.signIn(t, s)
			if err != nil || v.OK || v.Reason != 1326 {
				t.Errorf("%s: %+v, %v", what, v, err)
			}
			if n := h.trail.count(what); n != 1 {
				t.Errorf("%s: %d records", what, n)
			}
		}
		for _, name := range []string{"alice@CONTOSO.test.evil.test", "alice", "@contoso.test", "alice@xcontoso.test"} {
			if v, err := h.signIn(t, ptatest.SignIn{Mode: mode, UPN: name}); err == nil && v.OK {
				t.Errorf("%s: %+v", name, v)
			}
		}
		h.trail.forget()
	}
	if h.people.count() != 0 {
		t.Errorf("%d judged", h.people.count())
	}
	if v, err := h.signIn(t, ptatest.SignIn{UPN: "alice@CONTOSO.test"}); err != nil || !v.OK {
		t.Errorf("one of ours: %+v, %v", v, err)
	}
}
