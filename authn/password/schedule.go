package password

import (
	"context"
	"time"
)

// Schedule is when refusals are answered: at Floor after the beginning of the attempt,
// or at the first later instant that is a number of Steps away from it, so that the
// time tells nothing of what was done meanwhile. Whoever refuses a person whose
// password was accepted keeps to it too, or the time would tell that. Zero fields:
// 400 ms and 50 ms.
type Schedule struct{ Floor, Step time.Duration }

// Wait returns at the next instant of the schedule of an attempt that began at start,
// which has a monotonic reading, or when ctx ends.
func (s Schedule) Wait(ctx context.Context, start time.Time) {
	if s.Floor <= 0 {
		s.Floor = 400 * time.Millisecond
	}
	if s.Step <= 0 {
		s.Step = 50 * time.Millisecond
	}
	t := time.NewTimer(time.Until(start.Add(s.slot(time.Since(start)))))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// slot returns the first instant of the schedule that is not before elapsed.
func (s Schedule) slot(elapsed time.Duration) time.Duration {
	if elapsed <= s.Floor {
		return s.Floor
	}
	return s.Floor + (elapsed-s.Floor+s.Step-1)/s.Step*s.Step
}
