package ptaagent_test

import (
	"context"
	"net/url"
	"sync"
	"testing"
	"time"

	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

func TestTheLinksComeBackAfterEachLoss(t *testing.T) {
	h := open(t, ptatest.Config{})
	for name, lose := range map[string]func(){
		"restart": h.cloud.RestartRelay, "cut": h.cloud.CutLinks, "detach": func() { h.cloud.DetachLinks(ptatest.ServerBusy) },
		"close": func() { h.cloud.CloseLinks(ptatest.InternalError) }, "expired": h.cloud.ExpireTokens,
	} {
		lose()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err := h.cloud.WaitListening(ctx, 4)
		cancel()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || !v.OK {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

func TestWhatIsWrongIsRefusedAndTheLinkLivesOn(t *testing.T) {
	t.Parallel()
	h := open(t, ptatest.Config{}, func(c *ptaagent.Config) { c.Floor = time.Millisecond })
	var all sync.WaitGroup
	for name, f := range map[string]ptatest.Faults{
		"notification": {Notification: []byte{0x56, 2}}, "dead rendezvous": {DeadRendezvous: true}, "accept refused": {AcceptError: true},
		"fault record": {Frame: ptatest.FrameFault}, "upgrade": {Frame: ptatest.FrameUpgrade}, "version": {Frame: ptatest.FrameVersion},
		"singleton": {Frame: ptatest.FrameSingleton}, "truncated": {Frame: ptatest.FrameTruncated}, "envelope": {Envelope: []byte{0, 0x56}},
		"protocol": {TrafficProtocol: "UDP"},
	} {
		all.Go(func() {
			if v, err := h.signIn(t, ptatest.SignIn{Fresh: true, Budget: 300 * time.Millisecond, Faults: &f}); err == nil && v.OK {
				t.Errorf("%s: %+v", name, v)
			}
			if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || !v.OK {
				t.Errorf("after %s: %+v, %v", name, v, err)
			}
		})
	}
	all.Wait()
}

func TestDisturbancesThatAreLegalAreSurvived(t *testing.T) {
	h := open(t, ptatest.Config{Settings: func(s *ptatest.Settings) { s.ResultPause = 5 * time.Millisecond }})
	for name, f := range map[string]ptatest.Faults{
		"pieces": {Piece: 3}, "coalesced": {Coalesce: true}, "twice notified": {TwiceNotified: true}, "forty agents": {Entries: 40},
		"unknown members": {UnknownMembers: true}, "results": {ResultStatus: []int{503, 429, -1}},
	} {
		for _, mode := range []ptatest.Mode{ptatest.Direct, ptatest.Connect} {
			if v, err := h.signIn(t, ptatest.SignIn{Mode: mode, Fresh: true, Faults: &f}); err != nil || !v.OK {
				t.Errorf("%s, %s: %+v, %v", name, mode, v, err)
			}
		}
	}
	for name, f := range map[string]ptatest.Faults{"out of order": {OutOfOrder: true}, "twice": {Twice: true}, "not acknowledged": {NoAcknowledgement: true}} {
		if v, err := h.signIn(t, ptatest.SignIn{Session: ptatest.Reliable, Fresh: true, Faults: &f}); err != nil || !v.OK {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

func TestP09_ARenewalLosesNoSignIn(t *testing.T) {
	t.Parallel()
	h := open(t, ptatest.Config{Policy: ptatest.Policy{Lifetime: 3 * time.Minute}}, func(c *ptaagent.Config) {
		start := time.Now()
		c.Now = func() time.Time { return time.Now().Add(min(time.Since(start)*30, 140*time.Second)) }
	})
	before := h.id.Thumbprint()
	deadline := time.After(30 * time.Second)
	for renewed := 0; renewed < 5; {
		if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || !v.OK {
			t.Fatalf("%+v, %v", v, err)
		}
		if h.id.Thumbprint() != before {
			renewed++ // some more sign-ins with the new one
		}
		select {
		case <-deadline:
			t.Fatalf("no renewal: %+v\n%s", h.agent.Status().RenewError, h.log)
		default:
		}
	}
	again, err := ptaagent.LoadIdentity(h.dir, nil, time.Now())
	if err != nil || again.Thumbprint() != h.id.Thumbprint() {
		t.Errorf("on disk: %v", err)
	}
}

func TestC28_AConnectProxyWithAuthenticationIsPassed(t *testing.T) {
	cloud, err := ptatest.Start(ptatest.Config{ProxyUser: "alice", ProxyPassword: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer cloud.Close()
	proxy, err := url.Parse(cloud.ProxyURL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ptaagent.Register(t.Context(), ptaagent.Registration{
		Tenant: cloud.Tenant, Token: cloud.AdminToken(), Dir: t.TempDir() + "/pta", Network: ptaagent.Network{Roots: cloud.Roots(), Proxy: proxy},
	}); err != nil {
		t.Error(err)
	}
	_, err = ptaagent.Register(t.Context(), ptaagent.Registration{
		Tenant: cloud.Tenant, Token: cloud.AdminToken(), Dir: t.TempDir() + "/pta", Network: ptaagent.Network{Dial: cloud.DialContext},
	})
	if err == nil {
		t.Error("a certificate of an unknown authority was believed")
	} else {
		t.Log(err)
	}
}
