package ptatest

import (
	"maps"
	"slices"

	"sallyport/ptaagent/ptatest/internal/amqp"
)

func (c *Cloud) allLinks() []*link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.links))
}

// RestartRelay cuts all links and relayed connections without a word, as a
// restart of the relay does. Requests under way fail over to other links.
func (c *Cloud) RestartRelay() {
	c.CutLinks()
	c.mu.Lock()
	open := slices.Collect(maps.Keys(c.open))
	c.mu.Unlock()
	for _, r := range open {
		r.stop()
	}
}

// CutLinks ends the links' TCP connections without a word.
func (c *Cloud) CutLinks() {
	for _, l := range c.allLinks() {
		l.retire()
		l.stop()
	}
}

// DetachLinks ends every link with an AMQP error condition.
func (c *Cloud) DetachLinks(cond Condition) {
	for _, l := range c.allLinks() {
		l.retire()
		l.mu.Lock()
		handle, known := l.inHandle, l.known
		l.mu.Unlock()
		if known {
			_ = l.send(amqp.Frame{Code: amqp.CodeDetach, Fields: []any{handle, true, amqpError(cond, "on demand")}})
		}
	}
}

// CloseLinks ends every connection with an AMQP error condition.
func (c *Cloud) CloseLinks(cond Condition) {
	for _, l := range c.allLinks() {
		l.end(cond, "on demand")
	}
}

// Freeze stops all traffic of the links that stand now, in both directions,
// while their TCP connections stay open. Such links get no requests any more.
func (c *Cloud) Freeze() {
	for _, l := range c.allLinks() {
		l.frozen.Store(true)
		l.retire()
	}
}

// ExpireTokens treats the SAS tokens of all links as expired.
func (c *Cloud) ExpireTokens() { c.CloseLinks(AuthFailed) }
