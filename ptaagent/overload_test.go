package ptaagent_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

// Ten times as many requests as fit: the oldest that wait are told so at once, the
// newest are judged when there is room again, heartbeats go on.
func TestP07_AFloodShedsTheOldest(t *testing.T) {
	t.Parallel()
	const fits, flood = 4, 80 // as many run, as many wait
	h := open(t, ptatest.Config{Settings: func(s *ptatest.Settings) { s.Heartbeat = time.Second }}, func(c *ptaagent.Config) { c.Concurrent = fits })
	h.people.hold()
	verdicts := make([]ptatest.Verdict, flood)
	var all sync.WaitGroup
	for i := range flood {
		all.Go(func() {
			v, err := h.signIn(t, ptatest.SignIn{Mode: ptatest.Direct})
			if err != nil {
				t.Errorf("%d: %v", i, err)
			}
			verdicts[i] = v
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := h.cloud.Wait(ctx, func(s ptatest.Stats) bool { return s.Counts[ptatest.Result] >= flood-2*fits })
	if err != nil {
		t.Fatal(err)
	}
	beats := h.cloud.Stats().Counts[ptatest.Bootstrapped]
	if err := h.cloud.Wait(ctx, func(s ptatest.Stats) bool { return s.Counts[ptatest.Bootstrapped] > beats }); err != nil {
		t.Error("no heartbeat in the flood:", err)
	}
	h.people.release()
	all.Wait()
	good, shed := 0, 0
	for _, v := range verdicts {
		switch {
		case v.OK:
			good++
		case v.Reason == 1311: // an outage, and no word about the password
			shed++
		default:
			t.Errorf("%+v", v)
		}
	}
	if good != 2*fits || shed != flood-2*fits || h.people.count() != 2*fits {
		t.Errorf("%d judged, %d told that they were not", good, shed)
	}
	if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || !v.OK || !h.trail.has("pta_overload") {
		t.Errorf("afterwards: %+v, %v", v, err)
	}
	h.well(t)
}

// A directory that does not answer: the answer comes before the cloud's budget ends,
// and says that nobody could judge.
func TestAnAnswerComesWithinTheBudgetOrNotAtAll(t *testing.T) {
	t.Parallel()
	h := open(t, ptatest.Config{Settings: func(s *ptatest.Settings) { s.AnswerBudget = time.Second }})
	h.people.hold()
	v, err := h.signIn(t, ptatest.SignIn{})
	if err != nil || v.OK || v.Reason != 1311 || v.Took > time.Second {
		t.Errorf("%+v, %v", v, err)
	}
	h.people.release()
	// The front end takes no result within the budget: nothing comes after it.
	if v, err := h.signIn(t, ptatest.SignIn{Faults: &ptatest.Faults{ResultStatus: []int{503, 503, 503, 503, 503}}}); err == nil {
		t.Errorf("%+v", v)
	}
	h.well(t)
}
