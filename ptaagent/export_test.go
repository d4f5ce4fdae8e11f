package ptaagent

import "sallyport/ptaagent/internal/relay"

// Timing are the waits of the relay.
type Timing = relay.Timing

// SetTiming shortens waits.
func (c *Config) SetTiming(t Timing) { c.timing = t }
