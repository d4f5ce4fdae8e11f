package ptaagent_test

import (
	"bytes"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

// The switches of the stand-in that the other tests do not use, each against the agent.

// What bootstrap answers while it is broken changes nothing: links stand and serve.
func TestABootstrapThatIsBrokenLeavesTheLinksStanding(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		faults ptatest.Faults
		want   string // in the trouble, where it is told at once
	}{
		"another body": {ptatest.Faults{BootstrapBody: []byte("<html>")}, "cannot be used"},
		"unavailable":  {ptatest.Faults{BootstrapStatus: 503}, "answers 503"}, "hangs": {ptatest.Faults{BootstrapHang: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, ptatest.Config{Policy: ptatest.Policy{Patient: true}})
			h.cloud.SetFaults(tt.faults)
			h.cloud.DetachLinks(ptatest.RelayNotFound) // leads to a bootstrap out of turn
			if tt.want != "" {
				until(t, tt.want, func() bool { err := h.agent.Trouble(); return err != nil && strings.Contains(err.Error(), tt.want) })
			}
			until(t, "the links", func() bool { return h.agent.Listening() == len(h.cloud.Settings().Endpoints) })
			if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || !v.OK {
				t.Errorf("%+v, %v", v, err)
			}
			begun := time.Now()
			if h.stop(); time.Since(begun) > 5*time.Second {
				t.Errorf("the agent ended after %s", time.Since(begun))
			}
		})
	}
}

// A relay that refuses links is asked again until it takes them, and said to be away.
func TestARelayThatRefusesLinksIsAskedAgain(t *testing.T) {
	t.Parallel()
	h := open(t, ptatest.Config{})
	for name, f := range map[string]ptatest.Faults{
		"unavailable": {LinkStatus: 503}, "not found": {LinkStatus: 404}, "authorization": {LinkError: ptatest.AuthFailed}, "no such relay": {LinkError: ptatest.RelayNotFound},
		"in use": {LinkError: ptatest.AddressInUse}, "busy": {LinkError: ptatest.ServerBusy}, "timeout": {LinkError: ptatest.Timeout},
		"internal": {LinkError: ptatest.InternalError}, "forced": {LinkError: ptatest.ForcedDetach},
	} {
		t.Run(name, func(t *testing.T) {
			h.cloud.SetFaults(f)
			h.cloud.CutLinks()
			until(t, "no link", func() bool {
				err := h.agent.Trouble()
				return err != nil && strings.Contains(err.Error(), "no signalling link stands")
			})
			until(t, "the reason", func() bool { l := h.agent.Status().Links; return len(l) > 0 && l[0].LastError != "" })
			h.cloud.SetFaults(ptatest.Faults{})
			until(t, "all links", func() bool { return h.agent.Listening() == len(h.cloud.Settings().Endpoints) })
			if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || !v.OK {
				t.Errorf("%+v, %v", v, err)
			}
			h.well(t)
		})
	}
}

// A renewal that goes wrong is told, leaves the certificate in force, and is made up for.
func TestP09_ARenewalThatGoesWrongReplacesNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		faults ptatest.Faults
		want   string
	}{
		"refused": {ptatest.Faults{Renew: ptatest.IssueRefused}, "the service refuses"}, "unavailable": {ptatest.Faults{RenewStatus: 503}, "answers 503"},
		"foreign agent": {ptatest.Faults{Renew: ptatest.IssueForeignAgent}, "it is for agent"}, "expired": {ptatest.Faults{Renew: ptatest.IssueExpired}, "it expired on"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, brief, elapsed(0))
			h.stop()
			h.wait(t, func(s ptatest.Stats) bool { return s.Links == 0 })
			before := h.id.Thumbprint()
			h.cloud.SetFaults(tt.faults)
			a, id := h.restart(t, h.dir, old)
			until(t, tt.want, func() bool { return strings.Contains(a.Status().RenewError, tt.want) })
			if id.Thumbprint() != before {
				t.Error("another certificate is in force")
			}
			if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || !v.OK {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
}

// A front end or a relay that is slow or broken costs the request at hand at most.
func TestWhatBreaksOneRequestBreaksNoOther(t *testing.T) {
	t.Parallel()
	h := open(t, ptatest.Config{
		Policy: ptatest.Policy{Patient: true}, Settings: func(s *ptatest.Settings) { s.AnswerBudget = time.Second }, // for which a silent socket is waited, at the end too
	}, func(c *ptaagent.Config) { c.Floor = time.Millisecond })
	for name, tt := range map[string]struct {
		s  ptatest.SignIn
		ok bool
	}{
		"slow relay":       {ptatest.SignIn{Faults: &ptatest.Faults{RelayDelay: 10 * time.Millisecond}}, true},
		"slow result":      {ptatest.SignIn{Faults: &ptatest.Faults{ResultDelay: 100 * time.Millisecond}}, true},
		"socket refused":   {ptatest.SignIn{Mode: ptatest.Connect, Faults: &ptatest.Faults{SocketStatus: 503}}, false},
		"socket silent":    {ptatest.SignIn{Mode: ptatest.Connect, Faults: &ptatest.Faults{SocketSilent: true}}, false},
		"no document":      {ptatest.SignIn{Mode: ptatest.Connect, Faults: &ptatest.Faults{JSON: []byte("{")}}, false},
		"another document": {ptatest.SignIn{Mode: ptatest.Connect, Faults: &ptatest.Faults{JSON: []byte(`[{"TrafficProtocol":2}]`)}}, false},
		"a long document":  {ptatest.SignIn{Mode: ptatest.Connect, Faults: &ptatest.Faults{JSON: bytes.Repeat([]byte(" "), 1<<20)}}, false},
		"unknown sequence": {ptatest.SignIn{Session: ptatest.Reliable, Faults: &ptatest.Faults{UnknownSequence: true}}, false},
		"frame":            {ptatest.SignIn{Faults: &ptatest.Faults{TransferFrame: []byte{0, 0, 0, 8, 2, 0, 0}}}, false},
	} {
		tt.s.Fresh = true
		if !tt.ok {
			tt.s.Budget = 300 * time.Millisecond
		}
		if v, err := h.signIn(t, tt.s); (err == nil && v.OK) != tt.ok {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
		until(t, "all links", func() bool { return h.agent.Listening() == len(h.cloud.Settings().Endpoints) })
		if v, err := h.signIn(t, ptatest.SignIn{Session: tt.s.Session, Mode: tt.s.Mode}); err != nil || !v.OK {
			t.Errorf("after %s: %+v, %v", name, v, err)
		}
	}
}

// Each switch of the stand-in is used against the agent, here or through the command.
func TestEachSwitchIsUsedAgainstTheAgent(t *testing.T) {
	t.Parallel()
	text := ""
	for _, pattern := range []string{"*_test.go", "../cmd/sallyport/pta*_test.go"} {
		files, err := filepath.Glob(pattern)
		must(t, err)
		for _, f := range files {
			text += read(t, f)
		}
	}
	for f := range reflect.TypeFor[ptatest.Faults]().Fields() {
		if !strings.Contains(text, f.Name+": ") {
			t.Errorf("no test sets %s", f.Name)
		}
	}
}
