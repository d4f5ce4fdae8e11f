package ptaagent

import (
	"context"
	"errors"
	"time"

	"sallyport/ptaagent/internal/relay"
)

// Timing are the waits of the relay.
type Timing = relay.Timing

// SetTiming shortens waits.
func (c *Config) SetTiming(t Timing) { c.timing = t }

// SignalAction is the action of the fault that a signal without content is answered
// with, empty when it is answered otherwise.
func (a *Agent) SignalAction(action string) string {
	_, err := a.Signal(context.Background(), relay.Call{Action: action, Received: time.Now()})
	if f := (*relay.Fault)(nil); errors.As(err, &f) {
		return f.Action
	}
	return ""
}
