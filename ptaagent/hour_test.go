package ptaagent_test

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/ptaagent/ptatest"
)

// An hour of an office of some thousand people, compressed: sign-ins over every mode
// and kind of session while tokens expire, heartbeats come and the relay is restarted
// ten times. Each request is judged once and answered once. SALLYPORT_LONG=1 offers
// 7200 requests instead of 440.
func TestACompressedHourLosesNoRequest(t *testing.T) {
	t.Parallel()
	requests, restarts := 440, 10
	if os.Getenv("SALLYPORT_LONG") == "1" || os.Getenv("SALLYPORT_LAB") == "1" || os.Getenv("CI") == "true" {
		requests = 7200
	}
	h := open(t, ptatest.Config{
		Settings: func(s *ptatest.Settings) { s.Heartbeat, s.TokenTTL = time.Second, 2*time.Second },
		Policy:   ptatest.Policy{Patient: true, PingEvery: 100 * time.Millisecond},
	})
	modes := []ptatest.Mode{ptatest.Connect, ptatest.Direct, ptatest.TrustedParty}
	sessions := []ptatest.Session{ptatest.Plain, ptatest.Reliable}
	var next, answered atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := int(next.Add(1)); i <= requests; i = int(next.Add(1)) {
				if i%(requests/(restarts+1)) == 0 && i/(requests/(restarts+1)) <= restarts {
					h.cloud.RestartRelay()
				}
				name := fmt.Sprintf("user%d@contoso.test", i)
				v, err := h.signIn(t, ptatest.SignIn{UPN: name, Mode: modes[i%len(modes)], Session: sessions[i%len(sessions)], Fresh: i%10 == 0})
				if err != nil || !v.OK || v.UPN != name {
					t.Errorf("request %d: %+v, %v", i, v, err)
					continue
				}
				answered.Add(1)
			}
		})
	}
	all.Wait()
	times := map[string]int{}
	for _, name := range h.people.names() {
		times[name]++
	}
	for name, n := range times {
		if n != 1 {
			t.Errorf("%s was judged %d times", name, n)
		}
	}
	results := h.cloud.Stats().Counts[ptatest.Result]
	if int(answered.Load()) != requests || len(times) != requests || results != requests {
		t.Errorf("of %d requests %d were answered, %d judged, %d results taken", requests, answered.Load(), len(times), results)
	}
	opened := uint64(0)
	for _, l := range h.agent.Status().Links {
		opened += l.Opened
	}
	if opened < uint64(4*(1+restarts)) {
		t.Errorf("%d links in all: the restarts did not cut them", opened)
	}
	h.well(t)
}
