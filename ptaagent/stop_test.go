package ptaagent_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

// The relay of the stand-in answers no drain of credit, as the real one may not: a
// stop with nothing to finish does not wait for it.
func TestAStopWithNothingToFinishWaitsForNothing(t *testing.T) {
	cloud, err := ptatest.Start(ptatest.Config{Policy: ptatest.Policy{IgnoreDrain: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	network := ptaagent.Network{Dial: cloud.DialContext, Roots: cloud.Roots()}
	id, err := ptaagent.Register(t.Context(), ptaagent.Registration{Tenant: cloud.Tenant, Token: cloud.AdminToken(), Dir: t.TempDir() + "/pta", Network: network})
	if err != nil {
		t.Fatal(err)
	}
	agent, err := ptaagent.New(ptaagent.Config{Identity: id, Passwords: &people{}, Audit: &trail{}, Suffixes: []string{"contoso.test"}, Network: network})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); agent.Run(ctx) }()
	if err := cloud.WaitListening(t.Context(), len(cloud.Settings().Endpoints)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	stop()
	<-done
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("the stop took %v", took)
	}
}

// While one of two agents stops, every request is answered, by it or by the other.
func TestAStopLosesNoRequest(t *testing.T) {
	h := open(t, ptatest.Config{})
	stop := h.another(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || !v.OK {
					t.Errorf("%+v, %v", v, err)
				}
			}
		})
	}
	if err := h.cloud.Wait(t.Context(), func(s ptatest.Stats) bool { return s.Counts[ptatest.Result] > 60 }); err != nil {
		t.Fatal(err)
	}
	stop()
	all.Wait()
	h.well(t)
}

// The signal that comes when links are closed already is refused with the fault that
// the contract declares for it, not left without an answer.
func TestASignalToAClosingAgentIsToldSo(t *testing.T) {
	h := open(t, ptatest.Config{})
	if action := h.agent.SignalAction("http://tempuri.org/other"); action != "" {
		t.Errorf("an unknown action is answered: %s", action)
	}
	h.stop()
	if got, want := h.agent.SignalAction("http://tempuri.org/IConnectorSignalingService/SignalConnector"), "http://tempuri.org/IConnectorSignalingService/SignalConnectorConnectorIsClosingFaultFault"; got != want {
		t.Errorf("fault %q, want %q", got, want)
	}
}
