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

// Due reports whether the certificate is to be renewed now.
func (a *Agent) Due() bool { return a.due(a.plan.Load()) }

// Holds reports whether the key of a certificate is still there.
func (id *Identity) Holds(thumbprint string) bool { return id.find(thumbprint) != nil }

// Tidy removes what is left of old certificates.
func (id *Identity) Tidy(now time.Time) error { return id.tidy(now) }

// ReadInventory reads the cloud's list of agents.
var ReadInventory = readInventory
