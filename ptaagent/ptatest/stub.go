package ptatest

import (
	"context"
	"net/http"
)

func (c *Cloud) relay(w http.ResponseWriter, r *http.Request, host string) { http.NotFound(w, r) }
func (c *Cloud) frontSocket(w http.ResponseWriter, r *http.Request)        { http.NotFound(w, r) }
func (c *Cloud) frontResult(w http.ResponseWriter, r *http.Request)        { http.NotFound(w, r) }

// SignIn makes one sign-in over an agent.
func (c *Cloud) SignIn(ctx context.Context, s SignIn) (Verdict, error) {
	return Verdict{}, ErrNoAgent
}

// Stats are the counters now.
func (c *Cloud) Stats() Stats { return Stats{} }

// RestartRelay cuts all links and relayed connections at the TCP level, as a
// restart of the relay does.
func (c *Cloud) RestartRelay() {}

// CutLinks closes the links' TCP connections without a word.
func (c *Cloud) CutLinks() {}

// DetachLinks ends every link with an AMQP error condition.
func (c *Cloud) DetachLinks(cond Condition) {}

// Freeze stops all traffic of the links that stand now, in both directions,
// while their TCP connections stay open.
func (c *Cloud) Freeze() {}

// ExpireTokens treats the SAS tokens of all links as expired.
func (c *Cloud) ExpireTokens() {}
