package ptaagent_test

import (
	"context"
	"testing"
	"time"

	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

// The relay of the stand-in answers no drain of credit, as the real one may not: a
// stop with nothing to finish does not wait for it.
func TestAStopWithNothingToFinishWaitsForNothing(t *testing.T) {
	cloud, err := ptatest.Start(ptatest.Config{})
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
